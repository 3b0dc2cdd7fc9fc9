"""Statistics of comparisons, as functions of arrays.

Two methods are compared on the same images and with the same seeds. The spread over *seeds* shows
how much a result depends on the random numbers of a training; the spread over *images* shows how
much it depends on the test set.
"""

from collections.abc import Sequence

import numpy as np

# PSNR in dB that an image counts with, at most: that of equal images is infinite, and no mean, test
# or curve could have it.
HIGHEST_PSNR = 100.0
# Highest p that counts as significant.
SIGNIFICANT = 0.05


def mean_and_deviation(values: Sequence[float] | np.ndarray) -> tuple[float, float | None]:
    """Compute the mean and the standard deviation of a sample.

    Args:
        values: (n,), n at least 1.

    Returns:
        The mean, and the standard deviation with n - 1 in the denominator (Bessel's correction);
        None instead of a deviation if n is 1.
    """
    array = np.asarray(values, float)
    if len(array) == 1:
        return float(array[0]), None
    return float(array.mean()), float(array.std(ddof=1))


def gain(values: np.ndarray, baseline: np.ndarray) -> tuple[float, float | None]:
    """Compute the gain over a baseline, paired by seed.

    With the same seed both methods have the same initial weights and batches, so the difference
    varies less than the results themselves.

    Args:
        values: Results of a method, (seeds, images).
        baseline: Results of another method with the same seeds and images, (seeds, images).

    Returns:
        Mean and standard deviation over seeds of the difference of the means over images, in the
        unit of the values. The deviation is None for one seed.
    """
    return mean_and_deviation(values.mean(1) - baseline.mean(1))


def signed_rank_test(differences: Sequence[float] | np.ndarray) -> float:
    """Test whether paired differences are centred on zero.

    This is Wilcoxon's signed-rank test, two-sided. Differences of zero are left out, as Wilcoxon
    does. Its only assumption about the distribution is symmetry.

    Wilcoxon: *Individual Comparisons by Ranking Methods*, Biometrics Bulletin 1, 1945.

    Args:
        differences: Differences between two methods, one per image, (n,). The conclusion then
            generalizes to other images, not to other seeds.

    Returns:
        p, in (0, 1]; 1 if all differences are zero. The smallest p of n differences other than zero
        is 2 / 2^n, for example 0.0625 for five images (:func:`smallest_p`).
    """
    # The import takes half a second, and only reports need it.
    from scipy.stats import wilcoxon

    array = np.asarray(differences, float)
    # Here, because scipy approximates p if there are zeros among more than 13 differences.
    array = array[array != 0]
    if not len(array):
        return 1.0
    return float(wilcoxon(array).pvalue)


def smallest_p(count: int) -> float:
    """Compute the smallest p that a signed-rank test can have.

    Args:
        count: Number of differences that are not zero.

    Returns:
        A value in (0, 1]; that of differences which all have one sign.
    """
    return min(1.0, 2.0 / 2**count)


def holm_correction(p_values: Sequence[float]) -> list[float]:
    """Correct p values for multiple comparisons.

    Comparing the corrected values with a significance level keeps the probability of any false
    positive below that level. The smallest p is multiplied by the number of comparisons n, the next
    one by n - 1, and so on; no corrected value is smaller than the one before. A larger p never
    makes a corrected value smaller: the smallest possible values of p give the smallest corrected
    ones.

    Holm: *A Simple Sequentially Rejective Multiple Test Procedure*, Scandinavian Journal of
        Statistics 6, 1979.

    Args:
        p_values: One value per comparison, in [0, 1].

    Returns:
        Corrected values in the same order, at most 1.
    """
    p = np.asarray(p_values, float)
    order = p.argsort()
    factors = np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(p[order] * factors).clip(max=1.0)
    return corrected.tolist()
