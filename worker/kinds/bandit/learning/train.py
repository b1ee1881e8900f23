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

from worker.contract.context import Checkpoint, Context
from worker.contract.errors import JobError
from worker.kinds.bandit.learning.models import PolicyModel
from worker.kinds.bandit.learning.objectives import Batch, Expansion, Objective, Settings, expand, objective
from worker.kinds.bandit.learning.training_set import TrainingSet, logged_weights
from worker.numerics.seeds import mix

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


StepFunction = Callable[[PolicyModel, TrainingSet, Recipe, Expansion | None, int, Callable[[], None]], float]


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

    def arrays(self) -> dict[str, Tensor]:
        """What a resume point keeps, beside the number of steps: parameters and both moments, by `<kind>/<name>`."""
        kinds = {"value": self.parameters, "first": self.first, "second": self.second}
        return {f"{kind}/{name}": tensor for kind, tensors in kinds.items() for name, tensor in tensors.items()}

    def restore(self, point: Checkpoint) -> int:
        """Take parameters, moments and steps from a resume point; returns the epochs that lie behind it."""
        _load(self.arrays(), point.arrays)
        self.step = int(point.state["steps"])
        return point.step

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


def fit(
    model: PolicyModel, rounds: TrainingSet, recipe: Recipe, ctx: Context, step: StepFunction | None = None
) -> PolicyModel:
    """Train `model` in place, from where an earlier attempt left this fit, which has `ctx` to itself.

    `step` replaces the objective's gradient by another (the warm start uses the likelihood's). When the time limit has
    passed the fit ends after the epoch it is in. Raises `JobError` diverged.
    """
    parameters: dict[str, Tensor] = dict(model.named_parameters())
    optimiser = Adam(parameters, recipe.lr)
    begin = 0
    if (point := ctx.restore()) is not None:
        if point.done:
            _load(parameters, point.arrays)
            return model
        begin = optimiser.restore(point)
    for epoch in range(begin, recipe.epochs):
        value = _epoch(model, rounds, recipe, optimiser, epoch, step or _objective_step, ctx)
        if not math.isfinite(value):
            raise JobError(
                "diverged",
                f"The objective stopped being a finite number in epoch {epoch + 1}.",
                hint="Lower lr.",
                pointer="/params/lr",
            )
        if epoch + 1 == recipe.epochs or ctx.out_of_time():
            break
        ctx.checkpoint(epoch + 1, optimiser.arrays(), {"steps": optimiser.step})
        ctx.progress(epoch + 1, recipe.epochs, objective=value)
    ctx.finish(parameters, {})
    if not ctx.out_of_time():
        ctx.progress(1, 1)
    return model


def _epoch(
    model: PolicyModel,
    rounds: TrainingSet,
    recipe: Recipe,
    optimiser: Adam,
    epoch: int,
    step: StepFunction,
    ctx: Context,
) -> float:
    def tick() -> None:  # lets a stop through between the blocks and batches of a long epoch
        ctx.progress(epoch, recipe.epochs)

    size = recipe.batch(rounds.n)
    if size is None:
        value = step(model, rounds, recipe, None, epoch, tick)
        optimiser.descend()
        return value
    expansion = _expansion(model, rounds, recipe) if step is _objective_step else None
    order = np.random.default_rng(mix(recipe.seed, epoch, 3)).permutation(rounds.n)
    values: list[float] = []
    for number, start in enumerate(range(0, rounds.n, size)):
        # Sorted within the batch: rounds of one state stay together, as in the whole set.
        part = torch.from_numpy(np.sort(order[start : start + size])).to(rounds.action.device)
        values.append(step(model, rounds.take(part), recipe, expansion, epoch * rounds.n + number, tick))
        optimiser.descend()
        tick()
    return float(np.mean(values))


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
