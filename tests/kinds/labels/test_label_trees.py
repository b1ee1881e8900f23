"""PLT: the tree of labels, the compiled logistic regression, and probabilities along paths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from tests.kinds.labels.topics import halves, topics
from worker.contract.context import Context
from worker.contract.learner import learners_of
from worker.kinds.labels.dataset import LabelSet, csr
from worker.kinds.labels.label_tree import clusters
from worker.kinds.labels.learners import plt
from worker.kinds.labels.logistic import logistic
from worker.kinds.labels.text_features import unit_rows


def fitted(training: LabelSet, cost: float = 10.0, seed: int = 0) -> plt.LabelTreeModel:
    """Trained as the judge does it."""
    prepare = learners_of("labels")["plt"].prepare
    assert prepare is not None
    return prepare(training, None, Context(seed=seed)).fit({"cost": cost}, Context(seed=seed))


def test_weights_are_those_of_another_solver() -> None:
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((300, 20)) < 0.3, rng.normal(size=(300, 20)), 0)
    positive = dense @ rng.normal(size=20) + rng.normal(size=300) > 0.8
    cost = np.where(rng.random(300) < 0.5, 1.0, 3.0)
    rows = csr(dense)
    w = logistic(rows, positive, cost, rng.permutation(300))
    other = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-8, max_iter=1000)
    exact = other.fit(dense, positive, sample_weight=cost).coef_[0]

    def loss(of: np.ndarray) -> float:
        margin = np.where(positive, 1, -1) * (rows @ of)
        return float(0.5 * of @ of + (cost * np.logaddexp(0, -margin)).sum())

    assert loss(w) <= loss(exact) * 1.001
    assert np.abs(w - exact).max() < 0.05


def test_a_row_of_no_cost_changes_nothing() -> None:
    rows = csr(np.eye(4))
    positive = np.array([True, False, True, False])
    w = logistic(rows, positive, np.array([1.0, 1.0, 0.0, 1.0]), np.arange(4))
    assert w[2] == 0
    assert w[0] > 0 > w[1]


def test_clusters_are_balanced_and_alike_labels_share_one() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(4), 16)
    vectors = unit_rows(csr(np.eye(4)[group] + 0.1 * rng.random((64, 4))))
    found, depth = clusters(vectors, 16, Context(seed=0))
    assert depth == 2
    assert np.bincount(found).tolist() == [16] * 4
    assert all(len(set(found[group == one].tolist())) == 1 for one in range(4))
    uneven, depth = clusters(unit_rows(csr(rng.random((37, 5)))), 10, Context(seed=0))
    assert depth == 2
    assert set(np.bincount(uneven, minlength=4).tolist()) <= {9, 10}
    assert clusters(vectors, 64, Context())[1] == 0


def test_labels_are_found_through_a_tree_as_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    training, test = halves(topics())
    flat = fitted(training)
    assert flat.tree.depth == 0  # fewer labels than a cluster may have
    monkeypatch.setattr(plt, "MOST_IN_CLUSTER", 8)
    deep = fitted(training)
    assert deep.tree.depth == 3
    hits = []
    for model in (flat, deep):
        labels, scores = model.top(test, 3)
        assert (scores <= 1e-6).all()  # log probabilities
        assert (np.diff(scores, axis=1) <= 0).all()
        hits.append(np.mean([label in test.targets[row].indices for row, label in enumerate(labels[:, 0])]))
    assert hits[0] > 0.85
    assert hits[1] > 0.85
    assert (fitted(training).top(test, 3)[1] == deep.top(test, 3)[1]).all()


def test_a_parent_is_at_least_as_likely_as_what_is_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "MOST_IN_CLUSTER", 8)
    training, test = halves(topics(400))
    model = fitted(training)
    rows = plt.with_one(model.tree.weighting.of_rows(model.tree.encoder.rows(test, Context())))
    first = -np.logaddexp(0, -model.levels[0].products(rows))  # log P of the two halves
    labels, scores = model.top(test, 5)
    kept = labels >= 0
    above = np.take_along_axis(first, np.where(kept, model.tree.clusters[labels] >> (model.tree.depth - 1), 0), axis=1)
    assert (scores[kept] <= above[kept] + 1e-5).all()


def test_rows_by_weight_and_features_and_labels_without_documents() -> None:
    training, test = halves(topics(400, text=False))
    lost = int(np.argmin(training.counts))
    keep = sparse.diags((np.arange(training.labels) != lost).astype(np.float32))
    without = replace(training, targets=csr(training.targets @ keep))
    labels, _ = fitted(without).top(test, training.labels)
    assert not (labels == lost).any()
    heavy = replace(without, weights=np.where(np.arange(len(without)) < 10, 50.0, 1.0))
    assert (fitted(heavy).top(test, 3)[1] != fitted(without).top(test, 3)[1]).any()
