"""The interval around the headline estimate holds the truth as often as it says; the verdict refuses where none can.

Few logs of small worlds; benchmarks/off_policy/coverage.py takes 500 a class. Of 15 logs covered at 97 percent fewer
than 12 are hit with a probability below one in a thousand; a normal interval would fall short (58 percent measured).
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

from benchmarks.off_policy.coverage import Outcome, by_class, outcome, settings

LOGS, LEAST = 15, 12
TRUSTED = ("100 to 1000", "5 to 20")


@functools.cache
def outcomes(name: str) -> tuple[Outcome, ...]:
    chosen = by_class(settings(sizes=(30,), rounds=(300,), loggings=(0.0, -4.0, -16.0)))[name]
    assert len(chosen) >= 2
    return tuple(outcome(chosen[k % len(chosen)], 1_000 + k) for k in range(LOGS))


@pytest.mark.parametrize("name", TRUSTED)
def test_interval_when_the_policy_ess_is_five_or_more_then_holds_the_truth(name):
    assert sum(one.floored for one in outcomes(name)) >= LEAST
    assert sum(one.difference for one in outcomes(name)) >= LEAST
    assert not any(one.wrong for one in outcomes(name))


def test_interval_when_few_rounds_carry_it_then_the_floor_is_what_makes_it_hold():
    found = outcomes("5 to 20")
    assert sum(one.normal for one in found) < sum(one.floored for one in found)


def test_verdict_when_the_policy_ess_is_below_one_then_refuses_on_every_log():
    assert {one.status for one in outcomes("below 1")} == {"cannot_tell"}


def test_width_when_the_log_is_worth_more_then_shrinks():
    widths = [np.median([one.width for one in outcomes(name)]) for name in TRUSTED]
    assert widths[0] < widths[1]
