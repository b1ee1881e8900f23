from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch import Tensor

from worker.numerics.gram import gram, sparse_times_dense, squared_norms
from worker.numerics.ntk import full_precision, nngp, nngp_diagonal, ntk, ntk_diagonal, ntk_from_gram

X = torch.tensor([[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 1]], dtype=torch.float64)


def close(found: Tensor, expected: object, tolerance: float = 2e-10) -> None:
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=found.dtype), rtol=0, atol=tolerance)


def binary(n: int, width: int, share: float, seed: int = 0) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    return sparse.csr_array((rng.random((n, width)) < share).astype(np.float32))


def test_nngp_at_depth_1_equals_the_check_values() -> None:
    s12, s13 = 0.6284256461, 1.0881972136
    close(nngp(X), [[1.02, s12, s13], [s12, 1.02, s13], [s13, s13, 2.02]])


def test_ntk_at_depth_1_equals_the_check_values() -> None:
    k12, k13 = 0.9693551669, 1.8464969507
    close(ntk(X), [[2.03, k12, k13], [k12, 2.03, k13], [k13, k13, 4.03]])


@pytest.mark.parametrize(
    ("depth", "k12", "k13", "k11", "k33"),
    [
        (2, 1.4022211225, 2.5790516762, 3.06, 6.06),
        (3, 1.8186411681, 3.2451527345, 4.10, 8.10),
    ],
)
def test_ntk_of_deeper_networks_equals_the_check_values(
    depth: int, k12: float, k13: float, k11: float, k33: float
) -> None:
    close(ntk(X, depth=depth), [[k11, k12, k13], [k12, k11, k13], [k13, k13, k33]])


def test_ntk_of_a_query_equals_the_check_values() -> None:
    query = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64)
    close(ntk(query, X), [[0.9373459470, 0.2485190217, 0.9698028938]])


def test_ntk_of_a_zero_row_equals_the_check_values() -> None:
    zero = torch.zeros((1, 4), dtype=torch.float64)
    close(ntk(zero), [[0.03]])
    close(ntk(zero, X), [[0.0524654990, 0.0524654990, 0.0654652259]])


def test_ntk_agrees_with_a_wide_random_network() -> None:
    """Definition, not recursion: K(x, y) = <df/dtheta(x), df/dtheta(y)> of one very wide network at birth."""
    width = 200_000
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn((width, 4), generator=generator, dtype=torch.float64)
    bias = torch.randn(width, generator=generator, dtype=torch.float64)
    out = torch.randn(width, generator=generator, dtype=torch.float64)
    before = (2 / 4) ** 0.5 * X @ weights.T + 0.1 * bias
    hidden, alive = before.relu(), (before > 0).double()
    last_layer = 2 / width * hidden @ hidden.T + 0.01
    first_layer = 2 / width * (alive * out**2) @ alive.T * (2 / 4 * X @ X.T + 0.01)
    torch.testing.assert_close(ntk(X), last_layer + first_layer, rtol=0.02, atol=0)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_closed_form_diagonal_agrees_with_the_recursion(depth: int) -> None:
    close(ntk(X, X, depth=depth).diagonal(), ntk_diagonal(X.square().sum(1), 4, depth=depth), 1e-6)
    close(nngp(X, X, depth=depth).diagonal(), nngp_diagonal(X.square().sum(1), 4, depth=depth), 1e-6)


@pytest.mark.parametrize("depth", [1, 3])
def test_blocked_kernel_equals_the_differentiable_one(depth: int) -> None:
    rows = torch.from_numpy(binary(1100, 60, 0.2).toarray()).double()
    plain = ntk(rows, depth=depth)
    tracked = ntk(rows.clone().requires_grad_(), depth=depth)
    assert tracked.requires_grad
    close(plain, tracked.detach(), 1e-12)
    close(ntk(rows, rows[:700], depth=depth), ntk(rows.clone().requires_grad_(), rows[:700], depth=depth).detach())


def test_symmetric_kernel_is_exactly_symmetric() -> None:
    rows = torch.from_numpy(binary(700, 40, 0.2).toarray())
    kernel = ntk(rows)
    assert torch.equal(kernel, kernel.T)


def test_overwrite_uses_the_grams_memory_and_default_leaves_it() -> None:
    product, squares = X @ X.T, X.square().sum(1)
    before = product.clone()
    kernel = ntk_from_gram(product, squares, squares, dim=4, symmetric=True)
    assert torch.equal(product, before)
    same = ntk_from_gram(product, squares, squares, dim=4, symmetric=True, overwrite=True)
    assert same.data_ptr() == product.data_ptr()
    assert torch.equal(same, kernel)


