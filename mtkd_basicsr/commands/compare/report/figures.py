"""Figures of a report: curves and bars."""

from pathlib import Path

import numpy as np

from ....evaluation.statistics import gain
from ..results import Cell, Results, paired_psnr
from .styles import method_styles
from .timing import Timing


def curves_caption(results: Results) -> str:
    """Return the caption of :func:`curves`."""
    seeds = ''
    if results.several_seeds:
        seeds = ', mean over seeds; bands from the lowest to the highest seed'
    mixed = ''
    if Timing.of(results).note:
        mixed = ', which do not all compare: see the marks in the tables'
    return (
        f'PSNR of validation during the training{seeds}. Left over iterations, right over '
        f'seconds{mixed}.'
    )


def bars_caption(results: Results) -> str:
    """Return the caption of :func:`bars`."""
    whiskers = '; whiskers: standard deviation over seeds' if results.several_seeds else ''
    return f'Gain over {results.plan.baseline}{whiskers}.'


def mean_curve(
    cell: Cell,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean curve over seeds, at the iterations that all seeds have.

    Returns:
        Iterations, seconds, mean PSNR, lowest PSNR, highest PSNR; each one-dimensional.
    """
    iterations = [{iteration for iteration, _, _ in curve} for curve in cell.curves]
    common = set.intersection(*iterations)
    curves = []
    for curve in cell.curves:
        curves.append([point for point in curve if point[0] in common])
    points = np.array(curves, float).reshape(len(curves), -1, 3)
    psnr = points[..., 2]
    return points[0, :, 0], points[..., 1].mean(0), psnr.mean(0), psnr.min(0), psnr.max(0)


def curves(results: Results, path: Path) -> None:
    """Draw the validation PSNR of all methods over iterations (left) and training time (right).

    Each student and scale has a row. Lines are means over seeds; bands extend from the lowest to
    the highest seed.

    Args:
        results: Results with at least one finished student.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    groups = list(results.groups())
    styles = method_styles(results.plan.methods)
    figure = Figure(figsize=(12, 3.9 * len(groups)), layout='constrained')
    rows = figure.subplots(len(groups), 2, squeeze=False)
    for axes, (student, scale, cells) in zip(rows, groups, strict=True):
        lowest = []
        highest = []
        for method, cell in cells.items():
            iterations, seconds, mean, low, high = mean_curve(cell)
            if not len(mean):
                continue
            style = styles[method]
            for axis, x in zip(axes, (iterations, seconds), strict=True):
                axis.plot(
                    x,
                    mean,
                    color=style.colour,
                    linestyle=style.line,
                    linewidth=style.width,
                    label=method,
                )
                axis.fill_between(x, low, high, color=style.colour, alpha=0.12, linewidth=0)
            lowest.append(np.percentile(mean, 25))
            highest.append(high.max())
        labels = ('iterations', "seconds of training, without teachers' caches and validation")
        for axis, label in zip(axes, labels, strict=True):
            axis.set(xlabel=label, ylabel='PSNR (dB)', title=f'{student} ×{scale}')
            axis.grid(alpha=0.3)
            # Cut off the first validations, which would compress the rest of the curves.
            if lowest and min(lowest) < max(highest):
                axis.set_ylim(min(lowest), max(highest) + 0.05 * (max(highest) - min(lowest)))
        axes[0].legend(fontsize=8, ncols=2)
    figure.savefig(path, dpi=110)


def bars(results: Results, path: Path) -> bool:
    """Draw the gain of each method over the baseline.

    Each student and scale has a row of panels, each test set a column.

    Args:
        results: Results of a comparison.
        path: PNG file to write.

    Returns:
        Whether there was anything to draw: the baseline and another method of one student.
    """
    from matplotlib.figure import Figure

    baseline = results.plan.baseline
    sets = list(results.plan.test)
    groups = [group for group in results.groups() if baseline in group[2] and len(group[2]) > 1]
    if not groups:
        return False
    styles = method_styles(results.plan.methods)
    heights = [0.28 * len(cells) + 0.9 for _, _, cells in groups]
    figure = Figure(figsize=(4.2 * len(sets) + 1.5, sum(heights)), layout='constrained')
    rows = figure.subplots(
        len(groups), len(sets), squeeze=False, gridspec_kw={'height_ratios': heights}
    )
    for axes, (student, scale, cells) in zip(rows, groups, strict=True):
        for axis, test_set in zip(axes, sets, strict=True):
            gains = {}
            for method, cell in cells.items():
                pair = paired_psnr(cell, cells[baseline], test_set)
                if method != baseline and pair is not None:
                    gains[method] = gain(*pair)
            axis.barh(
                list(gains),
                [mean for mean, _ in gains.values()],
                0.75,
                xerr=[deviation or 0 for _, deviation in gains.values()]
                if results.several_seeds
                else None,
                color=[styles[method].colour for method in gains],
                capsize=2,
                error_kw={'elinewidth': 1, 'ecolor': '#555555'},
            )
            axis.invert_yaxis()  # the order of the plan, from top to bottom
            axis.axvline(0, color='black', linewidth=0.8)
            axis.set(xlabel=f'gain over {baseline} (dB)', title=f'{student} ×{scale}, {test_set}')
            axis.grid(axis='x', alpha=0.3)
    figure.savefig(path, dpi=110)
    return True
