"""Coarsening: what a partition must keep, what local variation costs, and what is delivered of the clusters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from tests.planted_graph import planted
from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.kinds.graph.coarsening.contraction import Count, Sets, contract, neighbourhoods, pairs, variation_costs
from worker.kinds.graph.coarsening.levels import Matching, Scheme, Variation, coarsen
from worker.kinds.graph.coarsening.partition import MIXED, UNKNOWN, Partition
from worker.kinds.graph.coarsening.proximity import affinity_gs, algebraic_jc, heavy_edge
from worker.kinds.graph.coarsening.subspace import Subspace
from worker.kinds.graph.coarsening.virtual_nodes import as_adjacency, virtual_edges, weighted_means
from worker.kinds.graph.dataset import symmetric
from worker.kinds.graph.laplacian import laplacian_of, smallest_eigenpairs, solve_laplacian
from worker.kinds.graph.methods.affinity_gs import AffinityGsParams
from worker.kinds.graph.methods.affinity_gs import affinity_gs as affinity_gs_method
from worker.kinds.graph.methods.heavy_edge import HeavyEdgeParams
from worker.kinds.graph.methods.heavy_edge import heavy_edge as heavy_edge_method
from worker.kinds.graph.methods.variation_edges import VariationEdgesParams, variation_edges
from worker.kinds.graph.methods.variation_neighborhoods import VariationNeighborhoodsParams, variation_neighborhoods
from worker.kinds.graph.methods.vng import VngParams, vng

RNG = np.random.default_rng
SCHEMES = {
    "variation-neighborhoods": lambda: Variation("neighborhoods", 6),
    "variation-edges": lambda: Variation("edges", 6),
    "heavy-edge": lambda: Matching(heavy_edge),
    "algebraic-jc": lambda: Matching(algebraic_jc),
    "affinity-gs": lambda: Matching(affinity_gs),
}
NONE = np.full(120, UNKNOWN)


def weighted(n: int = 120, degree: float = 5.0, seed: int = 0) -> sparse.csr_array:
    adjacency = sparse.csr_array(sparse.triu(planted(n, degree=degree, seed=seed).adjacency))
    adjacency.data = RNG(seed).uniform(0.5, 2, adjacency.nnz)
    return sparse.csr_array(adjacency + adjacency.T)


def made(name: str, adjacency: sparse.csr_array, goal: int, label: np.ndarray | None = None) -> tuple[Partition, int]:
    label = np.full(adjacency.shape[0], UNKNOWN) if label is None else label
    scheme: Scheme = SCHEMES[name]()
    return coarsen(adjacency, label, scheme, Count(goal, labelled=bool((label >= 0).any())), 30, RNG(0))


@pytest.mark.parametrize("name", SCHEMES)
def test_the_coarse_laplacian_is_consistent(name: str) -> None:
    adjacency = weighted()
    clusters, reached = made(name, adjacency, 40)
    assert clusters.n == reached == 40
    coarse, lift = clusters.coarse(adjacency), clusters.membership
    x = RNG(1).normal(size=40)
    fine, lifted = laplacian_of(adjacency), lift @ x
    assert x @ laplacian_of(coarse) @ x == pytest.approx(lifted @ fine @ lifted)
    assert abs(laplacian_of(coarse) - lift.T @ fine @ lift).max() < 1e-12
    np.testing.assert_allclose(laplacian_of(coarse) @ np.ones(40), 0, atol=1e-12)
    different = clusters.cluster[:, None] != clusters.cluster[None, :]
    assert coarse.sum() == pytest.approx(adjacency.toarray()[different].sum())
    np.testing.assert_allclose(clusters.averages(lifted[:, None]).ravel(), x)


@pytest.mark.parametrize("name", SCHEMES)
def test_clusters_are_connected_and_stay_within_components(name: str) -> None:
    adjacency = planted(150, degree=2.0).adjacency
    components, of_node = sparse.csgraph.connected_components(adjacency, directed=False)
    clusters, _ = made(name, adjacency, components + 20)
    assert clusters.n == components + 20
    for number in range(clusters.n):
        nodes = np.flatnonzero(clusters.cluster == number)
        assert len(set(of_node[nodes].tolist())) == 1
        assert sparse.csgraph.connected_components(adjacency[nodes][:, nodes], directed=False)[0] == 1


@pytest.mark.parametrize("name", SCHEMES)
def test_labelled_clusters_are_counted_exactly_and_are_pure(name: str) -> None:
    graph = planted(300, classes=3, homophily=0.7)
    seen = graph.visible()
    for goal in (3, 20, 50):
        clusters, reached = made(name, seen.adjacency, goal, seen.y)
        label = clusters.labels(seen.y)
        assert (label >= 0).sum() == reached >= goal
        if goal >= 20:
            assert reached == goal
            assert not (label == MIXED).any()
        assert set(label[label >= 0].tolist()) == {0, 1, 2}


def test_labels_of_clusters() -> None:
    clusters = Partition(np.array([0, 0, 1, 1, 2, 3, 3]))
    found = clusters.labels(np.array([1, -1, 0, 1, -1, 2, 2]))
    assert found.tolist() == [1, MIXED, UNKNOWN, 2]
    assert clusters.then(Partition(np.array([0, 1, 1, 0]))).cluster.tolist() == [0, 0, 1, 1, 1, 0, 0]


def test_variation_cost_is_its_definition() -> None:
    adjacency, subspace = weighted(60), RNG(0).normal(size=(60, 4))
    dense = adjacency.toarray()
    for indptr, members in (neighbourhoods(adjacency), pairs(adjacency)):
        found = variation_costs(adjacency, subspace, indptr, members)
        for number in range(0, len(found), 7):
            nodes = members[indptr[number] : indptr[number + 1]]
            size = len(nodes)
            inside = dense[np.ix_(nodes, nodes)]
            b = (np.eye(size) - 1 / size) @ subspace[nodes]
            local = np.diag(2 * dense[nodes].sum(axis=1) - inside.sum(axis=1)) - inside
            assert found[number] == pytest.approx(np.linalg.norm(b.T @ local @ b) / (size - 1))


def test_contraction_is_greedy_and_takes_no_node_twice() -> None:
    path = symmetric(np.array([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]]), 6)
    indptr, members = pairs(path)
    sets = Sets(indptr, members, np.array([3.0, 1.0, 2.0, 0.5, 4.0]))
    found = contract(path, sets, np.full(6, UNKNOWN), Count(1, False), np.zeros((6, 1)), RNG(0))
    assert found.cluster.tolist() == [0, 1, 1, 2, 2, 3]


def test_classes_are_kept_apart_while_anything_else_is_left() -> None:
    path = symmetric(np.array([[0, 1, 2], [1, 2, 3]]), 4)
    label = np.array([0, UNKNOWN, 1, UNKNOWN])
    indptr, members = neighbourhoods(path)
    sets = Sets(indptr, members, np.array([1.0, 0.0, 2.0, 3.0]))
    found = contract(path, sets, label, Count(2, True), np.zeros((4, 1)), RNG(0))
    assert found.n == 4  # as many labelled nodes as asked for are there already
    fewer = contract(path, sets, label, Count(1, True), np.zeros((4, 1)), RNG(0))
    assert fewer.labels(label).tolist().count(MIXED) == 0


@pytest.mark.parametrize("n", [60, 320])
def test_smallest_eigenpairs(n: int) -> None:
    adjacency = weighted(n, 8.0)
    big = sparse.csgraph.connected_components(adjacency, directed=False)[1] == 0
    laplacian = laplacian_of(sparse.csr_array(adjacency[big][:, big]))
    values, vectors = smallest_eigenpairs(laplacian, 5, RNG(0))
    np.testing.assert_allclose(values, np.linalg.eigvalsh(laplacian.toarray())[1:6], rtol=1e-5)
    np.testing.assert_allclose(laplacian @ vectors, vectors * values, atol=1e-4)


def test_solving_with_the_laplacian() -> None:
    laplacian = laplacian_of(weighted(100))
    right = laplacian @ RNG(0).normal(size=(100, 3))
    np.testing.assert_allclose(laplacian @ solve_laplacian(laplacian, right, 1e-9), right, atol=1e-6)


def test_the_subspace_is_orthonormal_in_the_laplacian_on_every_level() -> None:
    adjacency = weighted(120, 3.0)
    subspace = Subspace.slowest(adjacency, 4, RNG(0))
    for clusters in (None, made("heavy-edge", adjacency, 60)[0]):
        if clusters is not None:
            adjacency = clusters.coarse(adjacency)
            subspace = subspace.coarsened(clusters, adjacency)
        for component in range(int(subspace.component.max()) + 1):
            a = subspace.vectors * (subspace.component == component)[:, None]
            form = a.T @ laplacian_of(adjacency) @ a
            values = np.linalg.eigvalsh((form + form.T) / 2)
            assert (np.minimum(np.abs(values), np.abs(values - 1)) < 1e-6).all()


def test_local_variation_keeps_the_spectrum_better_than_heavy_edges() -> None:
    """Eigenvalues of P-orthonormal coarse Laplacians are never below the original's, and near them."""
    adjacency = planted(400, classes=4, degree=8.0, homophily=0.95, seed=2).adjacency
    big = sparse.csgraph.connected_components(adjacency, directed=False)[1] == 0
    adjacency = sparse.csr_array(adjacency[big][:, big])
    exact = np.linalg.eigvalsh(laplacian_of(adjacency).toarray())[1:5]

    def grown(name: str) -> float:
        clusters, _ = made(name, adjacency, adjacency.shape[0] // 2)
        scale = sparse.diags_array(clusters.sizes**-0.5)
        coarse = np.linalg.eigvalsh((scale @ laplacian_of(clusters.coarse(adjacency)) @ scale).toarray())[1:5]
        assert (coarse >= exact * (1 - 1e-9)).all()
        return float((coarse / exact - 1).max())

    assert grown("variation-edges") < 0.5 * grown("heavy-edge")


# As methods


@pytest.mark.parametrize(
    ("run", "params"),
    [
        (variation_neighborhoods, VariationNeighborhoodsParams),
        (variation_edges, VariationEdgesParams),
        (heavy_edge_method, HeavyEdgeParams),
        (affinity_gs_method, AffinityGsParams),
    ],
)
def test_a_coarsening_delivers_as_many_nodes_as_asked_for(run, params) -> None:
    graph = planted(240)
    found = run(graph, params(n_nodes=30), Context(seed=1))
    assert len(found) == 30
    assert found.adjacency is None
    assert found.sees == "all"
    assert (np.diff(found.y) >= 0).all()
    merged = run(graph, params(n_nodes=30, output_features="raw"), Context(seed=1))
    assert merged.adjacency is not None
    assert abs(merged.adjacency - merged.adjacency.T).max() < 1e-6
    assert merged.adjacency.diagonal().sum() == 0
    every = run(graph, params(n_nodes=60, nodes="all", output_features="raw"), Context(seed=1))
    assert len(every) == 60
    assert (every.y == -1).any()


def test_labels_outside_the_train_part_change_nothing() -> None:
    graph = planted(240)
    other = planted(240)
    other.y[other.split != 0] = 0
    one, two = (variation_edges(g, VariationEdgesParams(n_nodes=20), Context()) for g in (graph, other))
    assert (one.x == two.x).all()
    assert (one.y == two.y).all()


def test_the_inductive_setting_merges_train_nodes_alone() -> None:
    graph = planted(240, setting="inductive")
    found = heavy_edge_method(graph, HeavyEdgeParams(n_nodes=40), Context())
    assert len(found) == 40
    assert found.sees == "train"


def test_a_goal_beyond_the_edges_is_refused_with_a_cure_that_works() -> None:
    graph = planted(240, degree=1.0)
    with pytest.raises(JobError) as caught:
        heavy_edge_method(graph, HeavyEdgeParams(n_nodes=4), Context())
    assert caught.value.pointer == "/params/n_nodes"
    least = int(caught.value.hint.split("n_nodes=")[1].split(" ")[0])
    assert len(heavy_edge_method(graph, HeavyEdgeParams(n_nodes=least), Context())) == least


def test_a_cancelled_coarsening_stops() -> None:
    ctx = Context()
    ctx.stop()
    with pytest.raises(Cancelled):
        variation_neighborhoods(planted(100), VariationNeighborhoodsParams(n_nodes=20), ctx)


# Virtual nodes


def test_virtual_edges_solve_their_least_squares() -> None:
    adjacency, hidden = weighted(50), RNG(0).normal(size=(50, 30))
    cluster = np.arange(50) % 10
    means = weighted_means(cluster, RNG(1).uniform(1, 2, 50), 10)
    np.testing.assert_allclose(means.sum(axis=1), 1)
    found = virtual_edges(means, adjacency, hidden)
    inner, wanted = means @ hidden, means @ (adjacency @ hidden)
    expected = np.linalg.lstsq(inner.T, wanted.T, rcond=None)[0].T
    np.testing.assert_allclose(found, expected, atol=1e-8)
    trained = as_adjacency(found)
    assert abs(trained - trained.T).max() == 0
    assert trained.data.min() > 0
    assert trained.diagonal().sum() == 0


def test_singular_values_that_are_rounding_are_left_out() -> None:
    """Two clusters with the same hidden means: the plain inverse would give weights of 1e15."""
    hidden = np.ones((6, 4)) + np.repeat(np.arange(3), 2)[:, None] * np.eye(4)[0]
    hidden[2:4] = hidden[:2]
    adjacency = symmetric(np.array([[0, 2, 4], [1, 3, 5]]), 6)
    found = virtual_edges(weighted_means(np.repeat(np.arange(3), 2), np.ones(6), 3), adjacency, hidden)
    assert np.abs(found).max() < 2


def test_vng_keeps_classes_and_their_shares() -> None:
    graph = planted(200)
    found = vng(graph, VngParams(n_nodes=12, epochs=15), Context())
    assert len(found) == 12
    assert found.sees == "train"
    assert np.bincount(found.y).min() >= 1
    merged = vng(graph, VngParams(n_nodes=12, epochs=15, output_features="raw"), Context())
    assert merged.adjacency is not None
    assert merged.edges > 0
