"""Tree convolution: actions share their mass evenly inside their group, for cuts of a hierarchy from leaves to root.

The hierarchy is the user's own where there is one, Ward's agglomerative clustering up to 20,000 actions, and balanced
two-way splits above (arXiv:2310.15433 uses a tree of meta-actions; how its tree is grown is our choice).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage

from worker.contract.errors import JobError
from worker.kinds.bandit.policies import Floats

WARD_ACTIONS = 20_000
_ROUNDS = 3  # of 2-means in a split


@dataclass(frozen=True)
class TreePath:
    """`labels` (T, A) int32: group of every action at every level, nested, singletons first."""

    labels: NDArray[np.int32]
    family: str = field(default="tree", init=False)

    @property
    def taus(self) -> tuple[float, ...]:
        """The number of groups of every level, from A down."""
        return tuple(float(len(size)) for size in self.sizes)

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        return self.labels.shape[1]

    @property
    def row_cost(self) -> float:
        """See `Convolution`."""
        return float(self.n_actions)

    @cached_property
    def sizes(self) -> list[Floats]:
        """Actions in every group, level by level."""
        return [np.bincount(level).astype(np.float64) for level in self.labels]

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        """Actions sorted so that every group of every level is one run."""
        return np.lexsort(self.labels)

    @cached_property
    def _runs(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For every level (where its runs start among those of the finer level, the group of every run)."""
        runs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        keys = self._order
        for level in self.labels:
            labels = level[keys].astype(np.int64)
            starts = np.flatnonzero(np.concatenate([[True], labels[1:] != labels[:-1]]))
            runs.append((starts, labels[starts]))
            keys = keys[starts]
        return runs

    def group_masses(self, values: Floats) -> list[Floats]:
        """Mass of every group (u, G) at every level of distributions (u, A), each from the finer one."""
        finer = values[:, self._order]
        masses: list[Floats] = []
        for starts, groups in self._runs:
            finer = np.add.reduceat(finer, starts, axis=1)
            mass = np.empty_like(finer)
            mass[:, groups] = finer
            masses.append(mass)
        return masses

    def row_sums(self) -> Floats:
        """See `Convolution`."""
        return np.ones(self.labels.shape)

    def entries(
        self,
        actions: NDArray[np.integer],
        others: NDArray[np.integer],
        mass: Floats,
        owner: NDArray[np.integer],
        n: int,
    ) -> Floats:
        """See `Convolution`; the levels nest, so an entry counts from the finest level its two actions share up."""
        of_round = np.zeros(n, np.int64)
        of_round[owner] = actions
        finest = np.full(len(actions), len(self.labels) - 1)
        together: slice | NDArray[np.int64] = slice(None)
        theirs, whose = others.astype(np.int64), owner
        for level in range(len(self.labels) - 2, -1, -1):
            groups = self.labels[level]
            kept = np.flatnonzero(groups[of_round][whose] == groups[theirs])
            if len(kept) < len(theirs):
                theirs, whose = theirs[kept], whose[kept]
                together = kept if isinstance(together, slice) else together[kept]
            finest[together] = level
        by_finest = np.bincount(finest * n + owner, mass, len(self.labels) * n)
        smoothed = np.cumsum(by_finest.reshape(len(self.labels), n), axis=0, dtype=np.float64)
        for level, groups in enumerate(self.labels):
            smoothed[level] /= self.sizes[level][groups[of_round]]
        return smoothed

    def rows(self, values: Floats, row_of: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
        """See `Convolution`."""
        smoothed = np.empty((len(self.labels), len(actions)))
        for level, mass in enumerate(self.group_masses(values)):
            group = self.labels[level][actions]
            smoothed[level] = mass[row_of, group] / self.sizes[level][group]
        return smoothed

    def tables(self, values: Floats, level: int) -> Floats:
        """See `Convolution`."""
        if level == 0:
            return values
        order = np.argsort(self.labels[level], kind="stable")
        starts = np.concatenate([[0], np.cumsum(self.sizes[level])[:-1]]).astype(np.int64)
        masses = np.add.reduceat(values[:, order], starts, axis=1)
        return (masses / self.sizes[level])[:, self.labels[level]]

    def sample(self, level: int, actions: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.integer]:
        """See `Convolution`."""
        order = np.argsort(self.labels[level], kind="stable")
        starts = np.concatenate([[0], np.cumsum(self.sizes[level])[:-1]]).astype(np.int64)
        group = self.labels[level][actions]
        return order[starts[group] + (rng.random(len(actions)) * self.sizes[level][group]).astype(np.int64)]

    def keeping_mass(self) -> TreePath:
        """See `Convolution`; a tree keeps mass under either normalisation."""
        return self


def tree(
    points: Floats | None = None,
    hierarchy: NDArray[np.integer] | None = None,
    groups: tuple[int, ...] | None = None,
) -> TreePath:
    """Cuts with A/{1, 2, 4, ...} to 1 groups of a hierarchy of points (A, d), or every level of a given hierarchy.

    `hierarchy` (levels, A) runs from coarse to fine; a level that does not nest in the coarser one is split by it.
    """
    if hierarchy is not None:
        return TreePath(_nested(hierarchy))
    if points is None:
        raise JobError("embedding_required", "A tree of actions needs embeddings or a hierarchy of them.")
    n = len(points)
    if groups is None:
        groups = tuple(n >> shift for shift in range(n.bit_length()))
    wanted = sorted({n, *(max(1, min(n, count)) for count in groups)}, reverse=True)
    if n > WARD_ACTIONS:
        return TreePath(_halved(points, len(wanted)))
    return TreePath(_ward_cuts(points, wanted))


def _nested(hierarchy: NDArray[np.integer]) -> NDArray[np.int32]:
    """Levels from singletons to one group, each level of the hierarchy crossed with the coarser ones."""
    n = hierarchy.shape[1]
    levels = [np.zeros(n, np.int32)]
    for raw in hierarchy:
        pair = np.stack([levels[-1], raw])
        crossed = np.unique(pair, axis=1, return_inverse=True)[1].ravel().astype(np.int32)
        if crossed.max() > levels[-1].max():
            levels.append(crossed)
    if levels[-1].max() + 1 < n:
        levels.append(np.arange(n, dtype=np.int32))
    return np.stack(levels[::-1]) if n > 1 else np.zeros((1, 1), np.int32)


def _ward_cuts(points: Floats, wanted: list[int]) -> NDArray[np.int32]:
    """Labels (T, A) of Ward's clustering cut to given numbers of groups, most groups first."""
    n = len(points)
    if n == 1:
        return np.zeros((1, 1), np.int32)
    merges = linkage(points, "ward")[:, :2].astype(np.int64).tolist()
    parent = np.arange(2 * n - 1)
    levels: list[NDArray[np.int32]] = []
    done = 0
    for count in wanted:
        for step in range(done, n - count):
            parent[merges[step]] = n + step
        done = max(done, n - count)
        root = np.arange(n)
        while np.any(parent[root] != root):
            root = parent[root]
        levels.append(np.unique(root, return_inverse=True)[1].astype(np.int32))
        parent[:n] = root
    return np.stack(levels)


def _halved(points: Floats, depth: int) -> NDArray[np.int32]:
    """Labels (depth, A): every group split into two halves of equal size along the line between two means.

    All groups of a level are split at once: actions are sorted by (group, place on the line) and cut in the middle.
    """
    n = len(points)
    narrow = points.astype(np.float32)
    levels = [np.zeros(n, np.int32)]
    order = np.arange(n)
    starts = np.array([0])
    rng = np.random.default_rng(0)
    while len(levels) < depth and len(starts) < n:
        sizes = np.diff(np.append(starts, n))
        line = rng.standard_normal((len(starts), points.shape[1])).astype(np.float32)
        group = np.repeat(np.arange(len(starts)), sizes)
        middle = starts + (sizes + 1) // 2
        for _ in range(_ROUNDS):
            place = np.einsum("ij,ij->i", narrow[order], line[group])
            least, most = np.minimum.reduceat(place, starts), np.maximum.reduceat(place, starts)
            # One key, the group with the place on its line as a fraction, sorts faster than two.
            along = (place - least[group]) / np.maximum(most - least, 1e-30)[group]
            order = order[np.argsort(group + 0.999 * along.astype(np.float64), kind="stable")]
            line = _between_means(narrow[order], starts, middle, sizes)
        starts = np.unique(np.concatenate([starts, middle[middle < starts + sizes]]))
        labels = np.empty(n, np.int32)
        labels[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, n)))
        levels.append(labels)
    if levels[-1].max() + 1 < n:
        levels.append(np.arange(n, dtype=np.int32))
    return np.stack(levels[::-1])


def _between_means(
    points: NDArray[np.float32], starts: NDArray[np.integer], middle: NDArray[np.integer], sizes: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Direction (groups, d) from the mean of every group's first half to that of its second."""
    halves = np.stack([starts, np.minimum(middle, len(points) - 1)], axis=1).ravel()
    sums = np.add.reduceat(points, halves, axis=0).reshape(len(starts), 2, -1)
    first = (middle - starts)[:, None]
    second = np.maximum(sizes - (middle - starts), 1)[:, None]
    return (sums[:, 1] / second - sums[:, 0] / first).astype(np.float32)
