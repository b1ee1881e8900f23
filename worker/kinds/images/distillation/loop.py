"""The loop of every distiller: steps, validation, the best so far, resume points, the time limit.

All that a step changes are the tensors that a `Problem` names; all that is random in it follows from (seed, step). So a
run that is stopped and resumed ends with the bytes of an undisturbed one. What is delivered is the candidate that
validates best, the start included; published code mostly keeps the best on the test part, or the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from worker.contract.context import Context
from worker.contract.errors import JobError

Tick = Callable[[], None]


@dataclass(frozen=True)
class Candidate:
    """A summary while it is learned: what its form stores, by name; `y` int64 (S,) the class of each item; `soft`
    (S, C) learned targets or None; `rate`: the step size it was learned for, or None."""

    stored: dict[str, Tensor]
    y: Tensor
    soft: Tensor | None = None
    rate: float | None = None

    def copied(self) -> Candidate:
        """The same with tensors of its own."""
        stored = {name: one.detach().clone() for name, one in self.stored.items()}
        return Candidate(stored, self.y, None if self.soft is None else self.soft.detach().clone(), self.rate)


class Problem(Protocol):
    """What is learned, and how."""

    def tensors(self) -> dict[str, Tensor]:
        """All that a step changes."""
        ...

    def step(self, number: int, tick: Tick) -> float:
        """Step `number` (from 1): change the tensors, return the loss; `tick` is called every second or so."""
        ...

    def candidate(self) -> Candidate:
        """The summary as it now stands."""
        ...


@dataclass
class Learned:
    """What came of it: the best candidate, its validation accuracy (nan where there is none) and its step."""

    best: Candidate
    score: float = math.nan
    step: int = 0
    done: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


Validate = Callable[[Candidate, Context], float]
"""`(candidate, context)` -> accuracy on validation images."""


def learn(
    problem: Problem, validate: Validate | None, ctx: Context, *, steps: int, looks: int = 8, patience: int = 0
) -> Learned:
    """Steps until the last one, until `patience` looks at validation in turn found nothing better (0: never), or until
    time is up.

    `looks`: at validation in a run, beside the first. `validate` None (no validation images) delivers the last
    candidate and warns. Raises `JobError` `diverged` where the loss is no longer finite.
    """
    every = max(1, steps // looks)
    state = _begin(problem, ctx)
    if not state.history:
        _consider(state, problem, validate, ctx, math.nan, steps)
    while state.done < steps and not (validate and patience and _since(state) >= patience):
        number = state.done + 1
        loss = problem.step(number, lambda: ctx.progress(state.done, steps + 1, phase="distil"))
        if not math.isfinite(loss):
            raise JobError(
                "diverged",
                f"The distillation diverged at step {number}: its loss is no longer finite.",
                hint="Lower lr_img.",
                pointer="/params/lr_img",
            )
        state.done = number
        late = ctx.out_of_time()
        if number % every == 0 or number == steps or late:
            _consider(state, problem, validate, ctx, loss, steps)
        _offer(state, problem, ctx)
        ctx.progress(number, steps + 1, phase="distil", loss=loss)
        if late and number < steps:
            ctx.warn(
                f"The time limit ended the distillation after {number} of {steps} steps; the summary is the best one "
                f"until then (step {state.step})."
            )
            break
    if validate is None:
        ctx.warn("There are no validation images: what the last step left is delivered, not the best.")
    return state


def _since(state: Learned) -> int:
    """Looks since the best one."""
    return sum(1 for one in state.history if one["step"] > state.step)


def _consider(
    state: Learned, problem: Problem, validate: Validate | None, ctx: Context, loss: float, steps: int
) -> None:
    candidate = problem.candidate()
    entry = {"step": float(state.done)} | ({"loss": loss} if math.isfinite(loss) else {})
    if validate is None:
        state.best, state.step = candidate.copied(), state.done
    else:
        with ctx.part("validation", state.done, steps + 1, label="validate") as part:
            score = validate(candidate, part)
        entry["validation_accuracy"] = score
        if not state.score >= score:
            state.best, state.score, state.step = candidate.copied(), score, state.done
    state.history.append(entry)


def _offer(state: Learned, problem: Problem, ctx: Context) -> None:
    if not ctx.checkpoint_due():
        return
    best = {f"best.stored.{name}": one for name, one in state.best.stored.items()} | {"best.y": state.best.y}
    if state.best.soft is not None:
        best["best.soft"] = state.best.soft
    said: dict[str, Any] = {"step": state.step, "history": state.history, "rate": state.best.rate}
    said["score"] = state.score if math.isfinite(state.score) else None
    ctx.checkpoint(state.done, {f"problem.{name}": one for name, one in problem.tensors().items()} | best, said)


def _begin(problem: Problem, ctx: Context) -> Learned:
    point = ctx.restore()
    if point is None:
        return Learned(problem.candidate())
    kept = {name: torch.from_numpy(value).to(ctx.device) for name, value in point.arrays.items()}
    with torch.no_grad():
        for name, tensor in problem.tensors().items():
            tensor.copy_(kept[f"problem.{name}"])
    stored = {name.removeprefix("best.stored."): kept[name] for name in kept if name.startswith("best.stored.")}
    best = Candidate(stored, kept["best.y"], kept.get("best.soft"), point.state["rate"])
    score = point.state["score"]
    return Learned(best, math.nan if score is None else score, point.state["step"], point.step, point.state["history"])
