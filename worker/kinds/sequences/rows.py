"""Rows of different length in two flat arrays, as CSR has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Row r is `items[indptr[r] : indptr[r + 1]]`. `indptr`: int64 (n + 1,); `items`: int32 (events,), 0 to V - 1."""

    indptr: np.ndarray
    items: np.ndarray

    @classmethod
    def of(cls, rows: list[list[int]] | list[np.ndarray]) -> Rows:
        """From one list of items a row."""
        lengths = [len(row) for row in rows]
        items = np.concatenate([np.asarray(row, np.int32) for row in rows]) if rows else np.zeros(0, np.int32)
        return cls(bounds(np.array(lengths, np.int64)), items.astype(np.int32))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Events of each row, int64 (n,)."""
        return np.diff(self.indptr)

    def row(self, number: int) -> np.ndarray:
        """The items of one row, in order."""
        return self.items[self.indptr[number] : self.indptr[number + 1]]

    def take(self, rows: np.ndarray) -> Rows:
        """These rows, in this order."""
        lengths = self.lengths[rows]
        return Rows(bounds(lengths), self.items[places(self.indptr[rows], lengths)])

    def last(self, most: int) -> Rows:
        """Of every row its last `most` events."""
        lengths = np.minimum(self.lengths, most)
        return Rows(bounds(lengths), self.items[places(self.indptr[1:] - lengths, lengths)])

    def owners(self) -> np.ndarray:
        """The number of the row of each event, int64 (events,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def followed(self) -> np.ndarray:
        """The numbers of the events that another one of their row comes after, int64."""
        inner = np.ones(len(self.items), bool)
        inner[self.indptr[1:][self.lengths > 0] - 1] = False
        return np.flatnonzero(inner)

    def pairs(self, items: int) -> tuple[np.ndarray, np.ndarray]:
        """Of every pair (item, next item) over V `items`: its row, and item * V + next item, int64 both."""
        at = self.followed()
        return self.owners()[at], self.items[at].astype(np.int64) * items + self.items[at + 1]

    def padded(self, rows: np.ndarray, pad: int, width: int = 0, *, left: bool = False) -> np.ndarray:
        """Rows (b,) as a table int64 (b, width or the longest), filled up with `pad` behind their ends, or before."""
        lengths = self.lengths[rows]
        width = width or int(lengths.max(initial=1))
        table = np.full((len(rows), width), pad, np.int64)
        at = np.arange(width)
        filled = at >= (width - lengths)[:, None] if left else at < lengths[:, None]
        table[filled] = self.items[places(self.indptr[rows], lengths)]
        return table


def bounds(lengths: np.ndarray) -> np.ndarray:
    """The bounds of rows of these lengths, int64 (n + 1,)."""
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


def places(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, ..., start + length - 1 of every row, one behind the other, int64."""
    begins = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) + np.repeat(np.asarray(starts, np.int64) - begins, lengths)
