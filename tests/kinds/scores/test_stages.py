"""Coherence, alignment, decisions and noise of measurement, each against a count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from worker.kinds.scores import alignment, coherence
from worker.kinds.scores.attenuation import binomial_variance, correct, reliability
from worker.kinds.scores.decisions import decide


def test_coherence_is_the_mean_correlation_over_pairs():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 10, 4))
    one = coherence.matrix(first, first)
    assert one == pytest.approx(np.corrcoef(first.T))
    assert coherence.within(one) == pytest.approx(np.corrcoef(first.T)[np.triu_indices(4, 1)].mean())
    both = np.corrcoef(first.T, second.T)[:4, 4:]
    assert coherence.matrix(first, second) == pytest.approx(both)
    assert coherence.across(both) == pytest.approx((both.sum() - np.trace(both)) / 12)


def test_coherence_under_weights_is_that_of_the_drawn_runs():
    rng = np.random.default_rng(1)
    first = rng.standard_normal((8, 3))
    weights = np.array([[2, 0, 1, 1, 3, 0, 1, 0]], float)
    drawn = first[np.repeat(np.arange(8), weights[0].astype(int))]
    assert coherence.matrices(first, first, weights)[0] == pytest.approx(np.corrcoef(drawn.T))


def test_constant_benchmarks_have_no_coherence_and_the_rest_keep_theirs():
    first = np.random.default_rng(2).standard_normal((8, 3))
    first[:, 1] = 0.1
    found = coherence.matrix(first, first)
    assert np.isnan(found[1]).all()
    assert coherence.within(found) == pytest.approx(np.corrcoef(first[:, 0], first[:, 2])[0, 1])


def test_structure_persists_when_the_pattern_of_correlations_does():
    first = np.random.default_rng(3).standard_normal((12, 5))
    one = coherence.matrix(first, first)
    assert coherence.persistence(one, one) == pytest.approx(1)
    assert coherence.persistence(one, 0.1 - 0.5 * one) == pytest.approx(-1)
    assert np.isnan(coherence.persistence(one[:2, :2], one[:2, :2]))


def test_alignment_is_one_when_confidence_is_accuracy():
    accuracy = np.random.default_rng(4).random((6, 5))
    assert alignment.alignment(accuracy, accuracy) == pytest.approx(np.ones(6))
    assert alignment.alignment(accuracy, 1 - accuracy) == pytest.approx(-np.ones(6))
    missing = np.where(np.arange(5) > 1, np.nan, accuracy)
    assert np.isnan(alignment.alignment(accuracy, missing)).all()
    values = alignment.alignment(accuracy, np.random.default_rng(5).random((6, 5)))
    assert alignment.persistence(values, values) == pytest.approx(1)
    assert np.isnan(alignment.persistence(values[:2], values[:2]))


def test_decisions_cost_what_the_favourite_loses():
    found = decide(np.array([0.5, 0.7, 0.6, 0.4]), np.array([0.9, 0.7, 0.8, 0.5]))
    assert found is not None
    assert (found.favourite, found.best) == (1, 0)
    assert found.regret == pytest.approx(0.2)
    assert found.regret_share == pytest.approx(0.5)
    assert (found.top_1, found.top_3) == (0, 1)
    assert found.pairwise == pytest.approx(3 / 6)  # of 6 pairs (0, 1), (0, 2) and (1, 2) turn round
    assert decide(np.ones(4), np.arange(4.0)) is None


def test_less_is_better_turns_decisions_round():
    a, b = np.array([3.0, 2.0, 5.0]), np.array([30.0, 29.0, 80.0])
    more, less = decide(-a, -b), decide(a, b, higher_is_better=False)
    assert less == more
    assert less is not None
    assert less.regret == 0


def test_ties_for_best_count_by_the_mean_over_them():
    found = decide(np.array([1.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.5]))
    assert found is not None
    assert found.regret == pytest.approx(0.5)
    assert found.top_1 == pytest.approx(0.5)
    assert found.pairwise == pytest.approx((0.5 + 1 + 0) / 3)


def test_noise_of_measurement_is_taken_out_only_where_something_is_left():
    rng = np.random.default_rng(6)
    true, n = 0.5 + 0.05 * rng.standard_normal(4000), np.full(4000, 100.0)
    first, second = (rng.binomial(100, true) / 100 for _ in range(2))
    parts = [reliability(x, binomial_variance(x, n)) for x in (first, second)]
    assert parts == pytest.approx([0.5, 0.5], abs=0.04)  # 0.05^2 of 0.05^2 + 0.25 / 100
    r = float(np.corrcoef(first, second)[0, 1])
    assert r == pytest.approx(0.5, abs=0.05)
    assert correct(r, *parts).corrected == pytest.approx(1, abs=0.05)
    assert np.isnan(correct(0.5, 0.2, 0.9).corrected)
    assert "noise" in correct(0.5, 0.2, 0.9).reason
    assert "not known" in correct(0.5, np.nan, 0.9).reason


def test_shares_of_nought_and_one_are_not_sure():
    found = binomial_variance(np.array([0.0, 1.0, 0.5, 7.0, 0.5]), np.array([10, 10, 10, 10, np.nan]))
    assert (found[:2] > 0).all()
    assert found[2] == pytest.approx(0.025)
    assert np.isnan(found[3:]).all()
