"""Statistics, against scipy, against values worked out by hand, and against the definition."""

import itertools

import numpy as np
import pytest
import scipy.stats

from mtkd_basicsr.evaluation.statistics import (
    gain,
    holm_correction,
    mean_and_deviation,
    signed_rank_test,
    smallest_p,
)


def test_mean_and_deviation_are_those_of_scipy():
    values = np.random.default_rng(0).normal(28, 0.1, 7)
    mean, deviation = mean_and_deviation(values)
    assert mean == pytest.approx(scipy.stats.tmean(values))
    assert deviation == pytest.approx(scipy.stats.tstd(values))
    assert mean_and_deviation([28.0, 30.0]) == (29.0, pytest.approx(np.sqrt(2)))


def test_one_value_has_no_deviation():
    assert mean_and_deviation([28.5]) == (28.5, None)


def test_gain_is_taken_seed_by_seed():
    baseline = np.array([[28.0, 30.0], [29.0, 31.0], [30.0, 32.0]])
    values = np.array([[28.5, 30.1], [29.1, 31.5], [30.5, 32.4]])
    # The means over images differ by 0.3, 0.3 and 0.45, the seeds themselves by 1 dB.
    mean, deviation = gain(values, baseline)
    assert mean == pytest.approx(0.35)
    assert deviation == pytest.approx(np.sqrt((0.05**2 + 0.05**2 + 0.1**2) / 2))
    assert gain(baseline, values)[0] == pytest.approx(-0.35)
    assert gain(values[:1], baseline[:1]) == (pytest.approx(0.3), None)


def enumerated(differences):
    """p of the signed-rank test by its definition: all signs are equally likely."""
    ranks = scipy.stats.rankdata(np.abs(differences))
    middle = ranks.sum() / 2
    seen = abs(ranks[np.asarray(differences) > 0].sum() - middle)
    patterns = list(itertools.product((0, 1), repeat=len(ranks)))
    as_extreme = sum(abs(np.dot(pattern, ranks) - middle) >= seen - 1e-9 for pattern in patterns)
    return as_extreme / len(patterns)


@pytest.mark.parametrize('seed', range(5))
def test_signed_rank_test_of_few_images_is_exact(seed):
    differences = np.random.default_rng(seed).normal(0.05, 0.1, 9)
    p = signed_rank_test(differences)
    assert p == pytest.approx(enumerated(differences))
    assert signed_rank_test(-differences) == pytest.approx(p), 'two-sided'


def test_signed_rank_test_of_many_images_is_that_of_scipy():
    differences = np.random.default_rng(1).normal(0.02, 0.1, 100)
    n = len(differences)
    ranks = scipy.stats.rankdata(np.abs(differences))
    z = (ranks[differences > 0].sum() - n * (n + 1) / 4) / np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    p = signed_rank_test(differences)
    assert p == pytest.approx(scipy.stats.wilcoxon(differences).pvalue)
    assert p == pytest.approx(2 * scipy.stats.norm.sf(abs(z))), 'the normal approximation'


@pytest.mark.parametrize('n', [5, 8])
def test_signed_rank_test_by_hand(n):
    # Two of the 2^n patterns of signs are as extreme as all of one sign.
    assert signed_rank_test(np.arange(1, n + 1) / 10) == pytest.approx(2 / 2**n)


def test_signed_rank_test_of_no_difference():
    assert signed_rank_test([0.0, 0.0, 0.0]) == 1.0
    assert signed_rank_test([0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8]) > 0.5


@pytest.mark.parametrize('zeros', [1, 8, 10, 60])
def test_differences_of_zero_change_nothing(zeros):
    """scipy gives 0.043 for five differences and ten zeros, less than five can have."""
    five = np.arange(1.0, 6.0)
    assert signed_rank_test([*five, *[0.0] * zeros]) == pytest.approx(0.0625)
    some = np.random.default_rng(3).normal(0.05, 0.1, 9)
    assert signed_rank_test([*some, *[0.0] * zeros]) == pytest.approx(enumerated(some))


@pytest.mark.parametrize('n', [1, 2, 5, 8])
def test_the_smallest_p_is_that_of_one_sign(n):
    assert smallest_p(n) == pytest.approx(signed_rank_test(np.arange(1, n + 1) / 10))
    assert smallest_p(0) == 1.0


def test_holm_correction_by_hand():
    # Ordered 0.01, 0.03, 0.04: times 3, 2 and 1, and none smaller than the one before.
    assert holm_correction([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm_correction([0.5, 0.9]) == [1.0, 1.0]
    assert holm_correction([0.2]) == [0.2]
    assert holm_correction([]) == []


def test_holm_correction_of_smaller_values_is_smaller():
    rng = np.random.default_rng(4)
    for _ in range(100):
        p_values = rng.uniform(0, 1, 4)
        smaller = p_values * rng.uniform(0, 1, 4)
        assert np.all(np.array(holm_correction(smaller)) <= holm_correction(p_values))


def test_holm_correction_rejects_what_the_step_down_procedure_rejects():
    p_values = np.random.default_rng(2).uniform(0, 0.1, 12)
    corrected = holm_correction(list(p_values))
    for level in (0.01, 0.05, 0.1):
        # Holm's own words: go up from the smallest, and stop at the first that is not below.
        rejected = set()
        for k, i in enumerate(np.argsort(p_values)):
            if p_values[i] > level / (len(p_values) - k):
                break
            rejected.add(int(i))
        assert {i for i, p in enumerate(corrected) if p <= level} == rejected
    bonferroni = np.minimum(p_values * len(p_values), 1)
    assert np.all(np.array(corrected) <= bonferroni), 'never stricter than the simple correction'
    assert np.all(np.array(corrected) >= scipy.stats.false_discovery_control(p_values)), (
        'never laxer than a control of the false discovery rate'
    )
