"""Which rule chooses the amount of smoothing best: 78 settings, 30 logs each, mean squared error of every rule.

Run with `python -m benchmarks.off_policy.suite [logs]`; about a quarter of an hour on one core. Writes
`benchmarks/results/off_policy_suite.json` with every cell, the geometric means that the documentation quotes, and the
coverage of the floored interval by policy ESS.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.off_policy.environments import Mismatch, Shape, World, suite_world
from benchmarks.record import write
from worker.kinds.bandit.convolution import Convolution, Family, convolution, logged
from worker.kinds.bandit.convolution.weights import PathWeights
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimators.per_round import Terms
from worker.kinds.bandit.policies import Floats, dense
from worker.kinds.bandit.reward_models import evidence_ridge
from worker.kinds.bandit.selection.default import Selected, select
from worker.kinds.bandit.convolution.policy_ess import policy_ess

FAMILIES: tuple[Family, ...] = ("tree", "knn")
RULES = ("default", "median", "k5", "sndr_k10", "v_path", "slope_pp", "snips", "ips", "dm")
LOGS = 30
TABLE_BYTES = 100 * 2**20


@dataclass(frozen=True)
class Cell:
    """One setting."""

    n_actions: int
    n: int
    mismatch: Mismatch
    shape: Shape
    seed: int

    @property
    def name(self) -> str:
        return f"A{self.n_actions}-n{self.n}-{self.mismatch}-{self.shape}-{self.seed}"


def cells() -> Iterator[Cell]:
    """The 78 settings; A = 1,000 comes in two environments, and A = 10 and 10,000 without the noisy shape."""
    for n_actions, seeds in ((10, (1,)), (100, (2,)), (1_000, (3, 4)), (10_000, (5,))):
        shapes: tuple[Shape, ...] = (
            ("bilinear", "table") if n_actions in (10, 10_000) else ("bilinear", "noisy", "table")
        )
        for seed in seeds:
            for shape in shapes:
                for mismatch in ("S", "M", "L"):
                    for n in (1_000, 10_000):
                        yield Cell(n_actions, n, mismatch, shape, seed)


def population_ess(path: Convolution, world: World, n: int) -> Floats:
    """Policy ESS of every candidate for n rounds of equally likely contexts (the same for all logs of a cell)."""
    contexts = np.arange(len(world.x), dtype=np.int32)
    pi, mu = dense(world.pi, contexts), dense(world.mu, contexts)
    return policy_ess(path, pi, mu, exact=True if path.row_cost * len(contexts) <= 1e9 else None) * n / len(contexts)


@dataclass(frozen=True)
class Smoothed:
    """One path in one world: policy ESS of its candidates for n rounds, and their weights at logged actions.

    All logs of a cell share both policies, so up to 1,000 actions the weights are tabulated once.
    """

    path: Convolution
    pess: Floats
    table: Floats | None

    @classmethod
    def of(cls, family: Family, world: World, n: int) -> Smoothed:
        path = convolution(family, world.e.astype(np.float32))
        table = None
        if world.q.size * len(path.taus) * 8 <= TABLE_BYTES:
            levels = range(len(path.taus))
            table = np.stack([path.tables(world.pi, level) / path.tables(world.mu, level) for level in levels])
        return cls(path, population_ess(path, world, n), table)

    def weights(self, log: BanditLog) -> PathWeights:
        if self.table is not None:
            weight = self.table[:, log.rows, log.action]
        else:
            assert log.logging is not None
            weight = logged(self.path, log.targets["target"], log.action) / logged(self.path, log.logging, log.action)
        return PathWeights(self.path.family, self.path.taus, self.path.taus, weight, self.pess)


def modelled(log: BanditLog) -> Terms:
    """Rewards with the cross-fitted predictions of the evidence-chosen ridge."""
    model = evidence_ridge.crossfit(log, log.targets)
    return Terms(log.reward, np.ones(log.n), model.q_logged, model.dm["target"])


@dataclass(frozen=True)
class Estimates:
    """Values of the rules on one log and one path, PC-SNIPS at every candidate, and the default's record."""

    rules: dict[str, float]
    path: Floats
    selected: Selected

    @classmethod
    def of(cls, weights: PathWeights, terms: Terms) -> Estimates:
        chosen = select(weights, terms, reward_range=(0.0, 1.0))
        votes = chosen.parts
        assert terms.dm is not None
        rules = {
            "default": chosen.value,
            "median": float(np.median(list(votes.values()))),
            "k5": votes["pc_snips_k5"],
            "sndr_k10": votes["pc_sndr_k10"],
            "v_path": votes["v_path"],
            "slope_pp": select(weights, terms, rule="slope_pp").value,
            "snips": float(chosen.path.theta["pc_snips"][0]),
            "ips": float(chosen.path.theta["pc_ips"][0]),
            "dm": float(terms.dm.mean()),
        }
        return cls(rules, chosen.path.theta["pc_snips"], chosen)


