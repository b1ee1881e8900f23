"""k-means and fuzzy c-means of the rows of a matrix, in blocks, with restarts.

Distances are |a|² - 2ab + |b|² in blocks of rows, so that no array of points x clusters x features exists. Seeding is
k-means++ (Arthur, Vassilvitskii 2007). Everything is decided by the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

BLOCK = 16_384  # rows
WORK = 2e9  # multiplications of one round from which centres are found on a sample, and moved on all rows twice
SAMPLED, SAMPLE_ROUNDS, FINAL_ROUNDS = 20, 30, 2  # rows a cluster in such a sample; rounds on it and on all
ROUNDS = 100


@dataclass(frozen=True)
class Partition:
    """`assignment`: int64 (n,), the cluster of each row; `centres`: float32 (k, d), means of their rows; `sse`: sum of
    squared distances of rows to their centre."""

    assignment: np.ndarray
    centres: np.ndarray
    sse: float

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each cluster, int64 (k,)."""
        return np.bincount(self.assignment, minlength=len(self.centres))


def kmeans(
    rows: np.ndarray,
    k: int,
    rng: np.random.Generator,
    *,
    start: np.ndarray | None = None,
    rounds: int = ROUNDS,
    tick: Callable[[], None] = lambda: None,
) -> Partition:
    """One run on rows (n, d) float32, k <= n clusters, none of them empty. `start`: centres (s, d) to begin with.

    Of large tables a sample is parted first, of 20 rows a cluster, and its centres are moved twice on all rows.

    Where k = n every row is its own cluster. An emptied cluster takes the row that lies furthest from its centre.
    """
    n = len(rows)
    if k >= n:
        return Partition(np.arange(n), rows.copy(), 0.0)
    if n > SAMPLED * k and n * k * rows.shape[1] > WORK:
        sample = rows[np.sort(rng.choice(n, SAMPLED * k, replace=False))]
        found = kmeans(sample, k, rng, start=start, rounds=min(rounds, SAMPLE_ROUNDS), tick=tick)
        centres, rounds = found.centres, FINAL_ROUNDS
    else:
        centres = seeds(rows, k, rng, start, tick)
    assignment = np.full(n, -1, np.int64)
    nearest = np.zeros(n, np.float32)
    for _ in range(rounds):
        tick()
        found, nearest = assign(rows, centres, tick)
        found = _filled(found, nearest, k)
        if np.array_equal(found, assignment):
            break
        assignment = found
        centres = means(rows, assignment, k)
    return Partition(assignment, centres, float(nearest.sum(dtype=np.float64)))


def spherical(
    rows: np.ndarray,
    k: int,
    rng: np.random.Generator,
    *,
    rounds: int = ROUNDS,
    tick: Callable[[], None] = lambda: None,
) -> Partition:
    """k-means of directions: rows over their norm, centres scaled back to norm 1 in every round. A row of zeros lies
    equally far from every centre. `centres` are the unit ones, `sse` that of the unit rows."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(norms > 0, norms, 1)
    if k >= len(rows):
        return Partition(np.arange(len(rows)), unit, 0.0)
    centres = seeds(unit, k, rng, tick=tick)
    assignment = np.full(len(rows), -1, np.int64)
    nearest = np.zeros(len(rows), np.float32)
    for _ in range(rounds):
        tick()
        found, nearest = assign(unit, centres, tick)
        found = _filled(found, nearest, k)
        if np.array_equal(found, assignment):
            break
        assignment = found
        centres = means(unit, assignment, k)
        length = np.linalg.norm(centres, axis=1, keepdims=True)
        centres /= np.where(length > 0, length, 1)
    return Partition(assignment, centres, float(nearest.sum(dtype=np.float64)))


def best_of(
    rows: np.ndarray,
    k: int,
    rng: np.random.Generator,
    *,
    restarts: int,
    balance: float = 0.0,
    start: np.ndarray | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Partition:
    """Of several runs the `preferred` one."""
    runs = [kmeans(rows, k, rng, start=start, tick=tick) for _ in range(1 if k >= len(rows) else restarts)]
    return preferred(runs, balance)


def preferred(runs: Sequence[Partition], balance: float) -> Partition:
    """The run with the least SSE + balance * imbalance, each over its value in the run of least SSE.

    Imbalance: sum over clusters of (size - n/k)². The published rule adds the two as they are, but with rows scaled to
    sum 1 the first is far below 1 and the second moves in steps of 1, so that it chooses by balance alone.
    """
    least = min(runs, key=lambda run: run.sse)
    if not balance:
        return least
    mean = len(least.assignment) / len(least.centres)

    def imbalance(run: Partition) -> float:
        return float(((run.sizes - mean) ** 2).sum())

    unit = max(imbalance(least), 1e-12)
    return min(runs, key=lambda run: run.sse / max(least.sse, 1e-12) + balance * imbalance(run) / unit)


def seeds(
    rows: np.ndarray,
    k: int,
    rng: np.random.Generator,
    start: np.ndarray | None = None,
    tick: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Centres (k, d) by k-means++, given those of `start` already; of too many given ones the most populated."""
    given = np.empty((0, rows.shape[1]), np.float32) if start is None else start.astype(np.float32)
    if len(given) > k:
        sizes = np.bincount(assign(rows, given, tick)[0], minlength=len(given))
        given = given[np.sort(np.argsort(-sizes, kind="stable")[:k])]
    chosen = [given]
    if len(given):
        distance = assign(rows, given, tick)[1].astype(np.float64)
    else:
        first = rows[rng.integers(len(rows))]
        chosen.append(first[None])
        distance = _from(rows, first)
    for number in range(sum(map(len, chosen)), k):
        if number % 16 == 0:
            tick()
        total = distance.sum()
        at = int(np.searchsorted(np.cumsum(distance), rng.random() * total, side="right")) if total > 0 else 0
        picked = rows[min(at, len(rows) - 1)] if total > 0 else rows[rng.integers(len(rows))]
        chosen.append(picked[None])
        np.minimum(distance, _from(rows, picked), out=distance)
    return np.concatenate(chosen)


