"""ECLARE: its blocks, its graph either way, what its modules leave alone, and labels without documents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from tests.kinds.labels.topics import FIELDS, halves, topics
from worker.contract.context import Context
from worker.kinds.labels import shortlist
from worker.kinds.labels.dataset import LabelSet, csr
from worker.kinds.labels.eclare_training import train, word_vectors
from worker.kinds.labels.learners import eclare
from worker.kinds.labels.networks.eclare import Attention, EclareNetwork, Residual, Shape
from worker.kinds.labels.shortlist import MetaLabels
from worker.kinds.labels.text_features import unit_rows


def fitted(training: LabelSet, seed: int = 0, **settings: int | str) -> eclare.EclareModel:
    """Trained as the judge does it."""
    trainable = eclare.eclare(training, None, Context(seed=seed))
    return trainable.fit(settings, Context(seed=seed))


def precision(model: eclare.EclareModel, test: LabelSet) -> float:
    """P@1."""
    labels, _ = model.top(test, 1)
    return float(np.mean([label in test.targets[row].indices for row, label in enumerate(labels[:, 0])]))


def test_attention_with_one_source_is_the_identity() -> None:
    torch.manual_seed(0)
    stack = torch.randn(7, 1, 16)
    shares = Attention(1, 16, 0.0)(stack)
    assert torch.equal(shares, torch.ones(7, 1))
    several = Attention(3, 16, 0.0)(torch.randn(7, 3, 16))
    assert several.sum(dim=1).tolist() == pytest.approx([1] * 7)
    assert (several.std(dim=1) > 0).all()


def test_a_block_starts_as_itself_and_its_rectified_copy() -> None:
    torch.manual_seed(0)
    e = torch.randn(5, 8)
    block = Residual(8, 0.5).eval().requires_grad_(False)
    assert torch.allclose(block(e), e + torch.relu(e), atol=1e-5)
    assert float(torch.linalg.matrix_norm(block.linear.weight, 2)) == pytest.approx(1, abs=1e-5)
    with torch.no_grad():
        block.linear.parametrizations.weight.original.mul_(7)  # the norm is held, whatever the weights become
    assert float(torch.linalg.matrix_norm(block.linear.weight, 2)) == pytest.approx(1, abs=1e-4)


def test_without_edges_the_graph_source_is_a_second_reading_of_the_text() -> None:
    torch.manual_seed(0)
    texts = csr(sparse.random(6, 10, 0.5, random_state=np.random.default_rng(0)))
    net = EclareNetwork(np.random.default_rng(0).normal(size=(10, 4)), texts, csr(np.eye(6)), Shape(width=4)).eval()
    sources = net.sources()
    assert torch.allclose(sources[:, 0], sources[:, 1], atol=1e-5)  # both blocks start alike
    net.refine(torch.randn(6, 4))
    assert net.sources().shape == (6, 3, 4)
    assert not net.table.requires_grad


def test_labels_are_learnt_and_the_seed_decides() -> None:
    training, test = halves(topics(800))
    model = fitted(training)
    assert precision(model, test) > 0.8
    assert (fitted(training).top(test, 3)[1] == model.top(test, 3)[1]).all()
    assert (fitted(training, seed=1).top(test, 3)[1] != model.top(test, 3)[1]).any()
    used = list(eclare.sources_used(model))
    assert sum(used) == pytest.approx(1, abs=1e-5)
    assert np.ptp(used) > 1e-3  # attention has learnt to prefer something


def test_game_lends_along_the_graph_and_not_without_edges() -> None:
    training, test = halves(topics(400))
    model = fitted(training)
    alone = replace(model, lend=False).top(test, 5)
    lent = model.top(test, 5)
    assert (lent[1] != alone[1]).any()
    identity = replace(model.fitted, graph=csr(np.eye(training.labels)))
    same = replace(model, fitted=identity).top(test, 5)
    assert (same[0] == alone[0]).all()
    assert same[1] == pytest.approx(alone[1], rel=1e-5)


def test_the_walk_gives_nearly_the_graph_of_the_closed_form() -> None:
    training, test = halves(topics(800))
    exact = eclare.graph_of(training, exact=True, rng=np.random.default_rng(0)).toarray()
    walked = eclare.graph_of(training, exact=False, rng=np.random.default_rng(0)).toarray()
    assert (exact != walked).any()
    assert np.corrcoef(exact.ravel(), walked.ravel())[0, 1] > 0.9
    assert abs(precision(fitted(training, graph="walk"), test) - precision(fitted(training), test)) < 0.1


def test_a_label_without_documents_is_found_by_its_text_where_asked_for() -> None:
    data = topics(800)
    topic = FIELDS + 12
    training, test = halves(data)
    shown = training.targets[:, [topic]].toarray().ravel() == 0
    training = training.take(shown)
    held = test.take(test.targets[:, [topic]].toarray().ravel() > 0)
    assert len(held) >= 3
    named = replace(held, titles=[f"topic12a topic12b {title}" for title in held.titles or ()])
    closed, opened = fitted(training), fitted(training, zero_shot=1)
    assert not (closed.top(named, 60)[0] == topic).any()
    assert (opened.top(named, 60)[0] == topic).any(axis=1).all()


def test_a_shortlist_finds_nearly_what_scoring_all_labels_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist, "BEAM", 5)
    training, test = halves(topics(1200, labels=120))
    every, short = fitted(training), fitted(training, shortlist=1)
    assert every.meta is None
    assert short.meta is not None
    assert precision(short, test) > precision(every, test) - 0.1
    rows = short.fitted.weighting.of_rows(short.fitted.encoded.encoder.rows(test, Context()))
    proposed = short.meta.shortlist(rows)
    found = test.targets.multiply(proposed > 0).sum() / test.targets.nnz
    assert found > 0.9  # of the true labels
    assert proposed.nnz < 0.7 * proposed.shape[0] * proposed.shape[1]


def test_more_labels_than_it_scores_at_once_get_a_shortlist(monkeypatch: pytest.MonkeyPatch) -> None:
    training, _ = halves(topics(200))
    monkeypatch.setattr(eclare, "MOST_LABELS", 50)
    assert fitted(training).meta is not None
    monkeypatch.setattr(eclare, "MOST_LABELS", 60)
    assert fitted(training).meta is None


def test_popular_labels_are_meta_labels_of_their_own_and_no_cluster_is_large() -> None:
    rng = np.random.default_rng(0)
    counts = np.where(np.arange(100) < 3, 501, 5)
    found = MetaLabels.grow(unit_rows(csr(rng.random((100, 6)))), counts, Context(seed=0))
    sizes = np.asarray(found.members.sum(axis=1)).ravel()
    assert (sizes[found.of[:3]] == 1).all()
    assert sizes.max() <= 16
    assert sizes.sum() == 100
    targets = csr(np.eye(100)[:5] + np.eye(100)[1:6])
    above = found.targets(targets).toarray()
    for row in range(5):
        assert set(np.flatnonzero(above[row]).tolist()) == {int(found.of[row]), int(found.of[row + 1])}


def test_training_on_a_shortlist_of_all_labels_is_training_on_all() -> None:
    training, _ = halves(topics(120))
    given = eclare.eclare(training, None, Context(seed=0))
    logits = []
    for asked in (None, csr(np.ones((len(training), 60)))):
        torch.manual_seed(0)
        net = EclareNetwork(word_vectors(given.rows, 8, 0), given.texts, given.graph, Shape(width=8, dropout=0.0))
        train(net, given.rows, training.targets, training.weights, Context(seed=0), asked)
        logits.append(net.eval()(given.rows).detach().numpy())
    assert logits[0] == pytest.approx(logits[1], abs=1e-3)
