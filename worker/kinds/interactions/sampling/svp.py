"""SVP-CF: keep the events that a small proxy model finds hardest in its whole training (arXiv:2107.04984, 2201.04768).

A proxy (biases only, or biases and a product of 10 latent factors) is trained for a few epochs, and every event's
difficulty is noted just before the step that learns from it:

    explicit feedback   squared error of the rating
    implicit            1 where one unseen item, drawn anew each epoch, is scored above the event's, else 0

Its mean over the epochs is the event's importance; the highest are kept. With unit `user` whole users are kept, by the
mean importance of their events. `prop` weighs by the inverse propensity w of 0.55 power (Jain et al. 2016): events by
importance * max(w_user, w_item), users by importance * w_user.

Training as published: Adam, lr 0.006, betas (0.9, 0.98), weight decay 1e-6, dropout 0.3 on factors, batches of 1,024,
squared error or BPR. Differences from the official code: negatives never run dry (a user who has used everything is
left out of the loss and has importance 0), events are tracked by number so that batches may be shuffled, and above a
million events batches grow, so that an epoch has no more than 1,000. O(epochs N latent) time; memory is O(N) beside the
events, mainly 8 bytes an event for what each user has not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.interactions.metrics import propensity_weights
from worker.kinds.interactions.sampling.order import Order, TrainEvents

Unit = Literal["interaction", "user"]
Feedback = Literal["implicit", "explicit", "sequential"]
LEARNING_RATE, BETAS, DECAY, EPSILON, DROPOUT = 0.006, (0.9, 0.98), 1e-6, 1e-8, 0.3
BATCH, MOST_BATCHES = 1024, 1000
START = 4.0  # global bias of explicit feedback; the published 0.5 of implicit feedback cancels in a difference
_PULSE = 64  # batches from one report of progress to the next


@dataclass(frozen=True)
class Proxy:
    """What is trained to tell which events matter. `latent`: factors, 0 for biases only."""

    latent: int = 10
    epochs: int = 50
    explicit: bool = False


def importance(events: TrainEvents, proxy: Proxy, ctx: Context) -> np.ndarray:
    """Importance of each training event (N,) float32. Raises `JobError` `invalid_input` without ratings to learn.

    An epoch is a resume point; random numbers come from `ctx.seed` and the epoch. `ctx` is a part of its own.
    """
    if proxy.explicit and events.rating is None:
        raise JobError(
            "invalid_input",
            "Explicit feedback needs ratings, and this dataset has none.",
            hint="Upload it with a rating column, or set feedback to implicit.",
            pointer="/params/feedback",
        )
    point = ctx.restore()
    if point is not None and point.done:
        return point.arrays["importance"]
    state = _State.begin(events, proxy, ctx)
    unseen = None if proxy.explicit else Unseen.of(events)
    batch = max(BATCH, -(-len(events) // MOST_BATCHES))
    batches = -(-len(events) // batch)
    for epoch in range(state.epoch, proxy.epochs):
        rng = np.random.default_rng([ctx.seed, 1, epoch])
        noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
        shuffled = rng.permutation(np.arange(len(events), dtype=np.int32))
        for number in range(batches):
            if number % _PULSE == 0:
                ctx.progress(epoch * batches + number, proxy.epochs * batches, phase="proxy")
            chosen = shuffled[number * batch : (number + 1) * batch]
            if unseen is None:
                found = _rate(state, events, chosen, proxy, noise)
            else:
                found = _prefer(state, events, chosen, unseen.draw(events.user[chosen], rng), proxy, noise)
            state.total[chosen] += found
        state.epoch = epoch + 1
        ctx.checkpoint(state.epoch, state.arrays(), {"epoch": state.epoch, "step": state.step})
    found = state.total / proxy.epochs
    ctx.finish({"importance": found}, {})
    return found


def ranked(events: TrainEvents, importance: np.ndarray, *, unit: Unit, prop: bool, rng: np.random.Generator) -> Order:
    """The order of SVP-CF, or with `prop` of SVP-CF-Prop, from importances (N,); equal ones in random order."""
    if unit == "interaction":
        weight = (
            np.maximum(_weights(events.per_user)[events.user], _weights(events.per_item)[events.item]) if prop else 1
        )
        return _falling(importance * weight, rng)
    mean = np.bincount(events.user, importance, events.n_users) / np.maximum(1, events.per_user)
    weighed = mean * _weights(events.per_user) if prop else mean
    return Order.of_groups(events.user, np.lexsort((rng.random(events.n_users), -weighed)))


def _weights(counts: np.ndarray) -> np.ndarray:
    """Inverse propensities of users or items with these counts; they fall as counts grow."""
    return propensity_weights(counts)


def _falling(values: np.ndarray, rng: np.random.Generator) -> Order:
    order = np.lexsort((rng.random(len(values), np.float32), -values))
    place = np.empty(len(values), np.int32)
    place[order] = np.arange(len(values), dtype=np.int32)
    return Order(place)


@dataclass(frozen=True)
class Unseen:
    """Draws items that a user has not used, without trial and error: the r-th unused one is found by bisection.

    `gaps` (N,) int64: for every event, its user's number times (I + 1) plus the unused items before it; rising.
    """

    gaps: np.ndarray
    first: np.ndarray
    free: np.ndarray
    width: int

    @classmethod
    def of(cls, events: TrainEvents) -> Unseen:
        """For all users of these events."""
        first = np.concatenate(([0], np.cumsum(events.per_user)))
        width = events.n_items + 1
        gaps = events.user.astype(np.int64) * width
        gaps += events.item
        gaps -= np.arange(len(events))  # in place: at 20 million events every temporary array is 160 MB
        gaps += first[events.user]
        return cls(gaps, first, events.n_items - events.per_user, width)

    def draw(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One unused item for each of the users (B,), uniformly; -1 where there is none."""
        free = self.free[users]
        rank = np.minimum((rng.random(len(users)) * free).astype(np.int64), np.maximum(free - 1, 0))
        skipped = np.searchsorted(self.gaps, users.astype(np.int64) * self.width + rank, side="right")
        return np.where(free > 0, rank + skipped - self.first[users], -1)


