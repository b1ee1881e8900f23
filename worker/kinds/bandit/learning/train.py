"""Gradient ascent on an off-policy objective: Adam on all rounds at once, or on batches, resumable at every step.

With more than one block of rounds the objective, which may be a ratio or hold a variance, is differentiated with
respect to the weights first (two numbers a round) and each block is then passed through the model once more: memory is
that of one block, the gradient that of the whole. Everything random is a function of (seed, epoch), so that an
interrupted run ends with the very bytes of an undisturbed one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.kinds.bandit.learning.models import PolicyModel
from worker.kinds.bandit.learning.objectives import Batch, Objective, Settings, objective
from worker.kinds.bandit.learning.poem import Expansion, expand
from worker.kinds.bandit.learning.training_set import TrainingSet, logged_weights
from worker.numerics.gumbel import mix
from worker.contract.context import Context
from worker.contract.errors import JobError

FULL_BATCH_UP_TO = 1_000_000
BATCH = 4_096
BETAS, EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Recipe:
    """How one policy is trained. `batch_size` None: all rounds up to a million, above that 4,096 at a time."""

    settings: Settings
    lr: float
    epochs: int
    batch_size: int | None
    l2: float
    seed: int

    def batch(self, n: int) -> int | None:
        """Rounds a step, None for all of them."""
        size = self.batch_size if self.batch_size is not None else (BATCH if n > FULL_BATCH_UP_TO else None)
        return None if size is None or size >= n else size


@dataclass
class Adam:
    """Adam (Kingma, Ba 2015) with its state in reach of a checkpoint."""

    parameters: dict[str, Tensor]
    lr: float
    step: int = 0
    first: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    second: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def __post_init__(self) -> None:
        for name, value in self.parameters.items():
            self.first.setdefault(name, torch.zeros_like(value))
            self.second.setdefault(name, torch.zeros_like(value))

    def state(self) -> tuple[tuple[str, dict[str, Tensor]], ...]:
        """Everything a checkpoint keeps, beside the number of steps."""
        return ("value", self.parameters), ("first", self.first), ("second", self.second)

    @torch.no_grad()
    def descend(self) -> None:
        """One step against the gradients of the parameters."""
        self.step += 1
        bias1, bias2 = (1 - beta**self.step for beta in BETAS)
        for name, value in self.parameters.items():
            grad = value.grad
            if grad is None:
                continue
            first, second = self.first[name], self.second[name]
            first.mul_(BETAS[0]).add_(grad, alpha=1 - BETAS[0])
            second.mul_(BETAS[1]).addcmul_(grad, grad, value=1 - BETAS[1])
            value.addcdiv_(first, (second / bias2).sqrt_().add_(EPSILON), value=-self.lr / bias1)
            value.grad = None


def ascend(
    model: PolicyModel,
    rounds: TrainingSet,
    target: Objective,
    l2: float,
    step: int = 0,
    tick: Callable[[], None] = lambda: None,
) -> float:
    """Put the gradient of -objective + l2/2 |theta|^2 into the parameters' `grad`; returns the objective.

    `tick` is called after every block, so that a long step can be stopped.
    """
    width = model.shape.n_actions if rounds.candidates is None else rounds.candidates.shape[1]
    blocks = list(rounds.blocks(width))
    if len(blocks) == 1:
        logs, modelled = rounds.forward(model, *blocks[0], step)
        value = target(_batch(rounds, logs.exp() / rounds.propensity, modelled))
        (-value).backward()
    else:
        value = _ascend_in_blocks(model, rounds, target, blocks, step, tick)
    if l2 > 0:
        penalty = torch.stack([(p.double() ** 2).sum() for p in model.parameters()]).sum()
        (0.5 * l2 * penalty).backward()
    return float(value.detach())


def _ascend_in_blocks(
    model: PolicyModel,
    rounds: TrainingSet,
    target: Objective,
    blocks: list[tuple[slice, slice]],
    step: int,
    tick: Callable[[], None],
) -> Tensor:
    found: list[tuple[Tensor, Tensor | None]] = []
    for block in blocks:
        with torch.no_grad():
            found.append(rounds.forward(model, *block, step))
        tick()
    weight = (torch.cat([logs for logs, _ in found]).exp() / rounds.propensity).requires_grad_(True)
    sums = [modelled for _, modelled in found if modelled is not None]
    modelled = torch.cat(sums).requires_grad_(True) if sums else None
    value = target(_batch(rounds, weight, modelled))
    (-value).backward()
    for states, part in blocks:
        logs, again = rounds.forward(model, states, part, step)
        slope = torch.zeros_like(logs) if weight.grad is None else weight.grad[part]
        total = (slope * (logs.exp() / rounds.propensity[part])).sum()
        if again is not None and modelled is not None and modelled.grad is not None:
            total = total + (modelled.grad[part] * again).sum()
        total.backward()
        tick()
    return value


def _batch(rounds: TrainingSet, weight: Tensor, modelled: Tensor | None) -> Batch:
    return Batch(weight, rounds.reward, rounds.q_logged, modelled, rounds.count)


@dataclass
class Training:
    """All fits of one job, one after the other: finished ones are kept in the checkpoint with the one under way.

    `total`: how many fits are expected, for the progress bar.
    """

    ctx: Context
    total: int
    finished: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict[str, dict[str, NDArray[Any]]])
    objective: dict[str, float] = field(default_factory=dict[str, float])
    late: bool = False
    _point: tuple[str, int, Mapping[str, NDArray[Any]]] | None = None
    _started: int = 0
    _at: tuple[int, int, str] = (0, 1, "training")

    def __post_init__(self) -> None:
        point = self.ctx.restore()
        if point is None:
            return
        for name in point.state["finished"]:
            inside = f"done/{name}/"
            self.finished[name] = {k.removeprefix(inside): v for k, v in point.arrays.items() if k.startswith(inside)}
        self.objective = dict(point.state["objective"])
        self._point = point.state["now"], point.step, point.arrays

    def fit(
        self, name: str, model: PolicyModel, rounds: TrainingSet, recipe: Recipe, step: StepFunction | None = None
    ) -> PolicyModel:
        """Train `model` in place, or give it the weights of an earlier attempt's finished fit of that name.

        `step` replaces the objective's gradient by another (the warm start uses the likelihood's). Out of time, the
        fit ends where it is, with a warning.
        """
        self._started += 1
        parameters: dict[str, Tensor] = dict(model.named_parameters())
        if name in self.finished:
            _load(parameters, self.finished[name])
            return model
        optimiser = Adam(parameters, recipe.lr)
        begin = self._resume(name, optimiser)
        for epoch in range(begin, recipe.epochs):
            value = self._epoch(model, rounds, recipe, optimiser, epoch, step)
            if not math.isfinite(value):
                raise JobError(
                    "diverged",
                    f"The objective stopped being a finite number in epoch {epoch + 1} of {name}.",
                    hint="Lower lr.",
                    pointer="/params/lr",
                )
            self.objective[name] = value
            if epoch + 1 == recipe.epochs or self.ctx.out_of_time():
                break
            self._save(name, epoch + 1, optimiser)
            self._at = (self._started - 1) * recipe.epochs + epoch + 1, self.total * recipe.epochs, name
            self.ctx.progress(self._at[0], self._at[1], phase=name, objective=value)
        self.finished[name] = {key: value.detach().cpu().numpy().copy() for key, value in parameters.items()}
        self._save("", 0, optimiser)
        if self.ctx.out_of_time():
            self.late = True
            self.ctx.warn(f"The time limit ended the training early (at {name}).")
        else:
            self.ctx.progress(self._started * recipe.epochs, self.total * recipe.epochs, phase=name)
        return model

    def _epoch(
        self,
        model: PolicyModel,
        rounds: TrainingSet,
        recipe: Recipe,
        optimiser: Adam,
        epoch: int,
        step: StepFunction | None,
    ) -> float:
        take = step or _objective_step
        size = recipe.batch(rounds.n)
        if size is None:
            value = take(model, rounds, recipe, None, epoch, self._tick)
            optimiser.descend()
            return value
        expansion = _expansion(model, rounds, recipe) if step is None else None
        order = np.random.default_rng(mix(recipe.seed, epoch, 3)).permutation(rounds.n)
        values: list[float] = []
        for number, start in enumerate(range(0, rounds.n, size)):
            # Sorted within the batch: rounds of one state stay together, as in the whole set.
            part = torch.from_numpy(np.sort(order[start : start + size])).to(rounds.action.device)
            values.append(take(model, rounds.take(part), recipe, expansion, epoch * rounds.n + number, self._tick))
            optimiser.descend()
            self._tick()
        return float(np.mean(values))

    def _tick(self) -> None:
        """Let a stop through between the blocks and batches of a long epoch."""
        self.ctx.progress(self._at[0], self._at[1], phase=self._at[2])

    def _resume(self, name: str, optimiser: Adam) -> int:
        if self._point is None or self._point[0] != name:
            return 0
        _, epoch, arrays = self._point
        for kind, tensors in (
            ("value", optimiser.parameters),
            ("first", optimiser.first),
            ("second", optimiser.second),
        ):
            _load(tensors, {key: arrays[f"now/{kind}/{key}"] for key in tensors})
        optimiser.step = int(arrays["now/steps"])
        self._point = None
        return epoch

    def _save(self, name: str, epoch: int, optimiser: Adam) -> None:
        if not self.ctx.checkpoint_due():
            return
        arrays: dict[str, Any] = {f"done/{fit}/{key}": v for fit, vs in self.finished.items() for key, v in vs.items()}
        for kind, tensors in (
            ("value", optimiser.parameters),
            ("first", optimiser.first),
            ("second", optimiser.second),
        ):
            arrays |= {f"now/{kind}/{key}": value for key, value in tensors.items()} if name else {}
        arrays["now/steps"] = np.array(optimiser.step)
        state = {"finished": list(self.finished), "now": name, "objective": self.objective}
        self.ctx.checkpoint(epoch, arrays, state)


StepFunction = Callable[[PolicyModel, TrainingSet, Recipe, "Expansion | None", int, Callable[[], None]], float]


def _objective_step(
    model: PolicyModel,
    rounds: TrainingSet,
    recipe: Recipe,
    expansion: Expansion | None,
    step: int,
    tick: Callable[[], None],
) -> float:
    return ascend(model, rounds, objective(recipe.settings, expansion), recipe.l2, step, tick)


def _expansion(model: PolicyModel, rounds: TrainingSet, recipe: Recipe) -> Expansion | None:
    if recipe.settings.name != "poem":
        return None
    weight = logged_weights(model, rounds)
    return expand(weight.clamp(max=recipe.settings.clip) * rounds.reward, recipe.settings.poem_lambda, rounds.count)


@torch.no_grad()
def _load(tensors: Mapping[str, Tensor], arrays: Mapping[str, NDArray[Any]]) -> None:
    for key, tensor in tensors.items():
        tensor.copy_(torch.from_numpy(np.array(arrays[key])))
