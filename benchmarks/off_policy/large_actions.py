"""Estimators over many actions: the bar of the default selector, and how errors grow with actions, log and mismatch.

`python -m benchmarks.off_policy.large_actions [bars] [figures] [clusters]` (all three by default: about ten minutes on
one core) writes `benchmarks/results/off_policy_<part>.json`. `bars` is the table for A = 50 and 1,000 in every
convolution family; `figures` the MSE against the number of actions, the log's size and the mismatch of the policies;
`clusters` the world in which five to six orders of magnitude appear, and the small spread that makes them vanish.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.off_policy.clusters import clusters
from benchmarks.off_policy.environments import Bias, World, large_actions
from benchmarks.off_policy.suite import Estimates, Smoothed, modelled
from benchmarks.record import write
from worker.kinds.bandit.convolution import FAMILIES, Family
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimators import ESTIMATORS
from worker.kinds.bandit.estimators.per_round import Terms
from worker.kinds.bandit.reward_models import ridge

SETTINGS = ((50, 2_000), (1_000, 5_000))
PLAIN = ("ips", "cips", "snips", "dm", "dr", "sndr", "switch", "dros", "sgips")
ENVIRONMENTS, LOGS = 10, 5


def plain(log: BanditLog) -> dict[str, float]:
    """Estimators on unsmoothed weights, with the linear ridge on [1, x, e] as reward model."""
    rounds = np.arange(log.n)
    target = log.targets["target"]
    model = ridge.fit(log, rounds)
    weight = target.at(log.action) / log.propensity
    terms = Terms(log.reward, weight, model.at(rounds, log.action), model.under(target, rounds))
    return {name: ESTIMATORS[name](terms).value for name in PLAIN}


def errors(
    make: Callable[[int], World], n: int, families: tuple[Family, ...], environments: int, logs: int
) -> dict[str, Any]:
    """Mean squared error of every estimator over logs drawn from several worlds."""
    squares: dict[str, list[float]] = {}
    along: dict[str, list[Any]] = {}
    values, ess = [], []
    for seed in range(environments):
        world = make(seed)
        smoothed = {family: Smoothed.of(family, world, n) for family in families}
        values.append(world.value)
        ess.append(float(smoothed[families[0]].pess[0]))
        for draw in range(logs):
            log = world.log(n, 1_000 * seed + draw)
            found = plain(log)
            terms = modelled(log)
            for family in families:
                one = Estimates.of(smoothed[family].weights(log), terms)
                found |= {f"{family} {rule}": v for rule, v in one.rules.items() if rule not in ("snips", "ips", "dm")}
                for name in ("pc_ips", "pc_snips", "pc_dr"):
                    path = one.selected.path.theta[name]
                    along.setdefault(f"{family} {name} oracle", []).append((path - world.value) ** 2)
            for name, value in found.items():
                squares.setdefault(name, []).append((value - world.value) ** 2)
    mse = {name: float(np.mean(found)) for name, found in squares.items()}
    mse |= {name: _best(found) for name, found in along.items()}
    return {"value": float(np.mean(values)), "pess": float(np.mean(ess)), "logs": environments * logs, "mse": mse}


def _best(paths: list[Any]) -> float:
    """The MSE of the best candidate in hindsight; grids have the same number of candidates in every world."""
    shortest = min(len(path) for path in paths)
    return float(np.mean([path[:shortest] for path in paths], axis=0).min())


def bars() -> dict[str, Any]:
    """The two settings in all families, with an action bias that the embedding does not show and one that it does."""
    out: dict[str, Any] = {}
    for bias in ("free", "embedding"):
        for n_actions, n in SETTINGS:
            started = time.perf_counter()
            make = _maker(n_actions, bias)
            found = errors(make, n, FAMILIES, ENVIRONMENTS, LOGS)
            out[f"A={n_actions}, n={n}, bias {bias}"] = found | {"seconds": round(time.perf_counter() - started, 1)}
            sys.stderr.write(f"bars {n_actions} {bias}\n")
    return out


def _maker(n_actions: int, bias: Bias = "free", sharpness: float = -3.0) -> Callable[[int], World]:
    return lambda seed: large_actions(n_actions, seed, bias=bias, sharpness=sharpness)


def figures(environments: int = 5, logs: int = 4) -> dict[str, Any]:
    """MSE against the number of actions (n = 5,000), the log's size and the logging softmax (A = 1,000)."""
    out: dict[str, Any] = {"actions": {}, "rounds": {}, "mismatch": {}}
    family: tuple[Family, ...] = ("tree",)
    for n_actions in (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000):
        out["actions"][n_actions] = errors(_maker(n_actions), 5_000, family, environments, logs)
        sys.stderr.write(f"actions {n_actions}\n")
    for n in (500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000):
        out["rounds"][n] = errors(_maker(1_000), n, family, environments, logs)
        sys.stderr.write(f"rounds {n}\n")
    for sharpness in (0.0, -1.0, -2.0, -3.0, -5.0, -10.0):
        out["mismatch"][sharpness] = errors(_maker(1_000, sharpness=sharpness), 5_000, family, environments, logs)
        sys.stderr.write(f"mismatch {sharpness}\n")
    return out


PARTS: dict[str, Callable[[], dict[str, Any]]] = {"bars": bars, "figures": figures, "clusters": clusters}


def main(parts: list[str]) -> None:
    """Run the parts and write a record of each."""
    for part in parts or list(PARTS):
        started = time.perf_counter()
        found = PARTS[part]()
        seconds = round(time.perf_counter() - started, 1)
        write(f"off_policy_{part}", {"seconds": seconds, **found}, ("numpy", "scipy", "torch"))


if __name__ == "__main__":
    main(sys.argv[1:])
