"""How often claims that a team acts on are false, and what they cost: margins, guardrails, segments, looks without end.

Every world is drawn with random constants; its gains are exact. A claim is made at 1 % a side.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.off_policy.small_world import adaptive, expected, gain_series, world
from benchmarks.record import write
from worker.kinds.bandit.dataset import BanditLog, Segments
from worker.kinds.bandit.estimation.segments import by_segment
from worker.kinds.bandit.gain.anytime import FIRST, Monitored, monitor
from worker.kinds.bandit.gain.control import Control
from worker.kinds.bandit.gain.gain import gain_of
from worker.kinds.bandit.overlap import Pairs

RANGE = (0.0, 1.0)
LEVEL, STEP = 0.01, 25


def watched(log: BanditLog, *, alone: bool) -> Monitored:
    """The sequence of the target, with propensities `alone` or the whole logging policy."""
    target, logging = log.targets["target"], log.logging
    assert logging is not None
    return monitor(log, target.at(log.action) / log.propensity, None if alone else Pairs.of(target, logging), RANGE)


def looks(logs: int, rounds: int, seed: int, *, alone: bool, learns: bool) -> dict[str, float]:
    """Share of logs in which any look, one every 25 rounds, has an interval that misses the running gain: of the
    sequence, and of intervals for one look; and how much wider the sequence is at the end.
    """
    missed, fixed, wider = 0, 0, list[float]()
    for number in range(logs):
        there = world(float(np.random.default_rng([seed, number]).uniform(-0.05, 0.05)), seed * 1000 + number % 50)
        if learns:
            log, each = adaptive(there, rounds, number)
            running = np.cumsum(each[FIRST:]) / np.arange(1, rounds - FIRST + 1)
        else:
            log = there.log(rounds, number)
            running = np.full(rounds - FIRST, there.gain)
        found = watched(log, alone=alone)
        at = np.arange(STEP, found.rounds + 1, STEP)
        spans = np.array([found.ends(int(n), 0.05) for n in at])
        missed += bool(np.any((spans[:, 0] > running[at - 1]) | (spans[:, 1] < running[at - 1])))
        half = [1.96 * side.scale * np.sqrt(side.spread[at - 1]) / at for side in (found.below, found.above)]
        low, high = found.below.sums[at - 1] / at - half[0], -found.above.sums[at - 1] / at + half[1]
        fixed += bool(np.any((low > running[at - 1]) | (high < running[at - 1])))
        wider.append(float((spans[-1, 1] - spans[-1, 0]) / (high[-1] - low[-1])))
    return {
        "missed": missed / logs,
        "missed_by_intervals_for_one_look": fixed / logs,
        "times_as_wide": float(np.mean(wider)),
    }


def margins(logs: int, rounds: int, seed: int) -> dict[str, float]:
    """False "not worse" and "broken" of targets whose loss is the margin itself, and true ones of those without."""
    found = {"false_within": 0, "false_beyond": 0, "seen_within": 0}
    for number in range(logs):
        margin = float(np.random.default_rng([seed, number]).uniform(0.01, 0.06))
        for gain in (-margin, 0.0):
            log, series = gain_series(world(gain, seed * 1000 + number % 50).log(rounds, number))
            tested = gain_of(log, series, RANGE, 0.05, margin=margin, sensitive=False).margin
            assert tested is not None
            if gain:
                found["false_within"] += tested.p_within < LEVEL
                found["false_beyond"] += tested.p_beyond < LEVEL
            else:
                found["seen_within"] += tested.p_within < LEVEL
    return {name: count / logs for name, count in found.items()}


def guardrails(logs: int, rounds: int, seed: int) -> dict[str, float]:
    """False "better, and all hold" of a better target with one of three guardrails at its margin."""
    false = 0
    for number in range(logs):
        there = world(0.1, seed * 1000 + number % 50)
        tables = [expected(there.mu, there.pi, gain, number) for gain in (-0.03, 0.03, 0.03)]
        log = there.log(rounds, number)
        claims = [_holds(log, log.reward, 0.0)]
        claims += [_holds(log, there.binary(log, q, number * 7 + at), 0.03) for at, q in enumerate(tables)]
        false += all(claims)
    return {"false_all_hold": false / logs}


def _holds(log: BanditLog, values: np.ndarray, margin: float) -> bool:
    some, series = gain_series(log, values)
    tested = gain_of(some, series, RANGE, 0.05, margin=margin, sensitive=False).margin
    assert tested is not None
    return tested.p_within < LEVEL


def segments(logs: int, rounds: int, seed: int, count: int = 20) -> dict[str, float]:
    """Any false claim among 20 segments without a gain, with Holm and without."""
    false, alone = 0, 0
    for number in range(logs):
        log, series = gain_series(world(0.0, seed * 1000 + number % 50).log(rounds, number))
        code = np.random.default_rng(number).integers(0, count, log.n).astype(np.int32)
        log = replace(log, segments={"s": Segments(code, tuple(map(str, range(count))))})
        prepared: Any = SimpleNamespace(
            log=log, unit=None, control=Control(np.full(log.n, 0.5), None), reward_range=RANGE
        )
        target, logging = log.targets["target"], log.logging
        assert logging is not None
        (column,) = by_segment(prepared, series, Pairs.of(target, logging), asked=None, alpha=0.05, trust=1.0)
        false += any(one.status(0.05) in ("better", "worse") for one in column.segments)
        alone += any(one.gain is not None and one.gain.p < 2 * LEVEL for one in column.segments)
    return {"false_claim": false / logs, "false_claim_uncorrected": alone / logs}


def main() -> None:
    """All of them, and the bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    started = time.perf_counter()
    logs, seed = asked.logs, asked.seed
    found: dict[str, Any] = {}
    for name, measure in {
        "margins": lambda: margins(logs, 3000, seed),
        "guardrails": lambda: guardrails(logs, 1500, seed),
        "segments": lambda: segments(logs, 8000, seed),
        "looks": lambda: looks(logs, 10_000, seed, alone=False, learns=False),
        "looks, propensities alone": lambda: looks(logs, 10_000, seed, alone=True, learns=False),
        "looks, logging policy learns": lambda: looks(logs, 5000, seed, alone=False, learns=True),
        "looks, it learns, propensities alone": lambda: looks(logs, 5000, seed, alone=True, learns=True),
    }.items():
        found[name] = measure()
        sys.stderr.write(f"{name}: {found[name]} at {time.perf_counter() - started:.0f} s\n")
    bars = {
        "false_claims_at_most_2_percent": max(
            found["margins"]["false_within"],
            found["margins"]["false_beyond"],
            found["guardrails"]["false_all_hold"],
            found["segments"]["false_claim"],
        ),
        "looks_missed_at_most_5_percent": max(one["missed"] for name, one in found.items() if name.startswith("looks")),
    }
    figures = {"logs": logs, "seed": seed, "seconds": round(time.perf_counter() - started, 1), "bars": bars} | found
    write("off_policy_teams", figures, ("numpy", "scipy"))


if __name__ == "__main__":
    main()
