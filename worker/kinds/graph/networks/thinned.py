"""Features of which a part is dropped at every step: stored entries of a sparse matrix, all entries of a dense one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.kinds.graph.features import Features
from worker.kinds.graph.networks.products import Factor, Sparse


@dataclass(frozen=True)
class Thinned:
    """Constant features (n, d). `order`: where the entries of the transpose lie among those of the matrix."""

    whole: Factor
    order: Tensor | None = None

    @classmethod
    def of(cls, x: Features, device: str) -> Thinned:
        """From scipy or numpy."""
        if not sparse.issparse(x):
            return cls(torch.from_numpy(np.ascontiguousarray(x)).to(device))
        rows = sparse.csr_array(x, dtype=np.float32)
        rows.sort_indices()
        places = sparse.csr_array((np.arange(1, rows.nnz + 1), rows.indices, rows.indptr), shape=rows.shape)
        turned = places.T.tocsr()
        turned.sort_indices()
        return cls(Sparse.of(rows, device), torch.from_numpy(turned.data.astype(np.int64) - 1).to(device))

    def thinned(self, rate: float) -> Factor:
        """Each entry dropped with probability `rate`, the others over 1 - rate."""
        if self.order is None or isinstance(self.whole, Tensor):
            assert isinstance(self.whole, Tensor)  # noqa: S101 - dense features have no order
            return torch.nn.functional.dropout(self.whole, rate)
        values = torch.nn.functional.dropout(self.whole.matrix.values(), rate)
        return Sparse(_with(self.whole.matrix, values), _with(self.whole.transposed, values[self.order]))


def _with(matrix: Tensor, values: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(
            matrix.crow_indices(), matrix.col_indices(), values, matrix.shape, check_invariants=False
        )
