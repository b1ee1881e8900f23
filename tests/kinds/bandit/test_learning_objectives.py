"""Gradients of every objective: against autograd's closed forms, central differences, and POEM's majoriser."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.learning import training_set as sets
from worker.kinds.bandit.learning.models import PolicyModel, Shape, build
from worker.kinds.bandit.learning.objectives import Batch, Expansion, Settings, expand, objective, poem, poem_majorised
from worker.kinds.bandit.learning.train import ascend
from worker.kinds.bandit.learning.training_set import Modelled, Standard, TrainingSet, training_set
from worker.kinds.bandit.learning.two_stage import best_actions, with_candidates
from worker.kinds.bandit.policies import dense
from worker.kinds.bandit.support import support_of

N, U, D, A = 30, 12, 3, 5


class Table:
    """A table of rewards (U, A) as a reward model."""

    def __init__(self, log: BanditLog, table: np.ndarray) -> None:
        self.log, self.table = log, table

    def at(self, rounds: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return self.table[self.log.rows[rounds], actions]

    def under(self, policy: object, rounds: np.ndarray) -> np.ndarray:
        raise NotImplementedError


def small_log(seed: int = 0, *, weighted: bool = False) -> BanditLog:
    rng = np.random.default_rng(seed)
    logging = rng.dirichlet(np.ones(A), U) * (rng.random((U, A)) < 0.6)
    logging[np.arange(U), rng.integers(A, size=U)] += 0.2
    logging /= logging.sum(1, keepdims=True)
    row = rng.integers(0, U, N).astype(np.int32)
    action = (logging[row].cumsum(1) > rng.random((N, 1))).argmax(1).astype(np.int32)
    return BanditLog(
        action,
        rng.normal(0.4, 1, N),
        logging[row, action],
        A,
        rng.normal(size=(U, D)).astype(np.float32),
        context_index=row,
        logging=dense(logging, row),
        weight=rng.integers(1, 4, N).astype(np.float64) if weighted else None,
    )


def rounds_of(log: BanditLog, name: str, *, restrict: bool = False, everywhere: bool = True) -> TrainingSet:
    table = Table(log, np.random.default_rng(9).normal(size=(U, A)))
    modelled = Modelled(table, everywhere) if name in ("dr", "dros", "sg") or not everywhere else None
    assert log.logging is not None
    return training_set(
        log,
        np.arange(log.n),
        Standard.of(log.x),
        support=support_of(log.logging),
        restrict=restrict,
        modelled=modelled,
        dtype=torch.float64,
    )


def model_of(kind: str = "linear") -> PolicyModel:
    return build(Shape(kind, D, A), seed=1, noise=True, dtype=torch.float64)


def central_differences(value: Callable[[], float], parameter: Tensor, step: float = 1e-5) -> np.ndarray:
    found = np.zeros(tuple(parameter.shape))
    with torch.no_grad():
        for place in itertools.product(*(range(size) for size in parameter.shape)):
            before = float(parameter[place])
            ends = []
            for sign in (1, -1):
                parameter[place] = before + sign * step
                ends.append(value())
            parameter[place] = before
            found[place] = (ends[0] - ends[1]) / (2 * step)
    return found


SETTINGS = {
    "ips": Settings("ips"),
    "snips": Settings("snips"),
    "dr": Settings("dr"),
    "banditnet": Settings("banditnet", k=0.3),
    "poem": Settings("poem", poem_lambda=0.7, clip=1.5),
    "dros": Settings("dros", shrinkage=2.0),
    "sg": Settings("sg", shrinkage=0.3),
    "restrict_policy": Settings("ips", k=0.4, restrict=True),
    "restricted poem": Settings("poem", k=-0.2, restrict=True, poem_lambda=0.5),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("form", ["linear", "mlp", "weighted", "restrict_actions", "blocks", "candidates"])
def test_gradient_of_every_objective_when_compared_with_central_differences_then_agrees(name, form, monkeypatch):
    log = small_log(weighted=form == "weighted")
    rounds = rounds_of(log, SETTINGS[name].name, restrict=form == "restrict_actions")
    model = model_of("mlp" if form == "mlp" else "linear")
    target = objective(SETTINGS[name])
    if form == "candidates":
        rounds = with_candidates(rounds, best_actions(model, rounds, 3))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.7)
    if form == "blocks":
        monkeypatch.setattr(sets, "BLOCK", 4 * A)
        assert len(list(rounds.blocks(A))) > 2
    ascend(model, rounds, target, l2=0.01)
    gradients = {key: value.grad.clone() for key, value in model.named_parameters() if value.grad is not None}
    assert len(gradients) == len(dict(model.named_parameters()))
    monkeypatch.undo()

    def loss() -> float:
        width = A if rounds.candidates is None else 3
        logs, modelled = rounds.forward(model, *next(iter(rounds.blocks(width))))
        batch = Batch(logs.exp() / rounds.propensity, rounds.reward, rounds.q_logged, modelled, rounds.count)
        penalty = sum(float((p**2).sum()) for p in model.parameters())
        return -float(target(batch)) + 0.005 * penalty

    checked = ["bias", "layers.0.bias"] if form == "mlp" else list(gradients)
    for key in checked:
        found = central_differences(loss, dict(model.named_parameters())[key])
        np.testing.assert_allclose(gradients[key].numpy(), found, rtol=1e-6, atol=1e-7)


def scores(model: PolicyModel, rounds: TrainingSet) -> tuple[Tensor, Tensor, Callable[[Tensor], list[Tensor]]]:
    """w, log pi, and the gradient of sum_i c_i log pi_i for given c."""
    logs, _ = rounds.forward(model, *next(iter(rounds.blocks(A))))

    def pulled(c: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad((c.detach() * logs).sum(), list(model.parameters()), retain_graph=True))

    return (logs.exp() / rounds.propensity).detach(), logs, pulled


@pytest.mark.parametrize("name", ["ips", "snips", "banditnet", "dros", "sg", "restrict_policy", "dr"])
def test_gradient_when_written_by_the_score_function_then_equals_autograd(name):
    log, model = small_log(), model_of()
    rounds = rounds_of(log, SETTINGS[name].name)
    settings = SETTINGS[name]
    ascend(model, rounds, objective(settings), l2=0)
    w, _, pulled = scores(model, rounds)
    r = rounds.reward if rounds.q_logged is None else rounds.reward - rounds.q_logged
    level = settings.shrinkage
    slope = {
        "ips": lambda: w * r,
        "snips": lambda: w * (r - (w * r).mean() / w.mean()) / w.mean(),
        "banditnet": lambda: w * (r - settings.k),
        "dros": lambda: w * r * level * (level - w**2) / (w**2 + level) ** 2,
        "sg": lambda: w * r * (1 - level) / (1 - level + level * w) ** 2,
        "restrict_policy": lambda: w * (r - settings.k),
        "dr": lambda: w * r,
    }[name]()
    expected = pulled(slope / rounds.n)
    if rounds.modelled is not None:
        whole = torch.log_softmax(model(rounds.x), dim=1)
        assert rounds.table is not None
        share = torch.bincount(rounds.state, minlength=rounds.n_states).double()[:, None] / rounds.n
        added = (share * whole.exp().detach() * rounds.table * whole).sum()  # mean_i sum_a pi q grad log pi
        expected = [
            one + two for one, two in zip(expected, torch.autograd.grad(added, model.parameters()), strict=True)
        ]
    for value, grad in zip(model.parameters(), expected, strict=True):
        assert value.grad is not None
        np.testing.assert_allclose(-value.grad.numpy(), grad.numpy(), rtol=1e-9, atol=1e-12)


def test_restrict_policy_objective_when_added_to_ips_then_is_the_translated_form():
    log, model = small_log(), model_of()
    rounds = rounds_of(log, "ips")
    logs, _ = rounds.forward(model, *next(iter(rounds.blocks(A))))
    batch = Batch(logs.exp() / rounds.propensity, rounds.reward)
    for k in (-1.0, 0.15, 1.0):
        found = objective(Settings("ips", k=k, restrict=True))(batch)
        translated = ((batch.reward - k) * batch.weight).mean() + k
        same = objective(Settings("banditnet", k=k))(batch) + k
        assert float(found.detach()) == pytest.approx(float(translated.detach()), abs=1e-12)
        assert float(found.detach()) == pytest.approx(float(same.detach()), abs=1e-12)


def test_extrapolation_objective_when_compared_with_a_written_out_sum_then_agrees():
    log, model = small_log(), model_of()
    rounds = rounds_of(log, "ips", everywhere=False)
    logs, modelled = rounds.forward(model, *next(iter(rounds.blocks(A))))
    batch = Batch(logs.exp() / rounds.propensity, rounds.reward, None, modelled)
    found = float(objective(Settings("ips"))(batch).detach())
    policy = torch.softmax(model(torch.from_numpy(Standard.of(log.x)(log.contexts)).double()), 1).detach().numpy()
    table = np.random.default_rng(9).normal(size=(U, A))
    assert log.logging is not None
    inside = log.logging.dense(np.arange(N)) > 0
    missing = np.where(inside, 0, policy[log.rows] * table[log.rows]).sum(1).mean()
    ips = (policy[log.rows, log.action] / log.propensity * log.reward).mean()
    assert found == pytest.approx(ips + missing, abs=1e-12)


def test_one_drawn_unsupported_action_when_averaged_then_gives_the_sum(monkeypatch):
    log, model = small_log(), model_of()
    rounds = rounds_of(log, "ips", everywhere=False)
    block = next(iter(rounds.blocks(A)))
    with torch.no_grad():
        exact = rounds.forward(model, *block)[1]
    monkeypatch.setattr(sets, "DRAWN_FROM", 0)
    drawn = dataclasses.replace(rounds, table=None)
    with torch.no_grad():
        found = torch.stack([drawn.forward(model, *block, step)[1] for step in range(1000)])
    assert exact is not None
    error = (found.mean(0) - exact) / (found.std(0) / np.sqrt(1000)).clamp(min=1e-9)
    assert float(error.abs().max().detach()) < 4.5


def utilities(seed: int = 0, n: int = 40) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=n))


@pytest.mark.parametrize("weighted", [False, True])
def test_poem_majoriser_when_at_the_expansion_point_then_touches_with_equal_gradient_and_lies_above(weighted):
    start = utilities()
    count = torch.from_numpy(np.random.default_rng(5).integers(1, 4, 40).astype(float)) if weighted else None
    lam = 0.9
    expansion = expand(start, lam, count)
    gradients = []
    for loss in (lambda u: poem(u, lam, count), lambda u: poem_majorised(u, expansion, count)):
        u = start.clone().requires_grad_(True)
        value = loss(u)
        (gradient,) = torch.autograd.grad(value, u)
        gradients.append((float(value.detach()), gradient.numpy()))
    assert gradients[0][0] == pytest.approx(gradients[1][0], abs=1e-12)
    np.testing.assert_allclose(gradients[0][1], gradients[1][1], rtol=0, atol=1e-12)
    for seed in range(1, 200):
        other = start + utilities(seed) * 3
        assert float(poem_majorised(other, expansion, count)) >= float(poem(other, lam, count)) - 1e-12


def test_poem_constants_when_expanded_then_are_the_specified_ones():
    u, lam = utilities(), 0.5
    expansion = expand(u, lam)
    values = u.numpy()
    square = lam * np.sqrt(40) / (2 * 39 * values.std(ddof=1))
    assert expansion.square == pytest.approx(square, rel=1e-12)
    assert expansion.linear == pytest.approx(-2 * square * values.mean(), rel=1e-12)
    expected = -values.mean() + lam * np.sqrt(values.var(ddof=1) / 40)
    assert float(poem(u, lam)) == pytest.approx(expected, abs=1e-12)


def test_poem_when_all_utilities_are_equal_then_the_penalty_is_dropped():
    for level in (0.0, 0.1, -7.3):
        u = torch.full((30,), level, dtype=torch.float64, requires_grad=True)
        assert expand(u, 1.0) == Expansion(0.0, 0.0, 0.0)
        loss = poem(u, 1.0)
        loss.backward()
        assert float(loss.detach()) == pytest.approx(-level)
        assert u.grad is not None
        np.testing.assert_allclose(u.grad.numpy(), -1 / 30)


def test_batch_halves_when_averaged_then_equal_the_whole_majoriser():
    u = utilities()
    expansion = expand(u, 0.8)
    halves = (poem_majorised(u[:20], expansion) + poem_majorised(u[20:], expansion)) / 2
    assert float(halves) == pytest.approx(float(poem_majorised(u, expansion)), abs=1e-12)
