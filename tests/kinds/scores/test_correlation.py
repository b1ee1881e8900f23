"""Correlations and their intervals: against known figures, against scipy, under what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from worker.kinds.scores.correlation import STATISTICS, kendall, midranks, pearson, plain, spearman
from worker.kinds.scores.intervals import bca, fisher, interval, percentile, resamples_of
from worker.kinds.scores.permutation import p_value

A = np.array([0.41, 0.44, 0.39, 0.47, 0.45, 0.43, 0.50, 0.48, 0.46])
B = np.array([0.52, 0.55, 0.51, 0.56, 0.58, 0.53, 0.60, 0.57, 0.59])
WEIGHTS = resamples_of(9, 2000, np.random.default_rng(0))


def test_nine_runs_have_the_known_correlations():
    assert plain(pearson, A, B) == pytest.approx(0.895929, abs=5e-7)
    assert plain(spearman, A, B) == pytest.approx(0.866667, abs=5e-7)
    assert plain(kendall, A, B) == pytest.approx(0.777778, abs=5e-7)
    low, high = fisher("pearson", plain(pearson, A, B), 9)
    assert (round(low, 3), round(high, 3)) == (0.572, 0.978)
    # the t-test's p-value is 0.001080; the permutation test estimates the same without its normal distribution
    assert stats.pearsonr(A, B).pvalue == pytest.approx(0.001080, abs=5e-7)
    assert p_value(A, B, 200_000, 0) == pytest.approx(0.00108, abs=0.0008)


@pytest.mark.parametrize("r", [(0.3, -0.45, 0.80), (0.5, -0.25, 0.87), (0.7, 0.07, 0.93), (0.8, 0.29, 0.96)])
def test_fisher_of_nine_runs_is_as_wide_as_known(r: tuple[float, float, float]):
    low, high = fisher("pearson", r[0], 9)
    assert (round(low, 2), round(high, 2)) == r[1:]


@pytest.mark.parametrize("ties", [False, True])
def test_under_weights_each_statistic_is_that_of_the_drawn_runs(ties: bool):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 12))
    if ties:
        x, y = np.round(2 * x), np.round(2 * y)
    weights = resamples_of(12, 50, rng)
    theirs = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}
    for name, ours in STATISTICS.items():
        for row, value in zip(weights, ours(x, y, weights), strict=True):
            at = np.repeat(np.arange(12), row.astype(int))
            assert value == pytest.approx(theirs[name](x[at], y[at])[0], abs=1e-12)


def test_midranks_share_the_mean_of_their_places():
    assert midranks(np.array([5.0, 1.0, 5.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_monotone_transforms_leave_rank_statistics_and_swapping_leaves_all_as_they_are():
    for name, of in STATISTICS.items():
        value = plain(of, A, B)
        assert plain(of, B, A) == pytest.approx(value, abs=1e-14)
        if name != "pearson":
            assert plain(of, np.exp(9 * A), B**3) == value
        swapped, straight = interval(name, B, A, WEIGHTS), interval(name, A, B, WEIGHTS)
        assert swapped.percentile == pytest.approx(straight.percentile)
        assert swapped.bca == pytest.approx(straight.bca)
        assert swapped.fisher == pytest.approx(straight.fisher)
    assert plain(pearson, 7 - 2 * A, 1e6 * B + 3) == pytest.approx(-plain(pearson, A, B))


@pytest.mark.parametrize("name", list(STATISTICS))
def test_constant_scores_have_no_correlation_and_no_interval(name: str):
    # 0.1 summed nine times is not 0.9: a variance by rounding must not pass for one
    found = interval(name, np.full(9, 0.1), B, WEIGHTS)
    assert np.isnan([found.value, *found.percentile, *found.bca, *found.fisher, *found.widest]).all()
    assert np.isnan(p_value(np.full(9, 0.1), B, 1000, 0))


def test_resamples_without_variance_are_skipped_and_counted():
    x, y = np.array([1.0, 1.0, 1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    weights = resamples_of(5, 2000, np.random.default_rng(1))
    found = interval("pearson", x, y, weights)
    missed = (weights[:, 4] == 0) | (weights[:, :4].sum(axis=1) == 0)
    assert found.skipped == missed.sum() == pytest.approx(2000 * 0.8**5, rel=0.1)
    assert np.isnan(found.drawn[missed]).all()
    assert np.isfinite(found.drawn[~missed]).all()
    assert np.isfinite(found.percentile).all()


def test_bca_is_scipys():
    rng = np.random.default_rng(5)
    x = rng.standard_normal(30)
    y = 0.5 * x + rng.standard_normal(30)
    ours = interval("pearson", x, y, resamples_of(30, 20_000, rng)).bca

    def theirs_of(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        a, b = a - a.mean(axis=axis, keepdims=True), b - b.mean(axis=axis, keepdims=True)
        return (a * b).sum(axis=axis) / np.sqrt((a * a).sum(axis=axis) * (b * b).sum(axis=axis))

    theirs = stats.bootstrap(
        (x, y), theirs_of, paired=True, n_resamples=20_000, method="BCa", rng=6, vectorized=True
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_percentile_and_bca_of_few_draws_are_unknown():
    assert np.isnan(percentile(np.zeros(99))).all()
    assert np.isnan(bca(np.zeros(99), 0.0, np.arange(5.0))).all()


def test_widest_holds_bca_and_fisher():
    found = interval("spearman", A, B, WEIGHTS)
    low, high = found.widest
    assert low == min(found.bca[0], found.fisher[0])
    assert high == max(found.bca[1], found.fisher[1])


def test_a_perfect_order_is_not_certain():
    x = np.arange(5.0)
    low, high = interval("spearman", x, x**3, resamples_of(5, 2000, np.random.default_rng(0))).widest
    assert low < 0.3
    assert high == 1


def test_permutations_are_exact_up_to_eight_runs_and_never_zero_beyond():
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert p_value(x, x, 1000, 0) == pytest.approx(2 / 120)
    rng = np.random.default_rng(0)
    y = rng.standard_normal(5)
    theirs = stats.pearsonr(x, y, method=stats.PermutationMethod()).pvalue
    assert p_value(x, y, 1000, 0) == pytest.approx(theirs)
    assert p_value(np.arange(20.0), np.arange(20.0), 999, 0) == pytest.approx(1 / 1000)
