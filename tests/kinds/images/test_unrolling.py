"""Gradients through training: against plain backpropagation, against TESLA's formula, and what a student must do."""

from __future__ import annotations

import pytest
import torch

from worker.kinds.images.distillation.backpropagation import adam_step
from worker.kinds.images.distillation.trajectories import match, matching_loss
from worker.kinds.images.distillation.unrolling import unrolled
from worker.kinds.images.networks import build
from worker.numerics.adam import Layout


class Student:
    """A small network in float64 that learns from six images."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.network = build("mlp", 1, 4, 3, seed=0, width=12, depth=1).double()
        self.layout = Layout.of(self.network)
        self.x = torch.randn(6, 1, 4, 4, dtype=torch.float64, generator=generator).requires_grad_(True)
        self.y = torch.arange(6) % 3
        self.start = self.layout.vector(self.network)
        self.target = self.start + 0.05 * torch.randn(len(self.start), dtype=torch.float64, generator=generator)
        self.rate = torch.tensor(0.1, dtype=torch.float64)

    def loss(self, theta, step):
        rows = torch.tensor([(2 * step + one) % 6 for one in range(4)])
        logits = torch.func.functional_call(self.network, self.layout.named(theta), (self.x[rows],))
        return torch.nn.functional.cross_entropy(logits, self.y[rows])

    def plainly(self, steps, rate):
        theta = self.start.clone().requires_grad_(True)
        for step in range(steps):
            (gradient,) = torch.autograd.grad(self.loss(theta, step), theta, create_graph=True)
            theta = theta - rate * gradient
        return theta

    def match(self, engine, steps, target=None):
        target = self.target if target is None else target
        return match(engine, self.loss, self.start, target, steps, self.rate, [self.x])


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_exact_is_backpropagation_through_all_steps(steps):
    student = Student()
    rate = student.rate.clone().requires_grad_(True)
    loss = matching_loss(student.plainly(steps, rate), student.start, student.target)
    to_x, to_rate = torch.autograd.grad(loss, [student.x, rate])
    found = student.match("exact", steps)
    assert found.loss == pytest.approx(float(loss.detach()), rel=1e-12)
    torch.testing.assert_close(found.learned[0], to_x, rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(found.rate, to_rate, rtol=1e-9, atol=1e-14)


def test_tesla_is_exact_for_one_step_and_near_for_a_few():
    student = Student()
    one, other = student.match("tesla", 1), student.match("exact", 1)
    torch.testing.assert_close(one.learned[0], other.learned[0], rtol=1e-6, atol=1e-14)
    torch.testing.assert_close(one.rate, other.rate, rtol=1e-6, atol=1e-14)
    cosines = {}
    for steps in (5, 20):
        a, b = student.match("tesla", steps).learned[0].flatten(), student.match("exact", steps).learned[0].flatten()
        cosines[steps] = float(torch.nn.functional.cosine_similarity(a, b, 0))
    assert cosines[5] > 0.98
    assert cosines[20] < cosines[5]


@pytest.mark.parametrize("engine", ["exact", "tesla"])
def test_a_student_that_stays_has_loss_one_and_one_that_arrives_has_none(engine):
    student = Student()
    assert student.match(engine, 0).loss == pytest.approx(1.0)
    end = student.plainly(3, student.rate).detach()
    assert student.match(engine, 3, end).loss == pytest.approx(0.0, abs=1e-20)


def test_unrolled_adam_is_backpropagation_through_adam_also_where_units_are_dead():
    student = Student()
    with torch.no_grad():
        student.x[:, :, 0] = 0  # some weights never get a gradient

    def step(state, number):
        theta = state[0] if state[0].requires_grad else state[0].detach().requires_grad_(True)
        graph = state[0].requires_grad
        (gradient,) = torch.autograd.grad(student.loss(theta, number), theta, create_graph=graph)
        return adam_step((theta, *state[1:]), gradient, 0.01, number)

    def outer(state):
        return (state[0] - student.target).square().sum()

    zeros = torch.zeros_like(student.start)
    loss, (found,) = unrolled(step, (student.start, zeros, zeros), 5, outer, [student.x])
    state = (student.start.clone().requires_grad_(True), zeros, zeros)
    for number in range(5):
        state = step(state, number)
    whole = outer(state)
    (expected,) = torch.autograd.grad(whole, student.x)
    assert loss == pytest.approx(float(whole.detach()), rel=1e-12)
    assert torch.isfinite(expected).all()
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-14)


def test_adam_steps_are_torch_s():
    theta = torch.linspace(-1, 1, 5, dtype=torch.float64)
    known = torch.nn.Parameter(theta.clone())
    optimiser = torch.optim.Adam([known], lr=0.05)
    state = (theta, torch.zeros_like(theta), torch.zeros_like(theta))
    for number in range(4):
        known.grad = (known.detach() ** 3).clone()
        gradient = state[0] ** 3
        optimiser.step()
        state = adam_step(state, gradient, 0.05, number)
    torch.testing.assert_close(state[0], known.detach())