def floored(selected: Selected) -> float:
    """Half-width of the 95 % interval with the floor that the policy ESS sets, for rewards in [0, 1]."""
    spread = max(selected.value * (1 - selected.value), 0.02)
    return 1.96 * max(selected.se, float(np.sqrt(spread / max(selected.pess, 1e-9))))


def run_cell(cell: Cell, logs: int, families: tuple[Family, ...] = FAMILIES) -> dict[str, Any]:
    """MSE of every rule and of the best candidate in hindsight, per family."""
    world = suite_world(cell.n_actions, cell.seed, cell.shape, cell.mismatch)
    out: dict[str, Any] = {"cell": cell.name, "n_actions": cell.n_actions, "n": cell.n}
    out |= {"mismatch": cell.mismatch, "shape": cell.shape, "value": world.value}
    smoothed = {family: Smoothed.of(family, world, cell.n) for family in families}
    out["pess"] = float(smoothed[families[0]].pess[0])
    by_family: dict[str, list[Estimates]] = {family: [] for family in families}
    for seed in range(logs):
        log = world.log(cell.n, 10_000 * cell.seed + seed)
        terms = modelled(log)
        for family in families:
            by_family[family].append(Estimates.of(smoothed[family].weights(log), terms))
    for family, drawn in by_family.items():
        errors = {rule: float(np.mean([(d.rules[rule] - world.value) ** 2 for d in drawn])) for rule in RULES}
        errors["oracle"] = float(np.min(np.mean([(d.path - world.value) ** 2 for d in drawn], axis=0)))
        covered = np.mean([abs(d.selected.value - world.value) <= floored(d.selected) for d in drawn])
        switched = float(np.mean([d.selected.chosen == "v_path" for d in drawn]))
        out[family] = {
            "mse": errors,
            "covered": float(covered),
            "switched": switched,
            "pess_k5": drawn[0].selected.pess,
        }
    return out


def _geometric(ratios: list[float]) -> float:
    return float(np.exp(np.mean(np.log(np.maximum(ratios, 1e-12)))))


def summary(results: list[dict[str, Any]], family: Family) -> dict[str, Any]:
    """Geometric means over cells, the worst cell, the same by reward shape and policy ESS, and coverage."""

    def over(chosen: list[dict[str, Any]], rule: str, base: str) -> float:
        return _geometric([r[family]["mse"][rule] / r[family]["mse"][base] for r in chosen])

    bands = {"below 0.5": (0, 0.5), "0.5 to 5": (0.5, 5), "5 to 50": (5, 50), "50 and more": (50, np.inf)}
    by_band = {name: [r for r in results if low <= r["pess"] < high] for name, (low, high) in bands.items()}
    worst_healthy = [r[family]["mse"]["default"] / r[family]["mse"]["snips"] for r in by_band["50 and more"]]
    return {
        "over_oracle": {rule: over(results, rule, "oracle") for rule in RULES},
        "over_snips": {rule: over(results, rule, "snips") for rule in (*RULES, "oracle")},
        "worst_over_snips": {r: max(c[family]["mse"][r] / c[family]["mse"]["snips"] for c in results) for r in RULES},
        "by_shape_over_snips": {
            shape: {
                rule: over([r for r in results if r["shape"] == shape], rule, "snips") for rule in (*RULES, "oracle")
            }
            for shape in sorted({r["shape"] for r in results})
        },
        "by_policy_ess_over_snips": {
            name: {"cells": len(chosen)} | {rule: over(chosen, rule, "snips") for rule in (*RULES, "oracle")}
            for name, chosen in by_band.items()
            if chosen
        },
        "worst_default_over_snips_where_pess_50": max(worst_healthy, default=1.0),
        "coverage_of_floored_interval": {
            name: float(np.mean([r[family]["covered"] for r in chosen])) for name, chosen in by_band.items() if chosen
        },
    }


def main(logs: int = LOGS) -> None:
    """Run everything and write the record."""
    started = time.perf_counter()
    results: list[dict[str, Any]] = []
    for cell in cells():
        results.append(run_cell(cell, logs))
        sys.stderr.write(json.dumps(results[-1] | {"at": round(time.perf_counter() - started)}) + "\n")
    figures = {
        "logs_per_cell": logs,
        "seconds": round(time.perf_counter() - started, 1),
        "summary": {family: summary(results, family) for family in FAMILIES},
        "cells": results,
    }
    write("off_policy_suite", figures, ("numpy", "scipy", "torch"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else LOGS)
