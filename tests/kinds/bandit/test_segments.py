"""Uplift by segment: right values, no claims from tiny segments, and few false ones among many."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.off_policy.small_world import CONTEXTS, World, expected, gain_series, world
from tests.kinds.bandit.test_margins import RANGE, estimate
from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog, Segments
from worker.kinds.bandit.estimation.segments import LEAST_ROUNDS, by_segment
from worker.kinds.bandit.gain.control import Control
from worker.kinds.bandit.overlap import Pairs


def halves(log: BanditLog) -> BanditLog:
    """The log with segments of contexts: the lower half `low`, the upper `high`."""
    return replace(log, segments={"half": Segments((log.rows >= CONTEXTS // 2).astype(np.int32), ("low", "high"))})


def split_world() -> tuple[World, list[float]]:
    """A world that gains 0.1 in the lower half of its contexts and loses 0.1 in the upper; the exact gains there."""
    there = world(0.0)
    half = CONTEXTS // 2
    q = np.vstack(
        [expected(there.mu[:half], there.pi[:half], 0.1, 1), expected(there.mu[half:], there.pi[half:], -0.1, 1)]
    )
    each = ((there.pi - there.mu) * q).sum(axis=1)
    return World(there.mu, there.pi, q), [float(each[:half].mean()), float(each[half:].mean())]


def test_segments_when_one_gains_and_another_loses_then_both_are_said_and_that_they_differ():
    there, gains = split_world()
    found = estimate(halves(there.log(6000, 0)))
    rows = {row["segment"]: row for row in next(t for t in found.tables if t.name == "segments").rows}
    assert [rows[name]["status"] for name in ("low", "high")] == ["Better", "Worse"]
    for name, gain in zip(("low", "high"), gains, strict=True):
        assert rows[name]["low"] <= gain <= rows[name]["high"]
    assert found.verdict.status == "cannot_tell"
    note = next(t for t in found.tables if t.name == "segments").note
    assert "target by half: better in low; worse in high. They differ (p " in note


def test_segments_when_there_is_one_then_its_gain_is_that_of_the_whole_log():
    log = world(0.05).log(2000, 1)
    found = estimate(replace(log, segments={"all": Segments(np.zeros(log.n, np.int32), ("x",))}))
    row = next(t for t in found.tables if t.name == "segments").rows[0]
    whole = found.verdict.details["targets"][0]
    for key, name in (("gain", "over_logging"), ("low", "over_logging_low"), ("high", "over_logging_high"), ("p", "p")):
        assert row[key] == pytest.approx(whole[name], rel=1e-9)


def test_segments_when_small_or_of_few_users_then_make_no_claim():
    log = world(0.1, 4).log(3000, 2)
    code = np.zeros(log.n, np.int32)
    code[: LEAST_ROUNDS - 1] = 1
    user = np.arange(log.n, dtype=np.int32) // 3
    user[1000:2000] = 1000 + np.arange(1000) % 4
    code[1000:2000] = 2
    log = replace(log, user=user, segments={"s": Segments(code, ("large", "tiny", "few users"))})
    rows = {row["segment"]: row for row in next(t for t in estimate(log).tables if t.name == "segments").rows}
    assert rows["tiny"] | {"logged": 0} == {
        "target": "target", "column": "s", "segment": "tiny", "n": 99, "logged": 0, "p": None, "status": "Too small",
        "why": "fewer than 100 rounds",
    }  # fmt: skip
    assert (rows["few users"]["why"], rows["few users"]["p"]) == ("fewer than five users", None)
    assert rows["large"]["status"] == "Better"


def test_segments_when_the_light_is_red_then_no_segment_has_a_claim_or_a_p_value():
    log = halves(world(0.1).log(4000, 1))
    wrong = log.targets["target"]
    found = estimate(replace(log, logging=wrong, propensity=wrong.at(log.action), targets={"other": log.logging}))
    rows = next(t for t in found.tables if t.name == "segments").rows
    assert found.verdict.details["targets"][0]["reliability"] == "red"
    assert all(row["p"] is None and row["status"] == "The logs cannot tell" for row in rows)


def test_segments_when_unknown_then_the_known_ones_are_named():
    with pytest.raises(JobError) as refused:
        estimate(halves(world(0.1).log(500, 1)), segments=["country"])
    assert "half" in refused.value.hint


def test_segments_when_none_gains_then_one_of_ten_is_claimed_in_one_log_of_fifty():
    """150 logs of 10 segments: family-wise 2 %, so more than 10 have probability 3e-4; uncorrected 18 % would."""
    there = world(0.0, 5)
    each = ((there.pi - there.mu) * there.q).sum(axis=1)
    q = there.q - ((there.pi - there.mu) * (each / ((there.pi - there.mu) ** 2).sum(axis=1))[:, None])
    there = World(there.mu, there.pi, np.clip(q, 0, 1))
    assert np.abs(((there.pi - there.mu) * there.q).sum(axis=1)).max() < 0.02
    false, alone = 0, 0
    for seed in range(150):
        log, series = gain_series(there.log(2000, seed))
        code = np.random.default_rng(seed).integers(0, 10, log.n).astype(np.int32)
        log = replace(log, segments={"s": Segments(code, tuple("abcdefghij"))})
        stub: Any = SimpleNamespace(log=log, unit=None, control=Control(np.full(log.n, 0.5), None), reward_range=RANGE)
        pairs = Pairs.of(log.targets["target"], log.logging)
        (column,) = by_segment(stub, series, pairs, asked=None, alpha=0.05, trust=1.0)
        false += any(one.status(0.05) in ("better", "worse") for one in column.segments)
        alone += any(one.gain is not None and one.gain.p < 0.02 for one in column.segments)
    assert false <= 10
    assert alone > 2 * false
