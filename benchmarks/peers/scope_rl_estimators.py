"""Values of scope-rl 0.2.1 for trajectories, and of MAGIC by the paper's own sums, which a unit test holds ours to.

In the environment of `obp_structured.py`:
    peers/obp/bin/pip install --no-deps --ignore-requires-python scope-rl==0.2.1
    peers/obp/bin/python benchmarks/peers/scope_rl_estimators.py tests/kinds/bandit/scope_rl.json
scope-rl imports learners (d3rlpy) and environments (gym), of which these estimators use nothing; empty classes stand
for them here. It has no MAGIC, whose j-step returns are written as plain loops over trajectories and steps (Thomas and
Brunskill 2016, section 7), their blend found by a general solver.
"""

from __future__ import annotations

import json
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


class Empty(ModuleType):
    """A module that has a class of every name."""

    __path__: list[str] = []  # noqa: RUF012 - it has no files

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Unused(MetaPathFinder, Loader):
    """Finds empty modules for what is not installed and not used."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return (
            ModuleSpec(fullname, self)
            if fullname.split(".")[0] in ("d3rlpy", "gym", "pytorch_revgrad", "hydra", "offlinegym")
            else None
        )

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is in it."""


EPISODES, STEPS, ACTIONS = 30, 4, 3
DISCOUNTS = (1.0, 0.8)


def inputs() -> dict[str, Any]:
    """Integers by residues of squares: no random generator, so every machine and version writes the same."""
    i, t, a = np.arange(EPISODES)[:, None, None], np.arange(STEPS)[None, :, None], np.arange(ACTIONS)[None, None, :]
    return {
        "action": ((3 * i * i + 5 * i * t + 2 * t + i // 7) % ACTIONS)[:, :, 0].tolist(),
        "reward_tenths": ((7 * i * i + 13 * i * t + 3 * t * t) % 19 - 4)[:, :, 0].tolist(),
        "logging": ((5 * i * i + 3 * i * a + 7 * a * a + 2 * t * a + t + 11) % 13 + 2).tolist(),
        "target": ((7 * i * i + 11 * i * a + 2 * a * a + 5 * t + 3) % 17 + 1).tolist(),
        "predicted_tenths": ((3 * i * i + 5 * i * a + a * a + t) % 23).tolist(),
    }


def shares(table: Any) -> np.ndarray:
    """Rows of integers as probabilities."""
    counts = np.asarray(table, np.float64)
    return counts / counts.sum(axis=-1, keepdims=True)


def of_scope_rl(given: dict[str, Any], discount: float) -> dict[str, float]:
    """The importance sampling and doubly robust estimators; its SNDR is WDR."""
    sys.meta_path.append(Unused())
    from scope_rl.ope.discrete import basic_estimators as ope

    action = np.asarray(given["action"])
    logging, target = shares(given["logging"]), shares(given["target"])
    plain = {
        "step_per_trajectory": STEPS,
        "action": action.ravel(),
        "reward": np.asarray(given["reward_tenths"]).ravel() / 10.0,
        "pscore": np.take_along_axis(logging, action[:, :, None], 2).ravel(),
        "evaluation_policy_action_dist": target.reshape(-1, ACTIONS),
        "state_action_value_prediction": np.asarray(given["predicted_tenths"]).reshape(-1, ACTIONS) / 10.0,
        "gamma": discount,
    }
    forms = {
        "tis": ope.TrajectoryWiseImportanceSampling,
        "pdis": ope.PerDecisionImportanceSampling,
        "dr": ope.DoublyRobust,
        "sntis": ope.SelfNormalizedTIS,
        "snpdis": ope.SelfNormalizedPDIS,
        "wdr": ope.SelfNormalizedDR,
    }
    return {name: float(form()._estimate_trajectory_value(**plain).mean()) for name, form in forms.items()}


def of_paper(given: dict[str, Any], discount: float) -> dict[str, Any]:
    """All j-step returns, and MAGIC with a normal 50 % interval around the last of them."""
    from scipy import optimize

    action, reward = np.asarray(given["action"]), np.asarray(given["reward_tenths"]) / 10.0
    logging, target = shares(given["logging"]), shares(given["target"])
    q = np.asarray(given["predicted_tenths"]) / 10.0
    rho = np.ones((EPISODES, STEPS))
    for i in range(EPISODES):
        product = 1.0
        for t in range(STEPS):
            product *= target[i, t, action[i, t]] / logging[i, t, action[i, t]]
            rho[i, t] = product

    def w(i: int, t: int) -> float:
        return 1.0 / EPISODES if t < 0 else rho[i, t] / rho[:, t].sum()

    def v(i: int, t: int) -> float:
        return 0.0 if t == STEPS else float(target[i, t] @ q[i, t])

    pieces = np.zeros((EPISODES, STEPS + 1))
    for column, j in enumerate(range(-1, STEPS)):
        for i in range(EPISODES):
            sampled = sum(discount**t * w(i, t) * reward[i, t] for t in range(j + 1))
            modelled = discount ** (j + 1) * w(i, j) * v(i, j + 1)
            control = sum(discount**t * (w(i, t) * q[i, t, action[i, t]] - w(i, t - 1) * v(i, t)) for t in range(j + 1))
            pieces[i, column] = sampled + modelled - control
    returns = pieces.sum(axis=0)
    centred = pieces - pieces.mean(axis=0)
    omega = EPISODES / (EPISODES - 1) * centred.T @ centred
    influence = np.zeros(EPISODES)
    for i in range(EPISODES):
        for t in range(STEPS):
            for weight, value in (
                (lambda k, t=t: rho[k, t], lambda k, t=t: reward[k, t] - q[k, t, action[k, t]]),
                (lambda k, t=t: rho[k, t - 1] if t else 1.0, lambda k, t=t: v(k, t)),
            ):
                total = sum(weight(k) for k in range(EPISODES))
                ratio = sum(weight(k) * value(k) for k in range(EPISODES)) / total
                influence[i] += discount**t * EPISODES * weight(i) * (value(i) - ratio) / total
    half = 0.6744897501960817 * influence.std(ddof=1) / EPISODES**0.5
    bias = np.array([g - min(max(g, returns[-1] - half), returns[-1] + half) for g in returns])
    found = optimize.minimize(
        lambda x: x @ (omega + np.outer(bias, bias)) @ x * 1e3,
        np.full(STEPS + 1, 1 / (STEPS + 1)),
        bounds=[(0, 1)] * (STEPS + 1),
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    return {"returns": returns.tolist(), "magic": float(found.x @ returns)}


def main(path: Path) -> None:
    """Write the file, one array a line."""
    given = inputs()
    values = [{"discount": d, "scope_rl": of_scope_rl(given, d), "paper": of_paper(given, d)} for d in DISCOUNTS]
    packages = {name: version(name) for name in ("scope-rl", "numpy", "scipy")}
    rows = ",\n".join(f'  "{name}": {json.dumps(row)}' for name, row in given.items())
    lines = [f' "versions": {json.dumps(packages)}', f' "inputs": {{\n{rows}\n }}', f' "values": {json.dumps(values)}']
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
