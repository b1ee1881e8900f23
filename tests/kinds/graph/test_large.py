"""A graph that is too large to train on: a part stands for it, the report says so, and held-out nodes are a sample."""

from __future__ import annotations

import numpy as np
import pytest

from tests.planted_graph import planted
from worker.contract.context import Context
from worker.evidence.conclude import conclude
from worker.kinds.graph import large
from worker.kinds.graph.dataset import TEST, TRAIN, Graph
from worker.kinds.graph.judge import evaluate_params, judge
from worker.kinds.graph.methods.k_means_prop import KMeansPropParams, k_means_prop


@pytest.mark.parametrize("parts", [(0.5, 0.2, 0.3), (0.02, 0.3, 0.4)])
@pytest.mark.parametrize("degree", [0.2, 8.0])
def test_part_then_has_its_size_every_class_and_neighbours(parts: tuple[float, float, float], degree: float):
    graph = planted(2_000, degree=degree, parts=parts)
    nodes = large.part_of(graph.visible(), 0, 300)
    assert len(nodes) == 300
    assert (np.diff(nodes) > 0).all()
    part = graph.induced(nodes)
    assert part.train_counts.min() > 0
    if degree > 1:
        drawn = graph.induced(np.sort(np.random.default_rng(0).choice(graph.n, 300, replace=False)))
        assert part.edges > 2 * drawn.edges
    assert np.array_equal(nodes, large.part_of(graph.visible(), 0, 300))
    assert not np.array_equal(nodes, large.part_of(graph.visible(), 1, 300))


def test_part_when_there_are_fewer_nodes_then_is_all_of_them():
    graph = planted(100)
    assert len(large.part_of(graph, 0)) == 100


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
def test_judging_a_large_graph_then_a_part_stands_for_it_and_is_named(setting: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(large, "NODES", 200)
    monkeypatch.setattr(large, "ENTRIES", 1_000)
    monkeypatch.setattr(large, "HELD", 150)
    graph = planted(6_000, features=1_000, degree=4, noise=0.5, setting=setting)
    monkeypatch.setattr(large, "PART", 1)
    measured = judged(graph)
    full = next(one for one in measured.sets if one.role == "full")
    assert "a part of the whole graph (1,000 nodes)" in full.label
    assert full.rows == (graph.n if setting == "transductive" else len(graph.train))
    assert any("The whole may be better" in text for text in measured.warnings)
    assert any(f"150 of {len(graph.nodes(TEST)):,} test nodes" in text for text in measured.warnings)
    assert conclude(measured, {}).verdict.sentence


def test_judging_a_graph_that_is_not_large_then_all_of_it_is_trained_on_and_tested():
    graph = planted(200)
    measured = judged(graph)
    assert next(one for one in measured.sets if one.role == "full").label == "the whole graph"
    assert not any("large" in text for text in measured.warnings)
    assert len(large.trained_on(graph, 0)) == 200
    assert len(large.held(graph, TEST, 0, 0)) == len(graph.nodes(TEST))
    assert len(large.trained_on(graph, 0).labelled) == int((graph.split == TRAIN).sum())


def judged(graph: Graph):
    params = evaluate_params()(learners=["gcn", "majority"], baselines=[], runs=1, epochs=3, bootstrap=100)
    summary = k_means_prop(graph, KMeansPropParams(n_nodes=9, restarts=1), Context())
    return judge(graph, [summary], params, Context())
