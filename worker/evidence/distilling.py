"""The loop of whatever is learned as a summary: steps, validation, the best so far, resume points, the time limit.

All that a step changes are the tensors that a `Problem` names; all that is random in it follows from (seed, step). So a
run that is stopped and resumed ends with the bytes of an undisturbed one. What is delivered is the candidate that
validates best, the start included; published code mostly keeps the best on the test part, or the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from worker.contract.context import Context
from worker.contract.errors import JobError

Tick = Callable[[], None]


class Candidate(Protocol):
    """A summary while it is learned."""

    def arrays(self) -> dict[str, Tensor]:
        """Its tensors by name, those that there are."""
        ...

    def facts(self) -> dict[str, Any]:
        """What it is beside tensors: JSON."""
        ...

    @classmethod
    def restored(cls, arrays: dict[str, Tensor], facts: Mapping[str, Any]) -> Any:
        """A candidate from its tensors and facts."""
        ...


C = TypeVar("C", bound=Candidate)
C_co = TypeVar("C_co", bound=Candidate, covariant=True)
Validate = Callable[[C, Context], float]
"""`(candidate, context)` -> accuracy on validation units."""


class Problem(Protocol[C_co]):
    """What is learned, and how."""

    def tensors(self) -> dict[str, Tensor]:
        """All that a step changes."""
        ...

    def step(self, number: int, tick: Tick) -> float:
        """Step `number` (from 1): change the tensors, return the loss; `tick` is called every second or so."""
        ...

    def candidate(self) -> C_co:
        """The summary as it now stands."""
        ...


@dataclass(frozen=True)
class Words:
    """What is said of it. `work`: what is done; `phase`: of progress; `step`, `units`: what a step is called, and what
    candidates are validated on; `rate`: the parameter to lower where it diverges."""

    work: str
    phase: str
    step: str
    units: str
    rate: str


@dataclass
class Learned(Generic[C]):
    """What came of it: the best candidate, its validation accuracy (nan where there is none) and its step."""

    best: C
    score: float = math.nan
    step: int = 0
    done: int = 0
    history: list[dict[str, float]] = field(default_factory=list[dict[str, float]])


def learn(
    problem: Problem[C],
    validate: Validate[C] | None,
    ctx: Context,
    words: Words,
    *,
    steps: int,
    looks: int = 8,
    patience: int = 0,
) -> Learned[C]:
    """Steps until the last one, until `patience` looks at validation in turn found nothing better (0: never), or until
    time is up.

    `looks`: at validation in a run, beside the first. `validate` None (no validation units) delivers the last
    candidate and warns. Raises `JobError` `diverged` where the loss is no longer finite.
    """
    every = max(1, steps // looks)
    state = _begin(problem, ctx)

    def consider(loss: float) -> None:
        candidate = problem.candidate()
        entry = {words.step: float(state.done)} | ({"loss": loss} if math.isfinite(loss) else {})
        if validate is None:
            state.best, state.step = _copied(candidate), state.done
        else:
            with ctx.part("validation", state.done, steps + 1, label="validate") as part:
                score = validate(candidate, part)
            entry["validation_accuracy"] = score
            if not state.score >= score:
                state.best, state.score, state.step = _copied(candidate), score, state.done
        state.history.append(entry)

    def looks_since_the_best() -> int:
        return sum(1 for one in state.history if one[words.step] > state.step)

    if not state.history:
        consider(math.nan)
    while state.done < steps and not (validate and patience and looks_since_the_best() >= patience):
        number = state.done + 1
        loss = problem.step(number, lambda: ctx.progress(state.done, steps + 1, phase=words.phase))
        if not math.isfinite(loss):
            raise JobError(
                "diverged",
                f"The {words.work} diverged at {words.step} {number}: its loss is no longer finite.",
                hint=f"Lower {words.rate}.",
                pointer=f"/params/{words.rate}",
            )
        state.done = number
        late = ctx.out_of_time()
        if number % every == 0 or number == steps or late:
            consider(loss)
        _offer(state, problem, ctx)
        ctx.progress(number, steps + 1, phase=words.phase, loss=loss)
        if late and number < steps:
            ctx.warn(
                f"The time limit ended the {words.work} after {number} of {steps} {words.step}s; the summary is the "
                f"best one until then ({words.step} {state.step})."
            )
            break
    if validate is None:
        ctx.warn(f"There are no validation {words.units}: what the last {words.step} left is delivered, not the best.")
    return state


def _copied(candidate: C) -> C:
    """The same with tensors of its own: steps go on changing those of the problem."""
    arrays = {name: one.detach().clone() for name, one in candidate.arrays().items()}
    return type(candidate).restored(arrays, candidate.facts())


def _offer(state: Learned[C], problem: Problem[C], ctx: Context) -> None:
    if not ctx.checkpoint_due():
        return
    arrays = {f"problem.{name}": one for name, one in problem.tensors().items()}
    arrays |= {f"best.{name}": one for name, one in state.best.arrays().items()}
    said = {"step": state.step, "history": state.history, "facts": state.best.facts()}
    ctx.checkpoint(state.done, arrays, said | {"score": state.score if math.isfinite(state.score) else None})


def _begin(problem: Problem[C], ctx: Context) -> Learned[C]:
    point = ctx.restore()
    first = problem.candidate()
    if point is None:
        return Learned(first)
    kept = {name: torch.from_numpy(value).to(ctx.device) for name, value in point.arrays.items()}
    with torch.no_grad():
        for name, tensor in problem.tensors().items():
            tensor.copy_(kept[f"problem.{name}"])
    arrays = {name.removeprefix("best."): kept[name] for name in kept if name.startswith("best.")}
    best, score = type(first).restored(arrays, point.state["facts"]), point.state["score"]
    return Learned(best, math.nan if score is None else score, point.state["step"], point.step, point.state["history"])
