"""The page of crops: places where the methods differ most."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from ....evaluation.measure import bicubic, iter_images, load_trained
from ....utils.image_tensors import to_array
from ....utils.images import psnr
from ..results import Cell, Results
from ..runs import Run
from ..validation import evaluation_sets

_SIZE = 64  # pixels of the ground truth
_COLUMNS = 10


def shown(results: Results, student: str, scale: int) -> Iterator[Run]:
    """Yield the runs of a student whose images are shown: of each method that of the first seed."""
    for run in results.runs.values():
        if run.kind != 'student' or (run.student, run.scale) != (student, scale):
            continue
        assert run.method is not None  # every student has one
        cell = results.cells.get((student, scale, run.method))
        if cell is not None and run.seed == min(cell.seeds):
            yield run


def _images(
    results: Results, student: str, scale: int, out: Path, wanted: list[tuple[str, str]]
) -> Iterator[tuple[str, str, dict[str, np.ndarray]]]:
    """Yield images as all methods make them.

    Each comes with its test set, its name, and by column (h, w, 3), RGB, float, [0, 255].
    """
    runs = {
        f'{run.method}': load_trained(run.config, out / 'experiments' / run.name, 'cpu')
        for run in shown(results, student, scale)
    }
    for test_set, dataset in evaluation_sets(results.plan.test, scale, out).items():
        for name, lq, gt in iter_images(dataset):
            if (test_set, name) in wanted:
                columns = {
                    'ground truth': gt,
                    'bicubic': bicubic(lq, scale),
                    **{m: function(lq) for m, function in runs.items()},
                }
                yield (
                    test_set,
                    name,
                    {k: to_array(v)[..., ::-1].astype(np.float32) for k, v in columns.items()},
                )


def most_different_images(cells: dict[str, Cell], count: int) -> list[tuple[str, str]]:
    """Return test set and name of the images on which the methods lie farthest apart.

    It is their PSNR that is compared, mean over seeds. At most half of the images are of one test
    set.
    """
    spread: list[tuple[float, str, str]] = []
    for test_set in next(iter(cells.values())).values:
        measured = np.array([cell.values[test_set][..., 0].mean(0) for cell in cells.values()])
        names = next(iter(cells.values())).names[test_set]
        differences = np.ptp(measured, 0)
        spread += [
            (difference, test_set, name)
            for difference, name in zip(differences, names, strict=True)
        ]
    sets = {test_set for _, test_set, _ in spread}
    limit = count if len(sets) == 1 else -(-count // 2)
    chosen: list[tuple[str, str]] = []
    for _, test_set, name in sorted(spread, reverse=True):
        if sum(chosen_set == test_set for chosen_set, _ in chosen) < limit and len(chosen) < count:
            chosen.append((test_set, name))
    return chosen


def most_different_square(
    columns: dict[str, np.ndarray], methods: Iterable[str]
) -> tuple[np.intp, np.intp, int]:
    """Return y, x and size of the square in which the methods differ most from each other."""
    variance = np.var([columns[m] for m in methods], 0).mean(-1)
    size = min(_SIZE, *variance.shape)
    mean = cv2.boxFilter(variance, -1, (size, size), anchor=(0, 0), borderType=cv2.BORDER_ISOLATED)
    mean = mean[: variance.shape[0] - size + 1, : variance.shape[1] - size + 1]
    y, x = np.unravel_index(mean.argmax(), mean.shape)
    return y, x, size


def _psnr(a: np.ndarray, b: np.ndarray) -> str:
    error = float(np.mean((a - b) ** 2))
    return 'equal' if error == 0 else f'{psnr(error):.2f} dB'


def crops(results: Results, student: str, scale: int, out: Path, path: Path, count: int = 4) -> int:
    """Draw the places of a few images where the methods of one student differ most.

    Each comes with its local PSNR (RGB).

    Args:
        results: With this student at this scale.
        student: Which student.
        scale: Factor.
        out: Folder of the results, where the trained students are.
        path: PNG to be written.
        count: Images.

    Returns:
        Seed of the students that are shown.
    """
    from matplotlib.figure import Figure

    cells = {
        m: c
        for s, x, cells in results.groups()
        if (s, x) == (student, scale)
        for m, c in cells.items()
    }
    wanted = most_different_images(cells, count)
    drawn = {
        (test_set, name): columns
        for test_set, name, columns in _images(results, student, scale, out, wanted)
    }
    names = list(next(iter(drawn.values())))
    lines = -(-len(names) // _COLUMNS)
    figure = Figure(
        figsize=(1.55 * min(len(names), _COLUMNS), 1.95 * len(wanted) * lines), layout='constrained'
    )
    axes = figure.subplots(len(wanted) * lines, min(len(names), _COLUMNS), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for i, key in enumerate(wanted):
        columns = drawn[key]
        y, x, size = most_different_square(columns, list(cells))
        truth = columns['ground truth'][y : y + size, x : x + size]
        for j, name in enumerate(names):
            axis = axes[i * lines + j // _COLUMNS, j % _COLUMNS]
            crop = columns[name][y : y + size, x : x + size]
            axis.set_axis_on()
            axis.imshow(crop / 255, interpolation='nearest')
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title(name, fontsize=8)
            axis.set_xlabel(
                f'{key[0]}: {key[1]}' if name == 'ground truth' else _psnr(crop, truth), fontsize=7
            )
    figure.savefig(path, dpi=130)
    return min(min(cell.seeds) for cell in cells.values())
