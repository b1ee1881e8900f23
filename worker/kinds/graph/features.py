"""What is done to the features of a graph before anything is computed from them, and undone nowhere.

Citation graphs with bags of words are scaled so that every row sums to 1, others to mean 0 and deviation 1 over the
TRAIN rows alone. Whoever trains on a condensed graph must do the same to the original graph before predicting on it, so
a transform travels with every summary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse

Name = Literal["none", "row", "standard"]
Features = np.ndarray | sparse.csr_array
"""float32 (N, d): dense, or CSR where most entries are 0."""
SPARSE_BELOW = 0.2  # share of entries other than 0 up to which rows are kept sparse


@dataclass(frozen=True)
class Transform:
    """`none`; `row`: every row over the sum of its absolute values; `standard`: (x - mean) / scale, (d,) float32."""

    name: Name = "none"
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None

    @classmethod
    def fitted(cls, name: Name, x: Features, train: np.ndarray) -> Transform:
        """The transform of this name; mean and scale are those of the rows `train`. A constant column has scale 1."""
        if name != "standard":
            return cls(name)
        rows = x[train].toarray() if sparse.issparse(x) else np.asarray(x[train])
        mean = rows.mean(axis=0, dtype=np.float64)
        scale = np.sqrt(np.maximum(rows.var(axis=0, dtype=np.float64), 0))
        scale[scale < 1e-12] = 1.0
        return cls(name, mean.astype(np.float32), scale.astype(np.float32))

    def __call__(self, x: Features) -> Features:
        """The features transformed, float32; dense ones of `standard`."""
        if self.name == "none":
            return x
        if self.name == "row":
            sums = np.asarray(abs(x) @ np.ones(x.shape[1]), dtype=np.float64)
            inverse = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0).astype(np.float32)
            if sparse.issparse(x):
                return sparse.csr_array(sparse.diags_array(inverse) @ x, dtype=np.float32)
            return x * inverse[:, None]
        dense = x.toarray() if sparse.issparse(x) else np.array(x, dtype=np.float32)
        dense -= self.mean
        dense /= self.scale
        return dense

    def to_json(self) -> dict[str, Any]:
        """JSON for `transform.json`."""
        found: dict[str, Any] = {"name": self.name}
        if self.mean is not None and self.scale is not None:
            found |= {"mean": self.mean.tolist(), "scale": self.scale.tolist()}
        return found

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Transform:
        """Back from its JSON."""
        arrays = [np.asarray(stored[key], np.float32) if key in stored else None for key in ("mean", "scale")]
        return cls(stored["name"], *arrays)


def usual(x: Features) -> Name:
    """`row` for counts and weights of words (nothing negative, most entries 0), else `standard`."""
    values = x.data if sparse.issparse(x) else x
    filled = np.count_nonzero(values) / max(1, x.shape[0] * x.shape[1])
    lowest = values.min() if values.size else 0
    return "row" if lowest >= 0 and filled < 0.5 else "standard"


def compact(x: Features) -> Features:
    """The same features as float32: CSR where few entries are other than 0, else dense."""
    if sparse.issparse(x):
        rows = sparse.csr_array(x, dtype=np.float32)
        rows.sum_duplicates()
        rows.eliminate_zeros()
        return rows if rows.nnz < SPARSE_BELOW * max(1, rows.shape[0] * rows.shape[1]) else rows.toarray()
    dense = np.ascontiguousarray(x, dtype=np.float32)
    return sparse.csr_array(dense) if np.count_nonzero(dense) < SPARSE_BELOW * dense.size else dense


def rows_of(x: Features, rows: np.ndarray) -> Features:
    """Some rows, sparse where all are."""
    return sparse.csr_array(x[rows]) if sparse.issparse(x) else np.asarray(x[rows])


def dense(x: Features) -> np.ndarray:
    """float32 (n, d)."""
    return x.toarray() if sparse.issparse(x) else np.asarray(x, dtype=np.float32)
