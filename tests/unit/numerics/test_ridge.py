from __future__ import annotations

import pytest
import torch
from scipy import sparse
from torch import Tensor

from worker.numerics.ntk import ntk
from worker.numerics.ridge import NotPositiveDefinite, factorise, precision, ridge_solve, solve

X = torch.tensor([[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 1]], dtype=torch.float64)


def close(found: Tensor, expected: object, tolerance: float = 2e-10) -> None:
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=found.dtype), rtol=0, atol=tolerance)


def scores(query: Tensor, support: Tensor, lam: float) -> Tensor:
    return ntk(query, support) @ solve(ntk(support), support, lam)


def test_solve_equals_the_check_values() -> None:
    alpha = solve(ntk(X), X, 1.0)
    close(alpha[0], [0.1812333149, -0.0849144347, 0.1549450184, -0.0586261382])
    close(alpha[2], [0.1222221231, 0.1222221231, 0.0635959849, 0.1808482612])
    close((ntk(X) @ alpha)[0], [0.5112741608, 0.2289859255, 0.5821649338, 0.1580951525])
    query = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64)
    close(scores(query, X, 1.0), [[0.2673068296, 0.0839770936, 0.2454194396, 0.1058644836]])


def test_zero_ridge_on_distinct_rows_returns_the_rows() -> None:
    close(ntk(X) @ solve(ntk(X), X, 0.0), X, 1e-10)
    assert factorise(ntk(X), 0.0).jitter == 0


def test_large_ridge_tends_to_similarity_weighted_counts() -> None:
    kernel, lam = ntk(X), 1e7
    close(kernel @ solve(kernel, X, lam) * lam * kernel.trace() / 3, kernel @ X, 1e-5)


def test_order_of_rows_does_not_change_scores() -> None:
    shuffled = X[[2, 0, 1]]
    close(scores(X, shuffled, 0.5), scores(X, X, 0.5), 1e-12)


def test_scale_of_the_kernel_does_not_change_scores() -> None:
    kernel = ntk(X)
    close(7 * kernel @ solve(7 * kernel, X, 0.5), kernel @ solve(kernel, X, 0.5), 1e-12)


def test_rows_twice_with_twice_the_ridge_give_the_same_scores() -> None:
    close(scores(X, torch.cat([X, X]), 1.0), scores(X, X, 0.5), 1e-12)


def test_sign_of_the_ridge_does_not_matter() -> None:
    close(solve(ntk(X), X, -1.0), solve(ntk(X), X, 1.0), 0)


def test_singular_kernel_gets_the_least_jitter_that_works() -> None:
    ones = torch.ones((3, 3), dtype=torch.float64)
    factor = factorise(ones, 0.0)
    assert factor.jitter in (1e-6, 1e-5)
    close(factor.lower @ factor.lower.T, ones + factor.jitter * torch.eye(3), 1e-12)
    assert factorise(ones, 1e-3).jitter == 0


def test_indefinite_kernel_is_refused_with_the_smallest_usable_ridge() -> None:
    kernel = torch.tensor([[1.0, 1.5], [1.5, 1.0]], dtype=torch.float64)  # eigenvalues 2.5, -0.5
    with pytest.raises(NotPositiveDefinite, match="smallest usable lambda is 1") as refused:
        factorise(kernel, 0.1)
    assert refused.value.smallest == 1.0
    assert factorise(kernel, 1.0).jitter == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_kernel_with_values_that_are_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        factorise(torch.tensor([[1.0, bad], [bad, 1.0]]), 1.0)


def test_factorisation_symmetrises_and_leaves_the_kernel_as_it_was() -> None:
    kernel = torch.tensor([[2.0, 0.4], [0.6, 2.0]], dtype=torch.float64)
    before = kernel.clone()
    lower = factorise(kernel, 0.0).lower
    close(lower @ lower.T, [[2.0, 0.5], [0.5, 2.0]], 1e-14)
    assert torch.equal(kernel, before)


def test_small_kernels_are_solved_in_double_and_large_ones_in_single() -> None:
    assert precision(4000) == torch.float64
    assert precision(4001) == torch.float32
    assert solve(ntk(X).float(), X.float(), 1.0).dtype == torch.float64


@pytest.mark.parametrize("width", [30, 5000])
def test_sparse_right_hand_side_is_solved_as_the_dense_one(width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = (torch.rand((60, width), generator=generator) < 0.1).double()
    factor = factorise(ntk(rows), 0.1)
    found = factor.solve(sparse.csr_array(rows.numpy()))
    assert found.shape == rows.shape
    close(found, factor.solve(rows), 1e-12)


def test_singular_kernel_at_zero_is_solved_with_jitter() -> None:
    rows = torch.cat([X, X])
    factor = factorise(ntk(rows), 0.0)
    assert factor.jitter > 0
    close(ntk(rows) @ factor.solve(rows), rows, 1e-4)


def test_ridge_solve_equals_solve_and_its_gradient_central_differences() -> None:
    generator = torch.Generator().manual_seed(5)
    root = torch.rand((5, 5), generator=generator, dtype=torch.float64)
    rhs = torch.rand((5, 3), generator=generator, dtype=torch.float64).requires_grad_()
    root.requires_grad_()
    kernel = (root @ root.T).detach()
    close(ridge_solve(kernel, rhs, 0.3).detach(), solve(kernel, rhs.detach(), 0.3), 1e-12)
    assert torch.autograd.gradcheck(lambda r, b: ridge_solve(r @ r.T, b, 0.3), (root, rhs))


def test_gradient_through_kernel_and_solve_survives_equal_rows() -> None:
    rows = torch.cat([X, X[:1]]).float().requires_grad_()
    (ntk(X.float(), rows) @ ridge_solve(ntk(rows), rows, 1e-3)).square().sum().backward()
    assert rows.grad is not None
    assert torch.isfinite(rows.grad).all()
