"""RACE: kernel density of millions of vectors from an array of counters (Coleman and Shrivastava, WWW 2020).

Counters S (R, B): every vector adds one to S[r, h_r(x)] for each of R hash functions whose collision probability is the
kernel (`worker.numerics.lsh`). The mean over r of the counters that a vector falls into estimates the sum of its
kernels with all vectors, itself included, with an error that falls as 1 / sqrt(R). Sketches of parts of the data add up
to the sketch of the whole, bit for bit.

Different vectors whose bucket numbers agree only by the remainder modulo B add N / B on average; `densities` takes
that out: (s - N / B) / (1 - 1 / B), and never less than 1, which is what a vector adds to itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from worker.numerics.compiled import WARM_UPS, compiled
from worker.numerics.lsh import Hashes

_BATCH = 2048  # vectors at a time
_MOST = np.iinfo(np.int32).max


@dataclass
class Sketch:
    """Counters int32 (R, B), int64 from 2^31 vectors on, of the `count` vectors that were added."""

    hashes: Hashes
    counts: np.ndarray = field(default_factory=lambda: np.empty(0))
    count: int = 0

    def __post_init__(self) -> None:
        if not self.counts.size:
            self.counts = np.zeros((self.hashes.rows, self.hashes.buckets), np.int32)

    def add(self, x: np.ndarray, alive: Callable[[], object] = lambda: None) -> None:
        """Count finite vectors float32 (n, d); `alive` is called every 2,048 of them and may raise to leave."""
        self.count += len(x)
        self.counts = self.counts.astype(_kind(self.count), copy=False)
        for start in range(0, len(x), _BATCH):
            alive()
            batch = np.ascontiguousarray(x[start : start + _BATCH], np.float32)
            for rows, buckets in self.hashes.of(batch):
                _count(self.counts[rows], buckets)

    def merged(self, other: Sketch) -> Sketch:
        """The sketch of both; of equal hash functions only."""
        if self.hashes != other.hashes:
            raise ValueError("sketches of different hash functions have nothing in common")
        count = self.count + other.count
        return Sketch(self.hashes, np.add(self.counts, other.counts, dtype=_kind(count)), count)

    def densities(self, x: np.ndarray, alive: Callable[[], object] = lambda: None) -> np.ndarray:
        """Estimated sums of kernels of vectors (n, d) with all that were added, float64 (n,), at least 1."""
        totals = np.zeros(len(x), np.int64)
        for start in range(0, len(x), _BATCH):
            alive()
            batch = np.ascontiguousarray(x[start : start + _BATCH], np.float32)
            for rows, buckets in self.hashes.of(batch):
                _look_up(self.counts[rows], buckets, totals[start : start + _BATCH])
        mean, buckets = totals / self.hashes.rows, self.hashes.buckets
        return np.maximum((mean * buckets - self.count) / (buckets - 1), 1.0)


def _kind(count: int) -> type[np.int32] | type[np.int64]:
    return np.int32 if count <= _MOST else np.int64


@compiled
def _count(counts: np.ndarray, buckets: np.ndarray) -> None:
    for row in range(buckets.shape[0]):
        for i in range(buckets.shape[1]):
            counts[row, buckets[row, i]] += 1


@compiled
def _look_up(counts: np.ndarray, buckets: np.ndarray, totals: np.ndarray) -> None:
    for row in range(buckets.shape[0]):
        for i in range(buckets.shape[1]):
            totals[i] += counts[row, buckets[row, i]]


def _warm_up() -> None:
    x = np.ones((1, 2), np.float32)
    sketch = Sketch(Hashes("l2", 2, 1.0, 1, 1, 2, 0))
    sketch.add(x)
    sketch.densities(x)


WARM_UPS.append(_warm_up)
