"""A recommender that reads tokens of what was done and writes those of what comes next (arXiv:2502.13581, 3.4 and 4).

Every prefix of a training sequence is an example, its tokens drawn anew each time (set permutation regularisation). The
network is T5's, trained with AdamW under a warmed-up cosine; after every so many epochs it ranks validation cases, and
the best state is kept. Unlike the published code it writes nothing but items: beams follow the trie of their tokens.

All randomness of a step follows from its number, so that a resumed training goes on as if it had not been stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Settings
from worker.kinds.sequences.networks.t5 import T5, Shape
from worker.kinds.sequences.pieces.encoding import Encoder
from worker.kinds.sequences.pieces.generation import Paths, beam_search, fused
from worker.kinds.sequences.pieces.trie import Trie
from worker.kinds.sequences.pieces.vocabulary import Vocabulary
from worker.kinds.sequences.rows import Rows, bounds, places


@dataclass(frozen=True)
class Training:
    """How the network is trained. `actions`: how many of the latest actions it reads; `validate_every`: epochs."""

    shape: Shape
    epochs: int
    actions: int = 20
    batch: int = 256
    rate: float = 3e-3
    decay: float = 0.1
    clip: float = 1.0
    warmup: float = 0.05
    validate_every: int = 1
    patience: int = 20
    beams: int = 20
    readings: int = 5


@dataclass(frozen=True)
class Examples:
    """Every prefix of every row with what follows it: example i reads rows' events `start[i] : end[i]`."""

    rows: Rows
    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, rows: Rows, actions: int) -> Examples:
        """The prefixes, each of at most its last `actions` events."""
        lengths = np.maximum(rows.lengths - 1, 0)
        end = places(rows.indptr[:-1] + 1, lengths)
        return cls(rows, np.maximum(np.repeat(rows.indptr[:-1], lengths), end - actions), end)

    def __len__(self) -> int:
        return len(self.end)

    def batch(self, chosen: np.ndarray) -> tuple[Rows, np.ndarray]:
        """What examples read, and the item that follows (b,)."""
        start, lengths = self.start[chosen], (self.end - self.start)[chosen]
        return Rows(bounds(lengths), self.rows.items[places(start, lengths)]), self.rows.items[self.end[chosen]]


def framed(rows: Rows, begin: int, end: int) -> Tensor:
    """Rows of tokens between begin and end, as a table int64 filled up with 0."""
    lengths = rows.lengths + 2
    table = np.zeros((len(rows), int(lengths.max(initial=2))), np.int64)
    at = np.arange(table.shape[1])
    table[:, 0] = begin
    table[(at > 0) & (at <= rows.lengths[:, None])] = rows.items
    table[np.arange(len(rows)), lengths - 1] = end
    return torch.from_numpy(table)


@dataclass(frozen=True)
class GenerativeModel:
    """A trained network with its tokens. `readings`: how many draws of tokens a history is read with. `heartbeat`: is
    called between blocks of cases."""

    net: T5
    encoder: Encoder
    training: Training
    paths: Paths
    device: str
    seed: int = 0
    readings: int = 1
    heartbeat: Callable[[], None] = lambda: None

    def lists(self, contexts: Rows) -> np.ndarray:
        """Ranked items int64 (q, readings, beams), -1 where fewer were written."""
        contexts = contexts.last(self.training.actions)
        found = []
        for reading in range(self.readings):
            tokens = self.encoder.encode(contexts, "feature", np.random.default_rng([self.seed, 7, reading]))
            vocabulary = self.encoder.vocabulary
            table = framed(tokens, vocabulary.begin, vocabulary.end).to(self.device)
            items, _ = beam_search(self.net.eval(), table, self.paths, self.training.beams)
            wide = torch.full((len(items), self.training.beams), -1, dtype=torch.long)
            wide[:, : items.shape[1]] = items.cpu()
            found.append(wide.numpy())
        return np.stack(found, axis=1)

    def scores(self, contexts: Rows) -> np.ndarray:
        """Fused scores float32 (q, V); items that no reading wrote have 0, and tie."""
        size, found = 64, []
        for start in range(0, len(contexts), size):
            self.heartbeat()
            part = contexts.take(np.arange(start, min(start + size, len(contexts))))
            found.append(fused(self.lists(part), len(self.encoder.item_tokens)))
        return np.concatenate(found) if found else np.zeros((0, len(self.encoder.item_tokens)), np.float32)


Validate = Callable[[GenerativeModel], float]


