"""Which rounds a policy is trained on, chosen on, and judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.dataset import TEST, TRAIN, VALIDATION, BanditLog
from worker.numerics.gumbel import mix
from worker.contract.errors import JobError

SHARES = (0.7, 0.15)  # train and validation, where the log brings no split
FEWEST = 30


@dataclass(frozen=True)
class Parts:
    """Rounds of each part, ascending; no user is in two parts unless the log's own split puts him there."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def parts(log: BanditLog, seed: int = 0) -> Parts:
    """The log's own split; what it lacks is drawn from its training rounds, whole users at a time, by the seed."""
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
    return Parts(train, validation, test)


def _draws(log: BanditLog, rounds: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for every round, the same for all rounds of a user; evenly spread, so shares are exact."""
    units = rounds if log.user is None else log.user[rounds]
    _, unit = np.unique(units, return_inverse=True)
    count = int(unit.max()) + 1
    return (np.random.default_rng(mix(seed, 5)).permutation(count) / count)[unit]
