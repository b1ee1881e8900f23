"""ItemKNN: an item's score is the sum of its similarities to the items that a user has (Deshpande and Karypis 2004).

Similarity of items is the cosine of their columns, shrunk where they were seen together seldom: c_ij / (|x_i| |x_j| +
shrink), C = X^T W X; of each item the `neighbours` most similar others count. Rows weigh by what they stand for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import sparse
from torch import Tensor

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.interactions.rows import UserRows
from worker.numerics.gram import gram

NEIGHBOURS = (10, 50, 200, 800)
SHRINKS = (0, 5, 50)
_BLOCK = 256
_KEPT_BYTES = 400 * 10**6  # C is kept between trainings up to this size, and made again in blocks above it


@dataclass(frozen=True)
class Cooccurrences:
    """What trainings share: `columns`, the columns of W^1/2 X as rows (I, n), their `norms` (I,), and C (I, I) where it
    is small enough."""

    columns: sparse.csr_array
    norms: np.ndarray
    whole: np.ndarray | None
    device: str

    @classmethod
    def of(cls, rows: UserRows, device: str = "cpu") -> Cooccurrences:
        """Of rows (n, I): one pass over their events."""
        columns = sparse.csr_array(rows.scaled().T)
        norms = np.sqrt(np.asarray(columns.multiply(columns).sum(axis=1)).ravel())
        small = 4 * columns.shape[0] ** 2 <= _KEPT_BYTES
        return cls(columns, norms, _numpy(gram(columns, device=device)) if small else None, device)

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Items (b,) and their rows of C (b, I) float32, which the caller may change."""
        for start in range(0, self.columns.shape[0], _BLOCK):
            items = np.arange(start, min(start + _BLOCK, self.columns.shape[0]))
            if self.whole is not None:
                yield items, self.whole[items].copy()
            else:
                yield items, _numpy(gram(sparse.csr_array(self.columns[items]), self.columns, device=self.device))

    def fit(self, settings: Settings, ctx: Context) -> ItemKNN:
        """Of each item the `neighbours` most similar others, at `shrink`."""
        most, shrink = int(settings["neighbours"]), float(settings["shrink"])
        parts: list[sparse.csr_array] = []
        for items, similar in self.blocks():
            ctx.progress(int(items[0]), self.columns.shape[0])
            below = self.norms[items, None] * self.norms[None, :]
            below += max(shrink, np.finfo(np.float32).tiny)
            similar /= below
            similar[np.arange(len(items)), items] = 0
            parts.append(_largest(similar, most))
        # Rows are the items that get a score, so the columns of the weights.
        return ItemKNN(sparse.csr_array(sparse.vstack(parts).T))


def _numpy(matrix: Tensor) -> np.ndarray:
    return matrix.cpu().numpy()


def _largest(values: np.ndarray, most: int) -> sparse.csr_array:
    """The `most` largest positive values of each row (b, I), equal ones by lower index, as CSR."""
    kept = values > 0
    if most < values.shape[1]:
        bound = -np.partition(-values, most - 1, axis=1)[:, most - 1]  # from its end numpy is five times slower
        kept &= values >= bound[:, None]
        for row in np.flatnonzero(kept.sum(axis=1) > most):  # ties at the end
            equal = np.flatnonzero(values[row] == bound[row])
            kept[row, equal[most - np.count_nonzero(values[row] > bound[row]) :]] = False
    row, column = np.nonzero(kept)
    starts = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=len(values)))))
    return sparse.csr_array((values[row, column], column, starts), shape=values.shape)


@dataclass(frozen=True)
class ItemKNN:
    """Similarities (I, I), CSR float32: a column holds the neighbours of the item that it scores."""

    weights: sparse.csr_array

    def scores(self, inputs: sparse.csr_array) -> np.ndarray:
        """Q S (q, I) float32 for rows of inputs (q, I)."""
        return np.asarray((inputs @ self.weights).toarray(), np.float32)


@learner(
    kind="interactions",
    name="item-knn",
    label="ItemKNN",
    usual=False,
    settings=tuple({"neighbours": n, "shrink": s} for n, s in product(NEIGHBOURS, SHRINKS)),
)
def item_knn(rows: UserRows, params: Any, ctx: Context) -> Cooccurrences:
    """ItemKNN on rows (n, I), tuned over neighbours and shrinkage."""
    return Cooccurrences.of(rows, ctx.device)
