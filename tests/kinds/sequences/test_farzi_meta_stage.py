"""Farzi's meta-stage: its gradient, its loop, and what it does with gradients and scores that are of no use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.kinds.sequences.small_farzi import DATA, SMALL, made, real
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.sequences.farzi import loop
from worker.kinds.sequences.farzi.loop import Progress, Schedule
from worker.kinds.sequences.farzi.meta import MetaGradient, Unrolling, meta_gradient
from worker.kinds.sequences.farzi.students import STUDENTS
from worker.kinds.sequences.farzi.synthetic import Synthetic, entropy, entropy_gradient
from worker.kinds.sequences.farzi.validation import Validate, Validation
from worker.kinds.sequences.forms import LowRank, TrainingSet
from worker.kinds.sequences.methods.farzi import FarziParams, farzi
from worker.kinds.sequences.networks.causal_lm import CausalLM
from worker.kinds.sequences.networks.gru import GRU4Rec
from worker.kinds.sequences.networks.lstm import LSTM
from worker.kinds.sequences.networks.next_event import NextEvent
from worker.kinds.sequences.networks.sasrec import SASRec
from worker.numerics.adam import Adam, Layout


def unrolling(**given: Any) -> Unrolling:
    return replace(Unrolling(Adam(0.02, eps=1e-3), 4, 3, 4, "store", "exact", torch.float64), **given)


NETWORKS: dict[str, Callable[[], NextEvent]] = {
    "sasrec": lambda: SASRec(20, DATA.max_len, width=8, inner=8),
    "gru4rec": lambda: GRU4Rec(20, width=8, hidden=8),
    "causal-lm": lambda: CausalLM(20, DATA.max_len, width=8, heads=2, layers=1),
    "lstm": lambda: LSTM(20, width=8),
}


def test_every_student_is_tried() -> None:
    assert set(NETWORKS) == set(STUDENTS)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("learner", list(NETWORKS))
def test_the_meta_gradient_equals_finite_differences(learner: str, tied: bool) -> None:
    start, asked = made(tied), real()
    start = start.with_phi({name: one.double() for name, one in start.phi.items()})
    torch.manual_seed(0)
    network = NETWORKS[learner]().eval()
    theta = Layout.of(network).vector(network).double()

    def at(phi: Mapping[str, Tensor]) -> MetaGradient:
        return meta_gradient(start.with_phi(phi), network, theta, asked, unrolling(), seed=1, step=1, tick=lambda: None)

    found, h = at(start.phi).gradients, 1e-5
    for name, values in start.phi.items():
        for place in torch.randperm(values.numel(), generator=torch.Generator().manual_seed(2))[:3].tolist():
            nudge = torch.zeros(values.numel(), dtype=torch.float64)
            nudge[place] = h
            losses = [at({**start.phi, name: values + s * nudge.view_as(values)}).loss for s in (1, -1)]
            slope = (losses[0] - losses[1]) / (2 * h)
            assert abs(slope - float(found[name].reshape(-1)[place])) < 1e-4 * max(abs(slope), 1e-3), name


def test_outer_steps_lower_the_loss_on_real_data() -> None:
    start, asked = made(False, rank=8), real(10_000)
    how = unrolling(steps=20, window=8, batch=64, dtype=torch.float32)
    builds = [lambda: STUDENTS["sasrec"].build(asked.data, {"dropout": 0.0})]
    starts = loop.starts_of(builds, [None], 0, "cpu")
    schedule = Schedule(40, 0.05, 1.0, 20, 100)
    losses: list[float] = []

    def watched(now: Synthetic, tick: Any) -> Validation:
        network, theta = starts(999)
        losses.append(
            meta_gradient(now, network, theta, asked, replace(how, window=20), seed=9, step=1, tick=lambda: None).loss
        )
        return Validation(-losses[-1], 20, {})

    loop.distil(start, starts, asked, how, watched, schedule, Context(seed=0))
    assert losses[-1] < losses[0] - 0.1


def fed(monkeypatch: pytest.MonkeyPatch, norms: list[float]) -> Progress:
    """The loop's state after meta-gradients of these norms."""
    start = made(False)
    given = iter(norms)

    def one(made: Synthetic, *_: Any, **__: Any) -> MetaGradient:
        size = next(given)
        gradients = {name: torch.zeros_like(x) for name, x in made.phi.items()}
        gradients["decoder"] = gradients["decoder"] + size / math.sqrt(made.phi["decoder"].numel())
        return MetaGradient(1.0, gradients)

    monkeypatch.setattr(loop, "meta_gradient", one)
    network = STUDENTS["sasrec"].build(real().data, {})
    schedule = Schedule(len(norms), 0.01, 1.0, 1000, 1000)
    return loop.distil(
        start, lambda _: (network, torch.zeros(1)), real(), unrolling(),
        lambda *_: Validation(0.0, 1, {}), schedule, Context(seed=0),
    )[1]  # fmt: skip


