"""Rows in their order of time: who did what first, packed for models that read one event after the other.

A table of rows carries its order as values: a CSR table over the same events, whose value is the place of the event in
its row, from 1. Slicing, sorting and stacking such a table cannot lose the order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Sequences:
    """Sequences one after the other: `items` (e,) int64, of which sequence s has `starts[s]` to `starts[s + 1]`."""

    items: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, places: sparse.csr_array, longest: int) -> Sequences:
        """The last `longest` events of each row of a table of places (n, I), the earliest first."""
        row = np.repeat(np.arange(places.shape[0]), np.diff(places.indptr))
        order = np.lexsort((places.data, row))
        length = np.diff(places.indptr)
        rank = np.arange(len(row)) - places.indptr[:-1][row]  # `row` is unchanged by the order
        kept = length[row] - rank <= longest
        starts = np.concatenate(([0], np.cumsum(np.minimum(length, longest))))
        return cls(places.indices[order][kept].astype(np.int64), starts.astype(np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Events of each sequence (s,)."""
        return np.diff(self.starts)

    def padded(self, chosen: np.ndarray, blank: int) -> np.ndarray:
        """These sequences as one table (b, longest), filled up with `blank` behind their ends."""
        lengths = self.lengths[chosen]
        steps = np.arange(int(lengths.max(initial=0)))
        there = steps < lengths[:, None]
        place = np.minimum(self.starts[chosen][:, None] + steps, max(0, len(self.items) - 1))
        return np.where(there, self.items[place], blank) if len(self.items) else np.full(there.shape, blank)


def batches(lengths: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """All sequences in batches of `size` (one may be smaller), those of like length together, in random order."""
    order = np.lexsort((rng.random(len(lengths)), lengths))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    return [parts[number] for number in rng.permutation(len(parts))]


def places(user: np.ndarray, item: np.ndarray, timestamp: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    """The table (U, I) of each event's place in its user's order of time, from 1; equal times by item."""
    order = np.lexsort((item, timestamp, user))
    row = user[order]
    first = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=shape[0]))))
    place = np.arange(len(row)) - first[row] + 1
    return sparse.csr_array((place.astype(np.float32), (row, item[order])), shape=shape)
