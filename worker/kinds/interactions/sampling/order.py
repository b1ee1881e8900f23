"""Training events as columns, and the order in which a sampler keeps them.

A sampler does not make one subset but an order: events come in units (an event, all events of a user or of an item,
what a node of the graph adds), and a sample of any size is the longest run of units from the start that fits. Hence
every sampler's smaller samples lie within its larger ones at the same seed, and six sizes cost one run.

Sizes are shares of the *events*, for every sampler. The official code removes users or nodes until at least a share
p of the events is gone; the longest run that fits is the same set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.splits import TRAIN


@dataclass(frozen=True)
class TrainEvents:
    """The training events of a dataset in columns (N,), sorted by user, then item, no pair twice.

    `user`, `item`: int32, below `n_users` U and `n_items` I. `user_ids`, `item_ids`: as the user named them. `rating`
    float32 and `timestamp` int64 (N,), or None.
    """

    user: np.ndarray
    item: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    rating: np.ndarray | None = None
    timestamp: np.ndarray | None = None

    @classmethod
    def of(cls, data: Interactions) -> TrainEvents:
        """The training part of a dataset."""
        kept = data.events.split == TRAIN
        events = data.events if kept.all() else data.events.take(kept)
        return cls(events.user, events.item, data.user_ids, data.item_ids, events.rating, events.timestamp)

    def __len__(self) -> int:
        return len(self.user)

    @property
    def n_users(self) -> int:
        """Users U, those without training events included."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Items I, likewise."""
        return len(self.item_ids)

    @cached_property
    def per_user(self) -> np.ndarray:
        """Events of each user (U,)."""
        return np.bincount(self.user, minlength=self.n_users)

    @cached_property
    def per_item(self) -> np.ndarray:
        """Events of each item (I,)."""
        return np.bincount(self.item, minlength=self.n_items)

    def rows(self, kept: np.ndarray | None = None) -> sparse.csr_array:
        """The events, or those where a mask (N,) is true, as 0/1 rows (U, I) float32."""
        user, item = (self.user, self.item) if kept is None else (self.user[kept], self.item[kept])
        ends = np.concatenate(([0], np.cumsum(np.bincount(user, minlength=self.n_users))))
        return sparse.csr_array((np.ones(len(user), np.float32), item, ends), shape=(self.n_users, self.n_items))


@dataclass(frozen=True)
class Order:
    """`place` (N,): the number of the unit that each event is in, units being kept from 0 on; some may be empty."""

    place: np.ndarray

    @classmethod
    def of_events(cls, priority: np.ndarray) -> Order:
        """Single events, those of the least `priority` (N,) first."""
        place = np.empty(len(priority), np.int32)
        place[np.argsort(priority, kind="stable")] = np.arange(len(priority), dtype=np.int32)
        return cls(place)

    @classmethod
    def of_groups(cls, group: np.ndarray, sequence: np.ndarray) -> Order:
        """All events of a group at once. `group` (N,): of each event; `sequence`: groups with events, in order."""
        return cls(positions(sequence, int(sequence.max(initial=-1)) + 1)[group])

    def events(self, most: int) -> np.ndarray:
        """Mask (N,) of the longest run of units with at most `most` events; the first unit with events in any case."""
        inside = np.cumsum(np.bincount(self.place))
        units = int(np.searchsorted(inside, max(most, int(inside[inside > 0][0])), side="right"))
        return self.place < units

    def units(self, count: int) -> np.ndarray:
        """Mask (N,) of the first `count` units that have events."""
        filled = np.flatnonzero(np.bincount(self.place))
        return self.place <= filled[min(count, len(filled)) - 1]


def positions(sequence: np.ndarray, size: int) -> np.ndarray:
    """At which place of a sequence each of the numbers below `size` stands, int32 (size,); `size` where at none."""
    found = np.full(size, size, np.int32)
    found[sequence] = np.arange(len(sequence), dtype=np.int32)
    return found
