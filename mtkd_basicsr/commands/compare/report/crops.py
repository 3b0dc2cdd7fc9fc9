"""The figure of crops where the methods differ most."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from ....data.whole_images import build_paired_dataset
from ....errors import MTKDError
from ....evaluation.measure import bicubic, iter_images, load_trained
from ....utils.image_tensors import to_array
from ....utils.images import psnr
from ....utils.texts import listed
from ..evaluation_sets import evaluation_sets
from ..results import Cell, Results
from ..runs import Run

_CROP_SIZE = 64  # ground-truth pixels
_COLUMNS = 10


def runs_to_show(results: Results, student: str, scale: int) -> Iterator[Run]:
    """Yield the runs of a student whose images are shown: the first seed of each method."""
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
    """Yield the outputs of all methods for some images.

    Yields:
        Test set, name of the image, and images by column: (h, w, 3), RGB, float32, [0, 255].
    """
    students = {}
    for run in runs_to_show(results, student, scale):
        experiment = out / 'experiments' / run.name
        students[f'{run.method}'] = load_trained(run.config, experiment, 'cpu')
    for test_set, dataset in evaluation_sets(results.plan.test, scale, out).items():
        for name, lq, gt in iter_images(dataset):
            if (test_set, name) not in wanted:
                continue
            columns = {'ground truth': _pixels(gt), 'bicubic': _pixels(bicubic(lq, scale))}
            for method, network in students.items():
                columns[method] = _pixels(network(lq))
            yield test_set, name, columns


def why_no_crops(results: Results, cells: dict[str, Cell], scale: int, out: Path) -> str:
    """Return which images that methods were measured on are not here; empty if all are.

    Args:
        results: All results.
        cells: Cells of one student at this scale, by method.
        scale: Factor.
        out: Folder of the results.
    """
    for test_set, dataset in evaluation_sets(results.plan.test, scale, out).items():
        try:
            images = build_paired_dataset(dict(dataset.options), f'test.{test_set}')
        except MTKDError as error:
            return str(error)
        here = {Path(pair['gt_path']).stem for pair in images.paths}
        absent = set(next(iter(cells.values())).names[test_set]) - here
        if absent:
            return f'test.{test_set}.dataroot_gt: no image {listed(sorted(absent), 3)}'
    return ''


def _pixels(image: torch.Tensor) -> np.ndarray:
    """Convert (1, 3, h, w), RGB, [0, 1] to (h, w, 3), RGB, float32, [0, 255]."""
    return to_array(image)[..., ::-1].astype(np.float32)


def most_different_images(cells: dict[str, Cell], count: int) -> list[tuple[str, str]]:
    """Return the test set and name of the images on which the methods differ most.

    The difference is the range of their PSNR, averaged over seeds. At most half of the images come
    from one test set.
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
    size = min(_CROP_SIZE, *variance.shape)
    mean = cv2.boxFilter(variance, -1, (size, size), anchor=(0, 0), borderType=cv2.BORDER_ISOLATED)
    mean = mean[: variance.shape[0] - size + 1, : variance.shape[1] - size + 1]
    y, x = np.unravel_index(mean.argmax(), mean.shape)
    return y, x, size


def _psnr(a: np.ndarray, b: np.ndarray) -> str:
    error = float(np.mean((a - b) ** 2))
    return 'equal' if error == 0 else f'{psnr(error):.2f} dB'


def crops(results: Results, student: str, scale: int, out: Path, path: Path, count: int = 4) -> int:
    """Draw the crops of a few images where the methods of one student differ most.

    Each crop is labelled with its PSNR (RGB).

    Args:
        results: Results with this student at this scale.
        student: Name of the student.
        scale: Factor.
        out: Folder of the results, with the trained students.
        path: PNG file to write.
        count: Number of images.

    Returns:
        Seed of the students that are shown.
    """
    from matplotlib.figure import Figure

    cells: dict[str, Cell] = {}
    for name, factor, found in results.groups():
        if (name, factor) == (student, scale):
            cells = found
    wanted = most_different_images(cells, count)
    drawn = {}
    for test_set, name, columns in _images(results, student, scale, out, wanted):
        drawn[test_set, name] = columns
    names = list(next(iter(drawn.values())))
    width = min(len(names), _COLUMNS)
    lines = -(-len(names) // _COLUMNS)
    height = len(wanted) * lines
    figure = Figure(figsize=(1.55 * width, 1.95 * height), layout='constrained')
    axes = figure.subplots(height, width, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for i, (test_set, image) in enumerate(wanted):
        columns = drawn[test_set, image]
        y, x, size = most_different_square(columns, list(cells))
        square = slice(y, y + size), slice(x, x + size)
        truth = columns['ground truth'][square]
        for j, name in enumerate(names):
            axis = axes[i * lines + j // _COLUMNS, j % _COLUMNS]
            crop = columns[name][square]
            label = f'{test_set}: {image}' if name == 'ground truth' else _psnr(crop, truth)
            axis.set_axis_on()
            axis.imshow(crop / 255, interpolation='nearest')
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title(name, fontsize=8)
            axis.set_xlabel(label, fontsize=7)
    figure.savefig(path, dpi=130)
    return min(min(cell.seeds) for cell in cells.values())