@pytest.mark.parametrize("depth", [1, 2])
def test_gradient_agrees_with_central_differences(depth: int) -> None:
    rng = torch.Generator().manual_seed(3)
    x = torch.rand((4, 6), generator=rng, dtype=torch.float64).requires_grad_()
    y = torch.rand((3, 6), generator=rng, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: ntk(a, depth=depth), (x,))
    assert torch.autograd.gradcheck(lambda a, b: ntk(a, b, depth=depth), (x, y))
    assert torch.autograd.gradcheck(lambda a, b: nngp(a, b, depth=depth), (x, y))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_with_equal_rows_is_finite_and_right(dtype: torch.dtype) -> None:
    """Plain differentiation gives NaN here. The kernel has a kink at equal rows; central differences see
    its middle."""
    rows = torch.tensor([[1.0, 0, 1, 0], [1, 0, 1, 0], [0, 1, 1, 1]], dtype=dtype, requires_grad=True)
    weights = torch.tensor([[0.3, -1.0, 0.2], [0.5, 0.1, 0.9], [-0.4, 0.7, 1.1]], dtype=torch.float64)
    (ntk(rows) * weights.to(dtype)).sum().backward()
    assert rows.grad is not None
    assert torch.isfinite(rows.grad).all()
    exact = rows.detach().double()
    for place in np.ndindex(3, 4):
        step = torch.zeros_like(exact)
        step[place] = 1e-4
        slope = ((ntk(exact + step) - ntk(exact - step)) * weights).sum() / 2e-4
        assert abs(float(slope) - float(rows.grad[place])) < 2e-4


def test_gradient_of_cross_kernel_at_the_very_same_rows_is_finite() -> None:
    rows = X.clone().requires_grad_()
    ntk(rows, X).sum().backward()
    assert rows.grad is not None
    assert torch.isfinite(rows.grad).all()


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_kernel_is_positive_semidefinite_and_bounded_by_its_diagonal(n: int, width: int, seed: int, depth: int) -> None:
    kernel = ntk(torch.from_numpy(binary(n, width, 0.4, seed).toarray()).double(), depth=depth)
    diagonal = kernel.diagonal()
    assert torch.linalg.eigvalsh(kernel).min() > -1e-9 * kernel.trace()
    assert (kernel**2 <= torch.outer(diagonal, diagonal) * (1 + 1e-9)).all()


@pytest.mark.parametrize("share", [0.01, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sparse_gram_equals_the_dense_product(share: float, dtype: torch.dtype) -> None:
    x, y = binary(1500, 90, share), binary(70, 90, 0.2, 1)
    dense_x, dense_y = (torch.from_numpy(part.toarray()).to(dtype) for part in (x, y))
    assert torch.equal(gram(x, dtype=dtype), dense_x @ dense_x.T)
    assert torch.equal(gram(x, y, dtype=dtype), dense_x @ dense_y.T)
    assert torch.equal(squared_norms(x, dtype=dtype), dense_x.square().sum(1))


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 600])
@pytest.mark.parametrize("columns", [1, 64, 65, 200])
def test_gram_counted_in_bits_equals_the_dense_product_at_every_edge(rows: int, columns: int) -> None:
    x, y = binary(rows, columns, 0.4), binary(70, columns, 0.3)
    dense_x, dense_y = torch.tensor(x.toarray()), torch.tensor(y.toarray())
    assert torch.equal(gram(x), dense_x @ dense_x.T)
    assert torch.equal(gram(x, y), dense_x @ dense_y.T)


def test_gram_of_rows_that_hold_an_item_twice_sums_it() -> None:
    twice = sparse.csr_array((np.ones(3, np.float32), [1, 1, 0], [0, 2, 3]), shape=(2, 2))
    assert gram(twice).tolist() == [[4.0, 0.0], [0.0, 1.0]]


def test_sparse_gram_takes_fractional_rows() -> None:
    x = binary(50, 30, 0.3)
    x.data[:] = np.random.default_rng(0).random(x.nnz)
    dense = torch.from_numpy(x.toarray()).double()
    close(gram(x, dtype=torch.float64), dense @ dense.T, 1e-12)
    close(squared_norms(x, dtype=torch.float64), dense.square().sum(1), 1e-6)


@pytest.mark.parametrize("share", [0.005, 0.3])
def test_sparse_times_dense_equals_the_dense_product(share: float) -> None:
    x, weights = binary(1200, 40, share), torch.rand((40, 7), dtype=torch.float64)
    close(sparse_times_dense(x, weights), torch.from_numpy(x.toarray()).double() @ weights, 1e-12)


def test_kernels_of_unequal_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="columns"):
        ntk(X, X[:, :3])
    with pytest.raises(ValueError, match="columns"):
        gram(binary(3, 4, 0.5), binary(3, 5, 0.5))
    with pytest.raises(ValueError, match="depth"):
        ntk(X, depth=0)


def test_full_precision_restores_the_callers_setting() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
