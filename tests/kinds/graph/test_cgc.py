"""CGC, DeepCGC and ClustGDD: partitions, weighted means, edges between condensed nodes, and what they never look at."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from scipy import sparse

from tests.planted_graph import planted
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.graph.clustering import cgc
from worker.kinds.graph.clustering.pseudo_labels import with_pseudo_labels
from worker.kinds.graph.clustering.surest_means import CGCParams, surest_means
from worker.kinds.graph.condensation import cluster_graph as clustgdd
from worker.kinds.graph.condensation.coupling import Coupling, DeepClusters, DeepSettings, transport
from worker.kinds.graph.dataset import TEST, VALIDATION
from worker.kinds.graph.description import warnings
from worker.kinds.graph.methods.cgc import CGCParamsWithEdges
from worker.kinds.graph.methods.cgc import cgc as run_cgc
from worker.kinds.graph.methods.cgc_x import CGCXParams
from worker.kinds.graph.methods.cgc_x import cgc_x as run_cgc_x
from worker.kinds.graph.methods.clustgdd import ClustGDDParams
from worker.kinds.graph.methods.clustgdd import clustgdd as run_clustgdd
from worker.kinds.graph.methods.deepcgc import DeepCGCParams, deepcgc

H = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)


@pytest.mark.parametrize("how", ["spectral", "kmeans"])
def test_parts_when_made_then_all_are_filled_and_a_constant_changes_nothing(rows: np.ndarray, how: str):
    parts = cgc.parts_of(rows, 7, how, np.random.default_rng(1))
    assert sorted(set(parts.tolist())) == list(range(7))
    if how == "spectral":
        moved = cgc.parts_of(rows + np.float32(2.0), 7, how, np.random.default_rng(1))
        pairs = set(zip(parts.tolist(), moved.tolist(), strict=True))
        assert len(pairs) == 7, "the partition is another one after a constant was added to all rows"


def test_parts_when_as_many_as_rows_then_each_row_is_its_own(rows: np.ndarray):
    assert cgc.parts_of(rows, 40, "spectral", np.random.default_rng(0)).tolist() == list(range(40))


def test_leading_directions_when_there_are_more_rows_than_features_then_are_those_of_the_svd():
    tall = np.random.default_rng(0).normal(size=(50, 6))
    tall -= tall.mean(0)
    left = np.linalg.svd(tall, full_matrices=False)[0][:, :4]
    assert np.abs(cgc.leading_directions(tall, 4).T @ left) == pytest.approx(np.eye(4), abs=1e-8)
    assert cgc.leading_directions(tall, 9).shape == (50, 6), "there are no more directions than features"


def test_parts_when_a_class_is_large_then_no_matrix_of_all_its_pairs_is_made(rows: np.ndarray):
    many = np.repeat(rows[:, :3], 500, axis=0)
    tracemalloc.start()
    parts = cgc.parts_of(many, 4, "spectral", np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(np.unique(parts)) == 4
    assert peak < len(many) ** 2, "bytes: a matrix of all pairs takes eight times as many"


def test_part_weights_when_softened_then_sum_to_one_and_become_equal(rows: np.ndarray):
    parts = cgc.parts_of(rows, 5, "kmeans", np.random.default_rng(0))
    sure = np.random.default_rng(2).random(40)
    weight = cgc.part_weights(parts, sure, 0.1)
    assert np.bincount(parts, weights=weight) == pytest.approx(np.ones(5))
    plain = np.stack([rows[parts == part].mean(axis=0) for part in range(5)])
    means = cgc.weighted_means(rows, parts, cgc.part_weights(parts, sure, 1e9))
    assert means == pytest.approx(plain, abs=1e-5)
    assert not np.allclose(cgc.weighted_means(rows, parts, weight), plain, atol=1e-3)


def test_confidence_when_a_row_is_predicted_wrongly_then_it_gets_the_least_of_all():
    h, y = np.eye(3, dtype=np.float32), np.array([0, 1, 0])
    found = cgc.confidence(h, y, 5 * np.eye(3, dtype=np.float32))
    share = np.exp(5) / (np.exp(5) + 2)
    assert found == pytest.approx([share, share, 1 / (np.exp(5) + 2)])


def test_augmentation_when_one_class_is_known_badly_then_it_is_drawn():
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    h = np.zeros((8, 2), np.float32)
    h[:6, 0], h[6:, 1] = 1, 1  # two of class 1 look like class 0: F1 is .8 and .667
    drawn = cgc.augmentation(h, y, np.eye(2, dtype=np.float32), 500.0, np.random.default_rng(0))
    assert len(drawn) == 4000
    assert (y[drawn] == 1).mean() == pytest.approx((1 / 3) / (1 / 3 + 1 / 5), abs=0.03)


def test_join_when_no_two_nodes_are_alike_then_features_stay_and_the_official_form_scales_them():
    joined = cgc.join(H, 1.0, 3.0)
    assert joined.edges == 0
    assert joined.x == pytest.approx(H, rel=1e-6)
    assert cgc.join(H, 1.0, 3.0, official=True).x == pytest.approx(np.array([[3, 6], [9, 12]]), rel=1e-6)


def test_join_when_nodes_are_alike_then_the_system_is_solved_and_the_scale_is_kept(rows: np.ndarray):
    h = np.abs(rows)
    joined = cgc.join(h, 0.7, 2.0)
    assert joined.edges > 10
    s, laplacian = cgc.smoothing(joined.adjacency)
    right = 2.0 * s.T @ h
    left = (2.0 * s.T @ s + laplacian) @ joined.x
    scale = (left * right).sum() / (left * left).sum()  # the solution is delivered up to its scale
    assert np.linalg.norm(scale * left - right) / np.linalg.norm(right) < 1e-4
    assert np.linalg.norm(s @ joined.x, axis=1).mean() == pytest.approx(np.linalg.norm(h, axis=1).mean(), rel=1e-5)
    weights = np.linalg.eigvalsh(laplacian)
    assert weights.min() > -1e-9
    assert weights.max() < 2 + 1e-9


def test_surest_means_when_made_then_every_part_is_of_one_class():
    seen = planted(200, noise=0.01, homophily=1.0).visible()
    means = surest_means(seen, 15, CGCParams(), np.random.default_rng(0), lambda: None)
    assert means.y.tolist() == sorted(means.y.tolist())
    assert len(means.y) == 15
    centres = np.stack([seen.x[seen.train][seen.y[seen.train] == c].mean(axis=0) for c in range(3)])
    nearest = ((means.x[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert nearest.tolist() == means.y.tolist()


def test_cgc_when_no_edge_passes_then_it_warns_and_is_as_large_as_the_graph():
    ctx = Context(seed=1)
    made = run_cgc(planted(200), CGCParamsWithEdges(threshold=0.9999, alpha=7, n_nodes=12), ctx)
    assert made.adjacency is None
    assert "threshold 0.9999" in made.warnings[0]


def test_pseudo_labels_when_asked_for_then_no_validation_or_test_node_joins():
    graph = planted(300, parts=(0.1, 0.2, 0.3))
    seen = graph.visible()
    nodes, y = with_pseudo_labels(seen, 2.0)
    assert len(nodes) == 3 * len(graph.train)
    assert not np.isin(graph.split[nodes], [VALIDATION, TEST]).any()
    assert (y == graph.y[nodes]).mean() > 0.8
    assert (y[: len(graph.train)] == graph.y[graph.train]).all()


def test_pseudo_labels_when_used_then_the_summary_is_marked_as_what_it_is():
    graph = planted(300, parts=(0.1, 0.2, 0.3))
    made = run_cgc_x(graph, CGCXParams(n_nodes=9, pseudo_label=1.0), Context(seed=0))
    assert made.sees == "unlabelled"
    assert made.mark == "was made with guessed labels of nodes outside the parts"
    assert any("labels were guessed" in text for text in warnings(graph, made))
    assert run_cgc_x(graph, CGCXParams(n_nodes=9), Context(seed=0)).mark == ""


@pytest.mark.parametrize(
    "graph", [planted(100), planted(200, parts=(0.1, 0.2, 0.3), setting="inductive")], ids=["no node", "inductive"]
)
def test_pseudo_labels_when_there_are_none_to_be_had_then_it_says_so(graph):
    with pytest.raises(JobError, match="nodes outside train") as caught:
        with_pseudo_labels(graph.visible(), 1.0)
    assert caught.value.pointer == "/params/pseudo_label"


@pytest.mark.parametrize("features", [8, 9])
def test_coupling_when_inverted_then_rows_come_back(features: int):
    generator = torch.Generator().manual_seed(0)
    coupling = Coupling(features, 16, 1.0, generator)
    x = torch.randn(20, features, generator=generator)
    assert torch.equal(coupling(x), x), "it does not begin as the identity"
    with torch.no_grad():
        for one in coupling.parameters():
            one.copy_(torch.randn(one.shape, generator=generator))
        z = coupling(x)
        assert not torch.allclose(z, x, atol=0.1)
        assert torch.allclose(coupling.inverse(z), x, atol=1e-5 * float(z.abs().max()))


def test_transport_when_made_then_clusters_are_balanced():
    plan = transport(torch.randn(30, 6, generator=torch.Generator().manual_seed(0)), 0.5, rounds=50)
    assert plan.sum(0).tolist() == pytest.approx([5.0] * 6, rel=1e-5)
    assert plan.sum(1).tolist() == pytest.approx([1.0] * 30, rel=1e-3)


def test_deep_clusters_when_made_anew_then_stay_within_their_class_and_none_is_empty():
    y, owner = torch.tensor([0] * 12 + [1] * 8), torch.tensor([0] * 4 + [1] * 3)
    h = torch.randn(20, 6, generator=torch.Generator().manual_seed(3))
    parts = torch.cat([torch.arange(12) % 4, 4 + torch.arange(8) % 3])
    problem = DeepClusters(h, y, parts, owner, DeepSettings(1e-2, 0, 1, 0.1, 0.1, 1.0, 1.0, 0.2), 0)
    plain = torch.stack([h[parts == part].mean(0) for part in range(7)])
    assert torch.allclose(problem.candidate().x, plain, atol=1e-6), "it does not begin at plain means"
    for number in range(1, 20):
        problem.step(number, lambda: None)
        assert torch.equal(owner[problem.parts], y)
        assert len(problem.parts.unique()) == 7


def test_deepcgc_when_joined_then_has_edges():
    made = deepcgc(planted(150), DeepCGCParams(n_nodes=12, epochs=4, threshold=0.5), Context(seed=0))
    assert made.adjacency is not None
    assert made.adjacency.nnz


def test_smoothing_weights_when_summed_then_are_the_discounted_walk():
    assert clustgdd.smoothing_weights(0.8, 3) == pytest.approx([0.2, 0.16, 0.128])


def test_edges_between_clusters_when_made_then_are_the_operator_seen_by_them():
    graph = planted(60)
    cluster = np.arange(60) % 5
    m = np.zeros((60, 5))
    m[np.arange(60), cluster] = 1 / np.sqrt(12)
    wanted = m.T @ graph.operator.toarray() @ m
    np.fill_diagonal(wanted, 0)
    assert clustgdd.edges_between(graph.operator, cluster, 5).toarray() == pytest.approx(wanted, abs=1e-6)


def test_sparsified_when_drawn_then_keeps_a_share_and_no_edge_between_classes():
    dense = np.ones((6, 6), np.float32) - np.eye(6, dtype=np.float32)
    share = np.eye(2)[[0, 0, 0, 1, 1, 1]]
    drawn = clustgdd.sparsified(sparse.csr_array(dense), share, 0.3, np.random.default_rng(0)).toarray()
    assert np.count_nonzero(np.triu(drawn)) == 4
    assert (drawn == drawn.T).all()
    assert not drawn[:3, 3:].any()


def test_clustgdd_when_run_then_no_class_vanishes_and_it_says_whose_features_it_saw():
    graph = planted(200, classes=5, noise=3.0, parts=(0.1, 0.3, 0.4))
    made = run_clustgdd(graph, ClustGDDParams(n_nodes=9, epochs=20, structure="clusters"), Context(seed=0))
    assert sorted(set(made.y.tolist())) == [0, 1, 2, 3, 4]
    assert made.sees == "all"
