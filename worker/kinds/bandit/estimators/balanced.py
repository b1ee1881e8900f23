"""Balanced importance weighting: density ratios from a classifier, for logs without propensities.

A classifier tells rounds as logged (class 0) from the same contexts with an action drawn from the target (class 1);
its odds are pi(a|x) / mu(a|x), self-normalised by `snips` (Arbour et al. 2021).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import Floats, Policy

CATEGORIES = 255


def balanced_weight(log: BanditLog, target: Policy, *, seed: int = 0, draws: int = 1) -> Floats:
    """Weights (n,) for `snips`; `draws` target actions a round make class 1 steadier.

    Boosted trees on [x, e], or on [x, action as a category] up to 255 actions, so that the ratio may depend on the
    context; above, without embeddings, the log-odds of each action's frequencies alone (a ratio that does not depend
    on the context). The log's propensities are not used.
    """
    rng = np.random.default_rng(seed)
    chosen = np.concatenate([draw(target, rng) for _ in range(draws)])
    share = log.round_weight
    if log.embeddings is None and log.n_actions > CATEGORIES:
        taken = np.bincount(log.action, share, log.n_actions)
        wanted = np.bincount(chosen, np.tile(share, draws), log.n_actions) / draws
        return (wanted[log.action] + 1.0 / log.n_actions) / (taken[log.action] + 1.0 / log.n_actions)
    logged, drawn = _features(log, log.rows, log.action), _features(log, np.tile(log.rows, draws), chosen)
    settings: dict[str, Any] = {
        "categorical_features": None if log.embeddings is not None else [logged.shape[1] - 1],
        "random_state": seed,
        "early_stopping": False,
        "l2_regularization": 1.0,
    }
    model = HistGradientBoostingClassifier(**settings)
    sides = np.repeat([0, 1], [len(logged), len(drawn)])
    weight = np.concatenate([share, np.tile(share, draws) / draws])
    model.fit(np.concatenate([logged, drawn]), sides, sample_weight=weight)
    return np.exp(model.decision_function(logged).astype(np.float64))


def estimated_propensity(log: BanditLog, *, smoothing: float = 1e-3) -> Floats:
    """Propensities (n,) of logs that lack them: multinomial logistic regression of the action on x.

    Only for small action sets (fit cost n * A). Estimates are mixed with the uniform policy by `smoothing`; whoever
    uses them marks the result, since every estimator inherits their error.
    """
    model = LogisticRegression(max_iter=500).fit(log.x, log.action, sample_weight=log.round_weight)
    column = np.searchsorted(model.classes_, log.action)
    found = model.predict_proba(log.x)[np.arange(log.n), column]
    return (1.0 - smoothing) * found + smoothing / log.n_actions


def draw(policy: Policy, rng: np.random.Generator) -> NDArray[np.int32]:
    """One action a round (n,) from a policy; few actions a row are searched among themselves, others in blocks."""
    uniform = rng.random(policy.n_rounds)
    entries = policy.table.support(policy.rows)
    if entries is not None:
        totals = np.concatenate([[0.0], np.cumsum(entries.data, dtype=np.float64)])
        start, end = totals[entries.indptr[:-1]], totals[entries.indptr[1:]]
        place = np.searchsorted(totals, start + uniform * (end - start), side="right") - 1
        return entries.indices[np.clip(place, entries.indptr[:-1], entries.indptr[1:] - 1)].astype(np.int32)
    chosen = np.empty(policy.n_rounds, np.int32)
    for rounds, block in policy.blocks():
        cumulative = np.cumsum(block, axis=1)
        level = uniform[rounds] * cumulative[:, -1]
        chosen[rounds] = np.minimum((cumulative <= level[:, None]).sum(axis=1), policy.n_actions - 1)
    return chosen


def _features(log: BanditLog, rows: NDArray[np.integer], actions: NDArray[np.integer]) -> NDArray[np.float32]:
    of_action = actions[:, None].astype(np.float32) if log.embeddings is None else log.embeddings[actions]
    return np.column_stack([log.contexts[rows], of_action])
