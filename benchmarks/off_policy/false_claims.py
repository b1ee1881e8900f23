"""How often a verdict claims what is not so, in situations that logs of production are full of.

Run: `python -m benchmarks.off_policy.false_claims --situations N --logs M --seed S`. Every situation of
`benchmarks.off_policy.situations` has random constants; its logs go through what a job does, from reward models to the
verdict. Counted: false "better" and "worse" (of any target, where several are judged), how often the interval of the
gain holds the truth, how often a true gain of six standard errors is seen. Bars: at most 3 % false claims a side where
propensities are right and 5 % where they are wrong; coverage at least 93 % where they are right; a true gain seen in
90 % with the logging policy, 70 % with propensities only. A bar counts as missed where the share exceeds it by more
than two binomial standard errors, which depend on the number of logs.
Writes `benchmarks/results/off_policy_false_claims.json`.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.off_policy.situations import KINDS, Situation, draw
from benchmarks.record import write
from worker.contract.context import Context
from worker.kinds.bandit.estimation import verdict
from worker.kinds.bandit.estimation.estimate import earned, estimate_target
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.prepare import prepare

FALSE_RIGHT, FALSE_WRONG, COVERAGE, POWER_KNOWN, POWER_ONLY = 0.03, 0.05, 0.93, 0.90, 0.70


@dataclass(frozen=True)
class Outcome:
    """What was said of one log: statuses of all targets, lights, and whether the first gain's interval holds it."""

    statuses: tuple[str, ...]
    reliability: str
    covered: bool
    width: float


def outcome(situation: Situation, seed: int) -> Outcome:
    """Draw a log and judge its targets as a job would."""
    log, ctx = situation.log(seed), Context(seed=seed)
    params = EstimateParams(estimators=["snips"], reward_model="ridge", gamma=situation.gamma)
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


def measure(situation: Situation, logs: int, seed: int) -> dict[str, Any]:
    """Shares over the logs of one situation."""
    found = [outcome(situation, seed * 1_000_003 + k) for k in range(logs)]
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
    }


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
    asked = parser.parse_args()
    sys.stderr.write(f"{asked.situations} situations x {asked.logs} logs, seed {asked.seed}\n")
    started = time.perf_counter()
    rows: list[dict[str, Any]] = []
    for situation in draw(asked.situations, asked.seed):
        row = measure(situation, asked.logs, asked.seed)
        rows.append(row | {"missed": missed(row, asked.logs, situation.known)})
        sys.stderr.write(f"{rows[-1]} at {time.perf_counter() - started:.0f} s\n")
    right = [row for row in rows if row["propensities"] == "right"]
    wrong = [row for row in rows if row["propensities"] == "wrong"]
    sides = ("false_better", "false_worse")
    bars = {
        "most_false_a_side_right": max(row.get(side, 0.0) for row in right for side in sides),
        "most_false_a_side_wrong": max((row.get(side, 0.0) for row in wrong for side in sides), default=0.0),
        "least_coverage_right": min(row["coverage"] for row in right),
        "seen": {row["situation"]: row["seen"] for row in rows if "seen" in row},
        "missed": {row["situation"]: row["missed"] for row in rows if row["missed"]},
    }
    size = {"situations": asked.situations, "logs": asked.logs, "seed": asked.seed}
    seconds = round(time.perf_counter() - started, 1)
    write("off_policy_false_claims", size | {"seconds": seconds, "bars": bars, "rows": rows}, ("numpy", "scipy"))


if __name__ == "__main__":
    main()
