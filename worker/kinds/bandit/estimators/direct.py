"""The direct method: the reward model's mean under the target policy, no weights."""

from __future__ import annotations

import numpy as np

from worker.kinds.bandit.estimators.per_round import Floats, PerRound, Terms


def model_of(terms: Terms) -> tuple[Floats, Floats]:
    """The reward model at the logged action and its mean under the target (n,), (n,); zeros where there is none."""
    none = np.zeros(len(terms.reward))
    return none if terms.q_logged is None else terms.q_logged, none if terms.dm is None else terms.dm


def direct_method(terms: Terms) -> PerRound:
    """DM: mean(dm). As biased as its reward model, whatever the number of rounds."""
    _, dm = model_of(terms)
    return PerRound(dm, np.zeros(len(dm)), rounds=terms.rounds)
