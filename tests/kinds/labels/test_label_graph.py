"""The graph of labels and GAME: the closed form, the walk, and what must not change anything."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from tests.kinds.labels.topics import topics
from worker.kinds.labels import label_graph
from worker.kinds.labels.dataset import csr
from worker.kinds.labels.game import game, largest


def small() -> sparse.csr_matrix:
    """300 documents of 20 labels, one to four each."""
    rng = np.random.default_rng(3)
    dense = np.zeros((300, 20), np.float32)
    for row in dense:
        row[rng.choice(20, rng.integers(1, 5), replace=False, p=np.arange(1, 21) / 210)] = 1
    return csr(dense)


def test_a_step_goes_to_a_document_and_to_one_of_its_labels() -> None:
    targets = csr(np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]], np.float32))
    step = label_graph.transitions(targets).toarray()
    assert step[0] == pytest.approx([0.75, 0.25, 0])  # half the time the document of two labels
    assert step[2] == pytest.approx([0, 0.5, 0.5])


def test_the_closed_form_is_what_the_walk_tends_to() -> None:
    targets = small()
    exact = label_graph.visits(label_graph.transitions(targets), least=0).toarray()
    assert exact.sum(axis=1) == pytest.approx(1 - 0.2**3)  # three terms
    walked = label_graph.walk(targets, np.random.default_rng(0), steps=20_000).toarray()
    assert walked.sum(axis=1) == pytest.approx(1)
    assert 0.5 * np.abs(walked - exact).sum(axis=1).max() < 0.05
    # An alternative that a mistake would give (never restarting) is told apart.
    step = label_graph.transitions(targets).toarray()
    assert 0.5 * np.abs(walked - np.linalg.matrix_power(step, 8)).sum(axis=1).max() > 0.05


def test_the_walk_is_decided_by_its_seed() -> None:
    once, again, other = (
        label_graph.walk(small(), np.random.default_rng(seed), steps=200).toarray() for seed in (1, 1, 2)
    )
    assert (once == again).all()
    assert (once != other).any()


def test_duplicating_every_document_leaves_a_step_unchanged() -> None:
    targets = small()
    twice = csr(sparse.vstack([targets, targets]))
    assert abs(label_graph.transitions(targets) - label_graph.transitions(twice)).max() < 1e-12


def test_a_document_of_very_many_labels_takes_no_memory_by_their_square() -> None:
    few = csr(sparse.random(50, 30_000, density=1e-4, random_state=0, data_rvs=np.ones))
    every = csr(np.ones((1, 30_000)))
    alone, beside = (label_graph.transitions(one) for one in (few, csr(sparse.vstack([few, every]))))
    assert beside.nnz == alone.nnz  # 900 million, were the pairs of the last document counted
    held = np.bincount(few.indices, minlength=30_000)
    own = np.flatnonzero(held)
    shares = np.asarray(beside.sum(axis=1)).ravel()[own]
    assert shares == pytest.approx(held[own] / (held[own] + 1))


def test_a_symmetric_graph_has_eigenvalues_between_minus_one_and_one() -> None:
    targets = topics(400).targets
    met = label_graph.nearest(label_graph.visits(label_graph.transitions(targets))).toarray()
    symmetric = label_graph.normalised(csr(met + met.T)).toarray()
    assert symmetric == pytest.approx(symmetric.T)
    values = np.linalg.eigvalsh(symmetric)
    assert values.min() >= -1 - 1e-9
    assert values.max() == pytest.approx(1)


def test_ten_neighbours_and_always_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    shares = rng.random((30, 30))
    shares[:, 5] = 0  # nobody visits label 5, itself not either
    shares[7] = 0  # and from label 7 there is no way
    found = label_graph.nearest(csr(shares)).toarray()
    assert (np.diag(found) > 0).all()
    assert ((found > 0).sum(axis=1) <= 11).all()
    assert (found[7] > 0).sum() == 1
    for label in (0, 12):
        best = set(np.argsort(-shares[label], kind="stable")[:10].tolist()) | {label}
        assert set(np.flatnonzero(found[label]).tolist()) == best


def test_popular_labels_are_left_to_themselves() -> None:
    targets = topics(400).targets
    counts = np.bincount(targets.indices, minlength=targets.shape[1])
    popular = counts > 60
    assert popular.any()
    graph = label_graph.nearest(label_graph.transitions(label_graph.without_popular(targets, 60))).toarray()
    graph[np.diag_indices(len(graph))] = 0
    assert not graph[popular].any()
    assert not graph[:, popular].any()
    assert graph.any()


def test_edges_between_texts_that_point_apart_are_dropped() -> None:
    graph = csr(np.ones((3, 3)))
    vectors = np.array([[1.0, 0], [0.5, 1], [-1, 0.1]])
    assert (label_graph.agreeing(graph, vectors).toarray() > 0).tolist() == [
        [True, True, False], [True, True, False], [False, False, True],
    ]  # fmt: skip


def test_game_with_no_edges_changes_nothing_and_with_edges_lends() -> None:
    rng = np.random.default_rng(0)
    given = csr(np.where(rng.random((8, 12)) < 0.4, rng.random((8, 12)), 0))
    assert game(given, csr(np.eye(12)), 12).toarray() == pytest.approx(given.toarray())
    ring = csr(0.5 * np.eye(12) + 0.5 * np.roll(np.eye(12), 1, axis=1))
    found = game(given, ring, 12).toarray()
    p = given.toarray()
    assert found == pytest.approx(0.75 * p + 0.25 * np.roll(p, 1, axis=1))
    with pytest.raises(ValueError, match="graph"):
        game(given, csr(np.eye(3)), 12)


def test_the_largest_of_each_row_are_kept_ties_to_the_smaller_column() -> None:
    given = csr(np.array([[0.5, 0.2, 0.5, 0.5], [0, 0, 0.1, 0]]))
    assert largest(given, 2).toarray() == pytest.approx(np.array([[0.5, 0, 0.5, 0], [0, 0, 0.1, 0]]))
