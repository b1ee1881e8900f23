"""A model of the reward given context and dose, cross-fitted: what the doubly robust estimator leans on."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from worker.contract.context import Context
from worker.kinds.bandit.dataset import Standard
from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.structures.doses import DoseLog

DoseModel = Literal["quadratic", "gbdt"]
MOST_PAIRS = 400  # columns of context times dose
RIDGE = 1.0


def crossfit_doses(log: DoseLog, target: Floats, model: DoseModel, folds: int, ctx: Context) -> tuple[Floats, Floats]:
    """Predictions (n,) at the logged dose and at the target's, by models that saw no round of the same user."""
    owner = np.arange(log.n) if log.user is None else log.user
    _, group = np.unique(owner, return_inverse=True)
    fold = (np.random.default_rng(ctx.seed).permutation(int(group.max()) + 1) % folds)[group]
    x = np.asarray(Standard.of(log.x)(log.x), np.float64)
    centre, scale = float(log.dose.mean()), float(log.dose.std()) or 1.0
    logged, expected = np.zeros(log.n), np.zeros(log.n)
    fit = _quadratic if model == "quadratic" else _trees
    for k in range(folds):
        ctx.progress(k, folds, phase="reward model")
        train, held = fold != k, fold == k
        if not train.any() or not held.any():
            continue
        both = np.concatenate([log.dose[held], target[held]])
        found = fit(
            (x[train], (log.dose[train] - centre) / scale, log.reward[train]),
            (np.concatenate([x[held], x[held]]), (both - centre) / scale),
            ctx.seed,
        )
        logged[held], expected[held] = np.split(found, 2)
    return logged, expected


def _quadratic(seen: tuple[Floats, Floats, Floats], asked: tuple[Floats, Floats], _: int) -> Floats:
    """Ridge on context, dose, its square, and their products with the context where these are not too many."""
    design, wanted = _columns(*seen[:2]), _columns(*asked)
    penalty = np.full(design.shape[1], RIDGE)
    penalty[0] = 1e-6
    return wanted @ np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ seen[2])


def _columns(x: Floats, dose: Floats) -> Floats:
    bent = np.stack([dose, dose**2], axis=1)
    parts = [np.ones((len(x), 1)), x, bent]
    if 0 < 2 * x.shape[1] <= MOST_PAIRS:
        parts.append((x[:, :, None] * bent[:, None, :]).reshape(len(x), -1))
    return np.concatenate(parts, axis=1)


def _trees(seen: tuple[Floats, Floats, Floats], asked: tuple[Floats, Floats], seed: int) -> Floats:
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees: Any = HistGradientBoostingRegressor(max_iter=100, max_leaf_nodes=15, random_state=seed % 2**32)
    trees.fit(np.column_stack(seen[:2]), seen[2])
    predicted: NDArray[np.float64] = trees.predict(np.column_stack(asked))
    return predicted
