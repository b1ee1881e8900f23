"""Cheap picks of real rows in the order in which a simple rule takes them, and a Gram matrix of so many bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import arrays, coded_weights, index_bytes, plain_bytes
from worker.kinds.interactions.histories import Histories
from worker.kinds.interactions.item_features import ItemFeatures
from worker.kinds.interactions.rows import ItemGram, UserRows
from worker.kinds.interactions.splits import TRAIN

Rows = sparse.csr_array


@dataclass(frozen=True)
class Queue:
    """Rows in the order in which a rule takes them: `order` (m,) are row numbers of `rows`, which have `form`."""

    rows: UserRows
    order: np.ndarray
    form: str

    @property
    def lengths(self) -> np.ndarray:
        """Events of each, in the order (m,)."""
        return np.diff(self.rows.matrix.indptr)[self.order]

    def first(self, count: int) -> UserRows:
        """The first `count` of them, in the order of their numbers."""
        return self.rows.take(np.sort(self.order[:count]))

    def fitting(self, size: int) -> int:
        """How many of them take at most `size` bytes together; one at least."""
        each = 4 + (self.form == "weighted") + index_bytes(self.rows.items) * self.lengths
        left = size - plain_bytes(arrays(self.first(0), self.form))
        return max(1, int(np.searchsorted(np.cumsum(each), left, side="right")))

    def within(self, size: int) -> UserRows:
        """The first that take at most `size` bytes together; one at least."""
        return self.first(self.fitting(size))


@dataclass(frozen=True)
class Pool:
    """A dataset to pick from; `timed`: rows of its users carry their order of time."""

    data: Interactions
    timed: bool = False

    @cached_property
    def users(self) -> UserRows:
        """The training rows of all users, empty ones included."""
        places = self.data.part(TRAIN, in_order=True) if self.timed else None
        return UserRows(self.data.train, self.data.weights, places, self.features)

    @cached_property
    def features(self) -> ItemFeatures | None:
        """What is known of the items, where rows carry their order, in which alone a learner reads it."""
        return self.data.item_features() if self.timed and self.data.item_features is not None else None

    def in_order(self, rows: UserRows, row_ids: np.ndarray | None) -> UserRows:
        """Rows of a summary with the order of time of the real users' events that they are made of; as they are, where
        they hold anything else or there is no order."""
        table = self.users.places
        if table is None or row_ids is None:
            return rows
        number = {user: row for row, user in enumerate(self.data.user_ids.tolist())}
        users = [number.get(user, -1) for user in np.asarray(row_ids).tolist()]
        if min(users, default=-1) < 0:
            return rows
        kept = Rows((rows.matrix > 0) * Rows(table[users]))
        return rows if kept.nnz < rows.matrix.nnz else replace(rows, places=kept, features=self.features)

    @cached_property
    def histories(self) -> Histories:
        """Its distinct training rows."""
        return Histories.of(self.data)

    @property
    def form(self) -> str:
        """The form in which rows of users are delivered."""
        return "hard" if self.data.weights is None else "weighted"

    @property
    def repeats(self) -> bool:
        """Whether any two users share a history."""
        return len(self.histories.rows) < len(self.histories.source)

    def queue(self, method: str, seed: Sequence[int]) -> Queue:
        """All rows in the order of a method: the most frequent histories or the longest rows first, or at random."""
        if method == "frequent-histories":
            rows = UserRows(self.histories.rows.matrix, coded_weights(self.histories.rows.mass))
            return Queue(rows, self.histories.by_frequency(), "weighted")
        rows = self.users
        lengths = np.diff(rows.matrix.indptr)
        if method == "head-users":
            order = np.lexsort((self.data.user_ids, -lengths))[: np.count_nonzero(lengths)]
        else:
            order = np.random.default_rng(list(seed)).permutation(np.flatnonzero(lengths))
        return Queue(rows, order, self.form)


def sparse_gram(rows: UserRows, size: int) -> ItemGram | None:
    """The Gram matrix of weighted rows without its smallest pairs, at most `size` bytes; None where not even the
    counts of the most popular items fit.

    An item takes 8 bytes, a pair 3. Where all items would take more than half, the less popular ones are left out.
    """
    index = index_bytes(rows.items)
    fixed, item, pair = 4, 4 + 2 * index, 1 + index
    scaled = rows.scaled()
    counts = rows.counts
    most = min(int(np.count_nonzero(counts)), max(1, (size - fixed) // (2 * item)))
    items = np.sort(np.argsort(-counts, kind="stable")[:most])
    left = (size - fixed - item * most) // pair
    if left < 0:
        return None
    own = scaled[:, items]
    square = sparse.coo_array(sparse.triu(own.T @ own, 1))
    kept = np.argsort(-square.data, kind="stable")[:left]
    values = coded_weights(square.data[kept]) if len(kept) else square.data[kept]
    row, column = items[square.row[kept]], items[square.col[kept]]
    place = (np.concatenate([items, row, column]), np.concatenate([items, column, row]))
    both = np.concatenate([counts[items].astype(np.float32), values, values])
    return ItemGram(Rows((both, place), shape=(rows.items, rows.items), dtype=np.float32))
