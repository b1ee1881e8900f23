"""Gradient and distribution matching: closed forms against automatic differentiation, and structures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.nn import functional

from tests.planted_graph import planted
from worker.kinds.graph.condensation.distribution_matching import DistributionMatching
from worker.kinds.graph.condensation.distributions import receptive
from worker.kinds.graph.condensation.experts import RealNodes, Shape
from worker.kinds.graph.condensation.gradient_matching import GradientMatching, Matching
from worker.kinds.graph.condensation.relay import (
    DISTANCES,
    GCNRelay,
    LinearRelay,
    class_gradients,
    mean_gradient,
)
from worker.kinds.graph.condensation.structure import FreeEdges, PairwiseEdges, normalise
from worker.kinds.graph.networks.products import Sparse
from worker.kinds.graph.propagation import propagated


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_class_gradients_when_beside_autograd_then_agree():
    h = torch.randn(9, 5, generator=generator(), dtype=torch.float64)
    weight = torch.randn(5, 3, generator=generator(1), dtype=torch.float64).requires_grad_(True)
    y = torch.tensor([0] * 4 + [1] * 3 + [2] * 2)
    found = class_gradients([h[y == c] for c in range(3)], range(3), weight)
    for c in range(3):
        loss = functional.cross_entropy(h[y == c] @ weight, y[y == c])
        assert torch.allclose(found[c], torch.autograd.grad(loss, weight)[0], atol=1e-12)
    whole = torch.autograd.grad(functional.cross_entropy(h @ weight, y), weight)[0]
    assert torch.allclose(mean_gradient(h, functional.one_hot(y, 3).double(), weight), whole, atol=1e-12)


@pytest.mark.parametrize(
    ("other", "ours"),
    [(torch.eye(2), 0.0), (torch.tensor([[0.0, 1], [1, 0]]), 2.0), (-torch.eye(2), 4.0)],
    ids=["equal", "orthogonal", "opposite"],
)
def test_distance_by_columns_when_known_then_is_that(other: torch.Tensor, ours: float):
    assert float(DISTANCES["ours"]([torch.eye(2)[None]], [other[None]])) == pytest.approx(ours, abs=5e-6)


def test_other_distances_when_known_then_are_that():
    one, other = torch.eye(2)[None], torch.tensor([[[0.0, 1], [1, 0]]])
    assert float(DISTANCES["mse"]([one], [other])) == 4.0
    assert float(DISTANCES["cos"]([one], [other])) == pytest.approx(1.0)


def test_distances_of_several_matrices_then_there_is_one_cosine_and_sums_of_the_others():
    one = [3 * torch.eye(2)[None], torch.tensor([[[4.0], [0.0]]])]
    other = [torch.eye(2)[None], torch.tensor([[[0.0], [2.0]]])]
    assert float(DISTANCES["ours"](one, other)) == pytest.approx(1.0, abs=1e-5)
    assert float(DISTANCES["mse"](one, other)) == pytest.approx(2 * 4 + 16 + 4)
    cosine = 6 / (np.sqrt(2 * 9 + 16) * np.sqrt(2 + 4))
    assert float(DISTANCES["cos"](one, other)) == pytest.approx(1 - cosine, abs=1e-5)


def rows_by_class(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    graph = planted(120)
    rows = torch.from_numpy(propagated(graph.operator, graph.x, 2, graph.train)).to(dtype)
    y = torch.from_numpy(graph.y[graph.train])
    return [rows[y == c] for c in range(3)]


def problem(structure=None, distance: str = "ours", dtype: torch.dtype = torch.float32) -> GradientMatching:
    real = rows_by_class(dtype)
    few = torch.cat([one[:4] for one in real])
    y = torch.repeat_interleave(torch.arange(3), 4)
    settings = Matching(3, 2, distance, 1e-2, 1e-2)
    return GradientMatching(LinearRelay(real, 2), few, y, 3, settings, 0, structure)


def test_matching_when_the_nodes_are_the_real_ones_then_the_loss_is_nothing():
    given, real = problem(), rows_by_class()
    y = torch.repeat_interleave(torch.arange(3), torch.tensor([len(one) for one in real]))
    same = GradientMatching(given.relay, torch.cat(real), y, 3, given.settings, 0)
    weight = torch.randn(16, 3, generator=generator())
    assert float(same.loss(weight, generator(), 1).detach()) < 1e-4
    assert float(given.loss(weight, generator(), 1).detach()) > 0.01


def test_matching_a_gcn_when_the_nodes_are_the_real_ones_with_their_edges_then_the_loss_is_nothing():
    graph = planted(120, parts=(1.0, 0.0, 0.0))
    order = np.argsort(graph.y, kind="stable")
    whole = graph.induced(order)
    relay = GCNRelay(RealNodes.of(whole, "cpu"), Shape(16, 8, 3))
    x, y = torch.from_numpy(whole.x), torch.from_numpy(whole.y)
    theta = relay.fresh(16, generator())
    members = [(y == c).nonzero()[:, 0] for c in range(3)]
    hat = torch.from_numpy(whole.operator.toarray())
    real = relay.gradients(theta, range(3), generator())
    for one, other in zip(real, relay.synthetic(theta, range(3), x, hat, members), strict=True):
        assert torch.allclose(one, other.detach(), atol=1e-5)
    apart = [DISTANCES["ours"]([one], [other.detach()]).sum() for one, other in zip(
        real, relay.synthetic(theta, range(3), x, None, members), strict=True)]  # fmt: skip
    assert min(apart) > 0.1, "without its edges it is another network"


@pytest.mark.parametrize("distance", ["ours", "mse", "cos"])
def test_matching_loss_when_differentiated_then_agrees_with_finite_differences(distance: str):
    torch.manual_seed(0)
    edges = PairwiseEdges(16, 8, 12, 1.0, generator()).double()
    given = problem(edges, distance, torch.float64)
    weight = torch.randn(16, 3, generator=generator(), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(given.loss(weight, generator(), 1), given.x)
    step = torch.zeros_like(given.x)
    step[3, 5] = 1e-5
    start = given.x.detach().clone()
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            given.x.copy_(start + sign * step)
        values.append(float(given.loss(weight, generator(), 1).detach()))
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(gradient[3, 5]), rel=1e-5)


def test_epochs_when_taken_then_the_loss_falls():
    given = problem()
    first = given.step(1, lambda: None)
    for number in range(2, 30):
        given.step(number, lambda: None)
    assert given.step(1, lambda: None) < 0.5 * first, "the same relay is matched no better than in the beginning"


def test_normalise_when_a_path_then_is_known():
    path = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])
    wanted = [[0.5, 0.4082, 0], [0.4082, 0.3333, 0.4082], [0, 0.4082, 0.5]]
    assert torch.allclose(normalise(path), torch.tensor(wanted), atol=1e-4)


def test_pairwise_edges_when_made_in_blocks_then_are_the_same_and_symmetric():
    edges = PairwiseEdges(6, 16, 11, 1.0, generator())
    with torch.no_grad():
        edges.last.bias.fill_(0.0)
    x = torch.randn(11, 6, generator=generator(1), requires_grad=True)
    whole, blocks = edges(x), edges(x, block_pairs=25)
    assert torch.allclose(whole, blocks, atol=1e-6)
    assert torch.equal(whole, whole.T)
    assert not whole.diagonal().any()
    inner = whole[~torch.eye(11, dtype=torch.bool)].detach()
    assert 0 < float(inner.min()) < float(inner.max()) < 1
    one = torch.autograd.grad(whole.square().sum(), x)[0]
    two = torch.autograd.grad(blocks.square().sum(), x)[0]
    assert torch.allclose(one, two, atol=1e-5)


def test_pairwise_edges_when_fresh_then_none_passes_the_threshold():
    x = torch.randn(20, 6, generator=generator(1))
    assert float(PairwiseEdges(6, 128, 20, 1.0, generator())(x).detach().max()) < 0.05


def test_free_edges_when_drawn_then_are_symmetric_and_their_share_is_the_probability():
    edges = FreeEdges(40)
    with torch.no_grad():
        edges.omega.fill_(-1.0)
    drawn = edges.sample(1e-3, generator()).detach()
    assert torch.equal(drawn, drawn.T)
    assert not drawn.diagonal().any()
    share = float(drawn[~torch.eye(40, dtype=torch.bool)].mean())
    assert share == pytest.approx(1 / (1 + np.e), abs=0.04)
    assert float(edges(torch.empty(0)).detach()[0, 1]) == pytest.approx(1 / (1 + np.e))


def test_candidate_when_edges_are_weak_then_they_are_dropped():
    edges = FreeEdges(12)
    with torch.no_grad():
        edges.omega[0, 1] = edges.omega[1, 0] = 2.0
    given = problem(edges)
    settings = Matching(1, 0, "ours", 1e-2, 1e-2, threshold=0.05)
    given.settings = settings
    adjacency = given.candidate().adjacency
    assert int((adjacency > 0).sum()) == 2


def test_distributions_when_the_nodes_are_the_real_ones_then_the_loss_is_nothing():
    graph = planted(120)
    alone = graph.__class__(
        graph.x, sparse.csr_array(graph.adjacency.shape, dtype=np.float32), graph.y, graph.split, graph.classes
    )  # without edges ÂX is X, so the train nodes themselves are what is wanted
    inner, means = receptive(alone, "cpu")
    x, y = torch.from_numpy(graph.x[graph.train]), torch.from_numpy(graph.y[graph.train])
    settings = {"outer": 1, "lr_feat": 1e-2, "lr_adj": 0.0, "threshold": 0.0, "seed": 0}
    weight = torch.randn(16, 256, generator=generator())
    assert float(DistributionMatching(inner, means, x, y, **settings).loss(weight).detach()) < 1e-6
    assert float(DistributionMatching(inner, means, x[:9], y[:9], **settings).loss(weight).detach()) > 1e-2


def test_receptive_when_made_then_class_means_are_those_of_the_whole_graph():
    graph = planted(120)
    inner, (first, second) = receptive(graph, "cpu")
    rows = np.maximum(graph.operator @ graph.x, 0)
    h = torch.relu(inner if not isinstance(inner, Sparse) else inner.matrix.to_dense())
    for c in range(3):
        nodes = graph.train[graph.y[graph.train] == c]
        assert (first @ h)[c].numpy() == pytest.approx(rows[nodes].mean(axis=0), abs=1e-5)
        assert (second @ h)[c].numpy() == pytest.approx((graph.operator @ rows)[nodes].mean(axis=0), abs=1e-5)
