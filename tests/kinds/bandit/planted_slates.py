"""Logs of slates whose truth is known by going through every slate there can be."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from tests.kinds.bandit.no_gain import no_gain
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import DenseTable, Policy
from worker.kinds.bandit.structures.slates import PropensityOf, SlateLog

Floats = np.ndarray


@dataclass(frozen=True)
class World:
    """Expected rewards `q` (types, slates, L) of every slate (slates, L) for each type of context."""

    slates: np.ndarray
    q: Floats

    def value(self, policy: Floats) -> float:
        """The value a slate of a policy (types, L, A) that fills positions independently."""
        return float((self.chance(policy) * self.q.sum(axis=2)).sum(axis=1).mean())

    def chance(self, policy: Floats) -> Floats:
        """Probability (types, slates) of every slate."""
        return np.prod([policy[:, p, self.slates[:, p]] for p in range(self.slates.shape[1])], axis=0)


def world(rng: np.random.Generator, types: int = 4, actions: int = 4, positions: int = 3, below: float = 0.0) -> World:
    """Rewards that fall after a good item above; with `below`, also by what stands below: no cascade."""
    appeal = rng.uniform(0.1, 0.9, (types, actions))
    slates = np.array(list(product(range(actions), repeat=positions)))
    shown = appeal[:, slates]
    above = np.concatenate([np.zeros((*shown.shape[:2], 1)), shown[:, :, :-1]], axis=2).cumsum(axis=2)
    under = np.concatenate([shown[:, :, 1:], np.zeros((*shown.shape[:2], 1))], axis=2)
    return World(slates, np.clip(shown * np.exp(-0.3 * above) * (1 - below * under), 0, 1))


def policies(rng: np.random.Generator, at: World, *, null: bool) -> tuple[Floats, Floats]:
    """A logging and a target policy (types, L, A); `null`: the target gains exactly nothing."""
    types, positions = at.q.shape[0], at.q.shape[2]
    actions = int(at.slates.max()) + 1
    logging = rng.dirichlet(np.full(actions, 2.0), (types, positions))
    best, worst = at.q.sum(axis=2).argmax(axis=1), at.q.sum(axis=2).argmin(axis=1)
    better, worse = (0.5 * np.eye(actions)[at.slates[end]] + 0.5 * logging for end in (best, worst))
    if not null:
        return logging, better
    return logging, no_gain(at.value, logging, better, worse)


def draw(
    rng: np.random.Generator,
    at: World,
    logging: Floats,
    target: Floats,
    slates: int,
    form: PropensityOf = "item_alone",
    *,
    whole: bool = False,
) -> SlateLog:
    """A log of slates, its target given whole; `whole`: the logging policy too."""
    kind = rng.integers(0, len(logging), slates)
    chance = at.chance(logging)
    shown = np.array([rng.choice(len(at.slates), p=chance[t]) for t in kind])
    action = at.slates[shown]
    reward = (rng.random(action.shape) < at.q[kind, shown]).astype(float)
    positions = action.shape[1]
    rows, place = np.repeat(kind, positions), np.tile(np.arange(positions), slates)
    own = logging[rows, place, action.ravel()]
    index = (rows * positions + place).astype(np.int32)

    def policy(table: Floats) -> Policy:
        return Policy(DenseTable(table.reshape(-1, table.shape[2])), index)

    log = BanditLog(
        action=action.ravel().astype(np.int32),
        reward=reward.ravel(),
        propensity=propensities(own.reshape(action.shape), form).ravel(),
        n_actions=target.shape[2],
        contexts=np.eye(len(logging), dtype=np.float32),
        context_index=rows.astype(np.int32),
        targets={"target": policy(target)},
        logging=policy(logging) if whole else None,
        position=place.astype(np.int32),
        user=np.repeat(np.arange(slates), positions).astype(np.int32),
        reward_range=(0.0, 1.0),
    )
    return SlateLog(log, np.repeat(np.arange(slates), positions).astype(np.int32), form)


def propensities(own: Floats, form: PropensityOf) -> Floats:
    """Of items filled independently (m, L), as the form says them."""
    joint = np.cumprod(own, axis=1)
    return {"prefix": joint, "slate": np.repeat(joint[:, -1:], own.shape[1], axis=1)}.get(form, own)


def upload(folder: Path, log: SlateLog) -> list[tuple[str, Path]]:
    """The log as CSV, its target as a column and as a policy of its own."""
    rows, target = log.log, log.log.targets["target"]
    lines = ["slate_id,position,item_id,click,pscore,target_probability_column,context_type"]
    chance = target.at(rows.action)
    lines += [
        f"{log.slate[i]},{rows.position[i]},{rows.action[i]},{rows.reward[i]:g},{rows.propensity[i]!r},{chance[i]!r},"
        f"t{rows.rows[i]}"
        for i in range(rows.n)
    ]
    (folder / "log.csv").write_text("\n".join(line.replace("np.float64(", "").replace(")", "") for line in lines))
    (folder / "target_policies").mkdir(exist_ok=True)
    np.savez(folder / "target_policies" / "whole.npz", probabilities=target.table.values, index=target.rows)
    return [(name, folder / name) for name in ("log.csv", "target_policies/whole.npz")]
