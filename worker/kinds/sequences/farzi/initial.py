"""How synthetic sequences start: what is read, and what is said to come next.

inputs   the most frequent pairs of the training data laid end to end, items drawn by popularity, or real rows
teacher  what comes next is a full-data teacher's opinion: exactly of low rank, at no meta-cost
real     what really came next, as unit vectors of who follows whom
random   noise
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from worker.kinds.sequences.embedding import item_vectors
from worker.kinds.sequences.farzi.synthetic import Synthetic, of_rank, tucker
from worker.kinds.sequences.forms import LowRank
from worker.kinds.sequences.rows import Rows, bounds
from worker.kinds.sequences.teacher import Teacher

Inputs = Literal["bigrams", "popularity", "real"]


def inputs_of(real: Rows, items: int, shape: tuple[int, int], how: Inputs, rng: np.random.Generator) -> Rows:
    """Rows (n, xi) of items to read; real ones are the last xi events of random rows of two events or more, and may be
    shorter."""
    count, length = shape
    if how == "real":
        able = np.flatnonzero(real.lengths > 1)
        chosen = rng.permutation(able)[:count] if len(able) >= count else rng.choice(able, count)
        return real.take(chosen).last(length)
    if how == "bigrams":
        flat = top_pairs(real, items, -(-count * length // 2)).reshape(-1)[: count * length]
    else:
        share = np.bincount(real.items, minlength=items) / len(real.items)
        flat = rng.choice(items, count * length, p=share)
    return Rows(bounds(np.full(count, length)), flat.astype(np.int32))


def top_pairs(real: Rows, items: int, count: int) -> np.ndarray:
    """The most frequent pairs (item, next item), int64 (count, 2), ties by number; over again where there are fewer."""
    codes, times = np.unique(real.pairs(items)[1], return_counts=True)
    order = codes[np.argsort(-times, kind="stable")]
    found = np.resize(order, count)
    return np.stack([found // items, found % items], axis=1)


def labelled(teacher: Teacher, rows: Rows, max_len: int, rank: int, generator: torch.Generator) -> Synthetic:
    """Rows whose next events are the teacher's: its hidden states and its item table."""
    made = teacher.labelled(rows, max_len).targets
    if not isinstance(made, LowRank):
        raise TypeError("a teacher's labels are of low rank")
    phi = of_rank(torch.from_numpy(made.latent).float(), torch.from_numpy(made.decoder).float(), rank, generator)
    phi["weight"] = torch.zeros(len(rows.items))
    return Synthetic(rows, phi, 1.0, False, teacher.net.n_items, max_len)


@torch.no_grad()
def rolled_out(
    teacher: Teacher, real: Rows, shape: tuple[int, int], max_len: int, rank: int, tau: float,
    rng: np.random.Generator, generator: torch.Generator,
) -> Synthetic:  # fmt: skip
    """The tied form from a teacher that reads its own soft events: latent[j + 1] is its state after events 0 to j; the
    first is an item drawn by popularity."""
    count, length = shape
    net = teacher.net
    table = net.items.weight
    share = np.bincount(real.items, minlength=net.n_items) / len(real.items)
    first = torch.from_numpy(rng.choice(net.n_items, count, p=share)).to(table.device)
    # the latent vector whose softmax is nearly one item: its own vector, long enough
    latent = [table[first] * (12.0 / table.square().sum(1)[first].clamp(min=1e-6))[:, None]]
    for _ in range(length - 1):
        soft = torch.softmax(torch.stack(latent, 1) @ table.T / tau, -1)
        latent.append(net.states(soft @ table)[:, -1])
    flat = torch.stack(latent, 1).reshape(count * length, -1).cpu()
    phi = of_rank(flat, table.T.detach().cpu().clone(), rank, generator)
    return Synthetic(_blank(count, length), phi, tau, True, net.n_items, max_len)


def of_real_rows(
    real: Rows, rows: Rows, items: int, max_len: int, rank: int, tau: float, tied: bool, seed: int
) -> Synthetic:
    """What really came next (of the last event of a row: the event itself), as the unit vector of its item; the decoder
    has the unit vectors of all items, noise where an item has no neighbours."""
    vectors = torch.from_numpy(item_vectors(real, items, dim=rank, seed=seed))
    vectors = vectors + 1e-3 * torch.randn(vectors.shape, generator=torch.Generator().manual_seed(seed))
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    if tied:
        phi = {"latent": vectors[torch.from_numpy(rows.items).long()], "decoder": vectors.T.contiguous()}
        return Synthetic(_blank(len(rows), int(rows.lengths[0])), phi, tau, True, items, max_len)
    following = np.minimum(np.arange(len(rows.items)) + 1, rows.indptr[1:][rows.owners()] - 1)
    latent = vectors[torch.from_numpy(rows.items[following]).long()]
    phi = {"latent": latent, "decoder": vectors.T.contiguous(), "weight": torch.zeros(len(latent))}
    return Synthetic(rows, phi, tau, False, items, max_len)


def at_random(rows: Rows, items: int, max_len: int, rank: int, tau: float, tied: bool, g: torch.Generator) -> Synthetic:
    """Latent vectors and decoder of normal noise, logits of unit variance."""
    latent = torch.randn(len(rows.items), rank, generator=g)
    phi: dict[str, Tensor] = {"latent": latent, "decoder": torch.randn(rank, items, generator=g) / rank**0.5}
    if tied:
        return Synthetic(_blank(len(rows), int(rows.lengths[0])), phi, tau, True, items, max_len)
    return Synthetic(rows, phi | {"weight": torch.zeros(len(latent))}, tau, False, items, max_len)


def as_tucker(made: Synthetic, rank: int) -> Synthetic:
    """The same with the nearest factors in place of free latent vectors."""
    phi = dict(made.phi)
    return made.with_phi(phi | tucker(phi.pop("latent"), len(made.rows), rank) if "latent" in phi else phi)


def filled_up(rows: Rows, length: int, rng: np.random.Generator) -> Rows:
    """Rows of one length: shorter ones go on with the events of others, as if those had come next."""
    wanted = len(rows) * length
    spare = rng.permutation(rows.items)
    found: list[np.ndarray] = []
    for number in range(len(rows)):
        row = rows.row(number)[:length]
        more = np.resize(np.roll(spare, -number * length), length - len(row))
        found.append(np.concatenate([row, more]))
    flat = np.concatenate(found).astype(np.int32)
    assert len(flat) == wanted  # noqa: S101 - every row has been filled
    return Rows(bounds(np.full(len(rows), length)), flat)


def _blank(count: int, length: int) -> Rows:
    """Rows of soft events: their lengths alone."""
    return Rows(bounds(np.full(count, length)), np.zeros(count * length, np.int32))
