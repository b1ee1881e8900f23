"""The structure-based kernel and its regression: known values, a dense reference, the two ends of the ridge."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import sparse

from tests.planted_graph import planted
from worker.kinds.graph.condensation import structure_ntk
from worker.kinds.graph.condensation.structure_ntk import RealSide, averaging, predict

NO_EDGES = sparse.csr_array((2, 2), dtype=np.float32)


def side(x: np.ndarray, adjacency: sparse.csr_array, nodes: np.ndarray, **settings) -> RealSide:
    settings = {"hops": 1, "layers": 1, "device": "cpu"} | settings
    return RealSide.of(x.astype(np.float32), adjacency, nodes, **settings)


@pytest.mark.parametrize(("official", "theta"), [(False, 1.1005), (True, 1.1198)])
def test_kernel_when_unit_vectors_of_cosine_point_six_then_is_known(official: bool, theta: float):
    x = np.array([[1.0, 0.0], [0.6, 0.8]])
    found = side(x, NO_EDGES, np.arange(2), official=official).kernel(torch.from_numpy(x[1:]).float())
    assert float(found[0, 0]) == pytest.approx(theta, abs=2e-4)


def test_self_kernel_when_unit_vectors_are_orthogonal_then_is_known():
    x = torch.eye(2)
    ours = side(np.eye(2), NO_EDGES, np.arange(2)).self_kernel(x)
    theirs = side(np.eye(2), NO_EDGES, np.arange(2), official=True).self_kernel(x)
    assert float(ours[0, 0]) == pytest.approx(2.0, abs=1e-5)
    assert float(ours[0, 1]) == pytest.approx(1 / math.pi, abs=1e-5)
    assert 1.99 < float(theirs[0, 0]) < 2.0


def reference(x: np.ndarray, adjacency: sparse.csr_array, other: np.ndarray, hops: int, layers: int) -> np.ndarray:
    """The kernel between all nodes and others without edges, from dense matrices of all pairs."""
    e = averaging(adjacency).toarray().astype(np.float64)

    def rounds(sigma, theta, norms):
        for _ in range(layers):
            c = np.clip(sigma / norms, -1, 1)
            k0 = (np.pi - np.arccos(c)) / np.pi
            k1 = (c * (np.pi - np.arccos(c)) + np.sqrt(1 - c**2)) / np.pi
            sigma = k1 * norms
            theta = theta * k0 + sigma
        return sigma, theta

    own, cross = x @ x.T, x @ other.T
    theta, lengths = cross, np.linalg.norm(other, axis=1)
    for _ in range(hops):
        own, cross, theta = e @ own @ e.T, e @ cross, e @ theta
        a = np.sqrt(np.diag(own))
        own, _ = rounds(own, own, np.outer(a, a))
        cross, theta = rounds(cross, theta, np.outer(a, lengths))
    return theta


@pytest.mark.parametrize(("hops", "layers"), [(1, 1), (1, 3), (2, 1), (2, 2)])
def test_kernel_when_beside_one_of_all_pairs_then_agrees(hops: int, layers: int):
    graph = planted(60)
    other = graph.x[:5] + 0.3
    found = side(graph.x, graph.adjacency, graph.train, hops=hops, layers=layers).kernel(torch.from_numpy(other))
    wanted = reference(graph.x.astype(float), graph.adjacency, other.astype(float), hops, layers)
    assert found.numpy() == pytest.approx(wanted[graph.train], rel=1e-4)


def test_kernel_when_a_node_has_many_neighbours_then_is_the_same_in_parts(monkeypatch: pytest.MonkeyPatch):
    graph = planted(60, degree=12)
    whole = side(graph.x, graph.adjacency, graph.train, hops=2)
    monkeypatch.setattr(structure_ntk, "HUB", 3)
    parts = side(graph.x, graph.adjacency, graph.train, hops=2)
    assert whole.second_norms is not None
    assert parts.second_norms is not None
    assert parts.second_norms.numpy() == pytest.approx(whole.second_norms.numpy(), rel=1e-5)


def test_kernel_when_differentiated_where_rows_are_parallel_then_is_finite():
    x = torch.ones(2, 3, requires_grad=True)
    side(np.ones((2, 3)), NO_EDGES, np.arange(2)).kernel(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_prediction_when_the_ridge_is_huge_then_says_nothing_and_when_tiny_then_interpolates():
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).double()
    one = side(x.numpy(), sparse.csr_array((6, 6), dtype=np.float32), np.arange(6))
    kernel = one.self_kernel(x)
    labels = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0, 1, 2]]
    assert torch.softmax(predict(kernel, kernel, labels, 1e9), 1).flatten().tolist() == pytest.approx([1 / 3] * 18)
    assert torch.allclose(predict(kernel, kernel, labels, 1e-10), labels, atol=1e-6)
