"""On a GPU the same networks and the same teacher learn what they learn on a CPU."""

from __future__ import annotations

import pytest

from tests.planted_graph import planted
from worker.contract.context import Context
from worker.kinds.graph.dataset import TEST, VALIDATION
from worker.kinds.graph.held import held_out
from worker.kinds.graph.training_graph import TrainingGraph
from worker.kinds.graph.trials import GC4NC, Bench
from worker.runtime.registry import discover

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", ["gcn", "sgc", "appnp", "cheby", "graphsage", "gat"])
def test_network_when_trained_on_a_gpu_then_is_as_good(name: str):
    from worker.contract.learner import learners_of

    graph = planted(400, noise=1.5)
    found = []
    for device in ("cpu", "cuda"):
        ctx = Context(seed=1, device=device)
        one = learners_of("graph")[name]
        assert one.prepare is not None
        trial = one.prepare(TrainingGraph.of(graph), Bench(held_out(graph, VALIDATION)), ctx)
        model = trial.fit(one.settings[0] if name == "sgc" else GC4NC, ctx)
        test = held_out(graph, TEST)
        found.append(float((model.predict(test) == test.y).mean()))
    assert found[1] == pytest.approx(found[0], abs=0.05)


def test_teacher_when_trained_on_a_gpu_then_its_labels_are_as_good():
    graph = planted(400, noise=1.5)
    known = discover()["graph", "teacher-k-means"]
    found = [
        known.run(graph, known.params(n_nodes=12, teacher_epochs=60), Context(seed=1, device=device))
        for device in ("cpu", "cuda")
    ]
    assert found[0].soft.mean(axis=0) == pytest.approx(found[1].soft.mean(axis=0), abs=0.05)
