"""What pays: the arithmetic, what is said of it, and intervals that hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worker.evidence.timings import Payback, Timings, payback, ratio, trainings


@pytest.mark.parametrize(
    ("made", "search_full", "search_summary", "full", "summary", "after"),
    [
        (100.0, 0.0, 0.0, 11.0, 1.0, 10),
        (100.1, 0.0, 0.0, 11.0, 1.0, 11),
        (0.3, 0.0, 0.0, 0.2, 0.1, 3),
        (100.0, 60.0, 10.0, 11.0, 1.0, 5),
        (100.0, 200.0, 10.0, 11.0, 1.0, 0),
        (5.0, 0.0, 0.0, 1.0, 1.0, math.inf),
        (5.0, 100.0, 0.0, 1.0, 2.0, math.inf),
    ],
)
def test_trainings_when_counted_then_are_those_that_repay_making_and_both_searches(
    made: float, search_full: float, search_summary: float, full: float, summary: float, after: float
) -> None:
    assert trainings(made, search_full, search_summary, full, summary) == after


def test_trainings_when_compared_with_the_bill_then_are_the_first_count_at_which_the_summary_is_not_dearer() -> None:
    def dearer(k: int) -> bool:
        return 37.0 + 6.0 + k * 0.4 > 21.0 + k * 3.1

    after = int(trainings(37.0, 21.0, 6.0, 3.1, 0.4))
    assert not dearer(after)
    assert dearer(after - 1)


FAST, SLOW = Timings((1.0, 1.1, 0.9, 1.0, 1.05), 10.0), Timings((5.0, 5.2, 4.9, 5.1, 5.0), 50.0)


def test_payback_when_timings_are_apart_then_is_said_with_its_interval() -> None:
    found = payback(100.0, SLOW, FAST)
    assert found.known
    assert found.low < found.value < found.high
    assert found.words == f"after the search and {found.value:.0f} trainings [{found.low:.0f}, {found.high:.0f}]"
    assert payback(1.0, SLOW, FAST).words == "with the first search"
    assert payback(39.0, SLOW, FAST).words.startswith("with the first search, at the latest ")


def test_payback_when_timings_overlap_then_is_not_shown_though_the_means_would_pay() -> None:
    noisy = Timings((1.0, 1.6, 0.7, 1.4, 1.2), 10.0)
    found = payback(100.0, noisy, FAST)
    assert math.isfinite(found.value)
    assert not found.known
    assert found.words.startswith("not shown: from ")
    assert found.words.endswith(" to never")


def test_payback_when_training_on_the_summary_is_slower_then_is_never() -> None:
    assert payback(1.0, FAST, SLOW).words == "never"


@pytest.mark.parametrize(
    ("made", "full", "because"),
    [(None, SLOW, "making it was not timed"), (1.0, Timings((5.0, 5.1), 50.0), "training was timed too seldom")],
)
def test_payback_when_something_was_not_timed_then_is_unknown(made: float | None, full: Timings, because: str) -> None:
    found = payback(made, full, FAST)
    assert found.words == f"unknown: {because}"
    assert not found.known
    assert math.isnan(found.value)


def test_intervals_when_timings_are_drawn_often_then_hold_the_truth_about_as_often_as_they_claim() -> None:
    rng = np.random.default_rng(0)
    held = {"training": 0, "ratio": 0, "payback": 0}
    truth = float(trainings(100.0, 50.0, 10.0, 5.0, 1.0))
    for _ in range(300):
        noise = np.exp(rng.normal(0, 0.1, (2, 5)))
        search_full, search_summary, made = np.exp(rng.normal(0, 0.1, 3)) * (50.0, 10.0, 100.0)
        full, summary = Timings(tuple(5 * noise[0]), search_full), Timings(tuple(1 * noise[1]), search_summary)
        one, times, pays = full.estimate, ratio(full, summary), payback(made, full, summary)
        held["training"] += one.low <= 5 <= one.high
        held["ratio"] += times.low <= 5 <= times.high
        held["payback"] += pays.low <= truth <= pays.high
    assert all(count >= 0.9 * 300 for count in held.values()), held
    assert all(count <= 0.995 * 300 for name, count in held.items() if name != "payback"), held


def test_payback_when_unknown_then_has_no_number() -> None:
    assert Payback(because="x").known is False
