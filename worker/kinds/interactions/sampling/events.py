"""Samplers that keep or drop single events: uniform, stratified by user, and the latest of every user.

`stratified` and `temporal` follow the published rule "of a user with n events drop ceil(p n)" (arXiv:2201.04768,
official code), which keeps floor(k n) of them for a share k = 1 - p. Over all users that is fewer than the share k, and
for short rows none at all. Here k is raised until the asked number of events is kept exactly: the j-th event of a user
(j = 1, 2, ..., in random order or from the latest back) enters at k = j / n. So light users still vanish first.
"""

from __future__ import annotations

import numpy as np

from worker.contract.errors import JobError
from worker.kinds.interactions.sampling.order import Order, TrainEvents


def uniform(events: TrainEvents, rng: np.random.Generator) -> Order:
    """All events in random order."""
    return Order(rng.permutation(np.arange(len(events), dtype=np.int32)))


def stratified(events: TrainEvents, rng: np.random.Generator) -> Order:
    """An equal share of every user's events, at random; equal claims go in random order."""
    return _by_share(events, rng.random(len(events)), rng.random(len(events)))


def temporal(events: TrainEvents, rng: np.random.Generator) -> Order:
    """An equal share of every user's events, the latest; equal claims go to the later event, then in random order.

    Raises `JobError` `invalid_input` where events have no time.
    """
    if events.timestamp is None:
        raise JobError(
            "invalid_input",
            "Keeping the latest events needs timestamps, and this dataset has none.",
            hint="Upload it with a time column, or use the method stratified.",
        )
    mixed = rng.permutation(len(events))
    age = np.empty(len(events))
    age[mixed[np.argsort(-events.timestamp[mixed], kind="stable")]] = np.arange(len(events)) / len(events)
    return _by_share(events, age, age)


def _by_share(events: TrainEvents, lots: np.ndarray, ties: np.ndarray) -> Order:
    """Events by j / n, j the rank from 1 of an event among its user's n by `lots`; equal ones by `ties`. Both (N,) in
    [0, 1).
    """
    count = events.per_user
    first = np.concatenate(([0], np.cumsum(count)[:-1]))
    by_user = np.argsort(events.user + lots)
    share = np.empty(len(events))
    share[by_user] = (np.arange(1, len(events) + 1) - first[events.user]) / count[events.user]
    # Two different shares are at least 1 / n^2 apart: half of that only settles ties.
    share += ties / (2.0 * max(2, int(count.max())) ** 2)
    return Order.of_events(share)