@dataclass
class _State:
    """Parameters and Adam's moments, a row per user, then per item, then one for the global bias (U + I + 1, latent +
    1), the bias in the last column; and the difficulties added up (N,)."""

    values: Tensor
    mean: Tensor
    square: Tensor
    total: np.ndarray
    epoch: int = 0
    step: int = 0

    @classmethod
    def begin(cls, events: TrainEvents, proxy: Proxy, ctx: Context) -> _State:
        if (point := ctx.restore()) is not None:
            moments = (torch.from_numpy(point.arrays[name].copy()) for name in ("values", "mean", "square"))
            return cls(*moments, point.arrays["total"].copy(), point.state["epoch"], point.state["step"])
        users, items, latent = events.n_users, events.n_items, proxy.latent
        rng = np.random.default_rng([ctx.seed, 0])
        values = np.zeros((users + items + 1, latent + 1), np.float32)
        for rows in (values[:users, :latent], values[users:-1, :latent]):  # Xavier
            bound = np.sqrt(6 / max(1, len(rows) + latent))
            rows[:] = rng.uniform(-bound, bound, rows.shape)
        values[-1, -1] = START if proxy.explicit else 0.0
        start = torch.from_numpy(values)
        return cls(start, torch.zeros_like(start), torch.zeros_like(start), np.zeros(len(events), np.float32))

    def arrays(self) -> dict[str, Tensor | np.ndarray]:
        return {"values": self.values, "mean": self.mean, "square": self.square, "total": self.total}

    def learn(self, gradient: Tensor) -> None:
        """A step of Adam with L2 weight decay, in place."""
        self.step += 1
        gradient.add_(self.values, alpha=DECAY)
        self.mean.lerp_(gradient, 1 - BETAS[0])
        self.square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        root = (self.square / (1 - BETAS[1] ** self.step)).sqrt_().add_(EPSILON)
        self.values.addcdiv_(self.mean, root, value=-LEARNING_RATE / (1 - BETAS[0] ** self.step))


def _rate(state: _State, events: TrainEvents, chosen: np.ndarray, proxy: Proxy, noise: torch.Generator) -> np.ndarray:
    """Squared errors (B,) of events, then a step that lowers their mean."""
    rating = torch.from_numpy(events.rating[chosen])
    user, item = _nodes(events, events.user[chosen], events.item[chosen])
    p, keep_p = _dropped(state.values[user], proxy, noise)
    q, keep_q = _dropped(state.values[item], proxy, noise)
    error = state.values[-1, -1] + p[:, -1] + q[:, -1] + (p[:, :-1] * q[:, :-1]).sum(dim=1) - rating
    slope = (2 / len(chosen)) * error
    gradient = torch.zeros_like(state.values)
    gradient.index_add_(0, user, _scaled(slope, q, keep_p))
    gradient.index_add_(0, item, _scaled(slope, p, keep_q))
    gradient[-1, -1] = slope.sum()
    state.learn(gradient)
    return np.square(error.numpy())


def _prefer(
    state: _State, events: TrainEvents, chosen: np.ndarray, other: np.ndarray, proxy: Proxy, noise: torch.Generator
) -> np.ndarray:
    """1 (B,) where an unseen item is scored above the event's, then a step of BPR: -mean log sigmoid of the lead."""
    there = other >= 0
    user, item = _nodes(events, events.user[chosen], events.item[chosen])
    rival = torch.from_numpy(np.maximum(other, 0) + events.n_users)
    p, keep_p = _dropped(state.values[user], proxy, noise)
    q, keep_q = _dropped(state.values[item], proxy, noise)
    r, keep_r = _dropped(state.values[rival], proxy, noise)
    lead = q[:, -1] - r[:, -1] + (p[:, :-1] * (q[:, :-1] - r[:, :-1])).sum(dim=1)
    slope = -torch.sigmoid(-lead) * torch.from_numpy(there) / max(1, int(there.sum()))
    gradient = torch.zeros_like(state.values)
    towards = _scaled(slope, q - r, keep_p)
    towards[:, -1] = 0  # a user's own bias cancels
    gradient.index_add_(0, user, towards)
    gradient.index_add_(0, item, _scaled(slope, p, keep_q))
    gradient.index_add_(0, rival, _scaled(-slope, p, keep_r))
    state.learn(gradient)
    return ((lead < 0).numpy() & there).astype(np.float32)


def _nodes(events: TrainEvents, user: np.ndarray, item: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(user.astype(np.int64)), torch.from_numpy(item.astype(np.int64) + events.n_users)


def _dropped(rows: Tensor, proxy: Proxy, noise: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """Rows (B, latent + 1) after dropout of their factors, and what they were multiplied by."""
    if not proxy.latent:
        return rows, None
    keep = (torch.rand(rows.shape, generator=noise) >= DROPOUT).to(rows.dtype).div_(1 - DROPOUT)
    keep[:, -1] = 1
    return rows * keep, keep


def _scaled(slope: Tensor, rows: Tensor, keep: Tensor | None) -> Tensor:
    """The gradient of a row: the slope times the other side's factors where it was not dropped, and times 1."""
    out = slope[:, None] * rows
    if keep is not None:
        out.mul_(keep)
    out[:, -1] = slope
    return out
