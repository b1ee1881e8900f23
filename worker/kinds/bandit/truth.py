"""The expected rewards a simulated log was drawn from: what its policies are really worth, beside the estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.expectation import expectation
from worker.kinds.bandit.policies import Floats, Policy


@dataclass(frozen=True)
class Truth:
    """q(x, a) = E[r | x, a]: `values` (U, A) float32; round i has row `index[i]`, without `index` row i."""

    values: NDArray[np.float32]
    index: NDArray[np.int32] | None = None

    @property
    def rows(self) -> NDArray[np.int32]:
        """Row of every round (n,)."""
        return np.arange(len(self.values), dtype=np.int32) if self.index is None else self.index

    def take(self, rounds: NDArray[np.integer]) -> Truth:
        """The truth of some of the rounds."""
        return Truth(self.values, self.rows[rounds])

    def at(self, states: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
        """Expected rewards (m,) in the rows `states` (m,)."""
        return self.values[states, actions].astype(np.float64)

    def block(self, states: NDArray[np.integer]) -> Floats:
        """Expected rewards (m, A) of every action; the caller keeps m * A small."""
        return self.values[states].astype(np.float64)

    def value(self, policy: Policy, weight: NDArray[np.float64] | None = None) -> float:
        """mean_i sum_a pi(a|x_i) q(x_i, a) over the log's rounds: the policy's value on these contexts."""
        rounds = np.arange(policy.n_rounds)
        return float(np.average(expectation(policy, rounds, self.rows, self), weights=weight))
