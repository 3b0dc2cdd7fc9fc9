"""The values of a comparison as CSV files."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ....evaluation.statistics import gain
from ..precisions import in_words
from ..results import Cell, Results, paired_psnr

_SUMMARY_HEADER = (
    'student',
    'scale',
    'method',
    'test_set',
    'seeds',
    'psnr',
    'psnr_std',
    'ssim',
    'ssim_std',
    'gain',
    'gain_std',
    'validation_psnr',
    'validation_psnr_std',
    'training_seconds',
    'precision',
    'machine',
)
_IMAGES_HEADER = ('student', 'scale', 'method', 'seed', 'test_set', 'image', 'psnr', 'ssim')


def _summary_values(cell: Cell, base: Cell | None, test_set: str) -> list[Any]:
    """Return the values of a method on a test set, from ``seeds`` on."""
    pair = None if base is None else paired_psnr(cell, base, test_set)
    return [
        len(cell.seeds),
        *cell.summary(test_set),
        *((None, None) if pair is None else gain(*pair)),
        *(cell.validation() or (None, None)),
        cell.mean_seconds(),
        ' | '.join(dict.fromkeys(map(in_words, cell.precisions))),
        ' | '.join(dict.fromkeys(cell.machines)),
    ]


def _summary_rows(results: Results) -> Iterator[list[Any]]:
    for student, scale, cells in results.groups():
        base = cells.get(results.plan.baseline)
        for method, cell in cells.items():
            for test_set in results.plan.test:
                values = _summary_values(cell, base, test_set)
                yield [student, scale, method, test_set, *values]


def _image_rows(results: Results) -> Iterator[list[Any]]:
    for student, scale, cells in results.groups():
        for method, cell in cells.items():
            for test_set in results.plan.test:
                names = cell.names[test_set]
                for seed, values in zip(cell.seeds, cell.values[test_set], strict=True):
                    for name, value in zip(names, values, strict=True):
                        yield [student, scale, method, seed, test_set, name, *value]


def _write(path: Path, header: Iterable[str], rows: Iterable[list[Any]]) -> None:
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_csv(results: Results, folder: Path) -> list[Path]:
    """Write ``results.csv`` and ``images.csv``.

    The first has a row for each student, scale, method and test set; the second for each image and
    seed.

    Returns:
        The two files.
    """
    summary = folder / 'results.csv'
    images = folder / 'images.csv'
    _write(summary, _SUMMARY_HEADER, _summary_rows(results))
    _write(images, _IMAGES_HEADER, _image_rows(results))
    return [summary, images]
