"""Propagation, allocation, budgets, k-means, herding: each against numbers worked out by hand or by another way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tests.planted_graph import planted
from worker.contract.errors import JobError
from worker.kinds.graph.allocation import allocate, nearest
from worker.kinds.graph.budget import SizeParams, nodes_asked
from worker.kinds.graph.clustering.kmeans import assign, best_of, fuzzy, kmeans, spherical
from worker.kinds.graph.dataset import symmetric, upper
from worker.kinds.graph.features import Transform, dense, usual
from worker.kinds.graph.herding import herd, k_center
from worker.kinds.graph.propagation import combined, normalised, powers, propagated


def test_normalised_of_a_path_then_is_what_it_is_by_hand():
    path = symmetric(np.array([[0, 1], [1, 2]]), 3)
    found = normalised(path).toarray()
    assert found == pytest.approx(np.array([[0.5, 0.4082, 0], [0.4082, 1 / 3, 0.4082], [0, 0.4082, 0.5]]), abs=1e-4)


def test_normalised_of_an_isolated_node_then_is_one():
    assert normalised(symmetric(np.zeros((2, 0), int), 2)).toarray() == pytest.approx(np.eye(2))


def test_propagation_when_in_blocks_then_is_the_dense_product(monkeypatch: pytest.MonkeyPatch):
    graph = planted(60)
    dense = graph.operator.toarray().astype(np.float64)
    monkeypatch.setattr("worker.kinds.graph.propagation.BLOCK_BYTES", 60 * 4 * 3)  # three columns
    rows = np.array([5, 3, 40])
    for x in (graph.x, sparse.csr_array(graph.x)):
        found = powers(graph.operator, x, 3, rows)
        for k, one in enumerate(found):
            assert one == pytest.approx((np.linalg.matrix_power(dense, k) @ graph.x)[rows], abs=1e-5)
        assert propagated(graph.operator, x, 2) == pytest.approx(dense @ dense @ graph.x, abs=1e-5)
        mixed = combined(graph.operator, x, [-0.1, 0.9, 0.9], rows)
        assert mixed == pytest.approx(-0.1 * found[0] + 0.9 * found[1] + 0.9 * found[2], abs=1e-5)


def test_edges_when_taken_apart_and_put_together_then_are_the_same():
    graph = planted(50)
    edges, weights = upper(graph.adjacency)
    assert (edges[0] < edges[1]).all()
    assert (symmetric(edges, 50, weights) != graph.adjacency).nnz == 0


def test_allocation_when_the_rate_is_no_binary_fraction_then_it_is_exact():
    assert allocate(np.array([100, 100, 100]), 87).tolist() == [29, 29, 29]


def test_allocation_when_the_published_rule_asks_for_more_than_there_is_then_others_take_it():
    # 139 of 7 x 20: the published rule gives 19 to six classes and 25 to the one with 20
    found = allocate(np.full(7, 20), 139)
    assert found.sum() == 139
    assert found.max() == 20
    assert found.min() == 19


def test_allocation_when_small_classes_are_rounded_up_then_the_sum_is_still_the_budget():
    assert allocate(np.array([1, 1, 1, 1, 1000]), 6).tolist() == [1, 1, 1, 1, 2]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=2, max_size=8), st.data())
def test_allocation_of_anything_then_sums_to_n_and_stays_within_the_counts(counts: list[int], data: st.DataObject):
    n = data.draw(st.integers(len(counts), sum(counts)))
    for rule in (allocate, nearest):
        found = rule(np.array(counts), n)
        assert found.sum() == n
        assert (found >= 1).all()
        assert (found <= np.array(counts)).all()
    assert np.abs(nearest(np.array(counts), n) - np.array(counts) * n / sum(counts)).max() <= max(1.0, len(counts) - 1)


def test_allocation_when_there_are_fewer_nodes_than_classes_then_is_refused_with_the_least():
    with pytest.raises(JobError, match="fewer than the 3 classes") as refused:
        allocate(np.array([5, 5, 5]), 2)
    assert refused.value.code == "budget_too_small"
    assert "3" in refused.value.hint


@pytest.mark.parametrize(
    ("size", "nodes"),
    [
        ({}, 35), ({"reduction_rate": 0.29}, 20), ({"rate_of_all": 0.1}, 24), ({"n_nodes": 12}, 12), ({"budget": 9}, 9),
        ({"budget": "10%"}, 24), ({"budget": "1kB"}, 10),
    ],
)  # fmt: skip
def test_budget_in_every_customary_form(size: dict[str, object], nodes: int):
    graph = planted(240, parts=(0.3, 0.3, 0.4))
    assert len(graph.train) == 72
    params = SizeParams(**size)
    assert nodes_asked(graph, params, bytes_per_node=100) == (36 if not size else nodes)


@pytest.mark.parametrize("size", [{"n_nodes": 2}, {"reduction_rate": 0.01}, {"n_nodes": 73}, {"rate_of_all": 0.9}])
def test_budget_when_it_cannot_be_then_the_hint_works(size: dict[str, object]):
    graph = planted(240)
    with pytest.raises(JobError) as refused:
        nodes_asked(graph, SizeParams(**size), bytes_per_node=1)
    assert refused.value.pointer == f"/params/{next(iter(size))}"
    cure = int(refused.value.hint.rpartition("=")[2].rstrip("."))
    assert nodes_asked(graph, SizeParams(n_nodes=cure), bytes_per_node=1) == cure


def test_budget_when_given_twice_then_is_refused():
    with pytest.raises(ValueError, match="not several"):
        SizeParams(n_nodes=3, reduction_rate=0.5)


def test_kmeans_of_planted_blobs_then_finds_them():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    rows = (centres[np.repeat([0, 1, 2], 30)] + rng.normal(0, 0.5, (90, 2))).astype(np.float32)
    found = best_of(rows, 3, rng, restarts=3)
    order = np.lexsort((found.centres[:, 1].round(), found.centres[:, 0].round()))
    assert found.centres[order] == pytest.approx(centres[[0, 2, 1]], abs=0.5)
    assert sorted(found.sizes.tolist()) == [30, 30, 30]
    direct = sum(((rows[found.assignment == c] - found.centres[c]) ** 2).sum() for c in range(3))
    assert found.sse == pytest.approx(direct, rel=1e-3)


def test_kmeans_when_there_are_as_many_clusters_as_rows_then_gives_the_rows_back():
    rows = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    assert np.array_equal(kmeans(rows, 7, np.random.default_rng(1)).centres, rows)


def test_kmeans_of_equal_rows_then_leaves_no_cluster_empty():
    found = kmeans(np.ones((10, 2), np.float32), 4, np.random.default_rng(0))
    assert (found.sizes > 0).all()
    assert np.isfinite(found.centres).all()


def test_kmeans_when_started_from_earlier_centres_then_keeps_and_adds_and_drops():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(c, 0.1, (20, 2)) for c in (0, 5, 10)]).astype(np.float32)
    two = np.array([[0, 0], [5, 5]], np.float32)
    grown = kmeans(rows, 3, rng, start=two)
    assert sorted(grown.centres[:, 0].round().tolist()) == [0, 5, 10]
    crowded = np.concatenate([two, [[100, 100]]]).astype(np.float32)  # nobody belongs to the third
    assert kmeans(rows, 2, rng, start=crowded).centres.max() < 20


def test_balance_when_asked_for_then_prefers_even_clusters():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(40, 2)).astype(np.float32)
    free = best_of(rows, 8, np.random.default_rng(5), restarts=20)
    even = best_of(rows, 8, np.random.default_rng(5), restarts=20, balance=10)
    assert even.sizes.var() <= free.sizes.var()
    assert even.sse >= free.sse


def test_fuzzy_when_the_exponent_is_near_one_then_is_kmeans():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(c, 0.3, (20, 2)) for c in (0, 4)]).astype(np.float32)
    hard, soft = kmeans(rows, 2, np.random.default_rng(1)), fuzzy(rows, 2, 1.01, np.random.default_rng(1))
    assert np.sort(soft.centres, axis=0) == pytest.approx(np.sort(hard.centres, axis=0), abs=1e-3)


def test_spherical_when_rows_are_scaled_then_parts_them_alike():
    rng = np.random.default_rng(0)
    angle = np.concatenate([rng.normal(a, 0.05, 20) for a in (0, 1.5, 3)])
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    scaled = rows * rng.uniform(0.1, 10, (60, 1)).astype(np.float32)
    first, second = (spherical(one, 3, np.random.default_rng(2)).assignment for one in (rows, scaled))
    assert np.array_equal(first, second)


def test_assignment_in_blocks_then_is_the_nearest():
    rng = np.random.default_rng(0)
    rows, centres = rng.normal(size=(100, 4)).astype(np.float32), rng.normal(size=(6, 4)).astype(np.float32)
    found, distance = assign(rows, centres)
    every = ((rows[:, None] - centres) ** 2).sum(axis=2)
    assert np.array_equal(found, every.argmin(axis=1))
    assert distance == pytest.approx(every.min(axis=1), abs=1e-4)


def test_herding_then_smaller_budgets_are_prefixes_and_the_first_is_nearest_to_the_mean():
    rows = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    whole = herd(rows, 20)
    assert len(set(whole.tolist())) == 20
    assert all(np.array_equal(herd(rows, n), whole[:n]) for n in range(1, 20))
    assert whole[0] == ((rows - rows.mean(0)) ** 2).sum(1).argmin()
    second = [((2 * rows.mean(0) - rows[whole[0]] - row) ** 2).sum() if i != whole[0] else np.inf
              for i, row in enumerate(rows)]  # fmt: skip
    assert whole[1] == int(np.argmin(second))


def test_k_center_then_the_radius_never_grows_and_is_at_most_twice_the_best():
    from itertools import combinations, pairwise

    rows = np.random.default_rng(1).normal(size=(10, 2)).astype(np.float32)

    def radius(chosen: tuple[int, ...]) -> float:
        return float(np.sqrt(((rows[:, None] - rows[list(chosen)]) ** 2).sum(2).min(1)).max())

    radii = [radius(tuple(k_center(rows, n).tolist())) for n in range(1, 6)]
    assert all(a >= b - 1e-6 for a, b in pairwise(radii))
    for n in (2, 3):
        best = min(radius(chosen) for chosen in combinations(range(10), n))
        assert radii[n - 1] <= 2 * best + 1e-6


def test_transform_row_and_standard_and_their_json():
    x = np.array([[1.0, 3.0], [0, 0], [2, 2]], np.float32)
    assert Transform("row")(x) == pytest.approx(np.array([[0.25, 0.75], [0, 0], [0.5, 0.5]]))
    assert Transform("row")(sparse.csr_array(x)).toarray() == pytest.approx(Transform("row")(x))
    fitted = Transform.fitted("standard", x, np.array([0, 2]))
    assert fitted.mean is not None
    assert fitted.mean == pytest.approx(np.array([1.5, 2.5]))
    again = Transform.from_json(fitted.to_json())
    assert again(x) == pytest.approx(fitted(x))
    assert fitted(x)[[0, 2]].mean(0) == pytest.approx(0)
    assert usual(x[:, :1] * np.array([[1], [0], [0]])) == "row"
    assert usual(-x) == "standard"


@pytest.mark.parametrize("kept", [1, 40, 300])
@pytest.mark.parametrize("as_rows", [False, True])
def test_propagation_to_some_nodes_is_that_of_all(kept: int, as_rows: bool) -> None:
    """Few nodes go by the sparse rows of the powers, many by whole columns: the same comes of both."""
    graph = planted(300, degree=4.0)
    x = sparse.csr_array(np.where(np.abs(graph.x) > 1.5, graph.x, 0)) if as_rows else graph.x
    nodes = np.random.default_rng(0).permutation(300)[:kept]
    weights = [0.3, 0.0, 0.7]
    found = combined(graph.operator, x, weights, nodes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, combined(graph.operator, x, weights)[nodes], atol=1e-5)


@pytest.mark.parametrize("as_rows", [False, True])
def test_transform_of_huge_rows_then_they_are_scaled_and_not_lost(as_rows: bool) -> None:
    x = np.array([[3e38, 3e38, 0.0], [0.0, 0.0, 0.0]], np.float32)
    found = Transform("row")(sparse.csr_array(x) if as_rows else x)
    assert dense(found) == pytest.approx(np.array([[0.5, 0.5, 0], [0, 0, 0]]))
