"""Judging and the axes on planted graphs: what is corrupted, attacked and ranked is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from tests.planted_graph import planted
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.conclude import conclude
from worker.evidence.measurements import Measurements
from worker.kinds.graph.axes import privacy, properties
from worker.kinds.graph.axes.corruption import corrupted
from worker.kinds.graph.copies import copied
from worker.kinds.graph.dataset import NONE, TEST, TRAIN, VALIDATION, Graph, symmetric, upper
from worker.kinds.graph.description import edge_homophily, warnings
from worker.kinds.graph.held import held_out
from worker.kinds.graph.judge import evaluate_params
from worker.runtime.registry import discover

QUICK = {"runs": 1, "epochs": 30, "draws": 2, "bootstrap": 100}


def made(graph: Graph, method: str = "k-means-prop", **params: Any) -> Any:
    known = discover()["graph", method]
    return known.run(graph, known.params(**params), Context(seed=1))


def evaluated(graph: Graph, summary: Any, axes: list[str], **evaluate: Any) -> Measurements:
    known = discover()["graph", "evaluate"]
    ctx = Context(seed=3, inputs={"summary": [summary]}, evaluate=evaluate_params()(**{**QUICK, **evaluate}))
    return known.run(graph, known.params(axes=axes), ctx)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return planted(200, classes=3, features=8, noise=1.5)


@pytest.mark.parametrize(("train", "test", "accuracy"), [
    ((0.9, 0.8, 0.7, 0.6), (0.75, 0.5, 0.4, 0.3), 0.875), ((0.5,), (0.5,), 0.5), ((0.1, 0.2), (0.8, 0.9), 0.5),
    ((0.9,), (0.1,), 1.0),
])  # fmt: skip
def test_attack_accuracy_is_what_it_is_by_hand(train: tuple[float], test: tuple[float], accuracy: float):
    assert privacy.attack_accuracy(np.array(train), np.array(test)) == pytest.approx(accuracy)


def test_corruption_when_random_then_adds_what_was_asked_and_keeps_the_rest(graph: Graph):
    noisy = corrupted(graph, "features", 0.5, 0)
    changed = (noisy.x != graph.x).mean()
    assert 0.4 < changed < 0.51  # an entry may be drawn as itself
    assert (noisy.adjacency != graph.adjacency).nnz == 0
    more = corrupted(graph, "edges", 0.5, 0)
    assert graph.edges * 1.4 < more.edges <= graph.edges * 1.5
    assert (more.adjacency - graph.adjacency).min() >= 0


def test_corruption_when_adversarial_then_homophily_falls_more_than_by_chance(graph: Graph):
    random, worst = (edge_homophily(corrupted(graph, kind, 0.5, 0)) for kind in ("edges", "adversarial"))
    assert worst is not None
    assert random is not None
    assert worst < random < (edge_homophily(graph) or 0)


def test_properties_of_a_square_with_two_classes_by_hand():
    square = symmetric(np.array([[0, 1, 2, 0], [1, 2, 3, 3]]), 4)
    x = np.array([[0.0], [0], [1], [1]], np.float32)
    found = properties.of(x, square, np.array([0, 0, 1, 1]))
    assert found["density"] == pytest.approx(100 * 4 / 6)
    assert found["eigenvalue"] == pytest.approx(4)  # of a cycle of four
    assert found["homophily"] == pytest.approx(0.5)
    assert found["separation"] == pytest.approx(0)
    assert properties.of(x, None, np.array([0, 0, 1, 1]))["homophily"] is None


def test_judging_then_every_size_is_stated_and_the_cheap_ones_stand_beside(graph: Graph):
    summary = made(graph, "herding", n_nodes=9)
    m = evaluated(graph, summary, ["performance"], learners=["gcn", "mlp", "majority"])
    names = {one.name for one in m.sets}
    assert {"full", "summary", "random", "herding", "k-means-prop", "random-bytes"} <= names
    rows = {one.name: one for one in m.sets}
    assert rows["random"].rows == rows["k-means-prop"].rows == 9
    assert rows["random-bytes"].bytes <= rows["summary"].bytes
    found = conclude(m, {})
    assert found.verdict.sentence
    sizes = next(table for table in found.tables if table.name == "condensed_sizes").rows[0]
    assert sizes["nodes"] == 9
    assert sizes["of_train"] == pytest.approx(100 * 9 / 60)
    assert sizes["of_all"] == pytest.approx(100 * 9 / 200)
    assert "gc4nc" in m.protocol.text
    tuned = evaluated(graph, summary, ["performance"], learners=["gcn"], protocol="tuned", baselines=[])
    assert "Protocol tuned" in tuned.protocol.text
    assert len(tuned.of("gcn", "full")[0].tried) == 4
    assert m.protocol.hash != tuned.protocol.hash


def test_all_axes_then_each_has_its_table(graph: Graph):
    summary = made(graph, "k-means-prop", n_nodes=9)
    axes = ["performance", "transfer", "efficiency", "privacy", "denoise", "nas", "properties"]
    m = evaluated(graph, summary, axes, learners=["gcn", "majority"], baselines=[], epochs=6)
    assert {"properties", "efficiency", "denoising", "architectures"} <= {table.name for table in m.tables}
    assert {one.name for one in m.learners} >= {"gcn", "sgc", "appnp", "cheby", "graphsage", "gat"}
    assert any("no guarantee" in text for text in m.warnings)
    assert len(m.privacy) == 2
    assert all(0.5 <= row.value <= 1 for row in m.privacy)
    noise = next(table for table in m.tables if table.name == "denoising")
    assert len(noise.rows) == 1 + 3 * 2
    assert all(row["summary"] is not None for row in noise.rows)
    heat = next(plot for plot in m.plots if plot.name == "transfer")
    assert len(heat.series[0].x) == 6
    conclude(m, {})


def verdict_of(graph: Graph, summary: Any, **evaluate: Any) -> Any:
    return conclude(evaluated(graph, summary, ["performance"], learners=["gcn", "majority"], **evaluate), {})


def test_verdict_on_a_transductive_summary_then_the_headline_carries_the_mark(graph: Graph):
    summary = made(graph, "teacher-k-means", n_nodes=9, teacher_epochs=20, teachers=1)
    found = verdict_of(graph, summary, baselines=["random"])
    assert found.verdict.caveat == "was made with features of held-out nodes"
    assert "was made with features of held-out nodes" in found.verdict.sentence
    assert "was made with features of held-out nodes" in found.headline
    assert found.verdict.tone != "good"


def test_verdict_on_fewer_edges_of_the_same_nodes_then_is_like_for_like(graph: Graph):
    found = verdict_of(graph, made(graph, "random-edge", keep_fraction=0.5))
    assert found.verdict.caveat == ""


def test_verdict_on_what_train_nodes_make_or_on_an_upload_then_says_what_is_known(graph: Graph):
    from worker.kinds.graph.summary import adopt

    assert verdict_of(graph, made(graph, n_nodes=9), baselines=["random"]).verdict.caveat == ""
    subset = adopt(graph, graph.induced(graph.train[:20]))
    caveat = verdict_of(graph, subset, baselines=["random"]).verdict.caveat
    assert caveat == "may have been made with features of held-out nodes"


@pytest.mark.parametrize(("method", "params"), [("random", {"n_nodes": 9}), ("random-edge", {"keep_fraction": 0.5})])
def test_summary_whose_labels_another_split_asks_for_then_is_refused(graph: Graph, method: str, params: dict[str, Any]):
    summary = made(graph, method, **params)
    turned = replace(graph, split=np.where(graph.split == TRAIN, TEST, TRAIN).astype(np.int8))
    with pytest.raises(JobError, match="held out in this version") as refused:
        evaluated(turned, summary, ["performance"])
    assert refused.value.pointer == "/inputs/summary"


def test_copied_rows_are_counted(graph: Graph):
    assert copied(graph, made(graph, "random", n_nodes=9)) == 9
    assert copied(graph, made(graph, "k-means-prop", n_nodes=6)) == 0
    whole = made(graph, "k-means-prop", reduction_rate=1.0)
    assert any("60 of 60" in text for text in warnings(graph, whole))


def test_copied_rows_when_too_many_to_compare_or_sparsified_then_it_is_said(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
):
    from worker.kinds.graph import copies

    thinned = made(graph, "random-edge", keep_fraction=0.5)
    assert any(f"60 of {graph.n}" in text for text in copies.said(graph, thinned))
    assert copies.said(graph, made(graph, "k-means-prop", n_nodes=6)) == []
    monkeypatch.setattr(copies, "MOST", 1)
    assert any("not looked at" in text for text in warnings(graph, made(graph, "k-means-prop", n_nodes=6)))


def test_uploaded_subset_then_what_it_was_made_of_is_not_known(graph: Graph):
    from worker.kinds.graph.description import tables
    from worker.kinds.graph.summary import adopt

    subset = adopt(graph, graph.induced(graph.train[:20]))
    assert any("not known" in text for text in warnings(graph, subset))
    (row,) = tables(graph, [subset], held_out(graph, TEST))[0].rows
    assert row["sees"] == "not known"


def test_homophily_when_low_then_is_warned_of():
    low = planted(300, homophily=0.2, classes=3)
    assert any("mix the classes" in text for text in warnings(low, made(low, n_nodes=9)))
    high = planted(300, homophily=0.8, classes=3)
    assert not any("mix the classes" in text for text in warnings(high, made(high, n_nodes=9)))


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_verdict_where_edges_lead_astray_then_warns_and_claims_no_more_than_was_measured(noise: float):
    low = planted(500, homophily=0.2, classes=3, noise=noise, seed=3)
    found = verdict_of(low, made(low, "k-means-prop", n_nodes=12), baselines=["random"])
    assert any("mix the classes" in text for text in found.warnings)
    assert found.verdict.tone == "open"
    assert "does not beat its floor, MLP" in found.verdict.sentence
    rows = {(row["learner"], row["role"]): row["metric"] for row in found.tables[0].rows}
    assert rows["GCN", "full"] < rows["MLP", "full"], "which is what was planted"


def test_features_of_another_scale_are_warned_of(graph: Graph):
    from dataclasses import replace

    summary = made(graph, n_nodes=9)
    large = replace(summary, x=summary.x * 9)
    assert any("times as large" in text for text in warnings(graph, large))


def test_judging_without_test_nodes_then_says_what_to_do(graph: Graph):
    from dataclasses import replace

    none = replace(graph, split=np.where(graph.split == TEST, NONE, graph.split).astype(np.int8))
    with pytest.raises(JobError, match="nothing can be measured"):
        evaluated(none, made(none, n_nodes=9), ["performance"])


def test_early_choice_without_validation_nodes_then_is_refused_or_left_out(graph: Graph):
    from dataclasses import replace

    none = replace(graph, split=np.where(graph.split == VALIDATION, NONE, graph.split).astype(np.int8))
    summary = made(none, n_nodes=9)
    with pytest.raises(JobError) as refused:
        evaluated(none, summary, ["performance"], learners=["gcn"])
    assert refused.value.pointer == "/evaluate/early_choice"
    m = evaluated(none, summary, ["performance"], learners=["gcn"], baselines=[], early_choice=False)
    assert m.results


def test_held_out_sample_of_a_large_graph_then_predicts_as_the_whole():
    from worker.kinds.graph.axes.training import trained
    from worker.kinds.graph.training_graph import TrainingGraph

    graph = planted(400, degree=3, seed=2)
    whole = held_out(graph, TEST, most=10)
    cut = held_out(graph, TEST, most=10, cut_above=10)
    assert cut.x.shape[0] < graph.n
    assert np.array_equal(cut.ids, whole.ids)
    model = trained(TrainingGraph.of(graph), held_out(graph, VALIDATION), 12, Context())
    assert model.logits(cut) == pytest.approx(model.logits(whole), abs=1e-4)


def test_denoising_of_an_inductive_graph_then_only_the_train_part_is_corrupted():
    from worker.kinds.graph.axes.denoising import _spoilt

    graph = planted(200, setting="inductive")
    for kind in ("features", "edges", "adversarial"):
        spoilt = _spoilt(graph, kind, 0.5, 0)
        for part in (VALIDATION, TEST):
            nodes = graph.nodes(part)
            assert np.array_equal(spoilt.x[nodes], graph.x[nodes])
            assert (spoilt.induced(nodes).adjacency != graph.induced(nodes).adjacency).nnz == 0
        train = graph.nodes(TRAIN)
        assert not np.array_equal(spoilt.x[train], graph.x[train]) or (
            (spoilt.induced(train).adjacency != graph.induced(train).adjacency).nnz > 0
        )
        assert (spoilt.adjacency != spoilt.adjacency.T).nnz == 0
        assert isinstance(spoilt.adjacency, sparse.csr_array)
        assert upper(spoilt.adjacency)[0].shape[1] == spoilt.edges


def test_learners_when_no_floor_is_named_then_the_floors_are_trained_all_the_same():
    from worker.kinds.graph.judge import evaluate_params, learners

    assert {one.name for one in learners(evaluate_params()(learners=["gcn"]))} == {"gcn", "mlp", "majority"}
