"""The two-step reward model of OffCEM: f = g + h, h from reward differences (Saito, Ren, Joachims 2023).

h(x, a) fits differences of rewards of two actions of one cluster, g(x, c) what remains. See `estimators.doubly_robust`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worker.contract.context import Context
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.expectation import Integers
from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.reward_models.fitted import Pointwise

_CHUNK = 65_536
_BATCHES = 1000  # an epoch at most: a million pairs are learnt from larger batches, not for an hour


@dataclass(frozen=True)
class Clusterwise(Pointwise):
    """The fitted f; `steps`: 2, or 1 where there were too few pairs."""

    steps: int = 2


@dataclass(frozen=True)
class TwoStep:
    """The two-step regression; a reward model's `fit` for given cluster `labels` (A,).

    Pairs are rounds of one user (of one context where there are no users) whose actions differ and share a cluster.
    What was observed is said by the rounds themselves and by `observed` (n,), never read from the reward: the
    published code takes a reward of exactly 0 as unobserved, which drops every failure of a binary reward. A log with
    fewer than `least_pairs` pairs (contexts that never repeat) falls back to one step, f = g on [x, e, cluster], with
    a warning.
    """

    labels: NDArray[np.integer]
    observed: NDArray[np.bool_] | None = None
    epochs: int = 30
    batch: int = 128
    rate: float = 1e-2
    decay: float = 1e-4
    least_pairs: int = 30

    def __call__(
        self, log: BanditLog, rounds: Integers, *, weight: Floats | None = None, ctx: Context | None = None
    ) -> Clusterwise:
        """Fit h on pairs, then g on r - h; predictions are f = g + h."""
        ctx = Context() if ctx is None else ctx
        weight = log.round_weight[rounds] if weight is None else weight
        if self.observed is not None:
            weight, rounds = weight[self.observed[rounds]], rounds[self.observed[rounds]]
        first, second = pairs_within(log, rounds, self.labels, np.random.default_rng(ctx.seed))
        paired = len(first) >= self.least_pairs
        if not paired:
            ctx.warn("OffCEM: too few pairs of actions of one user in one cluster, so one regression replaces two.")
        features = _Features(log, self.labels, torch.device(ctx.device), fine_g=not paired)
        rows, actions = features.indices(log.rows[rounds], log.action[rounds])
        reward = features.floats(log.reward[rounds])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(ctx.seed % 2**63)
            h = _network(features.width_h, [30, 30, 30], features.device) if paired else None
            if h is not None:
                self._fit_differences(h, features, rows, actions, reward, features.indices(first, second), ctx)
            g = _network(features.width_g, [50, 50, 50], features.device)
            rest = reward if h is None else reward - _predict(h, features.h, rows, actions)
            self._fit_rest(g, features, rows, actions, rest, features.floats(weight / weight.mean()), ctx)

        def predict(contexts: Integers, chosen: Integers) -> Floats:
            u, a = features.indices(contexts, chosen)
            f = _predict(g, features.g, u, a)
            if h is not None:
                f = f + _predict(h, features.h, u, a)
            return f.double().cpu().numpy()

        return Clusterwise(log.rows, log.n_actions, predict, 2 if paired else 1)

    def _fit_differences(
        self,
        h: nn.Module,
        z: _Features,
        rows: Tensor,
        actions: Tensor,
        reward: Tensor,
        pairs: tuple[Tensor, Tensor],
        ctx: Context,
    ) -> None:
        def loss(part: Tensor) -> Tensor:
            i, j = pairs[0][part], pairs[1][part]
            predicted = h(z.h(rows[i], actions[i])) - h(z.h(rows[j], actions[j]))
            return (reward[i] - reward[j] - predicted[:, 0]).square().mean()

        self._train(h, loss, len(pairs[0]), ctx)

    def _fit_rest(
        self, g: nn.Module, z: _Features, rows: Tensor, actions: Tensor, rest: Tensor, weight: Tensor, ctx: Context
    ) -> None:
        def loss(part: Tensor) -> Tensor:
            predicted = g(z.g(rows[part], actions[part]))[:, 0]
            return (weight[part] * (rest[part] - predicted).square()).mean()

        self._train(g, loss, len(rest), ctx)

    def _train(self, model: nn.Module, loss: Callable[[Tensor], Tensor], size: int, ctx: Context) -> None:
        optimiser = torch.optim.AdamW(model.parameters(), lr=self.rate, weight_decay=self.decay)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.95)
        for epoch in range(self.epochs):
            batches = torch.randperm(size).split(max(self.batch, -(-size // _BATCHES)))
            for i, part in enumerate(batches):
                optimiser.zero_grad()
                loss(part).backward()
                optimiser.step()
                if i % 100 == 0:
                    ctx.progress(epoch * len(batches) + i, self.epochs * len(batches), phase="reward model")
            schedule.step()


def pairs_within(
    log: BanditLog, rounds: Integers, labels: NDArray[np.integer], rng: np.random.Generator, *, passes: int = 4
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (m,), (m,) of positions in `rounds` with one owner, one cluster and different actions.

    Each pass shuffles the rounds within owner and cluster and pairs neighbours, so a group of s rounds gives about
    s / 2 pairs a pass instead of all s^2; a pair may recur in another pass.
    """
    owner = (log.user if log.user is not None else log.rows)[rounds].astype(np.int64)
    actions = log.action[rounds]
    group = owner * (int(labels.max()) + 1) + labels[actions]
    left: list[NDArray[np.int64]] = []
    right: list[NDArray[np.int64]] = []
    for _ in range(passes):
        order = np.lexsort((rng.random(len(group)), group))
        i, j = order[:-1], order[1:]
        same = (group[i] == group[j]) & (actions[i] != actions[j])
        # Only every second position of a group starts a pair, so that pairs of one pass share no round.
        starts = np.concatenate([[True], group[order][1:] != group[order][:-1]])
        place = np.arange(len(order)) - np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
        same &= place[:-1] % 2 == 0
        left.append(i[same])
        right.append(j[same])
    return np.concatenate(left), np.concatenate(right)


