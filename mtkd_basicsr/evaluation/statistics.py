"""Statistics of comparisons, as functions of arrays.

A method is compared with another one on the same images with the same seeds. *Seeds* say how much a
result depends on the random numbers of a training; *images* say how much it depends on what it is
tested on.
"""

from collections.abc import Sequence

import numpy as np


def mean_and_deviation(values: Sequence[float] | np.ndarray) -> tuple[float, float | None]:
    """Compute the mean and the standard deviation of a sample.

    Args:
        values: (n,), n at least 1.

    Returns:
        The mean, and the standard deviation with n - 1 in the denominator (Bessel's correction):
        None where n is 1.
    """
    array = np.asarray(values, float)
    if len(array) == 1:
        return float(array[0]), None
    return float(array.mean()), float(array.std(ddof=1))


def gain(values: np.ndarray, baseline: np.ndarray) -> tuple[float, float | None]:
    """Compute the gain over a baseline, seed by seed.

    The same seed gives both methods the same first weights and batches, so that the difference
    varies less than either of them.

    Args:
        values: (seeds, images), of a method.
        baseline: (seeds, images), of another one with the same seeds and images.

    Returns:
        Mean and standard deviation over seeds of the difference of the means over images, in the
        unit of the values. The deviation is None for one seed.
    """
    return mean_and_deviation(values.mean(1) - baseline.mean(1))


def signed_rank_test(differences: Sequence[float] | np.ndarray) -> float:
    """Test whether paired differences are centred on zero.

    Wilcoxon's signed-rank test, two-sided; differences of zero are left out. It assumes nothing
    about the form of the distribution except symmetry.

    Wilcoxon: *Individual Comparisons by Ranking Methods*, Biometrics Bulletin 1, 1945.

    Args:
        differences: (n,), of the same image by two methods. What it says holds for other images,
            not for other seeds.

    Returns:
        p, in (0, 1]; 1 where all differences are zero. The smallest that n differences can give is
        2 / 2^n: 0.0625 for five images.
    """
    # It takes half a second to import, and only reports need it.
    from scipy.stats import wilcoxon

    array = np.asarray(differences, float)
    if not np.any(array):
        return 1.0
    return float(wilcoxon(array).pvalue)


def holm_correction(p_values: Sequence[float]) -> list[float]:
    """Correct p values for the number of comparisons.

    The probability that any of the comparisons is taken for a difference although there is none
    stays below the level that the corrected values are compared with. The smallest p is multiplied
    by the number of comparisons n, the next one by n - 1, and so on; none gets smaller than the one
    before.

    Holm: *A Simple Sequentially Rejective Multiple Test Procedure*, Scandinavian Journal of
        Statistics 6, 1979.

    Args:
        p_values: One for each comparison, in [0, 1].

    Returns:
        Corrected values in the same order: at least as large, at most 1.
    """
    p = np.asarray(p_values, float)
    order = p.argsort()
    factors = np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(p[order] * factors).clip(max=1.0)
    return corrected.tolist()
