"""Distances between actions: squared distances in blocks, nearest neighbours, and the metric they are taken in.

Neighbours come from a chunked float32 product and a top-k, so that a hundred thousand actions need neither a library
nor A x A numbers; the few candidates are then measured again in float64, which makes ties exact: at equal distance the
lower action id comes first, and every action is its own first neighbour. Both run on CUDA when `device` says so.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.kinds.bandit.policies import Floats

Metric = Literal["euclidean", "cosine"]
BLOCK_BYTES = 64 * 2**20
_SPARE = 16  # candidates beyond k that rounding in float32 may have put out of order
_EXACT_ACTIONS = 5_000  # up to here distances are float64 throughout
_KEPT_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Neighbours:
    """`ids` (A, k) int32 and `distances` (A, k) float64, nearest first, the action itself in column 0."""

    ids: NDArray[np.int32]
    distances: Floats


_kept: OrderedDict[str, Neighbours] = OrderedDict()


def action_points(embeddings: NDArray[np.floating], metric: Metric = "euclidean", standardise: bool = True) -> Floats:
    """Points (A, d) float64 whose Euclidean distance is the metric: columns z-scored, or rows of length one.

    Cosine distance d_c becomes sqrt(2 d_c). Columns that never change stay zero. Raises `invalid_input`.
    """
    points = embeddings.astype(np.float64)
    if not np.isfinite(points).all():
        raise JobError("invalid_input", "An action embedding has a value that is not a finite number.")
    if metric == "cosine":
        return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-300)
    if not standardise:
        return points
    spread = points.std(axis=0)
    return (points - points.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def squared_distances(
    points: Floats, rows: NDArray[np.integer] | None = None, device: str = "cpu"
) -> Iterator[tuple[NDArray[np.integer], torch.Tensor]]:
    """(rows, squared distances (b, A)) in blocks of bounded memory; float64 up to 5,000 actions, float32 above.

    The distance of an action to itself is exactly zero; no other is negative.
    """
    dtype = torch.float64 if len(points) <= _EXACT_ACTIONS else torch.float32
    everything = torch.from_numpy(points).to(device=device, dtype=dtype)
    norms = (everything * everything).sum(1)
    wanted = np.arange(len(points)) if rows is None else rows
    step = max(1, BLOCK_BYTES // (8 * len(points)))
    for start in range(0, len(wanted), step):
        block = wanted[start : start + step]
        chosen = torch.from_numpy(block.astype(np.int64)).to(device)
        squares = torch.addmm(norms[None, :], everything[chosen], everything.T, alpha=-2.0)
        squares.add_(norms[chosen][:, None]).clamp_(min=0.0)
        squares[torch.arange(len(block), device=device), chosen] = 0.0
        yield block, squares


def pair_squares(points: Floats, first: NDArray[np.integer], second: NDArray[np.integer]) -> Floats:
    """Squared distances (m,) of listed pairs of actions."""
    squares = np.empty(len(first))
    step = max(1, BLOCK_BYTES // (16 * points.shape[1]))
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        gap = points[first[part]] - points[second[part]]
        squares[part] = np.einsum("ij,ij->i", gap, gap)
    return squares


def tie_tolerance(points: Floats) -> float:
    """By how much two squared distances that are equal on paper may differ after rounding."""
    unit = 1e-12 if len(points) <= _EXACT_ACTIONS else 1e-5
    return unit * float((points * points).sum(axis=1).max(initial=0.0))


def sampled_distances(points: Floats, most: int = 2_000, seed: int = 0) -> Floats:
    """Ascending distances between distinct actions, of at most `most` sampled ones."""
    chosen = np.arange(len(points))
    if len(points) > most:
        chosen = np.sort(np.random.default_rng(seed).choice(len(points), most, replace=False))
    first, second = np.triu_indices(len(chosen), 1)
    return np.sort(np.sqrt(pair_squares(points, chosen[first], chosen[second])))


def nearest(points: Floats, k: int, device: str = "cpu") -> Neighbours:
    """The k nearest actions of every action, itself first; kept in memory by the points' hash."""
    k = min(k, len(points))
    key = hashlib.sha256(points.tobytes() + f"{points.shape}{k}".encode()).hexdigest()
    if key in _kept:
        _kept.move_to_end(key)
        return _kept[key]
    ids = np.empty((len(points), k), np.int32)
    distances = np.empty((len(points), k))
    for block, squares in squared_distances(points, device=device):
        width = min(k + _SPARE, len(points))
        squares[torch.arange(len(block), device=squares.device), torch.from_numpy(block).to(squares.device)] = -1.0
        near, where = torch.topk(squares, width, dim=1, largest=False)
        candidates = where.cpu().numpy()
        exact = pair_squares(points, np.repeat(block, width), candidates.ravel()).reshape(candidates.shape)
        ids[block], distances[block] = _by_distance_then_id(block, candidates, exact, k)
        if width < len(points):
            unsure = near[:, -1] <= near[:, k - 1] + tie_tolerance(points)
            _settle_ties(points, block[unsure.cpu().numpy()], ids, distances)
    found = Neighbours(ids, distances)
    _keep(key, found)
    return found


def _by_distance_then_id(
    rows: NDArray[np.integer], candidates: NDArray[np.integer], squares: Floats, k: int
) -> tuple[NDArray[np.integer], Floats]:
    """The k first of the candidates (b, c) by (itself, squared distance, id), and their distances."""
    ranked = np.where(candidates == rows[:, None], -1.0, squares)
    order = np.lexsort((candidates, ranked), axis=1)[:, :k]
    return np.take_along_axis(candidates, order, 1), np.sqrt(np.take_along_axis(squares, order, 1))


def _settle_ties(points: Floats, rows: NDArray[np.integer], ids: NDArray[np.int32], distances: Floats) -> None:
    """Sort whole rows where more actions lie at the k-th distance than there were spare candidates."""
    everyone = np.arange(len(points))
    for row in rows:
        exact = ((points - points[row]) ** 2).sum(axis=1)
        ids[row], distances[row] = (
            part[0] for part in _by_distance_then_id(np.array([row]), everyone[None], exact[None], ids.shape[1])
        )


def _keep(key: str, found: Neighbours) -> None:
    _kept[key] = found
    while len(_kept) > 1 and sum(kept.ids.nbytes + kept.distances.nbytes for kept in _kept.values()) > _KEPT_BYTES:
        _kept.popitem(last=False)
