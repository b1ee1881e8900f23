"""BPR-MF: matrix factorisation trained to rank what a user has above what not (Rendle et al. 2009, arXiv:1205.2618).

Stochastic descent on -log sigmoid(<p_u, q_i> - <p_u, q_j>) + reg (|p_u|^2 + |q_i|^2 + |q_j|^2) over events (u, i), each
with a fresh item j that u does not have, with one Adagrad step size a row of factors. Events are drawn in proportion to
their value and to what their row weighs. Published code learns vectors for the very users it recommends to; ours must
serve users that no training row belongs to, so every user is folded in by one ridge solve over the item factors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.interactions.learners.half_step import HalfStep, solve
from worker.kinds.interactions.rows import UserRows

FACTORS, EPOCHS = 64, 30
REGULARISATIONS = (0.001, 0.01)
FOLD_INS = (0.03, 0.1, 0.3)  # ridges of the fold-in, which decide more than anything in the training
_RATE, _SCALE, _BATCH, _LEAST_STEPS = 0.1, 0.1, 4096, 300
_UNOBSERVED = 0.3  # what an item without event weighs in the fold-in, over item factors of mean squared norm 1
_REDRAWS = 4


@dataclass(frozen=True)
class Events:
    """Events of training rows: `user` and `item` (e,), their running shares `upto` (e,) of all weight, and `known`, the
    sorted numbers user x I + item."""

    user: np.ndarray
    item: np.ndarray
    upto: np.ndarray
    known: np.ndarray
    width: int

    @classmethod
    def of(cls, rows: UserRows) -> Events:
        """The events of rows (n, I)."""
        matrix = rows.matrix
        user = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
        upto = np.cumsum(matrix.data * rows.mass[user], dtype=np.float64)
        known = np.sort(user * matrix.shape[1] + matrix.indices)
        return cls(user, matrix.indices.astype(np.int64), upto / upto[-1:], known, matrix.shape[1])

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Users, an item of theirs each and one that is not (b,): fewer than `count` where a user has all items."""
        chosen = np.searchsorted(self.upto, rng.random(count), side="right").clip(max=len(self.user) - 1)
        user, item = self.user[chosen], self.item[chosen]
        other = rng.integers(0, self.width, count)
        for _ in range(_REDRAWS):
            taken = self._has(user, other)
            other[taken] = rng.integers(0, self.width, int(taken.sum()))
        good = ~self._has(user, other)
        return user[good], item[good], other[good]

    def _has(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        wanted = user * self.width + item
        return self.known[np.searchsorted(self.known, wanted).clip(max=len(self.known) - 1)] == wanted


@dataclass(frozen=True)
class BPR:
    """Trainings on the events of rows."""

    events: Events
    users: int
    seed: int
    device: str

    def fit(self, settings: Settings, ctx: Context) -> BPRModel:
        """30 passes (at least 300 steps) at `reg`; users are folded in at `fold_in`."""
        rng = np.random.default_rng(self.seed)
        users, items = (
            torch.from_numpy((rng.standard_normal((count, FACTORS)) * _SCALE).astype(np.float32)).to(self.device)
            for count in (self.users, self.events.width)
        )
        sums = users.new_zeros(len(users)), items.new_zeros(len(items))
        reg = float(settings["reg"])
        for user, item, other in self._batches(rng, ctx):
            p, q, r = users[user], items[item], items[other]
            slope = torch.sigmoid(-(p * (q - r)).sum(dim=1))[:, None]  # of log sigmoid
            _step(users, sums[0], user, reg * p - slope * (q - r))
            _step(items, sums[1], torch.cat([item, other]), torch.cat([reg * q - slope * p, reg * r + slope * p]))
        items /= items.square().sum(dim=1).mean().sqrt().clamp(min=1e-12)
        return BPRModel(items, float(settings["fold_in"]))

    def _batches(self, rng: np.random.Generator, ctx: Context) -> Iterator[list[Tensor]]:
        size = min(_BATCH, max(64, len(self.events.user) // 10))
        steps = max(_LEAST_STEPS, EPOCHS * -(-len(self.events.user) // size))
        for step in range(steps):
            if step % 50 == 0:
                ctx.progress(step, steps)
            yield [torch.from_numpy(part).to(self.device) for part in self.events.draw(size, rng)]


def _step(factors: Tensor, sums: Tensor, rows: Tensor, gradient: Tensor) -> None:
    """An Adagrad step with one size a row; rows may occur several times."""
    sums.index_add_(0, rows, gradient.square().mean(dim=1))
    factors.index_add_(0, rows, gradient * (-_RATE * (sums[rows] + 1e-8).rsqrt())[:, None])


@dataclass(frozen=True)
class BPRModel:
    """Item factors (I, k) of mean squared norm 1."""

    items: Tensor
    fold_in: float

    def scores(self, inputs: sparse.csr_array) -> np.ndarray:
        """<p, q_i> (q, I) float32, p folded in for each row of inputs (q, I); 0 for a row without events."""
        gram = self.items.T @ self.items
        side = HalfStep.of(inputs, self.items.device)
        users = solve(side, self.items, gram, _UNOBSERVED, self.fold_in, inputs.shape[1], Context())
        return (users @ self.items.T).cpu().numpy()


@learner(
    kind="interactions",
    name="bpr-mf",
    label="BPR-MF",
    usual=False,
    seeds=2,
    settings=tuple({"reg": reg, "fold_in": ridge} for reg, ridge in product(REGULARISATIONS, FOLD_INS)),
)
def bpr_mf(rows: UserRows, params: Any, ctx: Context) -> BPR:
    """BPR-MF on rows (n, I), tuned over its regularisation and the ridge of the fold-in."""
    rows = rows.filled()
    return BPR(Events.of(rows), len(rows), ctx.seed, ctx.device)
