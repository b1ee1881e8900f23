"""No reward model: predicts zero, so DR is IPS and DM is 0."""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.expectation import Integers
from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.reward_models.fitted import Bilinear


def fit(log: BanditLog, rounds: Integers, *, weight: Floats | None = None, ctx: Context | None = None) -> Bilinear:
    """The model that predicts zero."""
    return Bilinear(log.rows, np.zeros(len(log.contexts)), None, np.zeros((log.n_actions, 1)))
