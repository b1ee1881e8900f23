"""Experts and trajectory matching: snapshots that are copies, curricula, the loss of a student that does not move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.planted_graph import planted
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.graph.condensation import experts as ex
from worker.kinds.graph.condensation.trajectory_matching import Trajectory, TrajectoryMatching
from worker.kinds.graph.methods.sfgc import SFGCParams, sfgc

SHAPE = ex.Shape(16, 8, 3)
SETTINGS = Trajectory(3, 2, 2, 4, True, 0.0, False, 2, 0.5, 1e-2, 1e-2, 1e-2)


@pytest.fixture(scope="module")
def real() -> ex.RealNodes:
    return ex.RealNodes.of(planted(120).visible(), "cpu")


@pytest.fixture(scope="module")
def expert(real: ex.RealNodes) -> np.ndarray:
    return ex.train_expert(real, SHAPE, ex.Training(60, 0.5, 10), 0, Context())


def problem(expert: np.ndarray, settings: Trajectory = SETTINGS) -> TrajectoryMatching:
    x = torch.randn(9, 16, generator=torch.Generator().manual_seed(0))
    return TrajectoryMatching([expert], SHAPE, x, torch.arange(9) % 3, 2.0, settings, 0)


def test_expert_when_trained_then_snapshots_are_distinct_and_it_has_learned(real: ex.RealNodes, expert: np.ndarray):
    assert expert.shape == (7, SHAPE.size)
    assert len({one.tobytes() for one in expert}) == 7
    right = [float((real.logits(SHAPE, torch.from_numpy(one)).argmax(1) == real.y).float().mean()) for one in expert]
    assert right[-1] > 0.9 > right[0]


def test_experts_when_several_then_each_has_a_start_of_its_own(real: ex.RealNodes):
    one, other = ex.experts(real, SHAPE, ex.Training(20, 0.5, 10), 2, Context(seed=1))
    assert not np.allclose(one[0], other[0])


def test_logits_when_of_a_field_then_are_those_of_the_whole_graph(real: ex.RealNodes, expert: np.ndarray):
    graph = planted(120)
    first, bias, second, last = (part.numpy() for part in SHAPE.parts(torch.from_numpy(expert[-1])))
    hidden = np.maximum(graph.operator @ (graph.x / real.scale) @ first + bias, 0)
    wanted = (graph.operator @ hidden @ second + last)[graph.train]
    assert real.logits(SHAPE, torch.from_numpy(expert[-1])).numpy() == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(("name", "half"), [("linear", 0.875), ("root", np.sqrt(0.78125)), ("geom", np.sqrt(0.75))])
def test_curriculum_when_it_begins_and_ends_then_is_at_its_start_and_at_all(name: str, half: float):
    grow = ex.CURRICULA[name]
    assert grow(0.75, 0.0) == pytest.approx(0.75)
    assert grow(0.75, 0.5) == pytest.approx(half)
    assert grow(0.75, 1.0) == pytest.approx(1.0)


def test_difficulty_when_all_around_are_of_one_class_then_is_zero_and_unseen_labels_do_not_count():
    graph = planted(120, homophily=1.0, noise=0.01)
    seen = graph.visible()
    around = seen.operator[seen.train]
    assert ex.difficulty(seen, around).max() == pytest.approx(0.0, abs=1e-9)
    mixed = planted(120, homophily=0.3, noise=0.01).visible()
    assert ex.difficulty(mixed, mixed.operator[mixed.train]).max() > 0.5


@pytest.mark.parametrize("squared", [True, False])
def test_loss_when_the_student_takes_no_step_then_is_one(expert: np.ndarray, squared: bool):
    given = problem(expert, replace(SETTINGS, syn_steps=0, squared=squared))
    assert float(given.loss(given.experts[0], 1, lambda: None).detach()) == pytest.approx(1.0, abs=1e-5)


def test_student_when_it_steps_then_is_plain_gradient_descent(expert: np.ndarray):
    given = problem(expert)
    theta = given.experts[0][0].clone().requires_grad_(True)
    for _ in range(2):
        first, bias, second, last = SHAPE.parts(theta)
        logits = torch.relu(given.x.detach() @ first + bias) @ second + last
        (gradient,) = torch.autograd.grad(functional.cross_entropy(logits, given.y), theta)
        theta = (theta - 0.5 * gradient).detach().requires_grad_(True)
    assert torch.allclose(given.student(given.experts[0][0], 2), theta, atol=1e-6)


def test_epochs_when_taken_then_the_student_comes_nearer_and_all_that_is_learned_moves(expert: np.ndarray):
    given = problem(expert, replace(SETTINGS, soft=True, squared=False, beta=0.1))
    before = {name: one.detach().clone() for name, one in given.adam.variables.items()}
    losses = [given.step(number, lambda: None) for number in range(1, 40)]
    assert losses[-1] < 0.8 * losses[0]
    assert before.keys() == {"x", "step", "labels"}
    assert all(not torch.equal(before[name], one) for name, one in given.adam.variables.items())


def test_starts_when_drawn_then_never_leave_a_target_out(expert: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    given, starts = problem(expert), []
    monkeypatch.setattr(
        given, "loss", lambda expert, start, tick: starts.append(start) or given.x.sum() + given.step_size
    )
    for number in range(1, 60):
        given.step(number, lambda: None)
    assert set(starts[:2]) <= {0, 1, 2}
    assert set(starts) == {0, 1, 2, 3}


def test_sfgc_when_the_target_lies_beyond_the_expert_then_the_field_is_named_and_the_cure_works():
    with pytest.raises(JobError, match="end before a target") as caught:
        sfgc(planted(60), SFGCParams(teacher_epochs=40, expert_epochs=60, n_nodes=6), Context())
    assert caught.value.pointer == "/params/expert_epochs"
    cured = SFGCParams(teacher_epochs=40, expert_epochs=40, n_nodes=6, experts=1, epochs=1)
    assert len(sfgc(planted(60), cured, Context()).y) == 6


def test_sfgc_when_no_state_of_an_expert_is_kept_then_the_field_is_named_and_the_cure_works():
    with pytest.raises(JobError, match="before their first state") as caught:
        sfgc(planted(60), SFGCParams(teacher_epochs=20, snapshot_every=50, n_nodes=6), Context())
    assert caught.value.pointer == "/params/snapshot_every"
    assert caught.value.hint == "Set snapshot_every to at most 20."
    cured = SFGCParams(teacher_epochs=20, snapshot_every=20, expert_epochs=20, n_nodes=6, experts=1, epochs=1)
    assert len(sfgc(planted(60), cured, Context()).y) == 6
