"""How often the interval around the headline estimate holds the truth, by the log's policy ESS; nominal 95 percent.

Run: `python -m benchmarks.off_policy.coverage [logs per class]` (500 by default). Every log goes through what a job
does: reward models, the smoothing path, the selector, the floored interval. Worlds of the selector suite (three reward
shapes, 100 and 1,000 actions) with logging policies softmax(-s q) and targets softmax(b q) or epsilon-greedy are put
into the class that their policy ESS of unsmoothed weights falls in; a class's logs are spread evenly over its worlds.
Bars: at least 90 percent covered in every class from a policy ESS of 5, and "cannot tell" on every log below 1.
Writes `benchmarks/results/off_policy_coverage.json`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.off_policy.environments import CONTEXTS, Shape, World, epsilon_greedy, softmax, suite_world
from benchmarks.record import write
from worker.contract.context import Context
from worker.kinds.bandit import intervals
from worker.kinds.bandit.convolution import Family
from worker.kinds.bandit.estimation import verdict
from worker.kinds.bandit.estimation.estimate import earned, estimate_target
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.prepare import prepare

LOGS = 500
FAMILIES: tuple[Family, ...] = ("knn", "tree")
CLASSES = {
    "1000 and more": (1_000.0, np.inf),
    "100 to 1000": (100.0, 1_000.0),
    "20 to 100": (20.0, 100.0),
    "5 to 20": (5.0, 20.0),
    "1 to 5": (1.0, 5.0),
    "below 1": (0.0, 1.0),
}
SHAPES: tuple[Shape, ...] = ("bilinear", "noisy", "table")


@dataclass(frozen=True)
class Setting:
    """A world and how many rounds are logged in it; `pess` of the unsmoothed target there."""

    name: str
    shape: Shape
    world: World
    n: int
    pess: float


def settings(
    sizes: tuple[int, ...] = (100, 1_000),
    rounds: tuple[int, ...] = (1_000, 5_000),
    loggings: tuple[float, ...] = (0.0, -3.0, -6.0),
) -> Iterator[Setting]:
    """Worlds from a healthy log to a hopeless one: the logging policy is softmax(-s q), the target softmax(b q)."""
    for n_actions in sizes:
        for shape in SHAPES:
            base = suite_world(n_actions, n_actions, shape, "M")
            targets = {f"softmax {b:g}": softmax(b * base.q) for b in (2.0, 5.0, 15.0, 40.0)}
            targets["greedy"] = epsilon_greedy(base.q)
            for logging in loggings:
                for target, pi in targets.items():
                    world = replace(base, mu=softmax(logging * base.q), pi=pi)
                    squares = float((world.pi**2 / world.mu).sum(axis=1).mean())
                    for n in rounds:
                        name = f"A{n_actions} {shape} {logging:g} {target} n{n}"
                        yield Setting(name, shape, world, n, n / squares)


def by_class(found: Iterator[Setting]) -> dict[str, list[Setting]]:
    """Settings by the class of their policy ESS."""
    every = list(found)
    return {name: [s for s in every if low <= s.pess < high] for name, (low, high) in CLASSES.items()}


@dataclass(frozen=True)
class Outcome:
    """What one log's estimate did: covered the truth by the floored and by the normal interval, width, verdict."""

    floored: bool
    normal: bool
    difference: bool
    width: float
    status: str
    wrong: bool


def outcome(setting: Setting, seed: int, family: Family = "knn") -> Outcome:
    """Draw a log and estimate it as a job would; `wrong`: a verdict that the truth contradicts."""
    log = setting.world.log(setting.n, seed)
    ctx = Context(seed=seed)
    params = EstimateParams(convolution=family, estimators=["snips"], reward_model="ridge")
    prepared = prepare(log, log.targets, params, ctx)
    found = estimate_target(prepared, "target", log.targets["target"], params, ctx)
    truth = setting.world.value
    logging_truth = float((setting.world.mu * setting.world.q).sum(axis=1).mean())
    span, plain = found.headline.interval, intervals.normal(found.headline.estimate)
    status = verdict.of_target(found, earned(prepared, params.alpha)).status
    gain = truth - logging_truth
    return Outcome(
        span.low <= truth <= span.high,
        plain.low <= truth <= plain.high,
        found.over_logging.low <= gain <= found.over_logging.high,
        span.high - span.low,
        status,
        (status == "better" and gain <= 0) or (status == "worse" and gain >= 0),
    )


def measure(chosen: list[Setting], logs: int, seed: int = 0) -> dict[str, Any]:
    """Shares over `logs` logs, spread evenly over the settings of a class; every second log by the other family.

    `floored_by_part`: the share covered within each reward shape and each family, which a mean over all could hide.
    """
    settings_of = [chosen[k // 2 % len(chosen)] for k in range(logs)]
    found = [outcome(setting, seed + k, FAMILIES[k % 2]) for k, setting in enumerate(settings_of)]
    parts: dict[str, list[bool]] = {}
    for k, (setting, one) in enumerate(zip(settings_of, found, strict=True)):
        for part in (setting.shape, FAMILIES[k % 2]):
            parts.setdefault(part, []).append(one.floored)
    return {
        "settings": len(chosen),
        "logs": logs,
        "floored": float(np.mean([one.floored for one in found])),
        "floored_by_part": {part: round(float(np.mean(hit)), 3) for part, hit in sorted(parts.items())},
        "normal": float(np.mean([one.normal for one in found])),
        "difference_to_logging": float(np.mean([one.difference for one in found])),
        "median_width": float(np.median([one.width for one in found])),
        "cannot_tell": float(np.mean([one.status == "cannot_tell" for one in found])),
        "wrong_verdicts": float(np.mean([one.wrong for one in found])),
    }


def main(logs: int = LOGS) -> None:
    """Every class, and the bars."""
    started = time.perf_counter()
    classes: dict[str, Any] = {}
    for name, chosen in by_class(settings()).items():
        classes[name] = measure(chosen, logs)
        sys.stderr.write(f"{name}: {classes[name]} at {time.perf_counter() - started:.0f} s\n")
    least = min(of["floored"] for name, of in classes.items() if CLASSES[name][0] >= 5)
    refused = classes["below 1"]["cannot_tell"]
    bars = {"least_coverage_from_5": least, "bar": 0.9, "refused_below_1": refused}
    met = least >= 0.9 and refused == 1.0
    figures = {"contexts": CONTEXTS, "families": FAMILIES, "bars": bars | {"met": met}, "classes": classes}
    write("off_policy_coverage", {"seconds": round(time.perf_counter() - started, 1)} | figures, ("numpy", "scipy"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else LOGS)
