"""The best labels of documents by their scores, the same on every machine: ties go to the label of the lower number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import Cancelled
from worker.kinds.labels.dataset import LabelSet

_ASKED_AT_ONCE = 2_048
CELLS = 8_000_000
"""Scores held at once: batches of documents times labels stay below."""


class Model(Protocol):
    """A trained model."""

    def top(self, documents: LabelSet, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best of `documents.candidates` for every document, best first: labels int32 (n, k), -1 where there are
        no more, and scores float32 (n, k), -inf there."""
        ...


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest of each row of scores (b, L), best first, ties by the lower column; -inf is never among them.

    Returns columns int32 (b, k), -1 where fewer are finite, and their scores float32 (b, k).
    """
    rows, width = scores.shape
    wanted = min(k, width)
    labels, best = np.full((rows, k), -1, np.int32), np.full((rows, k), -np.inf, np.float32)
    if not rows or not wanted:
        return labels, best
    least = np.partition(scores, width - wanted, axis=1)[:, width - wanted]
    among = (scores >= least[:, None]) & (scores > -np.inf)
    for row in range(rows):
        columns = np.flatnonzero(among[row])
        order = columns[np.argsort(-scores[row, columns], kind="stable")][:wanted]
        labels[row, : len(order)], best[row, : len(order)] = order, scores[row, order]
    return labels, best


def batches(count: int, labels: int) -> Iterator[slice]:
    """Documents in batches whose scores of all labels stay below `CELLS`."""
    size = max(1, CELLS // max(labels, 1))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def top_of(documents: LabelSet, k: int, scores: Callable[[slice], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """`Model.top` for a model that scores a batch of documents for all labels, (b, L)."""
    labels, best = np.empty((len(documents), k), np.int32), np.empty((len(documents), k), np.float32)
    for batch in batches(len(documents), documents.labels):
        dense = np.asarray(scores(batch), np.float32)
        if not documents.candidates.all():
            dense = np.where(documents.candidates, dense, -np.inf)
        labels[batch], best[batch] = top_k(dense, k)
    return labels, best


def permitted(model: Model, documents: LabelSet, k: int, ctx: Context) -> np.ndarray:
    """The k best labels int32 (n, k) of every document, barred pairs passed over; -1 where there are no more.

    Asked in parts, between which a stop is obeyed: raises `Cancelled`.
    """
    found = [np.empty((0, k), np.int32)]
    for start in range(0, len(documents), _ASKED_AT_ONCE):
        if ctx.cancelled:
            raise Cancelled
        rows = np.arange(start, min(start + _ASKED_AT_ONCE, len(documents)))
        found.append(_permitted(model, documents.take(rows), k))
    return np.concatenate(found)


def _permitted(model: Model, documents: LabelSet, k: int) -> np.ndarray:
    if documents.barred is None:
        return model.top(documents, k)[0]
    found = np.full((len(documents), k), -1, np.int32)
    count = np.diff(documents.barred.indptr)
    # As many more labels are asked for as are barred, rounded up to a power of two: what a document is asked follows
    # from its own pairs, and one with very many takes memory for itself alone.
    more = np.where(count > 0, 2 ** np.ceil(np.log2(np.maximum(count, 1))), 0).astype(np.int64)
    for each in np.unique(more):
        rows, width = np.flatnonzero(more == each), min(k + int(each), max(k, documents.labels))
        for start in range(0, len(rows), size := max(1, CELLS // width)):
            asked = rows[start : start + size]
            for row, ranked in zip(asked, model.top(documents.take(asked), width)[0], strict=True):
                barred = documents.barred.indices[documents.barred.indptr[row] : documents.barred.indptr[row + 1]]
                kept = ranked[~np.isin(ranked, barred)][:k]
                found[row, : len(kept)] = kept
    return found
