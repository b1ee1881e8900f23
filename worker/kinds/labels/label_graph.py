"""The label correlation graph of ECLARE (arXiv:2108.00261, section 4): which labels are met together.

A walk that is at a label goes to a random document that has it, then to a random label of that document. With Y the
(n, L) matrix of targets, D_N the numbers of labels of documents and D_L those of documents of labels, that is a step of

    T = D_L^-1 Y^T D_N^-1 Y,        row-stochastic, (L, L).

The published walk takes 400 steps from each label; every step starts anew from that label with probability 0.8. How
often it visits others tends to 0.8 sum_h 0.2^h T^(h+1), whose first three terms are 99.2 % of it: `visits` sums them,
so that no random number is drawn; `walk` draws them, as published, with a seed.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

RESTART, STEPS, NEIGHBOURS, POPULAR = 0.8, 400, 10, 500
_TERMS, _LEAST = 3, 1e-3


def transitions(targets: sparse.csr_matrix) -> sparse.csr_matrix:
    """T of targets (n, L) 0/1: float64 (L, L); the rows of labels that no document has are empty.

    A document of more than 1,000 labels leads nowhere: each of them is visited by less than the thousandth that
    `visits` drops, and together they would take memory by the square of their number.
    """
    by_document = _scaled_rows(_without_rows(targets, np.diff(targets.indptr) * _LEAST > 1))
    return sparse.csr_matrix(_scaled_rows(sparse.csr_matrix(targets.T)) @ by_document)


def visits(step: sparse.csr_matrix, least: float = _LEAST) -> sparse.csr_matrix:
    """0.8 sum_h 0.2^h T^(h+1) to three terms: shares of visits, (L, L). Entries below `least` are dropped."""
    power = _without(step, least)
    total = RESTART * power
    for hop in range(1, _TERMS):
        power = _without(sparse.csr_matrix(power @ step), least)
        total = total + RESTART * (1 - RESTART) ** hop * power
    return sparse.csr_matrix(total)


def walk(targets: sparse.csr_matrix, rng: np.random.Generator, steps: int = STEPS) -> sparse.csr_matrix:
    """Shares of visits in one walk of so many steps from each label: (L, L). All labels walk side by side."""
    documents = sparse.csr_matrix(targets.T)  # of each label
    count = targets.shape[1]
    start = np.flatnonzero(np.diff(documents.indptr) > 0)
    at, found = start.copy(), sparse.csr_matrix((count, count))
    held: list[np.ndarray] = []
    for number in range(steps):
        at = np.where((rng.random(len(start)) < RESTART) | (number == 0), start, at)
        document = _one_of(documents, at, rng)
        at = _one_of(targets, document, rng).astype(np.int64)
        held.append(at)
        if len(held) == 50 or number == steps - 1:  # so that a walk of many steps holds few of them
            ends = np.concatenate(held)
            found = found + sparse.coo_matrix(
                (np.full(len(ends), 1 / steps), (np.tile(start, len(held)), ends)), (count, count)
            )
            held = []
    return sparse.csr_matrix(found)


def nearest(shares: sparse.csr_matrix, neighbours: int = NEIGHBOURS) -> sparse.csr_matrix:
    """The most visited labels of each, ties to the smaller number; the diagonal is always there, at least as large."""
    shares = sparse.csr_matrix(shares)
    shares.sort_indices()
    rows, columns, values = [], [], []
    for label in range(shares.shape[0]):
        at = slice(shares.indptr[label], shares.indptr[label + 1])
        others, share = shares.indices[at], shares.data[at]
        best = np.argsort(-share, kind="stable")[:neighbours]
        if label not in others[best]:
            own = share[others == label]
            columns.append([label])
            values.append([own[0] if len(own) and own[0] > 0 else share[best].max(initial=0.0) or 1.0])
            rows.append([label])
        rows.append(np.full(len(best), label))
        columns.append(others[best])
        values.append(share[best])
    flat = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_matrix(sparse.coo_matrix(flat, shares.shape))


def without_popular(targets: sparse.csr_matrix, most: int = POPULAR) -> sparse.csr_matrix:
    """Targets in which labels of more than `most` documents are missing: they would link everything to everything."""
    counts = np.bincount(targets.indices, minlength=targets.shape[1])
    kept = sparse.csr_matrix(targets, copy=True)
    kept.data = np.where(counts[kept.indices] > most, 0, kept.data)
    kept.eliminate_zeros()
    return kept


def agreeing(graph: sparse.csr_matrix, vectors: np.ndarray) -> sparse.csr_matrix:
    """The graph without edges between labels whose text vectors (L, d) have a cosine below 0; the diagonal stays."""
    edges = sparse.coo_matrix(graph)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    start, end = edges.row, edges.col
    kept = (np.einsum("ed,ed->e", unit[start], unit[end]) >= 0) | (start == end)
    return sparse.csr_matrix(sparse.coo_matrix((edges.data[kept], (start[kept], end[kept])), graph.shape))


def normalised(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """G = D_r^(-1/2) A D_c^(-1/2) with the sums of rows and columns."""
    row, column = (np.asarray(graph.sum(axis=axis)).ravel() for axis in (1, 0))
    return sparse.csr_matrix(sparse.diags(_root(row)) @ graph @ sparse.diags(_root(column)))


def row_stochastic(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows divided by their sums; empty ones stay."""
    return _scaled_rows(graph)


def _scaled_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    total = np.asarray(matrix.sum(axis=1), np.float64).ravel()
    scale = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    return sparse.csr_matrix(sparse.diags(scale) @ matrix)


def _without_rows(matrix: sparse.csr_matrix, rows: np.ndarray) -> sparse.csr_matrix:
    """The matrix with these rows (bool) empty; itself where there are none."""
    if not rows.any():
        return matrix
    kept = sparse.csr_matrix(matrix, copy=True)
    kept.data[np.repeat(rows, np.diff(kept.indptr))] = 0
    kept.eliminate_zeros()
    return kept


def _root(values: np.ndarray) -> np.ndarray:
    return np.divide(1, np.sqrt(values), out=np.zeros_like(values), where=values > 0)


def _without(matrix: sparse.csr_matrix, least: float) -> sparse.csr_matrix:
    kept = sparse.csr_matrix(matrix, copy=True)
    kept.data[kept.data < least] = 0
    kept.eliminate_zeros()
    return kept


def _one_of(matrix: sparse.csr_matrix, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random column of each of these rows, none of them empty."""
    first = matrix.indptr[rows]
    lengths = matrix.indptr[rows + 1] - first
    return matrix.indices[first + (rng.random(len(rows)) * lengths).astype(np.int64)]
