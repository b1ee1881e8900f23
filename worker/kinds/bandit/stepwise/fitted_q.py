"""Fitted Q evaluation over the steps of units: what a target earns from a step on, by backward regression.

From the last step to the first, the reward of the step plus the discounted value of the next one is regressed on the
state and what was done; the value is the mean over what the target does there (Le, Voloshin and Yue 2019, for a finite
horizon; for slates the model inside Cascade-DR, Kiyohara et al. 2022). Units are predicted by models that did not see
them, nor other units of their user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog, Standard
from worker.kinds.bandit.policies import Floats, Policy
from worker.kinds.bandit.reward_models.crossfit import assign_folds
from worker.kinds.bandit.structures.layout import Layout

QModel = Literal["linear", "gbdt"]
MOST_ONE_HOT = 50  # actions that have a column each
MOST_OF_TREES = 200  # actions
MOST_PAIRS = 400  # columns of state times action
RIDGE = 1.0
_FEWEST = 20  # rows of a step to fit trees to


@dataclass(frozen=True)
class FittedQ:
    """`logged` (m, L): Q at what was done; `expected` (m, L): V under the target; both discounted from the first step,
    so that they may stand beside discounted rewards; 0 at steps that a unit does not have.
    """

    logged: Floats
    expected: Floats


def fitted_q(
    log: BanditLog,
    layout: Layout,
    policy: Policy,
    model: QModel,
    folds: int,
    *,
    discount: float = 1.0,
    above: bool = False,
    ctx: Context,
) -> FittedQ:
    """Cross-fitted Q and V of a target; `above`: the action of the step before belongs to the state."""
    if model == "gbdt" and log.n_actions > MOST_OF_TREES:
        raise JobError(
            "invalid_params",
            f"Trees ask for every action in turn, and there are {log.n_actions:,}; {MOST_OF_TREES} is the most.",
            hint="Choose q_model linear.",
            pointer="/params/q_model",
        )
    table = action_features(log)
    state = _states(log, layout, table if above else None)
    logged, expected = np.zeros(layout.rows.shape), np.zeros(layout.rows.shape)
    fold = assign_folds(log, folds, ctx.seed)[layout.rows[:, 0]]
    mean = policy.times(table) if model == "linear" else None
    total = int(fold.max()) + 1
    for k in range(total):
        following = np.zeros(layout.units)
        train = fold != k
        for step in range(layout.steps - 1, -1, -1):
            ctx.progress(k * layout.steps + layout.steps - step, total * layout.steps, phase="fitted Q")
            here = np.flatnonzero(layout.present[:, step])
            rows = layout.rows[here, step]
            goal = log.reward[rows] + discount * following[here]
            seen = train[here]
            done = table[log.action[rows]]
            if mean is not None:
                theta = _ridge(_pairs(state[rows[seen]], done[seen]), goal[seen])
                q, v = _pairs(state[rows], done) @ theta, _pairs(state[rows], mean[rows]) @ theta
            else:
                q, v = _trees(state[rows], log.action[rows], table, policy.dense(rows), goal, seen, ctx.seed)
            following[here] = v
            held = here[~seen]
            logged[held, step], expected[held, step] = q[~seen], v[~seen]
    scale = discount ** np.arange(layout.steps)
    return FittedQ(logged * scale, expected * scale)


def action_features(log: BanditLog) -> Floats:
    """A row an action (A, k): a column each up to 50 actions; above, the embeddings, else how often it was taken."""
    if log.n_actions <= MOST_ONE_HOT:
        return np.eye(log.n_actions)
    if log.embeddings is not None:
        return np.asarray(Standard.of(np.asarray(log.embeddings))(np.asarray(log.embeddings)), np.float64)
    counts = np.bincount(log.action, minlength=log.n_actions)
    return np.log1p(counts)[:, None] / np.log1p(counts.max())


def _states(log: BanditLog, layout: Layout, table: Floats | None) -> Floats:
    """Standardised context of every row (n, d), with the features of the action above where `table` is given."""
    x = np.asarray(Standard.of(log.x)(log.x), np.float64)
    if table is None:
        return x
    before = np.zeros((log.n, table.shape[1]))
    follows = layout.present[:, 1:]
    before[layout.rows[:, 1:][follows]] = table[log.action[layout.rows[:, :-1][follows]]]
    return np.concatenate([x, before], axis=1)


def _pairs(state: Floats, action: Floats) -> Floats:
    """1, state, action, and where that is not too wide their products: linear in the action's features."""
    parts = [np.ones((len(state), 1)), state, action]
    if 0 < state.shape[1] * action.shape[1] <= MOST_PAIRS:
        parts.append((state[:, :, None] * action[:, None, :]).reshape(len(state), -1))
    return np.concatenate(parts, axis=1)


def _ridge(design: Floats, goal: Floats) -> Floats:
    """Ridge coefficients; the constant is hardly penalised."""
    penalty = np.full(design.shape[1], RIDGE)
    penalty[0] = 1e-6
    return np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ goal)


def _trees(
    state: Floats,
    action: NDArray[np.integer],
    table: Floats,
    policy: Floats,
    goal: Floats,
    seen: NDArray[np.bool_],
    seed: int,
) -> tuple[Floats, Floats]:
    """Q at the action (r,) and V (r,) by boosted trees on state and action."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    if seen.sum() < _FEWEST:
        middle = float(goal[seen].mean()) if seen.any() else 0.0
        return np.full(len(goal), middle), np.full(len(goal), middle)
    trees: Any = HistGradientBoostingRegressor(max_iter=50, max_leaf_nodes=15, random_state=seed % 2**32)
    trees.fit(np.concatenate([state, table[action]], axis=1)[seen], goal[seen])
    every = np.zeros(policy.shape)
    for a in range(policy.shape[1]):
        taken = np.broadcast_to(table[a], (len(state), table.shape[1]))
        every[:, a] = trees.predict(np.concatenate([state, taken], axis=1))
    return every[np.arange(len(action)), action], (policy * every).sum(axis=1)
