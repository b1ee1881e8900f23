"""Four fast learners that judge a set of rows within milliseconds: the objective of the search for rows.

A set of s rows, as columns x (s, D) with targets, is learned from by a linear model, by k nearest neighbours, by 40
rounds of boosted trees with four leaves, and by a forest of 16 trees. Trees choose among thresholds that are fixed
before the search: which rows lie above each is one table of zeros and ones, so that the sums behind every split of
every node are one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

THRESHOLDS = 15  # of one number
ROUNDS, RATE, LEAVES = 40, 0.1, 4
TREES, DEPTH = 16, 7
L2, LEAST = 1.0, 5.0  # boosting: penalty of a leaf, rows of a leaf
RIDGE = 1 / 0.3
_IRLS, _TINY = 4, 1e-9


@dataclass(frozen=True)
class Cuts:
    """Thresholds t (T,) on columns (T,) of encoded rows."""

    column: np.ndarray
    at: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Cuts:
        """Quantiles of every column of some rows (n, D), each once, none that separates nothing; one beyond all
        where no column varies."""
        columns: list[int] = []
        cuts: list[float] = []
        for place in range(x.shape[1]):
            values = np.unique(x[:, place])
            if len(values) > THRESHOLDS + 1:
                values = np.unique(np.quantile(x[:, place], np.linspace(0, 1, THRESHOLDS + 2), method="nearest"))
            for low, high in pairwise(values):
                columns.append(place)
                cuts.append((float(low) + float(high)) / 2)
        if not columns:
            return cls(np.zeros(1, np.int64), np.full(1, np.inf, np.float32))
        return cls(np.array(columns, np.int64), np.array(cuts, np.float32))

    def table(self, x: np.ndarray) -> np.ndarray:
        """Which rows lie above each threshold: float32 (n, T) of zeros and ones."""
        return np.asfortranarray(x[:, self.column] > self.at, np.float32)


def linear(x: np.ndarray, y: np.ndarray, at: np.ndarray, *, logistic: bool) -> np.ndarray:
    """Scores (q, C) of ridge regression on y (s, C); `logistic`: of penalised logistic regression, each column of zeros
    and ones against the rest, by reweighted least squares."""
    ones = np.ones((len(x), 1), np.float32)
    design, asked = np.hstack([x, ones]), np.hstack([at, np.ones((len(at), 1), np.float32)])
    penalty = np.full(design.shape[1], RIDGE, np.float32)
    penalty[-1] = 1e-3
    half = design / np.sqrt(penalty)  # the system in the rows, which are fewer than the columns
    gram = half @ half.T
    out = np.empty((len(at), y.shape[1]))
    back = asked / np.sqrt(penalty)
    cross = back @ half.T
    for column in range(y.shape[1]):
        if not logistic:
            dual = np.linalg.solve(gram + np.eye(len(x), dtype=np.float32), y[:, column])
        else:
            dual, score = np.zeros(len(x), np.float32), np.zeros(len(x), np.float32)
            for _ in range(_IRLS):
                p = 1 / (1 + np.exp(-score))
                w = np.maximum(p * (1 - p), 1e-3)
                dual = np.linalg.solve(gram + np.diag(1 / w), score + (y[:, column] - p) / w)
                score = gram @ dual
        out[:, column] = cross @ dual
    return out


def neighbours(distance: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Means (q, C) of the targets y (s, C) of the nearest rows, given squared distances (q, s); k is the root of s."""
    k = min(distance.shape[1], int(np.clip(round(np.sqrt(distance.shape[1])), 3, 31)))
    near = np.argpartition(distance, k - 1, axis=1)[:, :k]
    return y[near].mean(axis=1)


def boosted(cuts: np.ndarray, y: np.ndarray, at: np.ndarray, *, logistic: bool) -> np.ndarray:
    """Scores (q, C) of gradient boosting: rows as tables of cuts (s, T), those asked about (q, T)."""
    out = np.zeros((len(at), y.shape[1]))
    for column in range(y.shape[1]):
        target = y[:, column]
        score = np.zeros(len(cuts), np.float32)
        for _ in range(ROUNDS):
            if logistic:
                p = 1 / (1 + np.exp(-score))
                moments = np.stack([target - p, np.maximum(p * (1 - p), 1e-6), np.ones_like(p)])
            else:
                moments = np.stack([target - score, np.ones_like(score), np.ones_like(score)])
            leaf, values, splits = _small_tree(cuts, moments)
            if not splits:
                break
            score += values[leaf]
            place = np.zeros(len(at), np.int8)
            for number, (node, cut) in enumerate(splits, 1):
                place[(place == node) & (at[:, cut] > 0)] = number
            out[:, column] += values[place]
    return out


