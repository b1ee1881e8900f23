"""Handwritten digits as a bandit log with deficient support: the data set that ships with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from worker.kinds.bandit.dataset import BanditLog, split_rounds
from worker.kinds.bandit.policies import dense


@dataclass(frozen=True)
class Digits:
    """The log, the right digit (n,) of every round and the logging probabilities (U, 10)."""

    log: BanditLog
    label: np.ndarray
    logging: np.ndarray

    def test_value(self, policy: np.ndarray) -> float:
        """Stochastic value of a policy (n, 10) on the test rounds."""
        test = split_rounds(self.log, 0).test
        return float(policy[test, self.label[test]].mean())


@cache
def digits(share: int = 1) -> Digits:
    """Reward 1 for the right digit; the logging policy saw 60 labels and never tries what it finds unlikely."""
    x, label = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    few = rng.permutation(len(x))[:60]
    logging = LogisticRegression().fit(x[few] / 16, label[few]).predict_proba(x / 16)
    logging[logging <= 0.02] = 0
    logging /= logging.sum(1, keepdims=True)
    row = np.repeat(np.arange(0, len(x), share, dtype=np.int32), 3)
    action = (logging[row].cumsum(1) > rng.random((len(row), 1))).argmax(1).astype(np.int32)
    log = BanditLog(
        action,
        (action == label[row]).astype(np.float64),
        logging[row, action],
        10,
        x.astype(np.float32),
        context_index=row,
        logging=dense(logging, row),
        reward_range=(0.0, 1.0),
    )
    return Digits(log, label[row], logging[row])
