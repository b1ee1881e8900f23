"""Batches of a training set as tensors, and the loss of every form of target: one path for hard and for soft events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from worker.kinds.sequences.forms import Events, Ids, LowRank, TopK, TrainingSet
from worker.kinds.sequences.networks.next_event import NextEvent
from worker.kinds.sequences.rows import places

LARGE, SAMPLED = 50_000, 1024
BLOCK = {"cpu": 400_000, "cuda": 50_000_000}  # logits that exist at a time: on a CPU about what its cache holds


def mixture(events: LowRank, at: np.ndarray, device: str) -> Tensor:
    """Probabilities (p, V) of low-rank events."""
    return torch.from_numpy(events.probabilities(at, 0)).to(device)


def vectors(net: NextEvent, events: Events, at: np.ndarray) -> Tensor:
    """What a network reads (p, h): the item's vector, or the mean of all under the event's probabilities."""
    table = net.items.weight
    device = str(table.device)
    if isinstance(events, Ids):
        return net.items(torch.from_numpy(events.items[at].astype(np.int64)).to(device))
    if isinstance(events, LowRank):
        return mixture(events, at, device) @ table
    return torch.from_numpy(events.probabilities(at, net.n_items)).to(device) @ table


def missed(logits: Tensor, events: Events, at: np.ndarray) -> Tensor:
    """Cross entropy (p,) of logits (p, V) with the targets at these places."""
    device = str(logits.device)
    if isinstance(events, Ids):
        return F.cross_entropy(logits, torch.from_numpy(events.items[at].astype(np.int64)).to(device), reduction="none")
    if isinstance(events, LowRank):
        return -(mixture(events, at, device) * logits.log_softmax(dim=1)).sum(dim=1)
    return _missed_top(logits, events, at)


def _missed_top(logits: Tensor, events: TopK, at: np.ndarray) -> Tensor:
    """The same for the most probable items and a common rest, without a table (p, V) of targets."""
    share, rest = events.parts(at)
    log_p = logits.log_softmax(dim=1)
    device = logits.device
    known = log_p.gather(1, torch.from_numpy(events.ids[at].astype(np.int64)).to(device))
    total = -(torch.from_numpy(share).to(device) * known).sum(dim=1)
    if events.spread is None:
        return total
    spread = torch.from_numpy(events.spread.astype(np.float32)).to(device)
    return total - torch.from_numpy(rest).to(device) * (log_p @ spread)


@dataclass(frozen=True)
class Batch:
    """Rows as a table: `row`, `column` (p,) of every real place, `at` (p,) its number in the set, `weight` (p,)."""

    width: int
    rows: int
    row: Tensor
    column: Tensor
    at: np.ndarray
    weight: Tensor

    @classmethod
    def of(cls, data: TrainingSet, rows: np.ndarray, device: str) -> Batch:
        """All places of these rows, padded behind their ends."""
        lengths = data.lengths[rows]
        at = places(data.indptr[rows], lengths)
        row = np.repeat(np.arange(len(rows)), lengths)
        column = places(np.zeros(len(rows), np.int64), lengths)
        weight = np.ones(len(at), np.float32) if data.weight is None else data.weight[at].astype(np.float32)
        return cls(
            int(lengths.max()),
            len(rows),
            torch.from_numpy(row).to(device),
            torch.from_numpy(column).to(device),
            at,
            torch.from_numpy(weight).to(device),
        )

    def embedded(self, net: NextEvent, data: TrainingSet) -> Tensor:
        """The vectors (b, L, h) that the network reads; zero where there is no event."""
        found = vectors(net, data.inputs, self.at)
        table = torch.zeros(self.rows, self.width, found.shape[1], device=found.device, dtype=found.dtype)
        return table.index_put((self.row, self.column), found)


def loss(net: NextEvent, data: TrainingSet, rows: np.ndarray) -> Tensor:
    """Mean weighted cross entropy over all places of these rows. Raises ValueError for a network that is not causal.

    Beyond `LARGE` items hard targets are scored against `SAMPLED` items drawn uniformly, see `against_a_sample`. Has a
    first derivative only.
    """
    if not net.causal:
        raise ValueError("a network that sees what comes after a place cannot be trained at all places")
    batch = Batch.of(data, rows, str(net.items.weight.device))
    states = net.states(batch.embedded(net, data))[batch.row, batch.column]
    if data.items > LARGE and isinstance(data.targets, Ids):
        total = (against_a_sample(net, states, data.targets.items[batch.at]) * batch.weight).sum()
    else:
        total = _InBlocks.apply(states, net.items.weight, batch.weight, data.targets, batch.at)
    return total / batch.weight.sum()


class _InBlocks(torch.autograd.Function):
    """sum_i w_i CE_i over places of states (p, h), scored with a table (V, h), so that no more than `BLOCK` logits and
    soft targets ever exist: the gradients for states and table are taken block by block, forwards, and kept in place of
    the logits (as arXiv:2410.10989 does for hard targets)."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, table: Tensor, weight: Tensor, events: Events, at: np.ndarray) -> Tensor:
        to_states, to_table = torch.empty_like(states), torch.zeros_like(table)
        total, shared = states.new_zeros(()), table.detach().requires_grad_()
        for block in blocks(len(states), len(table), states.device):
            with torch.enable_grad():
                own = states[block].detach().requires_grad_()
                found = (missed(own @ shared.T, events, at[block]) * weight[block]).sum()
            to_states[block], more = torch.autograd.grad(found, (own, shared))
            to_table += more
            total += found.detach()
        ctx.save_for_backward(to_states, to_table)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        to_states, to_table = ctx.saved_tensors
        return gradient * to_states, gradient * to_table, None, None, None


def blocks(places: int, items: int, device: torch.device) -> Iterator[slice]:
    """Slices of so many places, whose logits over all items are `BLOCK` numbers at most."""
    size = max(1, BLOCK.get(device.type, BLOCK["cuda"]) // items)
    return (slice(start, start + size) for start in range(0, places, size))


def against_a_sample(net: NextEvent, states: Tensor, items: np.ndarray, size: int = SAMPLED) -> Tensor:
    """Cross entropy (p,) with a softmax over the target and `size` items drawn uniformly for all places alike.

    Each drawn item stands for V / size items, so its logit is raised by the log of that (Jean et al. 2015); where it is
    the target itself it does not count.
    """
    table = net.items.weight
    target = torch.from_numpy(items.astype(np.int64)).to(states.device)
    drawn = torch.randint(net.n_items, (size,), device=states.device)
    right = (states * table[target]).sum(dim=1, keepdim=True)
    others = states @ table[drawn].T + float(np.log(net.n_items / size))
    others = others.masked_fill(drawn == target[:, None], -1e9)
    return torch.cat([right, others], dim=1).logsumexp(dim=1) - right[:, 0]
