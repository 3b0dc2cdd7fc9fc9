"""The values of a comparison as files for programs."""

import csv
from pathlib import Path

from ....evaluation.statistics import gain
from ..precisions import in_words
from ..results import Results, paired_psnr


def write_csv(results: Results, folder: Path) -> list[Path]:
    """Write ``results.csv`` and ``images.csv``.

    The first has a line for each student, scale, method and test set, the second one for each image
    and seed.

    Returns:
        The two files.
    """
    summary = folder / 'results.csv'
    images = folder / 'images.csv'
    with (
        open(summary, 'w', newline='', encoding='utf-8') as a,
        open(images, 'w', newline='', encoding='utf-8') as b,
    ):
        short = csv.writer(a)
        whole = csv.writer(b)
        short.writerow(
            [
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
            ]
        )
        whole.writerow(['student', 'scale', 'method', 'seed', 'test_set', 'image', 'psnr', 'ssim'])
        for student, scale, cells in results.groups():
            base = cells.get(results.plan.baseline)
            for method, cell in cells.items():
                for test_set in results.plan.test:
                    pair = None if base is None else paired_psnr(cell, base, test_set)
                    short.writerow(
                        [
                            student,
                            scale,
                            method,
                            test_set,
                            len(cell.seeds),
                            *cell.summary(test_set),
                            *(gain(*pair) if pair is not None else (None, None)),
                            *(cell.validation() or (None, None)),
                            cell.mean_seconds(),
                            ' | '.join(dict.fromkeys(map(in_words, cell.precisions))),
                        ]
                    )
                    for seed, values in zip(cell.seeds, cell.values[test_set], strict=True):
                        whole.writerows(
                            [student, scale, method, seed, test_set, name, *value]
                            for name, value in zip(cell.names[test_set], values, strict=True)
                        )
    return [summary, images]
