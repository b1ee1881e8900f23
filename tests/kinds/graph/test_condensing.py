"""What every learned condensation keeps: the best candidate is delivered, nothing unseen is used, time is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.kinds.graph.training import mean_accuracy, real
from tests.planted_graph import planted
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.distilling import learn
from worker.kinds.graph.condensation import validation
from worker.kinds.graph.condensation.adam import Adam
from worker.kinds.graph.condensation.candidate import WORDS, Candidate
from worker.kinds.graph.dataset import TEST, TRAIN, VALIDATION, Graph
from worker.runtime.registry import discover

METHODS = discover()
LEARNED = ("gcond", "gcond-x", "doscond", "doscond-x", "gcdm", "gcdm-x", "gcsntk", "sfgc", "geom", "deepcgc")
ALL = ("cgc", "cgc-x", "clustgdd", *LEARNED)
SMALL = {
    "gcond": {"epochs": 5}, "gcond-x": {"epochs": 5}, "doscond": {"epochs": 8}, "doscond-x": {"epochs": 8},
    "gcdm": {"epochs": 5}, "gcdm-x": {"epochs": 5}, "gcsntk": {"epochs": 2}, "deepcgc": {"epochs": 4, "warmup": 1},
    "sfgc": {"epochs": 2, "experts": 1, "teacher_epochs": 60},
    "geom": {"epochs": 2, "experts": 1, "teacher_epochs": 60}, "clustgdd": {"epochs": 10},
}  # fmt: skip


@pytest.fixture(autouse=True)
def short_validations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that choose among candidates are trained briefly: which one they choose is not what is asked here."""
    monkeypatch.setattr(validation, "EPOCHS", 6)
    monkeypatch.setattr(validation, "SEEDS", 1)


def run(name: str, graph: Graph, ctx: Context | None = None, **params):
    method = METHODS["graph", name]
    given = {"n_nodes": 9} | SMALL.get(name, {}) | params
    return method.run(graph, method.params(**given), ctx or Context(seed=3))


class Countdown:
    """A problem whose candidate is its epoch."""

    def __init__(self, losses: Callable[[int], float] = lambda number: 1.0) -> None:
        self.x, self.losses = torch.zeros(2, 2), losses

    def tensors(self) -> dict[str, Tensor]:
        return {"x": self.x}

    def step(self, number: int, tick: Callable[[], None]) -> float:
        self.x += 1
        return self.losses(number)

    def candidate(self) -> Candidate:
        return Candidate(self.x.clone(), torch.tensor([0, 1]))


def peak(at: int) -> Callable[[Candidate, Context], float]:
    return lambda candidate, _: -abs(float(candidate.x[0, 0]) - at)


@pytest.mark.parametrize("at", [0, 3, 8])
def test_learning_when_it_ends_then_the_candidate_that_validated_best_is_delivered(at: int):
    learned = learn(Countdown(), peak(at), Context(), WORDS, steps=8, patience=100)
    assert (learned.step, float(learned.best.x[0, 0])) == (at, at)
    assert [entry["epoch"] for entry in learned.history] == list(range(9))


def test_learning_when_patience_is_over_then_it_stops():
    learned = learn(Countdown(), peak(1), Context(), WORDS, steps=80, patience=3)
    assert learned.done == 30  # a validation every tenth epoch: the start is best, and three more were no better
    assert learned.step == 0


def test_learning_when_nothing_validates_then_the_last_is_delivered_with_a_warning():
    ctx = Context()
    learned = learn(Countdown(), None, ctx, WORDS, steps=8, patience=1)
    assert float(learned.best.x[0, 0]) == 8
    assert "no validation nodes" in ctx.warnings[0]


def test_learning_when_time_is_over_then_the_best_so_far_is_delivered_with_a_warning():
    ctx = Context(deadline=time.monotonic() - 1)
    learned = learn(Countdown(), peak(8), ctx, WORDS, steps=800, patience=100)
    assert learned.done == 1
    assert float(learned.best.x[0, 0]) == 1
    assert "time limit" in ctx.warnings[0]