def test_a_gradient_that_explodes_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    state = fed(monkeypatch, [1.0] * 6 + [51.0, 1.0, math.nan, 49.0])
    assert state.skipped == 2
    assert state.updates == 8
    assert all(bool(torch.isfinite(one).all()) for one in state.phi.values())


def test_after_many_explosions_the_best_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    state = fed(monkeypatch, [1.0] * 6 + [1e4] * loop.LOST)
    assert all(torch.equal(one, state.best[name]) for name, one in state.phi.items())
    assert state.updates == 0


def test_three_gradients_in_a_row_that_are_no_numbers_end_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    fed(monkeypatch, [1.0, math.nan, math.inf, 1.0, math.nan, math.nan, 1.0])
    with pytest.raises(JobError, match="3 times") as failure:
        fed(monkeypatch, [1.0, math.nan, math.inf, math.nan])
    assert failure.value.code == "diverged"
    assert failure.value.hint


def test_scores_that_are_no_numbers_validate_as_the_worst_there_is() -> None:
    validate = Validate.of(DATA, STUDENTS["sasrec"], (2,), 1, 0, "cpu")
    assert validate is not None
    good = made(False).delivered()
    assert isinstance(good.targets, LowRank)
    broken = good.with_targets(replace(good.targets, decoder=np.full_like(good.targets.decoder, np.nan)))
    assert validate(good, lambda: None).best > -np.inf
    assert validate(broken, lambda: None).best == -np.inf


def test_time_that_is_over_leaves_the_best_until_then() -> None:
    ctx = Context(seed=3)
    summary = farzi(DATA, FarziParams(**{**SMALL, "outer_steps": 500, "time_budget_s": 0.01, "init": "random"}), ctx)
    assert summary.origin.settings["outer_steps_done"] == 1
    assert any("Time ended" in said for said in ctx.warnings)


def test_where_nothing_is_held_out_the_last_outer_step_is_delivered() -> None:
    whole = replace(DATA, split=np.zeros(len(DATA.items), np.int8))
    ctx = Context(seed=3)
    summary = farzi(whole, FarziParams(**{**SMALL, "outer_steps": 5, "patience": 1, "init": "random"}), ctx)
    assert any("the last outer step is delivered" in said for said in ctx.warnings)
    assert summary.origin.settings["outer_steps_done"] == summary.origin.best_step == 5
    assert summary.recipe["training_steps"] is None
    at_first = farzi(whole, FarziParams(**{**SMALL, "outer_steps": 0, "init": "random"}), Context(seed=3))
    assert summary.soft["soft"].digest() != at_first.soft["soft"].digest()


@pytest.mark.parametrize("form", ["hard", "topk"])
def test_the_form_that_is_delivered_first_is_the_one_that_is_validated(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, float] = {}

    def watched(_: Validate, given: TrainingSet, __: Any) -> Validation:
        seen[given.digest()] = score = float(len(seen))
        return Validation(score, 6, {})

    monkeypatch.setattr(Validate, "__call__", watched)
    params = FarziParams(**{**SMALL, "outer_lr": 0.1, "init": "random", "delivery": [form], "top_k": 3})
    summary = farzi(DATA, params, Context(seed=3))
    delivered = summary.delivered()[form].digest()
    assert seen[delivered] == max(seen.values())
    assert len(seen) > 1


@pytest.mark.parametrize("tied", [True, False])
def test_entropy_has_the_gradient_that_differences_show(tied: bool) -> None:
    start = made(tied)
    phi = {name: one.double() for name, one in start.phi.items()}
    found, h = entropy_gradient(start.with_phi(phi)), 1e-6
    for name, values in phi.items():
        nudge = torch.zeros_like(values)
        nudge.view(-1)[1] = h
        both = [float(entropy(start.with_phi({**phi, name: values + s * nudge}).probabilities())) for s in (1, -1)]
        assert float(found[name].view(-1)[1]) == pytest.approx((both[0] - both[1]) / (2 * h), abs=1e-7)


def test_a_penalty_on_entropy_makes_events_surer_in_the_last_third() -> None:
    steady = {**SMALL, "outer_steps": 9, "validate_every": 1, "outer_lr": 0.1, "init": "random"}
    free, costly = (
        farzi(DATA, FarziParams(**steady, entropy_penalty=penalty), Context(seed=3)).origin.curve for penalty in (0, 10)
    )
    assert [point["entropy"] for point in free[:7]] == [point["entropy"] for point in costly[:7]]
    assert costly[-1]["entropy"] < free[-1]["entropy"]
    assert [Schedule(9, 1, 1, 1, 1, entropy_penalty=6).penalty(step) for step in (1, 6, 9)] == [0, 0, 6]


def test_where_no_validation_is_finite_the_job_fails() -> None:
    start, network = made(False), STUDENTS["sasrec"].build(real().data, {})
    with pytest.raises(JobError, match="finite scores") as failure:
        loop.distil(
            start, lambda _: (network, torch.zeros(1)), real(), unrolling(),
            lambda *_: Validation(-math.inf, 1, {}), Schedule(0, 0.01, 1.0, 1, 1), Context(seed=0),
        )  # fmt: skip
    assert failure.value.hint