class _Features:
    """Inputs of h: [x, action]; of g: [x, cluster], and the action too where g stands alone."""

    def __init__(self, log: BanditLog, labels: NDArray[np.integer], device: torch.device, *, fine_g: bool) -> None:
        self.device = device
        self.x = torch.as_tensor(log.contexts, dtype=torch.float32, device=device)
        # A table of small fixed random vectors tells actions apart without embeddings and without a column each.
        e = log.embeddings if log.embeddings is not None else _codes(log.n_actions)
        self.e = torch.as_tensor(e, dtype=torch.float32, device=device)
        self.labels = torch.as_tensor(labels.astype(np.int64), device=device)
        self.n_clusters = int(labels.max()) + 1
        self.fine_g = fine_g
        self.width_h = self.x.shape[1] + self.e.shape[1]
        self.width_g = self.x.shape[1] + self.n_clusters + (self.e.shape[1] if fine_g else 0)

    def h(self, rows: Tensor, actions: Tensor) -> Tensor:
        return torch.cat([self.x[rows], self.e[actions]], dim=1)

    def g(self, rows: Tensor, actions: Tensor) -> Tensor:
        cluster = nn.functional.one_hot(self.labels[actions], self.n_clusters).to(torch.float32)
        fine = [self.e[actions]] if self.fine_g else []
        return torch.cat([self.x[rows], cluster, *fine], dim=1)

    def indices(self, first: Integers, second: Integers) -> tuple[Tensor, Tensor]:
        make = torch.as_tensor
        return make(np.asarray(first, np.int64), device=self.device), make(
            np.asarray(second, np.int64), device=self.device
        )

    def floats(self, values: Floats) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)


def _codes(n_actions: int) -> NDArray[np.float64]:
    if n_actions <= 64:
        return np.eye(n_actions)
    return np.random.default_rng(0).standard_normal((n_actions, 64)) / 8.0


def _network(inputs: int, hidden: list[int], device: torch.device) -> nn.Sequential:
    sizes = [inputs, *hidden]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ELU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 1)).to(device)


def _predict(model: nn.Module, inputs: Callable[[Tensor, Tensor], Tensor], rows: Tensor, actions: Tensor) -> Tensor:
    with torch.no_grad():
        pairs = zip(rows.split(_CHUNK), actions.split(_CHUNK), strict=True)
        return torch.cat([model(inputs(u, a))[:, 0] for u, a in pairs])