def test_learning_when_the_loss_is_not_finite_then_says_what_to_lower():
    with pytest.raises(JobError, match="epoch 4") as caught:
        learn(Countdown(lambda n: math.nan if n == 4 else 1.0), peak(1), Context(), WORDS, steps=8, patience=100)
    assert (caught.value.code, caught.value.pointer) == ("diverged", "/params/lr_feat")


def test_adam_when_beside_torch_then_takes_the_same_steps():
    ours = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    theirs = ours.clone().requires_grad_(True)
    mine, peer = Adam({"w": ours}, 0.01, decay=0.1), torch.optim.Adam([theirs], 0.01, weight_decay=0.1)
    for number in range(20):
        gradient = torch.sin(number + ours)
        theirs.grad = torch.sin(number + theirs.detach())
        mine.step([gradient])
        peer.step()
    assert torch.allclose(ours, theirs.detach(), atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_method_when_labels_outside_train_change_then_its_nodes_do_not(name: str):
    graph = planted(150)
    graph = replace(graph, split=np.where(graph.split == VALIDATION, -1, graph.split).astype(np.int8))
    other = replace(graph, y=np.where(graph.split == TRAIN, graph.y, (graph.y + 1) % 3))
    one, two = run(name, graph), run(name, other)
    assert np.array_equal(one.x, two.x)
    assert np.array_equal(one.y, two.y)
    assert (one.adjacency is None) == (two.adjacency is None)


@pytest.mark.parametrize("name", ALL)
def test_method_when_inductive_then_no_test_feature_changes_a_byte_and_every_class_is_there(name: str):
    graph = planted(150, classes=4, setting="inductive")
    hidden = graph.split == TEST
    other = replace(graph, x=np.where(hidden[:, None], 7.0, graph.x).astype(np.float32))
    one, two = run(name, graph, n_nodes=10), run(name, other, n_nodes=10)
    assert np.array_equal(one.x, two.x)
    assert one.sees == "train"
    assert sorted(set(one.y.tolist())) == [0, 1, 2, 3]
    assert one.origin.settings["size"]["nodes"] == len(one.y) == 10


def test_validation_of_candidates_then_draws_from_the_job_and_alike_for_every_candidate(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(validation, "SEEDS", 2)
    drawn: list[int] = []
    seeded = validation.seeded
    monkeypatch.setattr(validation, "seeded", lambda seed, device: drawn.append(seed) or seeded(seed, device))
    graph = planted(100)
    for seed in (0, 1):
        ctx = Context(seed=seed)
        score = validation.validator(graph, ctx)
        assert score is not None
        candidate = Candidate(torch.from_numpy(graph.x[graph.train]), torch.from_numpy(graph.y[graph.train]))
        score(candidate, ctx)
        with ctx.part("another") as part:
            score(candidate, part)
    first, again, second = drawn[:2], drawn[2:4], drawn[4:6]
    assert first == again
    assert len({*first, *second}) == 4


@pytest.mark.parametrize("name", LEARNED)
def test_learned_method_when_time_is_over_then_delivers_with_a_warning(name: str):
    ctx = Context(seed=3, deadline=time.monotonic() - 1)
    made = run(name, planted(100), ctx, epochs=8)
    assert np.isfinite(made.x).all()
    assert any("time limit" in one for one in made.warnings)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("name", LEARNED)
def test_learned_method_when_on_a_gpu_then_delivers(name: str):
    made = run(name, planted(150), Context(seed=3, device="cuda"))
    assert np.isfinite(made.x).all()
    assert len(made.y) == 9


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("cgc-x", 79.0), ("gcond-x", 79.0), ("gcond", 80.0), ("gcdm-x", 79.0)])
def test_method_when_run_on_cora_then_reaches_its_figure(
    name: str, least: float, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.undo()
    assert mean_accuracy(real("cora", tmp_path_factory), name, n_nodes=70)[0] >= least
