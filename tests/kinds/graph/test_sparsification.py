"""Sparsifiers: exact on graphs small enough to check by hand, and what each promises on drawn ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from tests.planted_graph import planted
from tests.shared_data import shared
from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.kinds.graph import structure
from worker.kinds.graph.baselines import contenders
from worker.kinds.graph.dataset import symmetric
from worker.kinds.graph.methods.effective_resistance import EffectiveResistanceParams, effective_resistance
from worker.kinds.graph.methods.local_degree import LocalDegreeParams, local_degree
from worker.kinds.graph.methods.random_edge import RandomEdgeParams, random_edge
from worker.kinds.graph.methods.spanning_forest import SpanningForestParams, spanning_forest
from worker.kinds.graph.methods.t_spanner import TSpannerParams, t_spanner
from worker.kinds.graph.sparsification.edges import Edges, highest, random_edges
from worker.kinds.graph.sparsification.forests import spanning_forests
from worker.kinds.graph.sparsification.local_degree import local_exponents
from worker.kinds.graph.sparsification.rank_degree import rank_degree_walk
from worker.kinds.graph.sparsification.resistance import (
    exact_resistances,
    inclusion_probabilities,
    projected_resistances,
    resistance_sample,
    systematic_sample,
)
from worker.kinds.graph.sparsification.similarity import common_neighbours, jaccard_index, structural_similarity
from worker.kinds.graph.sparsification.spanner import spanner, spanner_within

RNG = np.random.default_rng


def edges_of(pairs: list[tuple[int, int]], n: int, weights: list[float] | None = None) -> Edges:
    given = None if weights is None else np.array(weights, np.float32)
    return Edges.of(symmetric(np.array(pairs).T, n, given))


def drawn(n: int = 80, degree: float = 6.0, seed: int = 0, *, weighted: bool = False) -> Edges:
    edges = Edges.of(planted(n, degree=degree, seed=seed).adjacency)
    weight = RNG(seed).uniform(0.5, 2.0, len(edges)) if weighted else edges.weight
    return Edges(edges.nodes, edges.u, edges.v, weight)


def triangle() -> Edges:
    return edges_of([(0, 1), (1, 2), (0, 2)], 3)


def square() -> Edges:
    return edges_of([(0, 1), (1, 2), (2, 3), (0, 3)], 4)


def test_edges_and_adjacency_are_the_same_graph() -> None:
    adjacency = planted(60).adjacency
    again = Edges.of(adjacency).adjacency()
    assert (again != adjacency).nnz == 0
    assert again.dtype == np.float32


@pytest.mark.parametrize(("edges", "expected"), [(triangle(), 2 / 3), (square(), 3 / 4)])
def test_resistances_by_hand(edges: Edges, expected: float) -> None:
    np.testing.assert_allclose(exact_resistances(edges), expected, atol=1e-12)


def test_resistance_across_the_square_is_one() -> None:
    inverse = np.linalg.pinv(square().laplacian().toarray())
    assert inverse[0, 0] + inverse[2, 2] - 2 * inverse[0, 2] == pytest.approx(1.0)


@pytest.mark.parametrize("weighted", [False, True])
def test_weighted_resistances_sum_to_nodes_less_components(weighted: bool) -> None:
    edges = drawn(90, 2.0, weighted=weighted)
    total = float((edges.weight * exact_resistances(edges)).sum())
    assert total == pytest.approx(edges.nodes - edges.components(), abs=1e-8)


def test_projected_resistances_are_near_the_exact_ones() -> None:
    edges = drawn(150, 5.0, weighted=True)
    exact = exact_resistances(edges)
    found = projected_resistances(edges, 1600, RNG(0))
    error = found / exact - 1
    assert np.sqrt((error**2).mean()) < 1.3 * np.sqrt(2 / 1600)
    assert abs(error.mean()) < 0.01


def test_inclusion_probabilities_sum_to_the_count() -> None:
    mass = RNG(0).pareto(1.0, 500) + 0.01
    for count in (1, 10, 250, 499, 500):
        found = inclusion_probabilities(mass, count)
        assert found.sum() == pytest.approx(count)
        assert found.max() <= 1
        free = found < 1
        ratio = found[free] / mass[free]
        assert not free.any() or ratio.max() == pytest.approx(ratio.min())


def test_the_sampled_laplacian_is_unbiased() -> None:
    edges = drawn(24, 6.0, seed=3, weighted=True)
    resistance, count, draws = exact_resistances(edges), len(edges) // 3, 1200
    total, square_total = np.zeros((24, 24)), np.zeros((24, 24))
    for draw in range(draws):
        kept = resistance_sample(edges, resistance, count, RNG([draw, 5]))
        assert len(kept) == count
        one = kept.laplacian().toarray()
        total += one
        square_total += one**2
    mean = total / draws
    error = np.sqrt(np.maximum(square_total / draws - mean**2, 0) / draws)
    off = np.abs(mean - edges.laplacian().toarray())
    assert (off <= 5 * error + 1e-9).all()


def test_bridges_are_in_every_sample() -> None:
    bridge = edges_of([(0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (4, 5)], 6)
    resistance = exact_resistances(bridge)
    for seed in range(20):
        kept = resistance_sample(bridge, resistance, 5, RNG(seed))
        assert (kept.u * 6 + kept.v == 2 * 6 + 3).any()


def test_resistance_samples_know_a_cut_of_few_edges_and_random_ones_miss_it() -> None:
    """Two dense halves joined by five edges: a third of the edges, whose cut should have the weight five."""
    inside = [(a + side, b + side) for side in (0, 40) for a in range(40) for b in range(a)]
    edges = edges_of([*inside, *((i, 40 + i) for i in range(5))], 80)
    resistance, count = exact_resistances(edges), len(edges) // 3
    up = len(edges) / count

    def cut(kept: Edges) -> float:
        return float(kept.weight[(kept.u < 40) != (kept.v < 40)].sum())

    ours = [cut(resistance_sample(edges, resistance, count, RNG(seed))) for seed in range(60)]
    theirs = [cut(edges.keep(random_edges(len(edges), count, RNG(seed)), edges.weight * up)) for seed in range(60)]
    assert np.std(ours) < 0.4 * np.std(theirs)
    assert abs(np.mean(ours) - 5) < 0.5


def test_random_edges_keep_the_expected_degree() -> None:
    edges, draws = drawn(60, 8.0), 1000
    count = len(edges) // 3
    up = len(edges) / count
    total = np.zeros(edges.nodes)
    for seed in range(draws):
        kept = edges.keep(random_edges(len(edges), count, RNG(seed)), edges.weight * up)
        total += np.bincount(kept.u, kept.weight, 60) + np.bincount(kept.v, kept.weight, 60)
    spread = np.sqrt(edges.degree * up / draws)
    assert (np.abs(total / draws - edges.degree) <= 5 * np.maximum(spread, 1e-3)).all()


def test_triangles_and_similarities_by_sets() -> None:
    edges = drawn(70, 9.0)
    near = [set(np.concatenate([edges.v[edges.u == i], edges.u[edges.v == i]]).tolist()) for i in range(70)]
    pairs = [(near[a], near[b]) for a, b in zip(edges.u, edges.v, strict=True)]
    assert common_neighbours(edges).tolist() == [len(a & b) for a, b in pairs]
    np.testing.assert_allclose(jaccard_index(edges), [len(a & b) / len(a | b) for a, b in pairs])
    expected = [(len(a & b) + 1) / np.sqrt((len(a) + 1) * (len(b) + 1)) for a, b in pairs]
    np.testing.assert_allclose(structural_similarity(edges), expected)


def test_local_degree_is_what_its_definition_keeps() -> None:
    """For every exponent: an edge is kept when it is among the floor(d^a) of highest degree of either end."""
    edges = drawn(70, 8.0)
    degree, exponent = edges.degree, local_exponents(edges)
    for a in (0.0, 0.3, 0.5, 0.8, 1.0):
        kept = set()
        for node in range(edges.nodes):
            around = np.concatenate([edges.v[edges.u == node], edges.u[edges.v == node]])
            best = sorted(around.tolist(), key=lambda other: (-degree[other], other))
            kept |= {tuple(sorted((node, other))) for other in best[: int(degree[node] ** a + 1e-9)]}
        ours = {
            (int(u), int(v))
            for u, v in zip(edges.u[exponent <= a + 1e-12], edges.v[exponent <= a + 1e-12], strict=True)
        }
        assert ours == kept


def test_spanning_forests_keep_components_and_take_heavy_edges() -> None:
    edges = drawn(100, 2.5, weighted=True)
    forest = edges.nodes - edges.components()
    kept = edges.keep(spanning_forests(edges, forest, RNG(0)))
    assert len(kept) == forest
    assert kept.components() == edges.components()
    lengths = sparse.csr_array((3 - edges.weight, (edges.u, edges.v)), (100, 100))
    heaviest = 3 * forest - sparse.csgraph.minimum_spanning_tree(lengths).sum()
    assert kept.weight.sum() == pytest.approx(heaviest)


def test_two_forests_keep_cuts_of_two_edges() -> None:
    """A ring: any cut has two edges, and both forests together keep all of it."""
    ring = edges_of([(i, (i + 1) % 12) for i in range(12)] + [(0, 6)], 12)
    kept = spanning_forests(ring, 13, RNG(1))
    assert len(np.unique(kept)) == 13
    first = ring.keep(kept[:11])
    assert first.components() == 1


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("stretch", [1.0, 2.0, 3.0, 5.0, 8.5])
def test_spanner_keeps_every_distance_within_its_stretch(stretch: float, weighted: bool) -> None:
    edges = drawn(90, 10.0, weighted=weighted)
    kept = edges.keep(spanner(edges, stretch, RNG(0)))

    def distances(some: Edges) -> np.ndarray:
        lengths = sparse.csr_array((1 / some.weight, (some.u, some.v)), (90, 90))
        return sparse.csgraph.shortest_path(lengths, directed=False)

    before, after = distances(edges), distances(kept)
    finite = np.isfinite(before)
    assert (after[finite] <= stretch * before[finite] * (1 + 1e-9)).all()
    if stretch > 1:
        assert len(kept) < len(edges)


def test_spanner_is_the_greedy_one() -> None:
    """An edge is kept only where the edges kept before it do not join its ends within its stretch."""
    edges = drawn(60, 10.0, weighted=True)
    mask = spanner(edges, 3.0, RNG(0))
    order = np.argsort(1 / edges.weight, kind="stable")
    lengths = sparse.lil_array((60, 60))
    for edge in order:
        u, v, length = edges.u[edge], edges.v[edge], 1 / edges.weight[edge]
        reach = sparse.csgraph.dijkstra(lengths.tocsr(), directed=False, indices=u)[v]
        assert mask[edge] == (reach > 3.0 * length)
        if mask[edge]:
            lengths[u, v] = length


def test_spanner_of_stretch_one_keeps_all_and_of_infinity_a_forest() -> None:
    edges = drawn(60, 6.0)
    assert spanner(edges, 1.0, RNG(0)).all()
    forest = edges.keep(spanner(edges, np.inf, RNG(0)))
    assert len(forest) == edges.nodes - edges.components()
    assert forest.components() == edges.components()


def test_spanner_within_takes_the_least_stretch_that_fits() -> None:
    edges = drawn(80, 12.0)
    count = int(spanner(edges, 3.0, RNG(0)).sum()) + 1
    stretch, kept = spanner_within(edges, count, RNG(0))
    assert stretch == 3.0
    assert kept.sum() <= count


def test_rank_degree_takes_exactly_as_many_edges_and_hubs_first() -> None:
    edges = drawn(100, 6.0)
    for count in (1, 50, len(edges)):
        taken = rank_degree_walk(edges, count, 0.1, 10, RNG(0))
        assert len(np.unique(taken)) == count
    star = edges_of([(0, i) for i in range(1, 9)] + [(1, 2)], 9)
    first = rank_degree_walk(star, 1, 0.1, 1, RNG(3))
    assert star.u[first[0]] == 0 or star.v[first[0]] == 0


def test_ties_are_broken_by_the_seed() -> None:
    score = np.zeros(50)
    assert highest(score, 10, RNG(0)).tolist() != highest(score, 10, RNG(1)).tolist()
    assert systematic_sample(np.full(50, 0.2), RNG(0)).sum() == 10


# As methods


def test_a_method_keeps_nodes_features_and_labels() -> None:
    graph = planted(200)
    found = random_edge(graph, RandomEdgeParams(keep_fraction=0.25), Context(seed=1))
    assert found.whole
    assert found.edges == round(0.25 * graph.edges)
    assert (found.x == graph.x).all()
    assert found.y.tolist() == graph.visible().y.tolist()
    assert found.adjacency is not None
    assert found.adjacency.sum() == pytest.approx(graph.adjacency.sum(), rel=1e-5)
    again = random_edge(graph, RandomEdgeParams(keep_fraction=0.25), Context(seed=1))
    assert (again.adjacency != found.adjacency).nnz == 0


def test_the_inductive_setting_shows_train_edges_alone() -> None:
    graph = planted(200, setting="inductive")
    found = local_degree(graph, LocalDegreeParams(), Context())
    assert len(found) == len(graph.train)
    assert found.sees == "train"
    assert found.source is not None
    assert found.source.tolist() == graph.train.tolist()


def test_budgets_in_every_form() -> None:
    graph = planted(200, degree=8.0)
    total = graph.edges
    for params, expected in (
        ({}, round(total / 2)),
        ({"keep_edges": 77}, 77),
        ({"budget": "30%"}, round(0.3 * total)),
    ):
        assert random_edge(graph, RandomEdgeParams(**params), Context()).edges == expected
    bytes_asked = 25_000
    found = random_edge(graph, RandomEdgeParams(budget=f"{bytes_asked}B"), Context())
    assert bytes_asked - 24 < found.origin.settings["size"]["bytes"] <= bytes_asked


@pytest.mark.parametrize(
    ("run", "params", "code", "pointer"),
    [
        (random_edge, RandomEdgeParams(keep_edges=10**6), "budget_too_large", "/params/keep_edges"),
        (random_edge, RandomEdgeParams(keep_fraction=1e-6), "budget_too_small", "/params/keep_fraction"),
        (random_edge, RandomEdgeParams(budget="100B"), "budget_too_small", "/params/budget"),
        (spanning_forest, SpanningForestParams(keep_edges=20), "budget_too_small", "/params/keep_edges"),
        (t_spanner, TSpannerParams(keep_fraction=0.4, stretch=1.0), "budget_too_small", "/params/keep_fraction"),
    ],
)
def test_impossible_sizes_name_the_field_and_a_cure_that_works(run, params, code, pointer) -> None:
    graph = planted(200)
    with pytest.raises(JobError) as caught:
        run(graph, params, Context())
    assert (caught.value.code, caught.value.pointer) == (code, pointer)
    cure = caught.value.hint
    if "keep_edges=" in cure:
        edges = int(cure.split("keep_edges=")[1].split(" ")[0].rstrip(".,"))
        assert run(graph, type(params)(keep_edges=min(edges, graph.edges - 1)), Context()).edges
    else:
        assert run(graph, type(params)(budget=cure.split('"')[1]), Context()).edges


def test_forest_and_spanner_keep_components_and_random_edges_warn() -> None:
    graph = planted(200, degree=4.0)
    before = Edges.of(graph.adjacency).components()
    for run, params in (
        (spanning_forest, SpanningForestParams(budget="60%")),
        (t_spanner, TSpannerParams(budget="60%")),
    ):
        found = run(graph, params, Context())
        assert found.adjacency is not None
        assert Edges.of(found.adjacency).components() == before
        assert found.edges == round(0.6 * graph.edges)
        assert not found.warnings
    apart = random_edge(graph, RandomEdgeParams(budget="30%"), Context())
    assert any("fell apart" in text for text in apart.warnings)


def test_effective_resistance_method_counts_exactly_and_can_leave_weights() -> None:
    graph = planted(200)
    weighted = effective_resistance(graph, EffectiveResistanceParams(keep_edges=300), Context(seed=2))
    plain = effective_resistance(graph, EffectiveResistanceParams(keep_edges=300, reweight=False), Context(seed=2))
    assert weighted.edges == plain.edges == 300
    assert weighted.adjacency is not None
    assert plain.adjacency is not None
    assert (weighted.adjacency.indices == plain.adjacency.indices).all()
    assert (plain.adjacency.data == 1).all()
    assert weighted.adjacency.data.max() > 1


def test_a_cancelled_sparsifier_stops() -> None:
    ctx = Context()
    ctx.stop()
    with pytest.raises(Cancelled):
        t_spanner(planted(100), TSpannerParams(), ctx)


def test_a_sparsifier_is_judged_beside_random_edges_and_no_edges() -> None:
    graph = planted(200)
    found = local_degree(graph, LocalDegreeParams(keep_edges=250), Context())
    sets = {one.record.name: one for one in contenders(graph, [found], ["random"], draws=3, seed=0)}
    assert set(sets) == {"full", "summary", "random-edge", "no-edges"}
    assert [draw.edges for draw in sets["random-edge"].draws] == [250] * 3
    assert sets["random-edge"].record.equal == "events"
    assert sets["no-edges"].draws[0].edges == 0
    assert sets["no-edges"].record.rows == sets["summary"].record.rows == 200


# The graph as a graph


def test_properties_by_hand() -> None:
    found = structure.properties(edges_of([(0, 1), (1, 2), (0, 2), (2, 3)], 5).adjacency())
    assert found["edges"] == 4
    assert found["components"] == 2
    assert found["largest_component"] == 4
    assert found["isolated"] == 1
    assert found["transitivity"] == pytest.approx(3 / 5)
    assert found["clustering"] == pytest.approx((1 + 1 + 1 / 3) / 5)


def test_spectral_error_is_zero_for_the_same_graph_and_blind_to_scale() -> None:
    adjacency = planted(200, degree=8.0).adjacency
    assert structure.spectral_error(adjacency, adjacency) == pytest.approx(0, abs=1e-9)
    assert structure.spectral_error(adjacency, sparse.csr_array(adjacency * 3)) == pytest.approx(0, abs=1e-6)
    half = Edges.of(adjacency).keep(np.arange(200)).adjacency()
    error = structure.spectral_error(adjacency, half)
    assert error is not None
    assert error > 0.05
    assert structure.degree_distance(adjacency, adjacency) == 0


def test_triangles_of_a_real_graph() -> None:
    """ca-AstroPh has 1,351,441 triangles (its publisher's figure)."""
    rows = np.loadtxt(shared("ca-astroph") / "ca-AstroPh.txt.gz", comments="#", dtype=int)
    _, ends = np.unique(rows, return_inverse=True)
    ends = np.sort(ends.reshape(rows.shape), axis=1)
    pairs = np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0).T
    edges = Edges.of(symmetric(pairs, 18772))
    assert len(edges) == 198_050
    assert common_neighbours(edges).sum() == 3 * 1_351_441
