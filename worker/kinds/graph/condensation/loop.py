"""The loop of every learned condensation: epochs, validation, the best so far, resume points, the time limit.

All that an epoch changes are the tensors that a `Problem` names; all that is random in it follows from (seed, epoch).
So a run that is stopped and resumed ends with the bytes of an undisturbed one. What is delivered is the candidate that
validates best, the start included; published code often returns the last one.
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


@dataclass(frozen=True)
class Candidate:
    """A condensed graph while it is learned: `x` (n, d), `y` int64 (n,), `adjacency` (n, n) symmetric with zero
    diagonal or None for none, `soft` (n, C) label probabilities or None."""

    x: Tensor
    y: Tensor
    adjacency: Tensor | None = None
    soft: Tensor | None = None

    def arrays(self) -> dict[str, Tensor]:
        """Those of its tensors that there are, copied."""
        named = {"x": self.x, "y": self.y, "adjacency": self.adjacency, "soft": self.soft}
        return {f"best.{name}": value.detach().clone() for name, value in named.items() if value is not None}


class Problem(Protocol):
    """What is learned, and how."""

    def tensors(self) -> dict[str, Tensor]:
        """All that an epoch changes."""
        ...

    def epoch(self, number: int, tick: Callable[[], None]) -> float:
        """Epoch `number` (from 1): change the tensors, return the mean loss; `tick` is called every second or so."""
        ...

    def candidate(self) -> Candidate:
        """The condensed graph as it now stands."""
        ...


@dataclass
class Learned:
    """What came of it: the best candidate, its validation accuracy (nan where there is none) and its epoch."""

    best: Candidate
    score: float = math.nan
    epoch: int = 0
    done: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


Validate = Callable[[Candidate, Context], float]
"""`(candidate, context)` -> accuracy on validation nodes."""

VALIDATIONS = 8  # looks at validation in a run, beside the first


def learn(problem: Problem, validate: Validate | None, ctx: Context, *, epochs: int, patience: int) -> Learned:
    """Epochs until the last one, until `patience` validations in turn found nothing better, or until time is up.

    `validate`: accuracy of a model trained on a candidate, on validation nodes; None (no validation nodes) delivers
    the last candidate and warns. Raises `JobError` `diverged` where the loss is no longer finite.
    """
    every = max(1, epochs // VALIDATIONS)
    state = _begin(problem, ctx)
    if not state.history:
        _consider(state, problem, validate, ctx, math.nan, epochs)
    while state.done < epochs and not (validate and _since(state) >= patience):
        number = state.done + 1
        loss = problem.epoch(number, lambda: ctx.progress(state.done, epochs + 1, phase="condense"))
        if not math.isfinite(loss):
            raise JobError(
                "diverged",
                f"The condensation diverged at epoch {number}: its loss is no longer finite.",
                hint="Lower lr_feat.",
                pointer="/params/lr_feat",
            )
        state.done = number
        late = ctx.out_of_time()
        if number % every == 0 or number == epochs or late:
            _consider(state, problem, validate, ctx, loss, epochs)
        _offer(state, problem, ctx)
        ctx.progress(number, epochs + 1, phase="condense", loss=loss)
        if late and number < epochs:
            ctx.warn(
                f"The time limit ended the condensation after {number} of {epochs} epochs; the summary is the best "
                f"one until then (epoch {state.epoch})."
            )
            break
    if validate is None:
        ctx.warn("There are no validation nodes: the last epoch is delivered, not the best one.")
    return state


def _since(state: Learned) -> int:
    """Validations since the best one."""
    return sum(1 for one in state.history if one["epoch"] > state.epoch)


def _consider(
    state: Learned, problem: Problem, validate: Validate | None, ctx: Context, loss: float, epochs: int
) -> None:
    candidate = problem.candidate()
    entry = {"epoch": float(state.done)} | ({"loss": loss} if math.isfinite(loss) else {})
    if validate is None:
        state.best, state.epoch = candidate, state.done
    else:
        with ctx.part("validation", state.done, epochs + 1, label="validate") as part:
            score = validate(candidate, part)
        entry["validation_accuracy"] = score
        if not state.score >= score:
            state.best, state.score, state.epoch = candidate, score, state.done
    state.best = Candidate(**{name.removeprefix("best."): value for name, value in state.best.arrays().items()})
    state.history.append(entry)


def _offer(state: Learned, problem: Problem, ctx: Context) -> None:
    if ctx.checkpoint_due():
        said: dict[str, Any] = {"epoch": state.epoch, "history": state.history}
        said["score"] = state.score if math.isfinite(state.score) else None
        ctx.checkpoint(state.done, problem.tensors() | state.best.arrays(), said)


def _begin(problem: Problem, ctx: Context) -> Learned:
    point = ctx.restore()
    if point is None:
        return Learned(problem.candidate())
    kept = {name: torch.from_numpy(value).to(ctx.device) for name, value in point.arrays.items()}
    with torch.no_grad():
        for name, tensor in problem.tensors().items():
            tensor.copy_(kept[name])
    best = Candidate(**{name.removeprefix("best."): kept[name] for name in kept if name.startswith("best.")})
    score = point.state["score"]
    return Learned(best, math.nan if score is None else score, point.state["epoch"], point.step, point.state["history"])
