"""Differences between methods on one test set, and how sure they are."""

from dataclasses import dataclass

from ....evaluation.statistics import gain, holm_correction, signed_rank_test
from ..results import Cell, paired_psnr

# Methods that fit side by side on a page.
_MANY = 10


@dataclass(frozen=True)
class Difference:
    """PSNR of one method minus that of another one.

    Attributes:
        mean: Over seeds and images, in dB.
        deviation: Standard deviation over seeds, in dB; None for one seed.
        p: Of the signed-rank test over images (of each the mean over seeds), corrected for all
            comparisons of the test set.
    """

    mean: float
    deviation: float | None
    p: float


def compared_with(cells: dict[str, Cell], baseline: str) -> list[str]:
    """Return what each method is compared with: every other one, or the baseline if they are many.

    Args:
        cells: By method, of one student at one scale.
        baseline: Name of a method.
    """
    return [baseline] if len(cells) > _MANY and baseline in cells else list(cells)


def differences(
    cells: dict[str, Cell], baseline: str, test_set: str
) -> dict[tuple[str, str], Difference]:
    """Compare each method with each other one, or with the baseline alone if they are many.

    Args:
        cells: By method, of one student at one scale.
        baseline: Name of a method.
        test_set: Name.

    Returns:
        Method and the one that it is compared with -> difference, first minus second. Each
        comparison is there once: the later method minus the earlier one, or minus the baseline.
        Those without a seed in common are left out.
    """
    methods = list(cells)
    others = compared_with(cells, baseline)
    pairs: list[tuple[str, str]] = []
    for i, method in enumerate(methods):
        earlier = others if len(others) < len(methods) else methods[:i]
        pairs += [(method, other) for other in earlier if other != method]
    gains = {}
    p_values = {}
    for method, other in pairs:
        values = paired_psnr(cells[method], cells[other], test_set)
        if values is not None:
            gains[method, other] = gain(*values)
            p_values[method, other] = signed_rank_test(values[0].mean(0) - values[1].mean(0))
    corrected = holm_correction(list(p_values.values()))
    return {pair: Difference(*gains[pair], p) for pair, p in zip(p_values, corrected, strict=True)}
