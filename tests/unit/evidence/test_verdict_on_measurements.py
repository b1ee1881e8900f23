"""The verdict whatever is measured: ratios, pooled metrics, several test sets, seeds and summaries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.evidence.made_up import (
    LEVELS,
    ORIGIN,
    judged,
    measurements,
    per_user,
    result,
    told,
    with_results,
)
from worker.contract.learner import Learner
from worker.evidence.comparison import Comparison
from worker.evidence.measurements import (
    Measurements,
    Metric,
    Pooled,
    Ratio,
    TestSet,
    TrainingSet,
)


def test_metric_where_lower_is_better_turns_the_ratio_round() -> None:
    levels = {name: {"full": 1.0, "summary": 1.25, "random-users": 2.0, "head-users": 4.0} for name in ("ease", "ae")}
    metrics = (Metric("ndcg@10", "error", unit="", scale=1.0, higher_is_better=False),)
    found = judged(measurements(levels, metrics=metrics))
    assert found.value == pytest.approx(0.8)
    assert found.details["baseline"]["value"] == pytest.approx(0.5)
    assert found.details["baseline"]["ahead"] == pytest.approx(0.3)
    assert found.status == "ahead"


def bits(level: float, seed: int) -> Ratio:
    rng = np.random.default_rng(0)
    size = rng.integers(100, 5000, 300).astype(float)
    wobble = np.random.default_rng(seed).normal(0, 0.02, 300)
    return Ratio(level * size * (1 + wobble), size)


def test_bits_per_byte_is_a_sum_over_a_sum_and_lower_is_better() -> None:
    m = replace(
        measurements({"ae": {}}, users=300),
        metrics=(Metric("ndcg@10", "bits per byte", unit="bits", scale=1.0, higher_is_better=False),),
        learners=(Learner("unigram", "unigram", floor=True), Learner("ae", "n-gram")),
    )
    m = with_results(
        m,
        result("unigram", "full", bits(4.0, 1)),
        result("ae", "full", bits(2.0, 2)),
        result("ae", "summary", bits(2.2, 3)),
        result("ae", "random-users", bits(2.5, 4)),
    )
    found = judged(m)
    full, small = bits(2.0, 2), bits(2.2, 3)
    expected = (full.numerator.sum() / full.denominator.sum()) / (small.numerator.sum() / small.denominator.sum())
    assert found.value == pytest.approx(expected)
    assert found.status == "ahead"
    assert "of full-data bits per byte (n-gram: 2.2 against 2.0, less is better)" in found.sentence


def auc(level: float, seed: int) -> Pooled:
    """Scores of 4000 units whose AUC is about `level`: (0.80, 1.19), (0.78, 1.09) standard deviations apart."""
    rng = np.random.default_rng(5)
    label = (rng.random(4000) < 0.3).astype(int)
    shift = {0.80: 1.19, 0.78: 1.09, 0.5: 0.0}[level]
    shared = rng.normal(0, 1, 4000)
    own = np.random.default_rng(seed).normal(0, 0.1, 4000)
    return Pooled("auc", {"label": label, "score": shift * label + shared + own})


def test_pooled_primary_metric_gives_a_real_verdict() -> None:
    m = with_results(
        replace(measurements({"ae": {}}, users=4000), metrics=(Metric("ndcg@10", "AUC"),)),
        result("popularity", "full", auc(0.5, 1)),
        result("ae", "full", auc(0.80, 2)),
        result("ae", "summary", auc(0.80, 3)),
        result("ae", "random-users", auc(0.78, 4)),
    )
    found = judged(m)
    assert found.status == "ahead"
    assert found.value == pytest.approx(1.0, abs=0.005)
    assert found.low < found.value < found.high
    assert found.details["baseline"]["value"] == pytest.approx(0.78 / 0.80, abs=0.006)
    assert 0 < found.details["baseline"]["ahead_low"] < found.details["baseline"]["ahead"] < 0.04


def test_second_test_set_has_units_of_its_own_and_the_first_one_decides() -> None:
    m = measurements()
    tests = (*m.tests, TestSet("far", "users of another year", "users", 70))
    results = tuple(
        replace(r, scores={**r.scores, "far": {"ndcg@10": per_user(LEVELS[r.learner][r.set] / 2, 70)}})
        for r in m.results
    )
    both = replace(m, tests=tests, results=results)
    assert judged(both).to_json() == judged(m).to_json()
    c = Comparison(both)
    assert c.mean("ae", "summary", test="far").value == pytest.approx(0.16)
    assert c.mean("ae", "summary", test="far").n == 70
    rows = next(t for t in told(both)["tables"] if t["name"] == "metrics")["rows"]
    far = next(
        r for r in rows if r["test"] == "users of another year" and r["learner"] == "∞-AE" and r["set"] == "full data"
    )
    assert far["value"] == pytest.approx(16.5)
    assert far["n"] == 70


def seeded(order: Any = None) -> Measurements:
    """Two learner seeds that shift every set alike, and three draws of random users."""
    m = measurements({"ae": {}})
    results = [
        result("ae", name, per_user(level + shift, 2000), draw=draw, seed=seed)
        for name, levels in (("full", [0.33]), ("summary", [0.31]), ("random-users", [0.25, 0.27, 0.29]))
        for draw, level in enumerate(levels)
        for seed, shift in ((4, -0.02), (8, 0.02))
    ]
    if order is not None:
        results = [results[i] for i in order.permutation(len(results))]
    return replace(m, results=tuple(results))


def test_two_learner_seeds_are_paired_between_the_full_data_and_the_summary() -> None:
    c = Comparison(seeded())
    apart = c.ahead("ae", "full", "summary").estimate
    assert c.mean("ae", "summary").estimate.width > 0.03
    assert apart.width < 0.01, "the seeds shift both alike, so the difference does not move"
    assert apart.value == pytest.approx(0.02)
    assert (c.mean("ae", "random-users").draws, c.mean("ae", "random-users").seeds) == (3, 2)


@pytest.mark.parametrize("seed", range(3))
def test_order_in_which_results_come_changes_no_interval(seed: int) -> None:
    first, second = seeded(), seeded(np.random.default_rng(seed))
    assert [(r.set, r.draw, r.seed) for r in first.results] != [(r.set, r.draw, r.seed) for r in second.results]
    assert judged(first).to_json() == judged(second).to_json()
    assert told(first)["tables"] == told(second)["tables"]


def test_results_that_are_missing_leave_a_verdict_from_the_rest() -> None:
    m = seeded()
    found = judged(replace(m, results=tuple(r for r in m.results if (r.set, r.draw, r.seed) != ("random-users", 2, 8))))
    assert found.status == "ahead"
    assert found.details["baseline"]["draws"] == 3


def test_every_summary_of_several_has_its_own_verdict() -> None:
    m = measurements()
    second = TrainingSet("second", "another summary", "summary", 40, 1_500, 8_500)
    more = [result("ae", "second", per_user(0.20, 2000)), result("ease", "second", per_user(0.19, 2000))]
    m = replace(m, sets=(*m.sets, second), results=(*m.results, *more), origins={"summary": ORIGIN, "second": ORIGIN})
    report = told(m)
    assert [one["verdict"]["status"] for one in report["summaries"]] == ["ahead", "cheap_is_better"]
    assert report["verdict"] == report["summaries"][0]["verdict"]
    table = next(t for t in report["tables"] if t["name"] == "summaries")
    assert [row["summary"] for row in table["rows"]] == ["this summary", "another summary"]
    assert table["rows"][1]["kept"] == pytest.approx(100 * 0.20 / 0.33)
    assert table["rows"][1]["ahead_high"] < 0