@dataclass(frozen=True)
class GenerativeFit:
    """Training on the prefixes of `rows`; `validate`: the metric that epochs are chosen by, None: the last is kept."""

    encoder: Encoder
    rows: Rows
    training: Training
    seed: int
    device: str
    validate: Validate | None = None

    @cached_property
    def _examples(self) -> Examples:
        return Examples.of(self.rows, self.training.actions)

    @cached_property
    def _paths(self) -> Paths:
        return Paths.of(Trie.of(self.encoder.labels, self.encoder.vocabulary.end), self.device)

    def _network(self) -> T5:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return T5(len(self.encoder.vocabulary) + 2, self.training.shape).to(self.device)

    def _model(self, net: T5, ctx: Context) -> GenerativeModel:
        def heartbeat() -> None:
            ctx.progress(1, 1, phase="rank")

        plan = self.training
        return GenerativeModel(net, self.encoder, plan, self._paths, self.device, self.seed, heartbeat=heartbeat)

    def fit(self, settings: Settings, ctx: Context) -> GenerativeModel:
        """The network in its best state; raises `JobError` `diverged` when its loss is not a number."""
        plan, examples = self.training, self._examples
        if not len(examples):
            raise JobError("diverged", "no row has two events, one of which could follow the other.")
        net = self._network()
        optimiser = torch.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=plan.decay)
        epoch_steps = math.ceil(len(examples) / plan.batch)
        total = epoch_steps * plan.epochs
        step, best, best_epoch, kept = 0, -1.0, 0, _state(net)
        if (point := ctx.restore()) is not None:
            step, best, best_epoch = point.step, point.state["best"], point.state["best_epoch"]
            kept = _load(net, optimiser, point.arrays)
        losses = 0.0
        while step < total:
            epoch = step // epoch_steps
            order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(examples))
            while step < (epoch + 1) * epoch_steps:
                at = (step - epoch * epoch_steps) * plan.batch
                ctx.progress(step, total, loss=losses)
                losses = self._step(net, optimiser, order[at : at + plan.batch], step, total)
                step += 1
                if step % epoch_steps:
                    self._offer(ctx, net, optimiser, kept, step, best, best_epoch)
            if not math.isfinite(losses):
                raise JobError("diverged", "The loss is not a number.")
            if (epoch + 1) % plan.validate_every == 0 or step == total:
                value = 0.0 if self.validate is None else self.validate(self._model(net, ctx))
                ctx.log(f"epoch {epoch + 1} of {plan.epochs}: loss {losses:.3f}, validation {value:.5f}")
                if value > best or self.validate is None:
                    best, best_epoch, kept = value, epoch, _state(net)
                elif epoch - best_epoch >= plan.patience:
                    break
            self._offer(ctx, net, optimiser, kept, step, best, best_epoch)
        net.load_state_dict(kept)
        return self._model(net.eval(), ctx)

    def _offer(
        self, ctx: Context, net: T5, optimiser: torch.optim.Optimizer, kept: dict[str, Tensor], step: int, best: float,
        best_epoch: int,
    ) -> None:  # fmt: skip
        if ctx.checkpoint_due():
            state = {"best": best, "best_epoch": best_epoch}
            ctx.checkpoint(step, _arrays(net, optimiser, kept), state)

    def _step(self, net: T5, optimiser: torch.optim.Optimizer, chosen: np.ndarray, step: int, total: int) -> float:
        plan, vocabulary = self.training, self.encoder.vocabulary
        warm = max(1, round(plan.warmup * total))
        along = (step - warm) / max(1, total - warm)
        share = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * along))
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * share
        read, target = self._examples.batch(chosen)
        tokens = self.encoder.encode(read, "feature", np.random.default_rng([self.seed, 2, step]))
        labels = framed(self.encoder.labels.take(target), 0, vocabulary.end)[:, 1:]
        net.train()
        with torch.random.fork_rng(devices=[] if self.device == "cpu" else [torch.device(self.device)]):
            torch.manual_seed((self.seed + 1_000_003 * (step + 1)) % 2**63)
            table = framed(tokens, vocabulary.begin, vocabulary.end).to(self.device)
            loss = net.loss(table, labels.to(self.device))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), plan.clip)
        optimiser.step()
        return float(loss.detach())


def _state(net: T5) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def _arrays(net: T5, optimiser: torch.optim.Optimizer, kept: Mapping[str, Tensor]) -> dict[str, Any]:
    found: dict[str, Any] = {f"net/{name}": value for name, value in net.state_dict().items()}
    found |= {f"kept/{name}": value for name, value in kept.items()}
    for number, moments in optimiser.state_dict()["state"].items():
        found |= {f"moment/{number}/{name}": value for name, value in moments.items()}
    return found


def _load(net: T5, optimiser: torch.optim.Optimizer, arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Put a resume point back; the best state is returned."""

    def part(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): torch.from_numpy(np.array(value))
            for name, value in arrays.items()
            if name.startswith(prefix)
        }

    net.load_state_dict(part("net/"))
    stored = optimiser.state_dict()
    for name, value in part("moment/").items():
        number, what = name.split("/")
        stored["state"].setdefault(int(number), {})[what] = value
    optimiser.load_state_dict(stored)
    return part("kept/")


def item_encoder(n_items: int) -> Encoder:
    """Every item as a token of its own: what the same network is compared with."""
    features = np.arange(n_items, dtype=np.int64)[:, None]
    return Encoder.of(Vocabulary.of_features(features), features)
