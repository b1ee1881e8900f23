"""Training a network in steps, going on where the last setting stopped: a search over the number of steps costs one
training, and ends where validation says.

Every step is Adam's on a batch of rows, in a new order each epoch. `Fitting` is what a learner's `prepare` returns;
settings are `steps` and whatever else the network is built from.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Settings
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.networks import targets
from worker.kinds.sequences.networks.next_event import NextEvent
from worker.kinds.sequences.rows import Rows

Build = Callable[[TrainingSet, Mapping[str, Any]], NextEvent]
Loss = Callable[[NextEvent, TrainingSet, np.ndarray, np.random.Generator], Tensor]
_ROWS_AT_ONCE = 512


def all_places(net: NextEvent, data: TrainingSet, rows: np.ndarray, rng: np.random.Generator) -> Tensor:
    """The loss at every place of the rows."""
    return targets.loss(net, data, rows)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: Adam at `rate` on `batch` rows, with decoupled `decay`, gradients clipped at `clip`."""

    build: Build
    rate: float = 5e-3
    batch: int = 128
    decay: float = 0.0
    clip: float = 0.0
    loss: Loss = all_places
    left: bool = False  # contexts are padded before their beginning


@dataclass
class _Run:
    """A training that is under way."""

    net: NextEvent
    optimiser: torch.optim.Optimizer
    order: Iterator[np.ndarray]
    rng: np.random.Generator
    random: Tensor
    step: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Fitting:
    """A recipe on one training set. Trainings of settings that differ in `steps` alone are one training."""

    recipe: Recipe
    data: TrainingSet
    seed: int = 0
    device: str = "cpu"
    runs: dict[tuple[Any, ...], _Run] = field(default_factory=dict[tuple[Any, ...], _Run])

    def fit(self, settings: Settings, ctx: Context) -> NeuralModel:
        """The network after so many steps; raises `JobError` `diverged` when its loss is not a number."""
        if not self.data.places:
            raise JobError("diverged", "no row has two events, one of which could follow the other.")
        others = {name: value for name, value in settings.items() if name != "steps"}
        key = tuple(sorted(others.items()))
        run = self.runs.get(key)
        if run is None or run.step > int(settings["steps"]):
            run = self.runs[key] = self._begin(others)
        self._go_on(run, int(settings["steps"]), ctx)
        net = copy.deepcopy(run.net)  # the training may go on
        net.zero_grad(set_to_none=True)
        return NeuralModel(net.eval(), self.data.max_len, self.device, self.recipe.left, run.seconds)

    def _begin(self, others: Mapping[str, Any]) -> _Run:
        with _random(self.device):
            torch.manual_seed(self.seed)
            net = self.recipe.build(self.data, others).to(self.device)
            state = torch.get_rng_state()
        rng = np.random.default_rng(self.seed)
        optimiser = torch.optim.AdamW(net.parameters(), lr=self.recipe.rate, weight_decay=self.recipe.decay)
        return _Run(net, optimiser, _batches(len(self.data), self.recipe.batch, rng), rng, state)

    def _go_on(self, run: _Run, steps: int, ctx: Context) -> None:
        started = time.perf_counter()
        first, loss = run.step, torch.zeros(())
        run.net.train()
        with _random(self.device):
            torch.set_rng_state(run.random)
            if self.device != "cpu":
                torch.cuda.manual_seed_all(self.seed + run.step)
            while run.step < steps:
                ctx.progress(run.step - first, steps - first)
                loss = self.recipe.loss(run.net, self.data, next(run.order), run.rng)
                run.optimiser.zero_grad(set_to_none=True)
                loss.backward()
                if self.recipe.clip:
                    torch.nn.utils.clip_grad_norm_(run.net.parameters(), self.recipe.clip)
                run.optimiser.step()
                run.step += 1
            run.random = torch.get_rng_state()
        run.seconds += time.perf_counter() - started
        if not bool(torch.isfinite(loss)):
            raise JobError("diverged", "The loss is not a number.")


def _random(device: str) -> Any:
    """Leaves torch's random numbers as they were."""
    return torch.random.fork_rng(devices=[] if device == "cpu" else [torch.device(device)])


def _batches(rows: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of batch after batch, every row once an epoch."""
    while True:
        order = rng.permutation(rows)
        for start in range(0, rows, size):
            yield order[start : start + size]


@dataclass(frozen=True)
class NeuralModel:
    """A trained network. It reads the last `max_len` events. `trained_s`: seconds of the whole training."""

    net: NextEvent
    max_len: int
    device: str = "cpu"
    left: bool = False
    trained_s: float = 0.0

    @torch.no_grad()
    def scores(self, contexts: Rows) -> np.ndarray:
        """Logits float32 (q, V) of the event after each context."""
        rows, found = contexts.last(self.max_len), []
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            at = np.arange(start, min(start + _ROWS_AT_ONCE, len(rows)))
            width = self.max_len if self.left else 0
            ids = torch.from_numpy(rows.padded(at, self.net.n_items, width, left=self.left)).to(self.device)
            ends = np.full(len(at), self.max_len) if self.left else rows.lengths[at]
            last = torch.from_numpy(ends - 1).to(self.device)
            found.append(self.net(ids, at=(torch.arange(len(at), device=self.device), last)).cpu().numpy())
        return np.concatenate(found) if found else np.zeros((0, self.net.n_items), np.float32)

    @torch.no_grad()
    def surprise(self, rows: Rows) -> np.ndarray:
        """-log probability (n,) of all events of each row but the first; longer rows are read in pieces."""
        data = TrainingSet.of(rows, self.net.n_items, self.max_len)
        each = np.zeros(data.places)
        for start in range(0, len(data), 64):
            at = np.arange(start, min(start + 64, len(data)))
            batch = targets.Batch.of(data, at, self.device)
            states = self.net.states(batch.embedded(self.net, data))[batch.row, batch.column]
            for block in targets.blocks(len(states), data.items, states.device):
                missed = targets.missed(self.net.scores(states[block]), data.targets, batch.at[block])
                each[batch.at[block]] = missed.double().cpu().numpy()
        owner = np.repeat(np.arange(len(rows)), np.maximum(rows.lengths - 1, 0))
        return np.bincount(owner, each, minlength=len(rows))


def go_on(limit: int, factor: float = 1.5) -> Callable[[Sequence[tuple[Settings, float]]], Settings | None]:
    """Further settings: more steps as long as the best is the last of its training, up to `limit` steps."""

    def further(tried: Sequence[tuple[Settings, float]]) -> Settings | None:
        best, worth = max(tried, key=lambda one: one[1])
        alike = [one for one, _ in tried if {**one, "steps": 0} == {**best, "steps": 0}]
        last = max(int(one["steps"]) for one in alike)
        if not np.isfinite(worth) or int(best["steps"]) < last or last >= limit:
            return None
        return {**best, "steps": min(limit, int(last * factor))}

    return further
