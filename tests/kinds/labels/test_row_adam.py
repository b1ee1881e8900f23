"""Adam of some rows of a table moves them as torch's SparseAdam does."""

from __future__ import annotations

import torch

from worker.kinds.labels.networks.row_adam import RowAdam


def test_rows_move_as_with_sparse_adam() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(9, 4, generator=generator)
    mine, theirs = start.clone(), torch.nn.Parameter(start.clone())
    adam, other = RowAdam(mine), torch.optim.SparseAdam([theirs], lr=0.1)
    for step in range(6):
        rows = torch.randperm(9, generator=generator)[:3]
        gradient = torch.randn(3, 4, generator=generator)
        for group in other.param_groups:
            group["lr"] = 0.1 / (step + 1)
        theirs.grad = torch.sparse_coo_tensor(rows[None], gradient, (9, 4), check_invariants=True)
        other.step()
        adam.step(rows, gradient, 0.1 / (step + 1))
        assert torch.allclose(mine, theirs, atol=1e-6)
    assert not torch.allclose(mine, start)