def _from(rows: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Squared distances float64 (n,) of rows to one centre."""
    found = np.empty(len(rows), np.float64)
    for begin in range(0, len(rows), BLOCK):
        part = rows[begin : begin + BLOCK] - centre
        found[begin : begin + BLOCK] = np.einsum("ij,ij->i", part, part)
    return found


def assign(
    rows: np.ndarray, centres: np.ndarray, tick: Callable[[], None] = lambda: None
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of every row, int64 (n,), and its squared distance, float32 (n,); equal ones to the first."""
    norms = np.einsum("ij,ij->i", centres, centres)
    found, nearest = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    for begin in range(0, len(rows), BLOCK):
        part = rows[begin : begin + BLOCK]
        score = norms - 2 * (part @ centres.T)
        best = score.argmin(axis=1)
        found[begin : begin + BLOCK] = best
        own = np.einsum("ij,ij->i", part, part)
        nearest[begin : begin + BLOCK] = np.maximum(score[np.arange(len(part)), best] + own, 0)
        tick()
    return found, nearest


def means(rows: np.ndarray, assignment: np.ndarray, k: int) -> np.ndarray:
    """The mean of the rows of each cluster, float32 (k, d)."""
    order = np.argsort(assignment, kind="stable")
    bounds = np.searchsorted(assignment[order], np.arange(k + 1))
    found = np.empty((k, rows.shape[1]), np.float32)
    for cluster in range(k):
        found[cluster] = rows[order[bounds[cluster] : bounds[cluster + 1]]].mean(axis=0, dtype=np.float64)
    return found


def _filled(assignment: np.ndarray, nearest: np.ndarray, k: int) -> np.ndarray:
    """The assignment with every cluster filled: an empty one takes the furthest row of a cluster that has several."""
    sizes = np.bincount(assignment, minlength=k)
    empty = np.flatnonzero(sizes == 0)
    if not len(empty):
        return assignment
    found = assignment.copy()
    order = iter(np.argsort(-nearest, kind="stable").tolist())
    for cluster in empty.tolist():
        row = next(row for row in order if sizes[found[row]] > 1)
        sizes[found[row]] -= 1
        found[row], sizes[cluster] = cluster, 1
    return found


def fuzzy(
    rows: np.ndarray,
    k: int,
    fuzziness: float,
    rng: np.random.Generator,
    *,
    start: np.ndarray | None = None,
    rounds: int = ROUNDS,
    tick: Callable[[], None] = lambda: None,
) -> Partition:
    """Fuzzy c-means (Bezdek 1981) with exponent `fuzziness` > 1, from k-means++ centres and those of `start`; rows
    belong where they belong most. Memberships of a row sum to 1 over the clusters. `centres` are the fuzzy means."""
    if k >= len(rows):
        return Partition(np.arange(len(rows)), rows.copy(), 0.0)
    centres = seeds(rows, k, rng, start, tick)
    for _ in range(rounds):
        tick()
        total, weight = np.zeros_like(centres, dtype=np.float64), np.zeros(k)
        for begin in range(0, len(rows), BLOCK):
            part = rows[begin : begin + BLOCK]
            member = _memberships(part, centres, fuzziness) ** fuzziness
            total += member.T @ part
            weight += member.sum(axis=0)
        moved = (total / np.maximum(weight, 1e-12)[:, None]).astype(np.float32)
        shift = float(np.abs(moved - centres).max())
        centres = moved
        if shift < 1e-6 * max(1e-12, float(np.abs(centres).max())):
            break
    assignment, nearest = assign(rows, centres, tick)
    return Partition(_filled(assignment, nearest, k), centres, float(nearest.sum(dtype=np.float64)))


def _memberships(rows: np.ndarray, centres: np.ndarray, fuzziness: float) -> np.ndarray:
    """float64 (b, k), rows summing to 1."""
    squared = (centres**2).sum(axis=1) - 2 * (rows @ centres.T) + (rows**2).sum(axis=1)[:, None]
    logs = -np.log(np.maximum(squared.astype(np.float64), 1e-12)) / (fuzziness - 1)
    logs -= logs.max(axis=1, keepdims=True)
    member = np.exp(logs)
    return member / member.sum(axis=1, keepdims=True)
