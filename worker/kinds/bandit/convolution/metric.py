"""Smoothing by distance: what kernel and ball convolutions share.

A profile K_t(d) of the distance between two actions, normalised by columns (`mass`: every action hands on exactly its
own mass) or by rows (`mean`: average of the neighbours). Nothing is cut off: sparse policies only ask for distances to
their support, dense ones for one product of matrices a block, and the norms are one pass over the A x A distances
that keeps A numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from worker.kinds.bandit.convolution.neighbours import BLOCK_BYTES, pair_squares, squared_distances
from worker.kinds.bandit.convolution.smoothing import Normalize
from worker.kinds.bandit.policies import Floats


@dataclass(frozen=True)
class MetricPath:
    """Kernel or ball convolution of points (A, d); `profile(squares, level)` gives K of squared distances.

    `level` counts `taus` from 0, which is the identity and never asks the profile.
    """

    family: str
    taus: tuple[float, ...]
    points: Floats
    profile: Callable[[torch.Tensor, int], torch.Tensor]
    normalize: Normalize = "mass"
    device: str = "cpu"

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        return len(self.points)

    @property
    def row_cost(self) -> float:
        """See `Convolution`."""
        return float(self.n_actions) ** 2

    @cached_property
    def norms(self) -> Floats:
        """Row sums of K, which are its column sums too: (T, A)."""
        return self._sums(None)

    @cached_property
    def _row_sums(self) -> Floats:
        return self._sums(self.norms) if self.normalize == "mass" else np.ones((len(self.taus), self.n_actions))

    def row_sums(self) -> Floats:
        """See `Convolution`."""
        return self._row_sums

    def _sums(self, divisor: Floats | None) -> Floats:
        """sum_b K_t(a, b) / divisor_t(b) for every t and a: (T, A)."""
        sums = np.ones((len(self.taus), self.n_actions))
        for block, squares in squared_distances(self.points, device=self.device):
            for level in range(1, len(self.taus)):
                weights = self.profile(squares, level)
                column = (
                    torch.ones(self.n_actions, dtype=torch.float64)
                    if divisor is None
                    else torch.from_numpy(1.0 / divisor[level])
                )
                sums[level, block] = (weights @ column.to(weights)).cpu().numpy()
        return sums

    def entries(
        self,
        actions: NDArray[np.integer],
        others: NDArray[np.integer],
        mass: Floats,
        owner: NDArray[np.integer],
        n: int,
    ) -> Floats:
        """See `Convolution`; one distance an entry."""
        same = actions == others
        squares = torch.from_numpy(pair_squares(self.points, actions, others))
        smoothed = np.empty((len(self.taus), n))
        smoothed[0] = np.bincount(owner[same], mass[same], n)
        for level in range(1, len(self.taus)):
            weights = self.profile(squares, level).numpy() * mass / self.norms[level][self._normed_by(actions, others)]
            smoothed[level] = np.bincount(owner, weights, n)
        return smoothed

    def _normed_by(self, actions: NDArray[np.integer], others: NDArray[np.integer]) -> NDArray[np.integer]:
        return others if self.normalize == "mass" else actions

    def rows(self, values: Floats, row_of: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
        """See `Convolution`; the profile is computed once for every distinct action."""
        smoothed = np.empty((len(self.taus), len(actions)))
        smoothed[0] = values[row_of, actions]
        distinct, place = np.unique(actions, return_inverse=True)
        order = np.argsort(place, kind="stable")
        few = len(values) * len(distinct) <= 20 * len(actions)  # whole tables by one product, or round by round
        done = 0
        for block, squares in squared_distances(self.points, distinct, self.device):
            count = int(np.searchsorted(place[order], done + len(block)))
            rounds = order[np.searchsorted(place[order], done) : count]
            for level in range(1, len(self.taus)):
                weights = self._scaled(self.profile(squares, level), block, level)
                smoothed[level, rounds] = _at(weights, values, row_of[rounds], place[rounds] - done, few)
            done += len(block)
        return smoothed

    def _scaled(self, weights: torch.Tensor, rows: NDArray[np.integer], level: int) -> torch.Tensor:
        """Rows (b, A) of S_t from rows of K, float64."""
        norm = torch.from_numpy(self.norms[level]).to(weights.device)
        wide = weights.to(torch.float64)
        return wide / (
            norm[None, :] if self.normalize == "mass" else norm[torch.from_numpy(rows).to(norm.device)][:, None]
        )

    def tables(self, values: Floats, level: int) -> Floats:
        """See `Convolution`."""
        if level == 0:
            return values
        smoothed = np.empty_like(values)
        wide = torch.from_numpy(values).to(self.device)
        for block, squares in squared_distances(self.points, device=self.device):
            weights = self.profile(squares, level)
            scaled = self._scaled(weights, block, level)
            smoothed[:, block] = (wide @ scaled.T).cpu().numpy()
        return smoothed

    def sample(self, level: int, actions: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.integer]:
        """See `Convolution`."""
        if level == 0:
            return actions
        drawn = np.empty(len(actions), np.int64)
        distinct, place = np.unique(actions, return_inverse=True)
        order, done = np.argsort(place, kind="stable"), 0
        for block, squares in squared_distances(self.points, distinct, self.device):
            rounds = order[slice(*np.searchsorted(place[order], [done, done + len(block)]))]
            below = torch.cumsum(self.profile(squares, level).to(torch.float64), 1).cpu().numpy()
            for row, of_row in _runs(place[rounds] - done, rounds):
                drawn[of_row] = np.searchsorted(below[row], rng.random(len(of_row)) * below[row, -1], side="right")
            done += len(block)
        return np.minimum(drawn, self.n_actions - 1)

    def keeping_mass(self) -> MetricPath:
        """See `Convolution`."""
        return self if self.normalize == "mass" else replace(self, normalize="mass")


def _runs(keys: NDArray[np.integer], items: NDArray[np.integer]) -> list[tuple[int, NDArray[np.integer]]]:
    """Ascending keys (m,) with the items of each."""
    names, starts = np.unique(keys, return_index=True)
    return list(zip(names.tolist(), np.split(items, starts[1:]), strict=True))


def _at(
    weights: torch.Tensor, values: Floats, row_of: NDArray[np.integer], place: NDArray[np.integer], few: bool
) -> Floats:
    """sum_b weights[place, b] values[row_of, b] (n,)."""
    if few:
        table = weights @ torch.from_numpy(values).to(weights.device).T
        return table.cpu().numpy()[place, row_of]
    wide = weights.cpu().numpy()
    found = np.empty(len(place))
    step = max(1, BLOCK_BYTES // (16 * values.shape[1]))
    for start in range(0, len(place), step):
        part = slice(start, start + step)
        found[part] = np.einsum("ij,ij->i", wide[place[part]], values[row_of[part]])
    return found
