"""A reward model with coefficients of its own for every action: q_hat(x, a) = mean + [1, x] . theta_a.

What doubly robust learning needs: a model additive in context and action would value the same action everywhere. All
coefficients are shrunk towards zero, so an action seldom tried is worth the mean reward. The ridge is chosen on a fifth
of the rounds, then all are used.
"""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context
from worker.kinds.bandit.dataset import BanditLog, Standard
from worker.kinds.bandit.expectation import Integers
from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.reward_models.fitted import Bilinear

RIDGES = (1.0, 10.0, 100.0, 1000.0)
LARGEST = 50_000_000  # numbers of all the Gram matrices together


def fits_in_memory(log: BanditLog) -> bool:
    """Whether every action can have a Gram matrix of its own."""
    return log.n_actions * (log.contexts.shape[1] + 1) ** 2 <= LARGEST


def fit(
    log: BanditLog, rounds: Integers, *, weight: Floats | None = None, ctx: Context | None = None, seed: int = 0
) -> Bilinear:
    """Fit to rounds (m,) of a log; O(m d^2 + A d^3) for each of the ridges."""
    weights = log.round_weight[rounds] if weight is None else weight
    standard = Standard.of(log.contexts[log.rows[rounds]], weights)
    design: Floats = np.column_stack([np.ones(len(log.contexts)), standard(log.contexts).astype(np.float64)])
    held = np.random.default_rng(seed).random(len(rounds)) < 0.2
    mean = float(weights @ log.reward[rounds] / weights.sum())
    ridge = RIDGES[2]
    if held.any() and not held.all():
        tried = _solve(design, log, rounds[~held], weights[~held], mean, RIDGES, ctx)
        rows, actions = log.rows[rounds[held]], log.action[rounds[held]]
        errors = [
            weights[held] @ (log.reward[rounds[held]] - mean - np.einsum("nk,nk->n", design[rows], theta[actions])) ** 2
            for theta in tried
        ]
        ridge = RIDGES[int(np.argmin(errors))]
    theta = _solve(design, log, rounds, weights, mean, (ridge,), ctx)[0]
    return Bilinear(log.rows, np.full(len(design), mean), design, theta)


def _solve(
    design: Floats,
    log: BanditLog,
    rounds: Integers,
    weight: Floats,
    mean: float,
    ridges: tuple[float, ...],
    ctx: Context | None,
) -> list[Floats]:
    """Coefficients (A, d) for every ridge."""
    order = np.argsort(log.action[rounds], kind="stable")
    chosen, weights = rounds[order], weight[order]
    actions, rows = log.action[chosen], log.rows[chosen]
    edges = np.searchsorted(actions, np.arange(log.n_actions + 1))
    d = design.shape[1]
    found = [np.zeros((log.n_actions, d)) for _ in ridges]
    for action in range(log.n_actions):
        part = slice(edges[action], edges[action + 1])
        if part.start == part.stop:
            continue
        if ctx is not None and action % 64 == 0:
            ctx.progress(action, log.n_actions, phase="reward model")
        x = design[rows[part]]
        weighed = x * weights[part][:, None]
        gram, right = weighed.T @ x, weighed.T @ (log.reward[chosen[part]] - mean)
        for theta, ridge in zip(found, ridges, strict=True):
            theta[action] = np.linalg.solve(gram + ridge * np.eye(d), right)
    return found
