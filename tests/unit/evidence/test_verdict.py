"""Every branch of the rule, from constructed measurements."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.unit.evidence.made_up import LEVELS, SETS, measurements
from worker.evidence.comparison import Comparison
from worker.evidence.measurements import Measurements, Metric
from worker.evidence.verdict import Verdict, best_baseline, choose_learner, decide


def judged(m: Measurements, method: str = "distill-cf") -> Verdict:
    return decide(Comparison(m), method)


def with_level(learner: str, name: str, level: float) -> dict[str, dict[str, float]]:
    return LEVELS | {learner: LEVELS[learner] | {name: level}}


def test_verdict_when_the_summary_leads_says_what_it_keeps() -> None:
    found = judged(measurements())
    assert found.status == "keeps"
    assert found.fidelity == pytest.approx(0.32 / 0.33)
    assert found.low < found.fidelity < found.high
    assert found.rows_share == pytest.approx(0.05)
    assert "97.0" in found.sentence
    assert "of full-data nDCG@10 (∞-AE)" in found.sentence
    assert found.baseline is not None
    assert found.baseline.name == "random-users"
    assert "random users, keeps 81.8" in found.sentence


def test_verdict_when_intervals_overlap_says_the_cheap_one_would_do() -> None:
    found = judged(measurements(with_level("ae", "random-users", 0.3195)))
    assert found.status == "cheap_would_do"
    assert found.baseline.overlaps
    assert "the cheap one would do" in found.sentence


def test_verdict_when_the_baseline_is_better_says_so() -> None:
    found = judged(measurements(with_level("ae", "random-users", 0.36)))
    assert found.status == "cheap_would_do"
    assert not found.baseline.overlaps
    assert "the cheap one is better" in found.sentence


def test_verdict_when_intervals_overlap_but_pairs_differ_says_both() -> None:
    found = judged(measurements(with_level("ae", "random-users", 0.319), users=150, noise=0.002))
    assert found.status == "cheap_would_do"
    assert found.baseline.ahead_low > 0
    assert "though the summary is ahead by" in found.sentence


def test_verdict_when_the_interval_is_wide_is_undetermined_and_says_how_many_units_settle_it() -> None:
    found = judged(measurements(users=40, noise=0.2))
    assert found.status == "undetermined"
    assert found.high - found.low > 0.10
    assert any("points wide" in reason for reason in found.reasons)
    assert any("test users instead of 40" in cure for cure in found.settled_by)
    assert found.sentence.startswith("Undetermined")
    assert "What would settle it" in found.sentence


def test_verdict_when_the_learner_does_not_beat_its_floor_is_undetermined() -> None:
    levels = LEVELS | {"popularity": LEVELS["popularity"] | {"full": 0.3299}}
    found = judged(measurements(levels))
    assert found.status == "undetermined"
    assert any("does not beat its floor, popularity" in reason for reason in found.reasons)


def test_verdict_when_the_learner_scores_nothing_is_undetermined() -> None:
    m = measurements()
    results = [replace(r, per_unit={"ndcg@10": 0 * r.per_unit["ndcg@10"]}) for r in m.results]
    found = judged(replace(m, results=tuple(results)))
    assert found.status == "undetermined"
    assert found.to_json()["fidelity"] is None


def test_verdict_when_no_learner_saw_the_summary_is_undetermined() -> None:
    m = measurements()
    found = judged(replace(m, results=tuple(r for r in m.results if r.set != "summary")))
    assert found.status == "undetermined"
    assert found.learner == ""
    assert found.fidelity is None


def test_learner_is_the_one_optimised_for_else_the_best_on_validation() -> None:
    assert choose_learner(measurements())[0] == "ae"
    m = measurements(optimised_for="")
    assert choose_learner(m)[0] == "ease"
    flipped = [replace(r, validation=0.9 if r.learner == "ae" else 0.1) for r in m.results]
    assert choose_learner(replace(m, results=tuple(flipped)))[0] == "ae", "test figures must not choose"


def test_learner_is_never_a_floor() -> None:
    levels = {"popularity": LEVELS["popularity"]}
    assert choose_learner(measurements(levels, optimised_for=""))[0] == ""


def test_baseline_made_by_the_same_method_is_left_out() -> None:
    assert judged(measurements(), "random-users").baseline.name == "head-users"
    assert judged(measurements(made_by="random-users"), "auto").baseline.name == "head-users"


def test_baseline_of_equal_bytes_is_not_taken_for_one_of_equal_rows() -> None:
    sets = tuple(replace(s, equal="bytes") if s.name == "random-users" else s for s in SETS)
    assert best_baseline(Comparison(measurements(sets=sets)), "ae")[0] == "head-users"


def test_verdict_when_lower_is_better_turns_the_ratio_round() -> None:
    levels = {name: {"full": 1.0, "summary": 1.25, "random-users": 2.0, "head-users": 4.0} for name in ("ease", "ae")}
    metrics = (Metric("ndcg@10", "error", unit="", scale=1.0, higher_is_better=False),)
    found = judged(measurements(levels, metrics=metrics))
    assert found.fidelity == pytest.approx(0.8)
    assert found.baseline.fidelity == pytest.approx(0.5)
    assert found.baseline.ahead == pytest.approx(0.3)
    assert found.status == "keeps"


def test_verdict_when_bytes_exceed_the_source_says_but() -> None:
    sets = tuple(replace(s, bytes=90_000) if s.name == "summary" else s for s in SETS)
    found = judged(measurements(sets=sets))
    assert "of the rows but 205" in found.sentence


def test_verdict_as_json_holds_only_plain_values() -> None:
    fields = judged(measurements()).to_json()
    assert fields["unit"] == "ratio"
    assert fields["n"] == 2000
    assert isinstance(fields["baseline"], dict)
    numbers = [value for value in fields.values() if isinstance(value, float)]
    assert all(math.isfinite(value) for value in numbers)
