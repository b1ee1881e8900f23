"""Calibration of single answers: known figures, brute force, and what intervals hold."""

from __future__ import annotations

import numpy as np
import pytest

from worker.contract.context import Context
from worker.contract.errors import Cancelled
from worker.kinds.scores import calibration
from worker.kinds.scores.calibration import Bins, equal_count, equal_width
from worker.kinds.scores.example_bootstrap import calibrate

CONFIDENCE = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.55, 0.3, 0.2])
CORRECT = np.array([1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0])
ONCE = np.ones((1, 8))


def test_eight_answers_have_the_known_figures():
    assert calibration.brier(CONFIDENCE, CORRECT, ONCE)[0] == pytest.approx(0.179375, abs=1e-12)
    bins = Bins.of(equal_width(CONFIDENCE, 10), CONFIDENCE, CORRECT, ONCE)
    assert bins.expected[0] == pytest.approx(0.35, abs=1e-12)
    assert bins.maximum[0] == pytest.approx(0.8)
    p = np.where(CORRECT == 1, CONFIDENCE, 1 - CONFIDENCE)
    assert calibration.log_loss(CONFIDENCE, CORRECT, ONCE)[0] == pytest.approx(-np.log(p).mean())
    # of 16 pairs of a right and a wrong answer 13 have the right one more confident
    assert calibration.auroc(CONFIDENCE, CORRECT, ONCE)[0] == pytest.approx(13 / 16)
    risks = np.cumsum(1 - CORRECT) / np.arange(1, 9)  # they stand in falling order
    assert calibration.risk_coverage(CONFIDENCE, CORRECT, ONCE)[0] == pytest.approx(risks.mean())


def test_bins_of_equal_width_are_closed_at_the_left_at_every_edge():
    edges = np.arange(11) / 10
    assert equal_width(edges, 10).tolist() == [*range(10), 9]
    assert equal_width(np.nextafter(edges[1:10], 0), 10).tolist() == list(range(9))


def test_bins_of_equal_count_hold_as_many_and_never_part_equal_confidences():
    assert np.bincount(equal_count(np.linspace(0, 1, 40), 4)).tolist() == [10, 10, 10, 10]
    tied = equal_count(np.repeat([0.1, 0.5, 0.9], [30, 1, 9]), 4)
    assert len(set(tied[:30].tolist())) == 1


def test_weights_count_an_answer_as_often_as_it_was_drawn():
    rng = np.random.default_rng(0)
    confidence = np.round(rng.random(60), 1)
    correct = (rng.random(60) < confidence).astype(float)
    weights = np.bincount(rng.integers(0, 60, 60), minlength=60)[None, :].astype(float)
    repeated = np.repeat(np.arange(60), weights[0].astype(int))
    once = np.ones((1, 60))
    for of in (calibration.brier, calibration.log_loss, calibration.auroc, calibration.risk_coverage):
        direct = of(confidence[repeated], correct[repeated], once)[0]
        # ties of confidence answer alike, so drawing one twice is the same as two of them
        assert of(confidence, correct, weights)[0] == pytest.approx(
            direct, abs=0.01 if "risk" in of.__name__ else 1e-12
        )
    ours = Bins.of(equal_width(confidence, 7), confidence, correct, weights).expected[0]
    numbers = equal_width(confidence[repeated], 7)
    assert ours == pytest.approx(Bins.of(numbers, confidence[repeated], correct[repeated], once).expected[0])


def test_ties_and_one_sided_answers():
    same = np.full(10, 0.5)
    correct = np.r_[np.ones(4), np.zeros(6)]
    once = np.ones((1, 10))
    assert calibration.auroc(same, correct, once)[0] == 0.5
    assert calibration.risk_coverage(same, correct, once)[0] == pytest.approx(0.6)
    assert np.isnan(calibration.auroc(same, np.ones(10), once)[0])


def test_intervals_hold_what_a_calibrated_model_has():
    """Of 40 samples from a calibrated model nearly all intervals hold its Brier score, and those of ECE reach 0."""
    held, reached = 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        confidence = rng.beta(4, 2, 400)
        correct = (rng.random(400) < confidence).astype(float)
        found = calibrate(confidence, correct, np.arange(400), Context(seed=seed), bins=10, resamples=200)
        truth = 4 * 2 / ((4 + 2) * (4 + 2 + 1))  # E[p (1 - p)] of a beta distribution
        held += found.values["brier"][1] <= truth <= found.values["brier"][2]
        reached += found.values["ece"][1] < 0.01
        assert found.values["ece"][1] <= found.values["ece"][0] <= found.values["ece"][2]
    assert held >= 34
    assert reached >= 30


def test_answers_of_several_runs_to_one_example_are_drawn_together():
    rng = np.random.default_rng(2)
    confidence = rng.random(100)
    correct = (rng.random(100) < confidence).astype(float)
    alone = calibrate(confidence, correct, np.arange(100), Context(), bins=5, resamples=400)
    nine = [np.repeat(one, 9) for one in (confidence, correct, np.arange(100))]
    copied = calibrate(nine[0], nine[1], nine[2], Context(), bins=5, resamples=400)
    assert (copied.n, copied.units) == (900, 100)
    width = alone.values["brier"][2] - alone.values["brier"][1]
    assert copied.values["brier"][2] - copied.values["brier"][1] == pytest.approx(width, rel=0.15)


def test_few_examples_have_values_and_no_intervals_and_cancel_is_obeyed():
    found = calibrate(CONFIDENCE, CORRECT, np.arange(8), Context(), bins=10, resamples=200)
    assert found.values["ece"][0] == pytest.approx(0.35)
    assert np.isnan(found.values["ece"][1:]).all()
    stopped = Context()
    stopped.stop()
    with pytest.raises(Cancelled):
        calibrate(np.linspace(0, 1, 50), np.ones(50), np.arange(50), stopped, bins=5, resamples=200)
