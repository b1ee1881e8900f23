"""Logged decisions in memory: what was done in which context, what came of it, and how probable the choice was.

Beside the log itself: which of its rounds a policy is trained on, chosen on and judged on, and how its contexts are
standardised. How a log is stored is in `worker.kinds.bandit.canonical`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.kinds.bandit.policies import Policy
from worker.kinds.bandit.support import Support
from worker.kinds.bandit.truth import Truth
from worker.numerics.seeds import mix

TRAIN, VALIDATION, TEST = 0, 1, 2
SHARES = (0.7, 0.15)  # train and validation, where the log brings no split
FEWEST = 30
PER_ROUND = ("action", "reward", "propensity", "user", "position", "timestamp", "weight", "split")


@dataclass(frozen=True)
class Segments:
    """A category of every round: `code` (n,) int32, numbers into `words`."""

    code: NDArray[np.int32]
    words: tuple[str, ...]


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
    `guardrails`: further rewards (n,) of the same rounds, by name; `segments`: categories of rounds, by name.
    `first_action`: id of action 0 where ids are numbers. `estimated`: the propensities were fitted to the log and not
    recorded with it; `attested`: the uploader attests that they were recorded when the actions were drawn.
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
    estimated: bool = False
    attested: bool = False
    first_action: int = 0
    guardrails: dict[str, NDArray[np.float64]] = field(default_factory=dict[str, NDArray[np.float64]])
    segments: dict[str, Segments] = field(default_factory=dict[str, Segments])

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
            guardrails={name: values[rounds] for name, values in self.guardrails.items()},
            segments={name: replace(one, code=one.code[rounds]) for name, one in self.segments.items()},
            targets={name: policy.take(rounds) for name, policy in self.targets.items()},
        )


@dataclass(frozen=True)
class Split:
    """Rounds of each part, ascending, int64; no user is in two parts unless the log's own split puts them there."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_rounds(log: BanditLog, seed: int = 0) -> Split:
    """The log's own split; what it lacks is drawn from its training rounds, whole users at a time, by the seed.

    Raises `JobError` too_few_rounds below 30 training rounds.
    """
    split = np.full(log.n, TRAIN, np.int8) if log.split is None else log.split
    train, validation, test = (np.flatnonzero(split == part) for part in (TRAIN, VALIDATION, TEST))
    if len(train) < FEWEST:
        raise JobError(
            "too_few_rounds",
            f"There are {len(train)} rounds to learn from; {FEWEST} is the fewest.",
            hint="Add rounds.",
        )
    draw = _draws(log, train, seed)
    if not len(test):
        train, test, draw = train[draw < sum(SHARES)], train[draw >= sum(SHARES)], draw[draw < sum(SHARES)]
        draw = draw / sum(SHARES)
    if not len(validation):
        share = SHARES[0] / sum(SHARES)
        train, validation = train[draw < share], train[draw >= share]
    return Split(train, validation, test)


def training_part(log: BanditLog) -> BanditLog:
    """The rounds a summary may be made of; all of them where the log was never split."""
    return log if log.split is None else log.take(np.flatnonzero(log.split == TRAIN))


def _draws(log: BanditLog, rounds: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for every round, the same for all rounds of a user; evenly spread, so shares are exact."""
    units = rounds if log.user is None else log.user[rounds]
    _, unit = np.unique(units, return_inverse=True)
    count = int(unit.max()) + 1
    return (np.random.default_rng(mix(seed, 5)).permutation(count) / count)[unit]


@dataclass(frozen=True)
class Standard:
    """Centre and scale (d,) float32 of the contexts, taken from training rounds; constant columns become zero."""

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def of(cls, x: NDArray[np.floating], weight: NDArray[np.floating] | None = None) -> Standard:
        """Weighted mean and inverse standard deviation of the rows of (m, d)."""
        share = np.full(len(x), 1.0 / len(x)) if weight is None else weight / weight.sum()
        centre = share @ x.astype(np.float64)
        spread = np.sqrt(share @ (x - centre) ** 2)
        flat = spread <= 1e-9 * np.maximum(np.abs(centre), 1.0)
        return cls(centre.astype(np.float32), np.where(flat, 0.0, 1.0 / np.where(flat, 1, spread)).astype(np.float32))

    def __call__(self, x: NDArray[np.floating]) -> NDArray[np.float32]:
        """Standardised contexts (m, d) float32."""
        return ((x - self.centre) * self.scale).astype(np.float32)
