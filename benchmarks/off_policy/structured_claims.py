"""How often verdicts on slates, doses and trajectories claim what is not so.

Run: `python -m benchmarks.off_policy.structured_claims --logs M --seed S`. Every log has a world of its own with random
constants and, but for the lines called "gain", a target that gains exactly nothing. Counted: "better", "worse", and how
often the intervals of the value and of the gain hold the truth. Bars: at most 3 % false claims a side where
propensities are right and assumptions hold, 5 % where they do not; coverage of the gain at least 93 % where they do.
Writes `benchmarks/results/off_policy_structured_claims.json`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.record import write
from tests.kinds.bandit import planted_doses, planted_slates, planted_trajectories
from worker.contract.context import Context
from worker.evidence.findings import Findings
from worker.kinds.bandit.continuous.params import ContinuousEstimateParams
from worker.kinds.bandit.methods.continuous_estimate import continuous_estimate
from worker.kinds.bandit.methods.sequential_estimate import sequential_estimate
from worker.kinds.bandit.methods.slate_estimate import slate_estimate
from worker.kinds.bandit.sequential.params import SequentialEstimateParams
from worker.kinds.bandit.slates.params import SlateEstimateParams

FALSE_RIGHT, FALSE_WRONG, COVERAGE = 0.03, 0.05, 0.93


@dataclass(frozen=True)
class Judged:
    """What was said of one log, with the truth: the target's value and its gain."""

    findings: Findings
    value: float
    gain: float


def slates(
    rng: np.random.Generator,
    *,
    size: int,
    behaviour: str,
    null: bool = True,
    whole: bool = False,
    below: float = 0.0,
    error: float = 0.0,
) -> Judged:
    """Three positions, four items; `below`: users who also look below; `error`: of propensities, with the reward."""
    at = planted_slates.world(rng, below=below)
    logging, target = planted_slates.policies(rng, at, null=null)
    data = planted_slates.draw(rng, at, logging, target, size, whole=whole)
    if error:
        log = data.log
        off = np.exp(error * (2 * log.reward - 1))
        data = replace(data, log=replace(log, propensity=np.clip(log.propensity / off, 1e-6, 1.0)))
    params: dict[str, Any] = {"behaviour": behaviour, "q_model": "linear" if whole else "none"}
    found = slate_estimate(data, SlateEstimateParams(**params, gamma=None if error else 1), Context())
    return Judged(found, at.value(target), at.value(target) - at.value(logging))


def doses(rng: np.random.Generator, *, size: int, null: bool = True, drawn: bool = False) -> Judged:
    """A bump of the reward around a best dose; `drawn`: the target draws its dose from a known density."""
    at = planted_doses.world(rng)
    target = at.null(rng.choice([-1, 1], len(at.best))) if null else at.best + 0.1
    params = ContinuousEstimateParams(targets=["drawn" if drawn else "fixed"], reward_model="none", gamma=1)
    found = continuous_estimate(planted_doses.draw(rng, at, target, size), params, Context())
    if not drawn:
        return Judged(found, at.value(target), at.value(target) - at.logged())
    smoothed = replace(at, middle=target, spread=0.3).logged()
    return Judged(found, smoothed, smoothed - at.logged())


def trajectories(
    rng: np.random.Generator, *, size: int, steps: int = 4, null: bool = True, whole: bool = False
) -> Judged:
    """Four states, three actions; one step in ten is the last."""
    at = planted_trajectories.world(rng, steps=steps)
    logging, target = planted_trajectories.policies(rng, at, null=null)
    data = planted_trajectories.draw(rng, at, logging, target, size, whole=whole)
    found = sequential_estimate(data, SequentialEstimateParams(gamma=1, folds=2), Context())
    return Judged(found, at.value(target), at.value(target) - at.value(logging))


SITUATIONS: dict[str, tuple[Callable[[np.random.Generator], Judged], bool]] = {
    "slates, nothing assumed, propensities only": (partial(slates, size=600, behaviour="any"), True),
    "slates, nothing assumed, logging policy": (partial(slates, size=600, behaviour="any", whole=True), True),
    "slates, cascade, propensities only": (partial(slates, size=600, behaviour="cascade"), True),
    "slates, cascade, logging policy": (partial(slates, size=600, behaviour="cascade", whole=True), True),
    "slates, nothing assumed, users look below": (partial(slates, size=600, behaviour="any", below=0.9), True),
    "slates, cascade assumed, users look below": (partial(slates, size=600, behaviour="cascade", below=0.9), False),
    "slates, cascade, propensities 10 % off with the reward": (
        partial(slates, size=600, behaviour="cascade", error=0.1), False,
    ),
    "slates, gain, cascade, logging policy": (
        partial(slates, size=1500, behaviour="cascade", whole=True, null=False), True,
    ),
    "doses, 500 rounds": (partial(doses, size=500), True),
    "doses, 2,000 rounds": (partial(doses, size=2000), True),
    "doses, 8,000 rounds": (partial(doses, size=8000), True),
    "doses, gain, 2,000 rounds": (partial(doses, size=2000, null=False), True),
    "doses, gain, drawn from a density": (partial(doses, size=2000, null=False, drawn=True), True),
    "trajectories, 4 steps, propensities only": (partial(trajectories, size=400), True),
    "trajectories, 4 steps, logging policy": (partial(trajectories, size=400, whole=True), True),
    "trajectories, 10 steps, logging policy": (partial(trajectories, size=400, steps=10, whole=True), True),
    "trajectories, gain, 4 steps, logging policy": (partial(trajectories, size=1000, whole=True, null=False), True),
}  # fmt: skip
"""By name: a log and its verdict, and whether propensities are right and assumptions hold."""


def measure(name: str, logs: int, seed: int) -> dict[str, Any]:
    """Shares over `logs` logs."""
    draw, right = SITUATIONS[name]
    counts = {"better": 0, "worse": 0, "value_held": 0, "gain_held": 0}
    started = time.perf_counter()
    for number in range(logs):
        judged = draw(np.random.default_rng([seed, list(SITUATIONS).index(name), number]))
        said = judged.findings.verdict.details["targets"][0]
        if said["status"] in counts:
            counts[said["status"]] += 1
        counts["value_held"] += said["low"] <= judged.value <= said["high"]
        counts["gain_held"] += said["over_logging_low"] <= judged.gain <= said["over_logging_high"]
    shares = {what: count / logs for what, count in counts.items()}
    return {"right": right, **shares, "ms_a_log": 1000 * (time.perf_counter() - started) / logs}


def main() -> None:
    """Measure every situation and say which bars are missed."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--logs", type=int, default=300)
    asked.add_argument("--seed", type=int, default=7)
    given = asked.parse_args()
    found = {name: measure(name, given.logs, given.seed) for name in SITUATIONS}
    noise = 2 * (0.03 * 0.97 / given.logs) ** 0.5
    missed = [
        name
        for name, row in found.items()
        if ", gain," not in name
        and (
            max(row["better"], row["worse"]) > (FALSE_RIGHT if row["right"] else FALSE_WRONG) + noise
            or (row["right"] and row["gain_held"] < COVERAGE - 2 * (0.07 * 0.93 / given.logs) ** 0.5)
        )
    ]
    figures = {"logs": given.logs, "seed": given.seed, "situations": found, "missed": missed}
    write("off_policy_structured_claims", figures, ("numpy", "scipy", "scikit-learn"))


if __name__ == "__main__":
    main()