def _small_tree(cuts: np.ndarray, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """The leaf (s,) of every row, values (leaves,), and splits: (leaf, cut), the rows above which become a new leaf.

    `moments` (3, s): gradient, curvature and one of every row. Sums over cuts are taken of the new leaf alone: those of
    the old one are what is left.
    """
    leaf = np.zeros(len(cuts), np.int8)
    splits: list[tuple[int, int]] = []
    totals, sums = [moments.sum(axis=1)], [moments @ cuts]
    gains = [_best_cut(sums[0], totals[0])]
    while len(gains) < LEAVES:
        node = max(range(len(gains)), key=lambda place: gains[place][0])
        gain, cut = gains[node]
        if gain <= _TINY:
            break
        moved = (leaf == node) & (cuts[:, cut] > 0)
        leaf[moved] = len(gains)
        splits.append((node, cut))
        new = moments[:, moved]
        totals.append(new.sum(axis=1))
        sums.append(new @ cuts[moved])
        totals[node], sums[node] = totals[node] - totals[-1], sums[node] - sums[-1]
        gains[node] = _best_cut(sums[node], totals[node])
        gains.append(_best_cut(sums[-1], totals[-1]))
    values = np.array([RATE * total[0] / (total[1] + L2) for total in totals], np.float32)
    return leaf, values, splits


def _best_cut(right: np.ndarray, whole: np.ndarray) -> tuple[float, int]:
    """The gain of the best cut of a leaf with these sums (3, T) above each cut, and which it is."""
    left = whole[:, None] - right
    gain = right[0] ** 2 / (right[1] + L2) + left[0] ** 2 / (left[1] + L2)
    gain[(right[2] < LEAST - 0.5) | (left[2] < LEAST - 0.5)] = 0.0
    best = int(np.argmax(gain))
    return float(gain[best] - whole[0] ** 2 / (whole[1] + L2)), best


def forest(cuts: np.ndarray, y: np.ndarray, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means (q, C) over trees on resamples of the rows; every node looks at a root's share of the cuts. All trees grow
    together, level by level."""
    s, t = cuts.shape
    weight = np.stack([np.bincount(rng.integers(0, s, s), minlength=s) for _ in range(TREES)]).astype(np.float32)
    mine, theirs = np.zeros((TREES, s), np.int64), np.zeros((TREES, len(at)), np.int64)
    looked_at = max(1, round(np.sqrt(t) * 1.5))
    moments = np.hstack([y, np.ones((s, 1), np.float32)]).astype(np.float32)
    for depth in range(DEPTH):
        nodes, flat = _numbered(mine, weight)
        count = len(nodes)
        if not count:
            break
        # (nodes, s): weight of each row in its node
        member = np.zeros((count, s), np.float32)
        tree, row = np.nonzero(flat >= 0)
        member[flat[tree, row], row] = weight[tree, row]
        cut, gain = _forest_cuts(member, moments, cuts, rng.random((count, t), np.float32), looked_at)
        table = np.full((TREES, 2**depth), -1, np.int64)
        for (of, place), chosen, worth in zip(nodes, cut, gain, strict=True):
            table[of, place] = chosen if worth > _TINY else -1
        mine, theirs = _down(mine, table, cuts), _down(theirs, table, at)
    return _leaf_means(mine, theirs, weight, moments)


def _numbered(places: np.ndarray, weight: np.ndarray) -> tuple[list[tuple[int, int]], np.ndarray]:
    """The nodes with at least four rows in them, and each row's number among them (TREES, s), -1 for none."""
    width = int(places.max()) + 1
    flat = places + width * np.arange(TREES)[:, None]
    size = np.bincount(flat.ravel(), weight.ravel(), minlength=TREES * width)
    number = np.full(TREES * width, -1, np.int64)
    large = np.flatnonzero(size >= 4)
    number[large] = np.arange(len(large))
    found = np.where(weight > 0, number[flat], -1)
    return [(int(one) // width, int(one) % width) for one in large], found


def _forest_cuts(
    member: np.ndarray, moments: np.ndarray, cuts: np.ndarray, draw: np.ndarray, looked_at: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best cut of every node (m,) among those it looks at, by how much it lowers the squared error, and by how
    much."""
    right_n = member @ cuts
    n = member.sum(axis=1, keepdims=True)
    gain = np.zeros_like(right_n)
    for column in range(moments.shape[1] - 1):
        weighted = member * moments[:, column]
        right, whole = weighted @ cuts, weighted.sum(axis=1, keepdims=True)
        gain += right**2 / np.maximum(right_n, 1) + (whole - right) ** 2 / np.maximum(n - right_n, 1) - whole**2 / n
    gain[(right_n < 2) | (n - right_n < 2)] = 0.0
    unseen = (
        draw > np.partition(draw, min(looked_at, draw.shape[1] - 1), axis=1)[:, [min(looked_at, draw.shape[1] - 1)]]
    )
    gain[unseen] = 0.0
    best = gain.argmax(axis=1)
    return best, gain[np.arange(len(best)), best]


def _down(places: np.ndarray, table: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """The places (TREES, n) one level below: left where a node was not split."""
    cut = np.take_along_axis(table, np.minimum(places, table.shape[1] - 1), axis=1)
    above = cuts[np.arange(places.shape[1])[None, :], np.maximum(cut, 0)] > 0
    return 2 * places + (above & (cut >= 0))


def _leaf_means(mine: np.ndarray, theirs: np.ndarray, weight: np.ndarray, moments: np.ndarray) -> np.ndarray:
    width = max(int(mine.max()), int(theirs.max())) + 1
    of_row = (mine + width * np.arange(TREES)[:, None]).ravel()
    size = np.bincount(of_row, weight.ravel(), minlength=TREES * width)
    out = np.empty((theirs.shape[1], moments.shape[1] - 1))
    asked = theirs + width * np.arange(TREES)[:, None]
    for column in range(out.shape[1]):
        total = np.bincount(of_row, (weight * moments[:, column]).ravel(), minlength=TREES * width)
        out[:, column] = (total / np.maximum(size, _TINY))[asked].mean(axis=0)
    return out
