"""Every branch of the rule, from constructed measurements."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.evidence.made_up import (
    JOB,
    LEVELS,
    SETS,
    changed,
    judged,
    measurements,
    per_user,
    result,
    told,
    with_level,
    with_results,
)
from worker.contract.product import Origin
from worker.evidence.cheap import rivals
from worker.evidence.comparison import Comparison
from worker.evidence.conclude import conclude
from worker.evidence.learners import named
from worker.evidence.measurements import (
    Measurements,
    Metric,
    TestSet,
    TrainedResult,
    TrainingSet,
)
from worker.evidence.provenance import ELSEWHERE, marked
from worker.evidence.report import build


def same_units(full: float, summary: float, baseline: float, *, ahead: float, spread: float = 0.0) -> Measurements:
    """One learner: units that differ much, the summary ahead of the baseline with the spread `ahead` a unit."""
    n = 400
    rng = np.random.default_rng(11)

    def centred(scale: float) -> np.ndarray:
        values = rng.normal(0, 1, n)
        return scale * (values - values.mean()) / values.std()

    shared = centred(spread)
    m = measurements({"ae": {}}, users=n, bootstrap=1000)
    return with_results(
        m,
        result("ae", "full", np.full(n, full)),
        result("ae", "summary", summary + shared + centred(ahead)),
        result("ae", "random-users", baseline + shared),
    )


# Ahead, level, behind


def test_summary_that_leads_is_ahead_and_the_sentence_says_what_it_keeps() -> None:
    found = judged(measurements())
    assert found.status == "ahead"
    assert found.tone == "good"
    assert found.value == pytest.approx(0.32 / 0.33)
    assert found.low is not None
    assert found.low < found.value < found.high
    assert found.details["rows_share"] == pytest.approx(0.05)
    assert "Keeps 97.0" in found.sentence
    assert "of full-data nDCG@10 (∞-AE) with 5\u202f% of the users and 20.5\u202f% of the bytes." in found.sentence
    assert found.details["baseline"]["name"] == "random-users"
    assert "The best cheap baseline, random users (as many users), keeps 81.8" in found.sentence
    assert "this is ahead by +15.2 [" in found.sentence


def test_difference_that_holds_zero_means_the_cheap_one_would_do() -> None:
    found = judged(measurements(with_level("ae", "random-users", 0.3195)))
    assert found.status == "cheap_would_do"
    assert found.tone == "even"
    assert found.details["baseline"]["ahead_low"] < 0 < found.details["baseline"]["ahead_high"]
    assert "the cheap one would do" in found.sentence


def test_difference_below_zero_means_the_cheap_one_is_better() -> None:
    found = judged(measurements(with_level("ae", "random-users", 0.36)))
    assert found.status == "cheap_is_better"
    assert found.tone == "even"
    assert "the cheap one is better, the difference being \u221212.1 [" in found.sentence


def test_clear_lead_is_ahead_though_the_two_intervals_overlap() -> None:
    found = judged(measurements(with_level("ae", "random-users", 0.319), users=150, noise=0.002))
    baseline = found.details["baseline"]
    assert baseline["high"] > found.low, "the intervals overlap"
    assert found.status == "ahead"
    assert "would do" not in found.sentence


def test_lead_of_one_point_with_an_interval_above_zero_is_ahead() -> None:
    found = judged(same_units(1.0, 0.811, 0.80, ahead=0.075, spread=0.3))
    baseline = found.details["baseline"]
    assert baseline["ahead"] == pytest.approx(0.011)
    assert (baseline["ahead_low"], baseline["ahead_high"]) == (
        pytest.approx(0.003, abs=0.001),
        pytest.approx(0.018, abs=0.001),
    )
    assert found.status == "ahead"


@pytest.mark.parametrize("width", [0.098, 0.102, 0.4])
def test_no_width_of_the_interval_undoes_a_lead_of_54_points(width: float) -> None:
    found = judged(same_units(1.0, 0.84, 0.30, ahead=0.1, spread=width * 20 / 3.92))
    assert found.high - found.low == pytest.approx(width, rel=0.15)
    assert found.details["baseline"]["ahead"] == pytest.approx(0.54)
    assert found.status == "ahead"


# Which baselines count


def test_baseline_larger_in_rows_counts_when_it_is_not_larger_in_bytes() -> None:
    sets = changed("random-users", rows=200, bytes=9_000, equal="bytes")
    found = judged(measurements(with_level("ae", "random-users", 0.325), sets=sets))
    assert found.status == "cheap_is_better"
    assert "random users (as many bytes)" in found.sentence


def test_baseline_larger_in_bytes_counts_when_it_is_not_larger_in_rows() -> None:
    found = judged(measurements(with_level("ae", "random-users", 0.36), sets=changed("random-users", bytes=40_000)))
    assert found.details["baseline"]["name"] == "random-users"
    assert found.status == "cheap_is_better"
    assert "random users (as many users, but 90.9\u202f% of the bytes), keeps" in found.sentence


def test_baseline_larger_in_both_does_not_count() -> None:
    m = measurements(with_level("ae", "random-users", 0.36), sets=changed("random-users", rows=51, bytes=9_001))
    assert [rival.set.name for rival in rivals(Comparison(m), "ae", m.summary)] == ["head-users"]
    assert judged(m).details["baseline"]["name"] == "head-users"


def test_baseline_of_equal_events_is_said_to_have_as_many_of_them() -> None:
    assert (
        "random users (as many events)" in judged(measurements(sets=changed("random-users", equal="events"))).sentence
    )


def test_summary_with_nothing_cheap_beside_it_is_measured() -> None:
    found = judged(
        measurements(sets=SETS[:2], results=tuple(r for r in measurements().results if r.set in ("full", "summary")))
    )
    assert found.status == "measured"
    assert found.details["baseline"] is None
    assert "No cheap baseline of at most its users or bytes" in found.sentence


# Cheap picks


def picked(own: float, *, head: float = 0.81, draws: int = 3) -> Measurements:
    """Random users of 300 rows as the summary, with other draws of random users and head users in the table."""
    m = measurements({"ae": {}}, origin=Origin("random-users"))
    levels = [own + shift for shift in np.linspace(-0.02, 0.02, draws)] if draws > 1 else [own]
    return with_results(
        m,
        result("ae", "full", per_user(1.0, 2000)),
        result("ae", "summary", per_user(0.838, 2000)),
        *(result("ae", "random-users", per_user(level, 2000), draw=i) for i, level in enumerate(levels)),
        result("ae", "head-users", per_user(head, 2000)),
    )


def test_random_users_are_called_a_cheap_pick_beside_other_draws_of_the_same() -> None:
    found = judged(picked(0.815))
    assert found.status == "cheap_pick"
    assert found.tone == "even"
    assert "It is itself a cheap pick: 3 other draws of random users keep 81.5" in found.sentence
    assert "The best other cheap baseline, head users (as many users), keeps 81.0" in found.sentence
    assert found.details["own_method"]["draws"] == 3
    assert told(picked(0.815))["headline"] == (
        "A cheap pick that keeps 83.8\u202f% of full\u2011data nDCG@10; other draws of random users: 81.5\u202f%"
    )


def test_cheap_pick_is_never_ahead_and_says_when_another_cheap_one_is_better() -> None:
    assert judged(picked(0.5, head=0.5)).status == "cheap_pick"
    found = judged(picked(0.815, head=0.9))
    assert found.status == "cheap_is_better"
    assert "the cheap one is better" in found.sentence


def test_cheap_pick_without_another_cheap_one_says_so() -> None:
    m = picked(0.815, draws=1)
    found = judged(replace(m, results=tuple(r for r in m.results if r.set != "head-users")))
    assert found.status == "cheap_pick"
    assert "random users, picked once more, keeps 81.5" in found.sentence
    assert "No other cheap baseline" in found.sentence


def test_cheap_pick_that_any_draw_repeats_is_told_to_be_the_same() -> None:
    found = judged(picked(0.838, draws=1))
    assert found.status == "cheap_pick"
    assert "picked again it is the same" in found.sentence


# Sizes


def test_form_larger_than_its_source_is_said_in_the_headline_and_is_no_good_news() -> None:
    sets = (replace(SETS[0], bytes=73_000), replace(SETS[1], bytes=224_000), *SETS[2:])
    m = measurements(sets=sets)
    found = judged(m)
    assert found.status == "ahead"
    assert found.tone == "even"
    assert "with 5\u202f% of the users but 307\u202f% of the bytes: it is larger than its source." in found.sentence
    findings = conclude(m, JOB)
    assert findings.title.endswith(", but is larger than its source")
    assert findings.tone == "even"
    assert told(m)["verdict"]["larger_than_source"] is True


def test_undetermined_summary_larger_than_its_source_says_both() -> None:
    levels = LEVELS | {"popularity": LEVELS["popularity"] | {"full": 0.3299}}
    m = measurements(levels, sets=changed("summary", bytes=224_000))
    assert told(m)["headline"] == "Undetermined, and it is larger than its source"
    assert "It is larger than its source." in judged(m).sentence


# Undetermined


def test_learner_that_does_not_beat_its_floor_leaves_it_undetermined() -> None:
    levels = LEVELS | {"popularity": LEVELS["popularity"] | {"full": 0.3299}}
    found = judged(measurements(levels))
    assert found.status == "undetermined"
    assert found.tone == "open"
    assert any("does not beat its floor, popularity" in reason for reason in found.reasons)
    assert found.sentence.startswith("Undetermined: ")
    assert "What would settle it: a stronger learner" in found.sentence


def test_neither_share_nor_difference_known_is_undetermined_and_says_how_many_units_settle_it() -> None:
    levels = {"popularity": {"full": 0.28}, "ae": {"full": 0.33, "summary": 0.31, "random-users": 0.305}}
    found = judged(measurements(levels, users=40, noise=0.2, results=noisy(levels)))
    assert found.status == "undetermined"
    assert found.low < 0.28 / 0.33
    assert found.high > 1
    assert any("reaches from what a floor has (84.8\u202f%) to all of it" in reason for reason in found.reasons)
    assert any("holds 0" in reason for reason in found.reasons)
    assert any("test users instead of 40" in cure for cure in found.settled_by)
    assert "Measured: 93.9" in found.sentence


def noisy(levels: dict[str, dict[str, float]]) -> tuple[TrainedResult, ...]:
    """Sets that differ much from user to user, but a learner that clearly beats its floor."""
    found = list(measurements(levels, users=40, noise=0.2).results)
    found = [r for r in found if (r.learner, r.set) != ("popularity", "full")]
    full = next(r for r in found if (r.learner, r.set) == ("ae", "full"))
    return (*found, result("popularity", "full", np.asarray(full.scores["test"]["ndcg@10"]) - 0.05))


def test_unknown_share_with_a_known_difference_is_decided_by_the_difference() -> None:
    n = 60
    rng = np.random.default_rng(2)
    wide = rng.normal(0, 2.0, n)
    m = with_results(
        measurements({"ae": {}}, users=n),
        result("ae", "full", np.ones(n)),
        result("ae", "summary", 0.8 + wide - wide.mean()),
        result("ae", "random-users", 0.4 + wide - wide.mean()),
    )
    found = judged(m)
    assert found.low < 0.5
    assert found.high > 1
    assert found.status == "ahead"


def test_known_share_with_a_difference_that_holds_zero_is_not_undetermined() -> None:
    found = judged(same_units(1.0, 0.8, 0.8, ahead=0.4))
    assert found.low > 0.7
    assert found.status == "cheap_would_do"


def test_learner_that_scores_nothing_is_undetermined() -> None:
    m = measurements()
    results = [replace(r, scores={"test": {"ndcg@10": 0 * r.scores["test"]["ndcg@10"]}}) for r in m.results]
    found = judged(replace(m, results=tuple(results)))
    assert found.status == "undetermined"
    assert "scores nothing on the full data" in found.sentence
    assert told(replace(m, results=tuple(results)))["verdict"]["value"] is None


@pytest.mark.parametrize("missing", ["summary", "full"])
def test_summary_without_results_on_both_sides_is_undetermined(missing: str) -> None:
    m = measurements()
    m = replace(m, results=tuple(r for r in m.results if r.set != missing))
    found = judged(m)
    assert found.status == "undetermined"
    assert found.details["learner"] == ""
    assert found.value is None
    assert found.reasons == ("no learner was measured both on the full data and on the summary",)
    assert told(m)["verdict"]["status"] == "undetermined"


def test_nothing_measured_at_all_is_undetermined_and_makes_a_report() -> None:
    m = measurements(results=(), unfinished="the time for judging was over after 0 of 12 trainings.")
    report = build(m, JOB)
    assert report.verdict["status"] == "undetermined"
    assert report.json["unfinished"].startswith("the time for judging")
    assert "Judging ended early: the time for judging was over" in report.html
    assert "Judging ended early" in report.markdown


def test_bare_numbers_give_no_interval_and_no_verdict() -> None:
    m = with_results(
        measurements({"ae": {}}),
        result("ae", "full", 0.9),
        result("ae", "summary", 0.85),
        result("ae", "random-users", 0.6),
    )
    found = judged(m)
    assert found.status == "undetermined"
    assert found.value == pytest.approx(0.85 / 0.9)
    assert any("no interval" in reason for reason in found.reasons)


def test_full_data_that_may_score_nothing_leaves_the_share_without_an_interval_and_says_why() -> None:
    right = np.repeat([1.0, 0.0], [2, 28])  # of 30 units, so that some resamples hold none
    m = with_results(
        measurements({"ae": {}}, users=30),
        result("ae", "full", right),
        result("ae", "summary", right),
        result("ae", "random-users", 1 - right),
    )
    found = judged(m)
    assert found.status == "undetermined"
    assert any("the full data may as well score nothing" in reason for reason in found.reasons)
    assert "about 60 test users instead of 30" in found.settled_by
    assert "no value per unit" not in found.sentence


# The learner


def test_learner_is_the_one_optimised_for_else_the_best_on_validation() -> None:
    def chosen(m: Measurements) -> str:
        learner, _ = named(Comparison(m), "summary")
        return learner.name if learner else ""

    assert chosen(measurements()) == "ae"
    m = measurements(origin=Origin("distill-cf"))
    assert chosen(m) == "ease"
    flipped = [replace(r, validation=0.9 if r.learner == "ae" else 0.1) for r in m.results]
    assert chosen(replace(m, results=tuple(flipped))) == "ae", "test figures must not choose"


def test_learner_is_never_a_floor() -> None:
    m = measurements({"popularity": LEVELS["popularity"]}, origin=Origin())
    assert named(Comparison(m), "summary")[0] is None


def test_best_against_best_is_said_when_it_is_far_from_the_share_of_the_named_learner() -> None:
    levels = LEVELS | {"ease": {"full": 0.40, "summary": 0.30, "random-users": 0.25, "head-users": 0.20}}
    found = judged(measurements(levels))
    best = found.details["best_against_best"]
    assert (best["summary_learner"], best["full_learner"]) == ("ae", "ease")
    assert best["value"] == pytest.approx(0.32 / 0.40)
    assert best["low"] < best["value"] < best["high"]
    assert "Best against best: the best learner on it (∞-AE) reaches 80.0" in found.sentence
    assert "of the best on the full data (EASE)" in found.sentence


def test_best_against_best_is_in_the_figures_but_not_in_the_sentence_when_it_is_near() -> None:
    found = judged(measurements(with_level("ease", "full", 0.331)))
    assert abs(found.details["best_against_best"]["value"] - found.value) < 0.02
    assert "Best against best" not in found.sentence
    figures = conclude(measurements(with_level("ease", "full", 0.331)), JOB).key_figures
    assert "best against best: ∞-AE over EASE" in [one.label for one in figures]


def test_best_against_best_is_chosen_on_validation_never_on_test() -> None:
    m = measurements()
    results = [replace(r, validation=0.5 if r.learner == "ease" else 0.1) for r in m.results]
    best = judged(replace(m, results=tuple(results))).details["best_against_best"]
    assert (best["summary_learner"], best["full_learner"]) == ("ease", "ease")
    silent = [replace(r, validation=None) for r in m.results]
    assert judged(replace(m, results=tuple(silent))).details["best_against_best"] is None


# Metrics of every shape


# Several test sets, seeds, draws, summaries


def test_verdict_as_json_holds_only_plain_finite_values() -> None:
    fields = told(measurements())["verdict"]
    assert fields["unit"] == "ratio"
    assert fields["n"] == 2000
    assert isinstance(fields["baseline"], dict)
    numbers = [value for value in fields.values() if isinstance(value, float)]
    assert numbers
    assert all(math.isfinite(value) for value in numbers)


def test_no_sentence_says_rows_where_the_kind_has_its_own_word() -> None:
    m = measurements(unit="image", units="images", event="pixels", tests=(TestSet("test", "test", "images", 2000),))
    report = told(m)
    said = [report["verdict"]["sentence"], report["headline"], *report["warnings"]]
    said += [column["label"] for table in report["tables"] for column in table["columns"]]
    said += [table["note"] + table["caption"] for table in report["tables"]]
    assert not [text for text in said if "rows" in text.lower()]
    assert "of the images" in report["verdict"]["sentence"]


def test_cheap_pick_without_another_draw_of_its_method_is_still_called_one() -> None:
    m = picked(0.815, head=0.5)
    found = judged(replace(m, results=tuple(r for r in m.results if r.set != "random-users")))
    assert found.status == "cheap_pick"
    assert "It is itself a cheap pick, of which no other draw was measured." in found.sentence


def test_another_form_larger_than_its_source_is_a_warning() -> None:
    form = TrainingSet("soft", "as soft rows", "form", 50, 2_000, 99_000, of="summary")
    warnings = told(measurements(sets=(*SETS, form)))["warnings"]
    assert any("One of its forms, as soft rows, is larger than the source: 99.0" in text for text in warnings)


# Marks: what was looked at that not every set may look at


def test_lead_of_a_marked_summary_over_a_baseline_without_the_mark_is_no_good_news_and_says_why() -> None:
    m = measurements(sets=changed("summary", mark="was made with features of held-out nodes"))
    found, report = judged(m), told(m)
    assert found.status == "ahead"
    assert found.tone == "even"
    assert found.caveat == "was made with features of held-out nodes"
    assert "was made with features of held-out nodes, which the cheap one was not" in found.sentence
    assert report["headline"].endswith(", but was made with features of held-out nodes")


def test_marked_summary_that_is_larger_than_its_source_says_both() -> None:
    found = judged(measurements(sets=changed("summary", mark="was made with more", bytes=50_000)))
    assert found.caveat == "is larger than its source and was made with more"


def test_lead_over_a_baseline_of_the_same_mark_is_like_for_like() -> None:
    sets = tuple(replace(one, mark="" if one.role == "full" else "was made with more") for one in SETS)
    found = judged(measurements(sets=sets))
    assert (found.status, found.tone, found.caveat) == ("ahead", "good", "")
    assert "was made with more" not in found.sentence


def test_summary_of_another_version_is_marked_beside_its_other_mark_and_others_are_not() -> None:
    two = (*changed("summary", mark="was made with more"), replace(SETS[1], name="summary-2"))
    found = marked(measurements(sets=two), [True, False])
    marks = {one.name: one.mark for one in found.sets if one.role == "summary"}
    assert marks == {"summary": f"was made with more and {ELSEWHERE}", "summary-2": ""}
    verdict = judged(marked(measurements(), [True]))
    assert (verdict.status, verdict.tone, verdict.caveat) == ("ahead", "even", ELSEWHERE)
    assert marked(measurements(), [False]).summary.mark == ""


# What the primary metric hides


def guarded(kept: float, **changes: float) -> Measurements:
    """Measurements with a second metric of which the summary keeps this share."""
    m = measurements()
    rare = {"full": 0.2, "summary": 0.2 * kept} | changes
    results = tuple(
        replace(one, scores={"test": {**one.scores["test"], "rare": per_user(rare.get(one.set, 0.1), 2000, seed=3)}})
        for one in m.results
    )
    return replace(m, results=results, metrics=(*m.metrics, Metric("rare", "PSP@1")), guard="rare")


def test_loss_of_the_guarding_metric_that_the_primary_hides_is_said_in_headline_and_sentence() -> None:
    m = guarded(0.5)
    found = judged(m)
    assert found.status == "ahead"
    assert found.tone == "even"
    assert found.caveat.startswith("keeps only 50")
    assert "It keeps only 50" in found.sentence
    assert "of full-data PSP@1" in found.sentence
    assert "but keeps only 50" in conclude(m, JOB).headline


@pytest.mark.parametrize("kept", [0.94, 0.99, 1.2])
def test_guarding_metric_that_is_kept_as_the_primary_is_not_mentioned(kept: float) -> None:
    found = judged(guarded(kept))
    assert "PSP" not in found.sentence
    assert found.caveat == ""


def test_guard_that_is_no_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="guard"):
        measurements(guard="nothing")


@pytest.mark.parametrize(("users", "status"), [(1, "undetermined"), (5, "undetermined"), (6, "ahead")])
def test_lead_on_fewer_test_units_than_an_interval_takes_is_undetermined(users: int, status: str) -> None:
    found = judged(measurements(users=users, noise=1e-4))  # the same for each of them, so intervals are points
    assert found.status == status
    if status == "undetermined":
        assert f"{users} test user" in found.reasons[0]
        assert "at least 6" in found.settled_by[0]
        assert "ahead by" not in found.sentence


def test_draws_of_a_cheap_pick_are_its_own_and_not_those_of_the_full_data() -> None:
    m = picked(0.815, draws=1)
    full = [one for one in m.results if one.set == "full"]
    found = judged(replace(m, results=(*m.results, *(replace(one, draw=1) for one in full))))
    assert found.details["own_method"]["draws"] == 1
    assert "random users, picked once more, keeps" in found.sentence
