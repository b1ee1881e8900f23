"""Normalised propagation of features over edges, in blocks of columns.

Â = D^-1/2 (A + I) D^-1/2 with D the row sums of A + I (arXiv:1609.02907, equation 2). H_k = Â^k X is computed a block
of columns at a time, so that of the powers no more than two blocks and the rows asked for are ever held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import sparse

from worker.kinds.graph.features import Features

Operator = sparse.csr_array
BLOCK_BYTES = 128_000_000


def normalised(adjacency: sparse.csr_array) -> Operator:
    """Â (N, N) float32 of a symmetric adjacency (N, N) without self-loops; an isolated node has Â_ii = 1."""
    n = adjacency.shape[0]
    looped = sparse.csr_array(adjacency + sparse.eye_array(n, dtype=np.float32, format="csr"))
    degrees = np.asarray(looped.sum(axis=1, dtype=np.float64)).ravel()
    inverse = (1.0 / np.sqrt(degrees)).astype(np.float32)
    owner = np.repeat(np.arange(n), np.diff(looped.indptr))
    data = looped.data * inverse[owner]
    data *= inverse[looped.indices]
    return Operator((data.astype(np.float32, copy=False), looped.indices, looped.indptr), shape=looped.shape)


def powers(
    operator: Operator,
    x: Features,
    hops: int,
    rows: np.ndarray | None = None,
    tick: Callable[[], None] = lambda: None,
) -> list[np.ndarray]:
    """[H_0, ..., H_hops], each dense float32 (rows, d): the propagated features of some nodes, all by default.

    `tick` is called after every block and hop.
    """
    n, d = x.shape
    count = n if rows is None else len(rows)
    found = [np.empty((count, d), np.float32) for _ in range(hops + 1)]
    for columns, block in _blocks(x):
        for hop in range(hops + 1):
            if hop:
                last = hop == hops and rows is not None and count < n // 2
                block = (operator[rows] if last else operator) @ block
                found[hop][:, columns] = block if last or rows is None else block[rows]
            else:
                found[0][:, columns] = block if rows is None else block[rows]
            tick()
    return found


def propagated(
    operator: Operator,
    x: Features,
    hops: int,
    rows: np.ndarray | None = None,
    tick: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """H_hops alone, dense float32 (rows, d): the lower powers of a block are dropped with it."""
    return combined(operator, x, [0.0] * hops + [1.0], rows, tick)


def combined(
    operator: Operator,
    x: Features,
    weights: list[float],
    rows: np.ndarray | None = None,
    tick: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """sum_k weights[k] H_k, dense float32 (rows, d)."""
    n, d = x.shape
    if rows is not None and (few := _from_rows(operator, x, weights, rows)) is not None:
        tick()
        return few
    count = n if rows is None else len(rows)
    found = np.zeros((count, d), np.float32)
    for columns, block in _blocks(x):
        for hop, weight in enumerate(weights):
            last = hop == len(weights) - 1
            if hop:
                only = last and rows is not None and count < n // 2
                block = (operator[rows] if only else operator) @ block
            else:
                only = False
            if weight:
                part = block if only or rows is None else block[rows]
                found[:, columns] += part if weight == 1.0 else np.float32(weight) * part
            tick()
    return found


def _from_rows(operator: Operator, x: Features, weights: list[float], rows: np.ndarray) -> np.ndarray | None:
    """The same from the sparse rows of the powers of Â, (rows, N) times X: where few nodes are within reach of the
    rows, that takes a small part of the time. None where it would not."""
    n, count = operator.shape[0], len(rows)
    filled = x.nnz / max(1, n) if sparse.issparse(x) else x.shape[1]
    most = min(operator.nnz * x.shape[1] / (4 * max(1.0, filled)), 4 * operator.nnz)
    reach = Operator((np.ones(count, np.float32), rows, np.arange(count + 1)), shape=(count, n))
    total = reach * np.float32(weights[0])
    for weight in weights[1:]:
        reach = reach @ operator
        if reach.nnz > most:
            return None
        if weight:
            total = total + reach * np.float32(weight)
    found = total @ x
    return np.asarray(found.toarray() if sparse.issparse(found) else found, dtype=np.float32)


def _blocks(x: Features) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of columns, dense float32 (N, block), with where they lie."""
    n, d = x.shape
    width = max(1, min(d, BLOCK_BYTES // (4 * max(1, n))))
    by_column = x.tocsc() if sparse.issparse(x) else x
    for start in range(0, d, width):
        columns = slice(start, min(start + width, d))
        part = by_column[:, columns]
        yield columns, part.toarray() if sparse.issparse(part) else np.ascontiguousarray(part, dtype=np.float32)
