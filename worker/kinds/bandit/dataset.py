"""Logged decisions in memory: what was done in which context, what came of it, and how probable the choice was."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.policies import Policy
from worker.kinds.bandit.support import Support
from worker.kinds.bandit.truth import Truth

TRAIN, VALIDATION, TEST = 0, 1, 2
PER_ROUND = ("action", "reward", "propensity", "user", "position", "timestamp", "weight", "split")


@dataclass(frozen=True)
class BanditLog:
    """n rounds of a logging policy over A actions.

    `action` (n,) int32; `reward` (n,) float64; `propensity` (n,) float64 in (0, 1], the logging policy's probability
    of the logged action; `contexts` (U, d) float32, one row per distinct context, d may be 0; `context_index` (n,)
    int32, the row of every round, or None when round i has row i. `logging`: the whole logging policy where it is
    known; `support`: the actions it may take, where only those are. `targets`: uploaded target policies by name.
    `embeddings` (A, d_e) float32; `hierarchy` (levels, A) int32, group of every action from coarse to fine. `user`
    (n,): rounds of one user stay together in folds and resampling. `weight` (n,): how many rounds a row stands for.
    `reward_range`: declared bounds. `split` (n,) int8. `truth`: the expected rewards behind a simulated log.
    """

    action: NDArray[np.int32]
    reward: NDArray[np.float64]
    propensity: NDArray[np.float64]
    n_actions: int
    contexts: NDArray[np.float32]
    context_index: NDArray[np.int32] | None = None
    logging: Policy | None = None
    targets: dict[str, Policy] = field(default_factory=dict[str, Policy])
    embeddings: NDArray[np.float32] | None = None
    hierarchy: NDArray[np.int32] | None = None
    user: NDArray[np.int32] | None = None
    position: NDArray[np.int32] | None = None
    timestamp: NDArray[np.int64] | None = None
    weight: NDArray[np.float64] | None = None
    split: NDArray[np.int8] | None = None
    reward_range: tuple[float, float] | None = None
    action_ids: NDArray[np.str_] | None = None
    warnings: tuple[str, ...] = ()
    support: Support | None = None
    truth: Truth | None = None

    @property
    def n(self) -> int:
        """Number of rounds."""
        return len(self.action)

    @property
    def rows(self) -> NDArray[np.int32]:
        """Row of `contexts` of every round (n,)."""
        return np.arange(self.n, dtype=np.int32) if self.context_index is None else self.context_index

    @property
    def x(self) -> NDArray[np.float32]:
        """Context of every round (n, d)."""
        return self.contexts if self.context_index is None else self.contexts[self.context_index]

    @property
    def round_weight(self) -> NDArray[np.float64]:
        """How many rounds each row stands for (n,); ones where nothing else was given."""
        return np.ones(self.n) if self.weight is None else self.weight

    def take(self, rounds: NDArray[np.integer]) -> BanditLog:
        """The log of some rounds, with the policies on them."""
        columns = {name: values[rounds] for name in PER_ROUND if (values := getattr(self, name)) is not None}
        return replace(
            self,
            **columns,
            context_index=self.rows[rounds],
            logging=None if self.logging is None else self.logging.take(rounds),
            support=None if self.support is None else self.support.take(rounds),
            truth=None if self.truth is None else self.truth.take(rounds),
            targets={name: policy.take(rounds) for name, policy in self.targets.items()},
        )
