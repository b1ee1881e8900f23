"""Training a network by steps on batches: teachers, fine-tuned teachers and their students alike.

Every draw follows from (seed, step), so that a run that is stopped and resumed ends with the bytes of an undisturbed
one. Of ten looks at validation the state that is best there is kept, ties to the earlier; where there is nothing to
validate on, the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.images.teachers.sharpness import gradients
from worker.numerics.seeds import mix

Batch = Callable[[np.ndarray, torch.Generator], tuple[Tensor, Any]]
"""`(rows int64 (b,), generator)` -> what the network sees (b, c, h, w), and what its loss compares it with."""
Loss = Callable[[Tensor, Any], Tensor]
"""`(logits (b, C), targets)` -> a scalar."""
LOOKS = 10


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: `epochs` over all rows in batches of `batch`, the step size rising for a share `warmup`
    of all steps and falling to 0 as a cosine. `rho`: radius of sharpness-aware minimisation, 0 for none."""

    epochs: int
    batch: int = 128
    rate: float = 0.02
    optimiser: Literal["sgd", "adamw"] = "sgd"
    decay: float = 5e-4
    warmup: float = 0.0
    rho: float = 0.0

    def rate_at(self, step: int, steps: int) -> float:
        """Step size of step `step` (from 0) of `steps`."""
        rising = self.warmup * steps
        if step < rising:
            return self.rate * (step + 1) / (rising + 1)
        return self.rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1.0, steps - rising)))

    def optimiser_of(self, network: nn.Module) -> torch.optim.Optimizer:
        """Its optimiser: SGD with momentum 0.9, or AdamW, on what can be trained."""
        trainable = [one for one in network.parameters() if one.requires_grad]
        if self.optimiser == "sgd":
            return torch.optim.SGD(trainable, lr=self.rate, momentum=0.9, weight_decay=self.decay)
        return torch.optim.AdamW(trainable, lr=self.rate, weight_decay=self.decay)


@dataclass
class Fitted:
    """What came of it: the network in evaluation mode, its validation accuracy (nan where there is none) and its epoch,
    and what was measured on the way."""

    network: nn.Module
    validation: float = math.nan
    epoch: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)


def train(
    network: nn.Module,
    rows: int,
    batch: Batch,
    loss: Loss,
    recipe: Recipe,
    validate: Callable[[nn.Module], float] | None,
    ctx: Context,
) -> Fitted:
    """Train a network in place on `rows` rows. `validate`: its accuracy on validation data.

    A finished run of an earlier attempt is found again. At the time limit the best so far is returned, with a warning.
    Raises `JobError` `diverged` where the loss is no longer finite.
    """
    network = network.to(ctx.device)
    optimiser = recipe.optimiser_of(network)
    per_epoch = math.ceil(rows / recipe.batch)
    steps, every = recipe.epochs * per_epoch, max(1, recipe.epochs // LOOKS)
    run = _Run(network, optimiser, validate)
    step = run.resume(ctx)
    while step < steps:
        epoch, within = divmod(step, per_epoch)
        ctx.progress(step, steps, phase="train")
        order = np.random.default_rng([ctx.seed, epoch]).permutation(rows)
        chosen = order[within * recipe.batch : (within + 1) * recipe.batch]
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate_at(step, steps)
        network.train()
        with seeded(mix(ctx.seed, 1, step), ctx.device):  # of dropout, where a network has it
            x, targets = batch(chosen, torch.Generator().manual_seed(mix(ctx.seed, 2, step)))
            value = gradients(network, lambda x=x, targets=targets: loss(network(x), targets), recipe.rho)
        if not math.isfinite(value):
            raise JobError(
                "diverged",
                f"The training of a network diverged in epoch {epoch + 1}: its loss is no longer finite.",
                hint="Lower its step size.",
                pointer="/params",
            )
        optimiser.step()
        run.total += value
        step += 1
        late = ctx.out_of_time()
        due = step % per_epoch == 0 and ((epoch + 1) % every == 0 or step == steps)
        if due or late:
            run.look(epoch + 1, step)
        run.offer(step, ctx)
        if late and step < steps:
            ctx.warn(f"The time limit ended the training of a network in epoch {epoch + 1} of {recipe.epochs}.")
            break
    return run.finish(ctx)


class _Run:
    """A training on its way: the best state so far, and how all of it is written to a resume point and read back."""

    def __init__(self, network: nn.Module, optimiser: torch.optim.Optimizer, validate: Any) -> None:
        self.network, self.optimiser, self.validate = network, optimiser, validate
        self.best = _copy(network)
        self.score, self.epoch, self.total, self.looked = math.nan, 0, 0.0, 0
        self.curve: list[dict[str, float]] = []

    def look(self, epoch: int, step: int) -> None:
        """In this epoch, after so many steps in all: validate, and keep what is best."""
        entry = {"epoch": float(epoch), "loss": self.total / (step - self.looked)}
        self.total, self.looked = 0.0, step
        if self.validate is None:
            self.best, self.epoch = _copy(self.network), epoch
        else:
            self.network.eval()
            with torch.no_grad():
                entry["validation_accuracy"] = score = self.validate(self.network)
            if not self.score >= score:
                self.best, self.score, self.epoch = _copy(self.network), score, epoch
        self.curve.append(entry)

    def offer(self, step: int, ctx: Context) -> None:
        """A resume point after a step."""
        if ctx.checkpoint_due():
            moments = {
                f"optimiser.{number}.{name}": value
                for number, one in self.optimiser.state_dict()["state"].items()
                for name, value in one.items()
                if isinstance(value, Tensor)
            }
            ctx.checkpoint(
                step, _named("network", _copy(self.network)) | _named("best", self.best) | moments, self._said()
            )

    def resume(self, ctx: Context) -> int:
        """Go on where an earlier attempt was: the number of steps that are taken."""
        point = ctx.restore()
        if point is None:
            return 0
        arrays = {name: torch.from_numpy(value).to(ctx.device) for name, value in point.arrays.items()}
        self.best = _below("best", arrays)
        said = point.state
        self.score = math.nan if said["score"] is None else said["score"]
        self.epoch, self.total, self.looked = said["epoch"], said["total"], said["looked"]
        self.curve = list(said["curve"])
        if point.done:
            return 2**62
        self.network.load_state_dict(_below("network", arrays))
        stored = self.optimiser.state_dict()
        stored["state"] = {}
        for name, value in _below("optimiser", arrays).items():
            number, _, key = name.partition(".")
            stored["state"].setdefault(int(number), {})[key] = value
        self.optimiser.load_state_dict(stored)
        return point.step

    def finish(self, ctx: Context) -> Fitted:
        """The best state in the network, which is kept as done."""
        self.network.load_state_dict(self.best)
        ctx.finish(_named("best", self.best), self._said())
        return Fitted(self.network.eval(), self.score, self.epoch, self.curve)

    def _said(self) -> dict[str, Any]:
        score = self.score if math.isfinite(self.score) else None
        said = {"score": score, "epoch": self.epoch, "total": self.total, "looked": self.looked}
        return said | {"curve": list(self.curve)}


@contextmanager
def seeded(seed: int, device: str) -> Any:
    """torch draws from this seed within, and goes on as before after it."""
    with torch.random.fork_rng(devices=[] if device == "cpu" else [torch.device(device)]):
        torch.manual_seed(seed)
        yield


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _named(prefix: str, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in arrays.items()}


def _below(prefix: str, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): one for name, one in arrays.items() if name.startswith(f"{prefix}.")}
