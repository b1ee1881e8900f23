"""Products of sparse rows with many sparse rows by their postings: of each term, the rows that hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from worker.numerics.compiled import WARM_UPS, compiled


@dataclass(frozen=True)
class Postings:
    """Rows (n, v) by term: `indptr` int64 (v + 1,), `rows` int32 (z,), `values` float32 (z,)."""

    n: int
    indptr: np.ndarray
    rows: np.ndarray
    values: np.ndarray

    @staticmethod
    def of(matrix: sparse.csr_matrix) -> Postings:
        """Of rows."""
        by_term = sparse.csc_matrix(matrix)
        indptr, rows = by_term.indptr.astype(np.int64), by_term.indices.astype(np.int32)
        return Postings(matrix.shape[0], indptr, rows, by_term.data.astype(np.float32))

    def products(self, queries: sparse.csr_matrix) -> np.ndarray:
        """Of every query (q, v) with every row: float32 (q, n), which has to fit in memory."""
        out = np.zeros((queries.shape[0], self.n), np.float32)
        _add(*_parts(queries), self.indptr, self.rows, self.values, out)
        return out

    def nearest(self, queries: sparse.csr_matrix, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k rows with the largest products above 0, best first, ties to the smaller row: int32 and float32 (q, k).

        Where there are fewer, -1 and 0.
        """
        found = np.full((queries.shape[0], k), -1, np.int32)
        products = np.zeros((queries.shape[0], k), np.float32)
        _nearest(*_parts(queries), self.indptr, self.rows, self.values, self.n, found, products)
        return found, products


def _parts(queries: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return queries.indptr.astype(np.int64), queries.indices.astype(np.int32), queries.data.astype(np.float32)


@compiled
def _add(
    starts: np.ndarray, terms: np.ndarray, weights: np.ndarray, indptr: Any, rows: Any, values: Any, out: Any
) -> None:
    for query in range(len(starts) - 1):
        for place in range(starts[query], starts[query + 1]):
            term, weight = terms[place], weights[place]
            for at in range(indptr[term], indptr[term + 1]):
                out[query, rows[at]] += weight * values[at]


@compiled
def _nearest(
    starts: np.ndarray, terms: np.ndarray, weights: np.ndarray, indptr: Any, rows: Any, values: Any, n: int,
    found: Any, products: Any,
) -> None:  # fmt: skip
    k = found.shape[1]
    total = np.zeros(n, np.float32)
    touched = np.empty(n, np.int32)
    seen = np.zeros(n, np.bool_)
    for query in range(len(starts) - 1):
        count = 0
        for place in range(starts[query], starts[query + 1]):
            term, weight = terms[place], weights[place]
            for at in range(indptr[term], indptr[term + 1]):
                row = rows[at]
                if not seen[row]:
                    seen[row] = True
                    touched[count] = row
                    count += 1
                total[row] += weight * values[at]
        kept = 0
        for number in range(count):
            row = touched[number]
            product = total[row]
            total[row] = 0
            seen[row] = False
            if product <= 0:
                continue
            place = kept  # insertion into the k best, which are few
            while place > 0 and (
                products[query, place - 1] < product
                or (products[query, place - 1] == product and found[query, place - 1] > row)
            ):
                if place < k:
                    products[query, place] = products[query, place - 1]
                    found[query, place] = found[query, place - 1]
                place -= 1
            if place < k:
                products[query, place] = product
                found[query, place] = row
                kept = min(kept + 1, k)


def _warm_up() -> None:
    rows = sparse.csr_matrix(np.eye(2, dtype=np.float32))
    Postings.of(rows).products(rows)
    Postings.of(rows).nearest(rows, 1)


WARM_UPS.append(_warm_up)
