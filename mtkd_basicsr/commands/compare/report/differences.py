"""Differences between methods on one test set, and their significance."""

from dataclasses import dataclass

import numpy as np

from ....evaluation.statistics import (
    SIGNIFICANT,
    gain,
    holm_correction,
    signed_rank_test,
    smallest_p,
)
from ..results import Cell, paired_psnr

# Maximum number of methods in a table of all pairs.
_MAX_METHODS = 10


@dataclass(frozen=True)
class Difference:
    """The PSNR of one method minus that of another one.

    Attributes:
        mean: Mean over seeds and images, in dB.
        deviation: Standard deviation over seeds, in dB; None for one seed.
        p: p-value of the signed-rank test over images (averaged over seeds), corrected for all
            comparisons of the test set.
        smallest: The smallest p that was possible with so many comparisons, and so many images on
            which the two methods differ.
        images: Number of these images.
    """

    mean: float
    deviation: float | None
    p: float
    smallest: float
    images: int

    @property
    def is_testable(self) -> bool:
        """Return whether any result could have been significant."""
        return self.smallest <= SIGNIFICANT

    @property
    def is_significant(self) -> bool:
        """Return whether the difference is larger than chance over images explains."""
        return self.p <= SIGNIFICANT


def compared_with(cells: dict[str, Cell], baseline: str) -> list[str]:
    """Return the methods that each method is compared with: all, or the baseline if there are many.

    Args:
        cells: Cells of one student at one scale, by method.
        baseline: Name of a method.
    """
    return [baseline] if len(cells) > _MAX_METHODS and baseline in cells else list(cells)


def differences(
    cells: dict[str, Cell], baseline: str, test_set: str
) -> dict[tuple[str, str], Difference]:
    """Compare all methods with each other, or only with the baseline if there are many.

    Args:
        cells: Cells of one student at one scale, by method.
        baseline: Name of a method.
        test_set: Name of the test set.

    Returns:
        (method, other method) -> difference, first minus second. Each comparison appears once: the
        later method minus the earlier one, or minus the baseline. Methods without a common seed
        are not compared.
    """
    methods = list(cells)
    others = compared_with(cells, baseline)
    pairs: list[tuple[str, str]] = []
    for i, method in enumerate(methods):
        earlier = others if len(others) < len(methods) else methods[:i]
        pairs += [(method, other) for other in earlier if other != method]
    gains = {}
    p_values = {}
    counts = {}
    for method, other in pairs:
        values = paired_psnr(cells[method], cells[other], test_set)
        if values is not None:
            gains[method, other] = gain(*values)
            of_images = values[0].mean(0) - values[1].mean(0)
            p_values[method, other] = signed_rank_test(of_images)
            counts[method, other] = int(np.count_nonzero(of_images))
    corrected = holm_correction(list(p_values.values()))
    smallest = holm_correction([smallest_p(count) for count in counts.values()])
    found = {}
    for pair, p, least in zip(p_values, corrected, smallest, strict=True):
        found[pair] = Difference(*gains[pair], p, least, counts[pair])
    return found
