"""How often a verdict claims what is not so, in situations that logs of production are full of.

Run: `python -m benchmarks.off_policy.false_claims --situations N --logs M --seed S`. Every situation of
`benchmarks.off_policy.situations` has random constants; its logs go through what a job does, from reward models to the
verdict. Counted: false "better" and "worse" (of any target, where several are judged), how often the interval of the
gain holds the truth, how often a true gain of six standard errors is seen. Bars: at most 3 % false claims a side where
propensities are right and 5 % where they are wrong; coverage at least 93 % where they are right; a true gain seen in
90 % with the logging policy, 70 % with propensities only. A bar counts as missed where the share exceeds it by more
than two binomial standard errors, which depend on the number of logs.
The reward model is the additive one or that with coefficients of its own for every action, whichever errs less; what a
job tries beside them, trees, takes too long for so many logs (`--reward-model auto` has it). `--workers` processes.
Writes `benchmarks/results/off_policy_false_claims.json`.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from typing import Any, Literal

import numpy as np

from benchmarks.off_policy.situations import KINDS, Situation, numbered
from benchmarks.record import write
from worker.contract.context import Context
from worker.kinds.bandit.estimation import verdict
from worker.kinds.bandit.estimation.estimate import earned, estimate_target
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.prepare import prepare

ModelName = Literal["auto", "ridge"]
FALSE_RIGHT, FALSE_WRONG, COVERAGE, POWER_KNOWN, POWER_ONLY = 0.03, 0.05, 0.93, 0.90, 0.70


@dataclass(frozen=True)
class Outcome:
    """What was said of one log: statuses of all targets, lights, and whether the first gain's interval holds it."""

    statuses: tuple[str, ...]
    reliability: str
    covered: bool
    width: float


def outcome(situation: Situation, seed: int, reward_model: ModelName = "ridge") -> Outcome:
    """Draw a log and judge its targets as a job would."""
    log, ctx = situation.log(seed), Context(seed=seed)
    params = EstimateParams(estimators=["snips"], reward_model=reward_model, gamma=situation.gamma)
    prepared = prepare(log, log.targets, params, ctx)
    found = [estimate_target(prepared, name, target, params, ctx) for name, target in log.targets.items()]
    judged, _ = verdict.of_targets(found, earned(prepared, params.alpha))
    gain = found[0].over_logging
    return Outcome(
        tuple(one["status"] for one in judged.details["targets"]),
        found[0].reliability,
        gain.low <= situation.gain <= gain.high,
        gain.high - gain.low,
    )


def measure(situation: Situation, logs: int, seed: int, reward_model: ModelName = "ridge") -> dict[str, Any]:
    """Shares over the logs of one situation."""
    found = [outcome(situation, seed * 1_000_003 + k, reward_model) for k in range(logs)]
    share = {status: float(np.mean([status in one.statuses for one in found])) for status in ("better", "worse")}
    figures: dict[str, Any] = {"situation": situation.name, "rounds": situation.n, "actions": situation.q.shape[1]}
    if situation.seen:
        figures |= {"seen": share["better"], "false_worse": share["worse"]}
    else:
        figures |= {"false_better": share["better"], "false_worse": share["worse"]}
    lights = [one.reliability for one in found]
    return figures | {
        "propensities": "right" if situation.right else "wrong",
        "barred": situation.barred,
        "coverage": float(np.mean([one.covered for one in found])),
        "median_width": float(np.median([one.width for one in found])),
        "lights": {light: lights.count(light) for light in sorted(set(lights))},
        "green_covered": _share([one.covered for one in found if one.reliability == "green"]),
    }


def _share(holds: list[bool]) -> float | None:
    return float(np.mean(holds)) if holds else None


def _row(number: int, asked: argparse.Namespace) -> dict[str, Any]:
    """One situation, drawn anew since situations are not sent between processes."""
    situation = numbered(number, asked.seed)
    row = measure(situation, asked.logs, asked.seed, asked.reward_model)
    row |= {"missed": missed(row, asked.logs, situation.known)}
    sys.stderr.write(f"{number} {row}\n")
    return row


def missed(figures: dict[str, Any], logs: int, known: bool) -> list[str]:
    """The bars that one situation misses, beyond what so few logs could do by chance."""
    if not figures["barred"]:
        return []
    right = figures["propensities"] == "right"
    most = FALSE_RIGHT if right else FALSE_WRONG
    found = [
        side
        for side in ("false_better", "false_worse")
        if figures.get(side, 0.0) > most + 2 * (most * (1 - most) / logs) ** 0.5
    ]
    if right and figures["coverage"] < COVERAGE - 2 * (COVERAGE * (1 - COVERAGE) / logs) ** 0.5:
        found.append("coverage")
    least = POWER_KNOWN if known else POWER_ONLY
    if "seen" in figures and figures["seen"] < least - 2 * (least * (1 - least) / logs) ** 0.5:
        found.append("seen")
    return found


def main() -> None:
    """All situations, and the bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--situations", type=int, default=len(KINDS))
    parser.add_argument("--logs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--reward-model", choices=["ridge", "auto"], default="ridge")
    asked = parser.parse_args()
    sys.stderr.write(f"{asked.situations} situations x {asked.logs} logs, seed {asked.seed}\n")
    started = time.perf_counter()
    with ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(_row, range(asked.situations), repeat(asked)))
    right = [row for row in rows if row["propensities"] == "right"]
    wrong = [row for row in rows if row["propensities"] == "wrong" and row["barred"]]
    green = [row for row in right if row["green_covered"] is not None]
    sides = ("false_better", "false_worse")
    bars = {
        "most_false_a_side_right": max(row.get(side, 0.0) for row in right for side in sides),
        "most_false_a_side_wrong": max((row.get(side, 0.0) for row in wrong for side in sides), default=0.0),
        "most_false_a_side_beside_the_bars": max(
            (row.get(side, 0.0) for row in rows for side in sides if not row["barred"]), default=0.0
        ),
        "least_coverage_right": min(row["coverage"] for row in right),
        "green_covered_right": sum(row["green_covered"] * row["lights"]["green"] for row in green)
        / max(1, sum(row["lights"]["green"] for row in green)),
        "seen": {row["situation"]: row["seen"] for row in rows if "seen" in row},
        "missed": {row["situation"]: row["missed"] for row in rows if row["missed"]},
    }
    size = {"situations": asked.situations, "logs": asked.logs, "seed": asked.seed, "reward_model": asked.reward_model}
    seconds = round(time.perf_counter() - started, 1)
    write("off_policy_false_claims", size | {"seconds": seconds, "bars": bars, "rows": rows}, ("numpy", "scipy"))


if __name__ == "__main__":
    main()
