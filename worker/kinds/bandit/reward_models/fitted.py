"""What a fitted reward model q_hat(x, a) offers, and the two forms ours take.

`Bilinear` models need one product per policy row to be averaged under a policy, whatever the number of actions; any
other model is summed over the policy's support, or over all actions in blocks where the policy has no small support.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.expectation import Integers, expectation
from worker.kinds.bandit.policies import Floats, Policy


class FittedReward(Protocol):
    """A fitted reward model on the rounds of one log."""

    def at(self, rounds: Integers, actions: Integers) -> Floats:
        """Predictions (m,) for rounds (m,) and actions (m,)."""
        ...

    def under(self, policy: Policy, rounds: Integers) -> Floats:
        """sum_a pi(a|x_i) q_hat(x_i, a) (m,) for rounds (m,); `policy` covers all rounds of the log."""
        ...


@dataclass(frozen=True)
class Bilinear:
    """q_hat = constant[u] + left[u] . right[a], u the context of a round: (U,), (U, k), (A, k).

    `left` None stands for a column of ones (k = 1): a model additive in context and action.
    """

    context: NDArray[np.integer]  # (n,) context of every round
    constant: Floats
    left: Floats | None
    right: Floats

    def at(self, rounds: Integers, actions: Integers) -> Floats:
        """See `FittedReward`."""
        return self.of_context(self.context[rounds], actions)

    def of_context(self, contexts: Integers, actions: Integers) -> Floats:
        """Predictions (m,) for contexts (m,) and actions (m,)."""
        if self.left is None:
            return self.constant[contexts] + self.right[actions, 0]
        return self.constant[contexts] + np.einsum("nk,nk->n", self.left[contexts], self.right[actions])

    def under(self, policy: Policy, rounds: Integers) -> Floats:
        """See `FittedReward`."""
        return self.given_mean(policy.table.times(self.right), policy.rows[rounds], rounds)

    def given_mean(self, mean: Floats, rows: Integers, rounds: Integers) -> Floats:
        """The sum over actions from the mean of `right` under every row of a policy's table (n_rows, k)."""
        contexts = self.context[rounds]
        if self.left is None:
            return self.constant[contexts] + mean[rows, 0]
        return self.constant[contexts] + np.einsum("nk,nk->n", self.left[contexts], mean[rows])


@dataclass(frozen=True)
class Pointwise:
    """A model given by a function of (contexts (m,), actions (m,)); `context` (n,) is the context of every round."""

    context: NDArray[np.integer]
    n_actions: int
    predict: Callable[[Integers, Integers], Floats]

    def at(self, rounds: Integers, actions: Integers) -> Floats:
        """See `FittedReward`."""
        return self.predict(self.context[rounds], actions)

    def under(self, policy: Policy, rounds: Integers) -> Floats:
        """See `FittedReward`."""
        return expectation(policy, rounds, self.context[rounds], _OfContext(self))


@dataclass(frozen=True)
class _OfContext:
    model: Pointwise

    def at(self, states: Integers, actions: Integers) -> Floats:
        return self.model.predict(states, actions)

    def block(self, states: Integers) -> Floats:
        every = np.arange(self.model.n_actions)
        flat = self.model.predict(np.repeat(states, len(every)), np.tile(every, len(states)))
        return flat.reshape(len(states), len(every))
