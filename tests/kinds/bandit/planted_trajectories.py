"""Logs of trajectories through a small chain of states, whose values follow by going backwards through it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.kinds.bandit.no_gain import no_gain
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import DenseTable, Policy
from worker.kinds.bandit.structures.trajectories import TrajectoryLog


@dataclass(frozen=True)
class World:
    """Expected rewards `q` (S, A), chances `move` (S, A, S) of the next state; what lacks to 1 ends the trajectory."""

    q: np.ndarray
    move: np.ndarray
    steps: int

    def value(self, policy: np.ndarray, discount: float = 1.0) -> float:
        """Value of a policy (S, A) from a state at random."""
        v = np.zeros(len(self.q))
        for _ in range(self.steps):
            v = (policy * (self.q + discount * self.move @ v)).sum(axis=1)
        return float(v.mean())


def world(rng: np.random.Generator, states: int = 4, actions: int = 3, steps: int = 4, ends: float = 0.1) -> World:
    """Random constants; `ends`: the chance that a step is the last."""
    q = rng.uniform(0.05, 0.95, (states, actions))
    return World(q, (1 - ends) * rng.dirichlet(np.ones(states), (states, actions)), steps)


def policies(rng: np.random.Generator, at: World, *, null: bool) -> tuple[np.ndarray, np.ndarray]:
    """A logging and a target policy (S, A); `null`: the target gains exactly nothing."""
    states, actions = at.q.shape
    logging = rng.dirichlet(np.full(actions, 4.0), states)
    better, worse = (0.5 * np.eye(actions)[pick(at.q, axis=1)] + 0.5 * logging for pick in (np.argmax, np.argmin))
    if not null:
        return logging, better
    return logging, no_gain(at.value, logging, better, worse)


def draw(
    rng: np.random.Generator,
    at: World,
    logging: np.ndarray,
    target: np.ndarray,
    trajectories: int,
    *,
    whole: bool = False,
) -> TrajectoryLog:
    """A log, its target given whole; `whole`: the logging policy too."""
    states, actions = at.q.shape
    state = rng.integers(0, states, trajectories)
    alive = np.arange(trajectories)
    rows: list[np.ndarray] = []
    for step in range(at.steps):
        here = state[alive]
        action = (logging[here].cumsum(axis=1) < rng.random(len(alive))[:, None]).sum(axis=1).clip(0, actions - 1)
        reward = rng.random(len(alive)) < at.q[here, action]
        rows.append(np.stack([alive, np.full(len(alive), step), here, action, reward], axis=1))
        following = (at.move[here, action].cumsum(axis=1) < rng.random(len(alive))[:, None]).sum(axis=1)
        state[alive] = np.minimum(following, states - 1)
        alive = alive[following < states]
    table = np.concatenate(rows)
    where, step, here, action, reward = table.T
    index = here.astype(np.int32)
    log = BanditLog(
        action=action.astype(np.int32),
        reward=reward.astype(float),
        propensity=logging[here, action],
        n_actions=actions,
        contexts=np.eye(states, dtype=np.float32),
        context_index=index,
        targets={"target": Policy(DenseTable(target), index)},
        logging=Policy(DenseTable(logging), index) if whole else None,
        user=where.astype(np.int32),
        reward_range=(0.0, 1.0),
    )
    return TrajectoryLog(log, where.astype(np.int32), step.astype(np.int32))


def upload(folder: Path, data: TrajectoryLog) -> list[tuple[str, Path]]:
    """The log as CSV, its target as a column and as a policy of its own."""
    log, target = data.log, data.log.targets["target"]
    chance = target.at(log.action)
    lines = ["episode_id,t,action,reward,propensity,target_probability_column,x_state"]
    lines += [
        f"{data.trajectory[i]},{data.step[i]},{log.action[i]},{log.reward[i]:g},{float(log.propensity[i])!r},"
        f"{float(chance[i])!r},s{log.rows[i]}"
        for i in range(log.n)
    ]
    (folder / "log.csv").write_text("\n".join(lines))
    (folder / "target_policies").mkdir(exist_ok=True)
    np.savez(folder / "target_policies" / "whole.npz", probabilities=target.table.values, index=target.rows)
    return [(name, folder / name) for name in ("log.csv", "target_policies/whole.npz")]
