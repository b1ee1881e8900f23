"""The same mathematics on a CUDA device: run by `make test-gpu`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from tests.kinds.interactions.made_up import two_tastes
from worker.contract.context import Context
from worker.kinds.interactions.learners.ease import Ease
from worker.kinds.interactions.learners.infinite_ae import InfiniteAE
from worker.kinds.interactions.methods.distill_cf import DistillCFParams, distill_cf
from worker.numerics.gumbel import relaxed_mean
from worker.numerics.ntk import ntk

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_kernel_on_cuda_equals_the_one_on_the_cpu():
    rows = (torch.rand(200, 60, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    torch.testing.assert_close(ntk(rows.cuda()).cpu(), ntk(rows), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("learner", [Ease, InfiniteAE])
def test_learner_on_cuda_scores_as_on_the_cpu(learner):
    rows = sparse.csr_array((np.random.default_rng(0).random((300, 50)) < 0.2).astype(np.float32))
    ours, theirs = (learner(device=device).fit(rows).scores(rows) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_noise_on_cuda_is_the_same_forward_and_backward():
    logits = torch.randn(20, 40, device="cuda", requires_grad=True)
    mean = relaxed_mean(logits, tau=1.0, draws=5, seed=1, step=2)
    again = relaxed_mean(logits, tau=1.0, draws=5, seed=1, step=2)
    assert torch.equal(mean, again)
    mean.square().sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_distill_cf_on_cuda_gives_the_same_bytes_twice():
    data, params = two_tastes(), DistillCFParams(budget=5, steps=20, row_mass=5)
    first, second = (distill_cf(data, params, Context(seed=1, device="cuda")) for _ in range(2))
    assert np.array_equal(first.rows.toarray(), second.rows.toarray())
