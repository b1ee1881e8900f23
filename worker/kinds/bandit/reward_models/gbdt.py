"""Gradient boosted trees on [x, e], or on [x, action as a category] for up to 255 actions without embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.expectation import Integers
from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.reward_models.fitted import Pointwise

CATEGORIES = 255  # what the histogram of a categorical feature holds
CHUNK = 262_144


def fit(
    log: BanditLog,
    rounds: Integers,
    *,
    weight: Floats | None = None,
    ctx: Context | None = None,
    iterations: int = 100,
) -> Pointwise:
    """Trees on squared loss, or on log-loss for 0/1 rewards (scikit-learn's histogram boosting).

    Errors: `embedding_required` for more than 255 actions without embeddings.
    """
    if log.embeddings is None and log.n_actions > CATEGORIES:
        raise JobError(
            "embedding_required",
            f"boosted trees tell at most {CATEGORIES} actions apart without action embeddings",
            hint="upload action_embeddings, or use reward_model ridge or logistic",
        )
    weights = log.round_weight[rounds] if weight is None else weight
    reward = log.reward[rounds]
    classes = np.unique(reward)
    binary = len(classes) == 2 and classes[0] == 0 and classes[1] == 1
    settings: dict[str, Any] = {
        "max_iter": iterations,
        "categorical_features": None if log.embeddings is not None else [log.contexts.shape[1]],
        "random_state": 0 if ctx is None else ctx.seed % 2**32,
        "early_stopping": False,
    }
    model = HistGradientBoostingClassifier(**settings) if binary else HistGradientBoostingRegressor(**settings)
    model.fit(_features(log, log.rows[rounds], log.action[rounds]), reward, sample_weight=weights)

    def predict(contexts: Integers, actions: Integers) -> Floats:
        found = np.empty(len(contexts))
        for start in range(0, len(contexts), CHUNK):
            part = slice(start, start + CHUNK)
            if ctx is not None:
                ctx.progress(start, len(contexts), phase="reward model")
            features = _features(log, contexts[part], actions[part])
            if isinstance(model, HistGradientBoostingClassifier):
                found[part] = model.predict_proba(features)[:, 1]
            else:
                found[part] = model.predict(features)
        return found

    return Pointwise(log.rows, log.n_actions, predict)


def _features(log: BanditLog, contexts: Integers, actions: Integers) -> NDArray[np.float32]:
    of_action = actions[:, None].astype(np.float32) if log.embeddings is None else log.embeddings[actions]
    return np.column_stack([log.contexts[contexts], of_action])
