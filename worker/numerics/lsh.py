"""Locality-sensitive hashes whose probability of a collision is a known kernel (Datar et al., SCG 2004).

A hash of a vector x is `h(x) = floor((a . x + b) / w)` with b uniform on [0, w) and a from a p-stable distribution:
normal for the Euclidean distance, Cauchy for the sum of absolute differences; or the sign of `a . x` for the angle. Two
vectors at distance c get the same number with probability k(c), which falls from 1 (`collision_probability`). `hashes`
of them joined make a bucket that two vectors share with probability k(c)^hashes.

Three things that published code gets wrong are part of the definition here: the L1 hash is divided by its width, too;
joined hashes go through a 64-bit mix, not a sum; and the remainder modulo the number of buckets is never negative.

The same vector falls into the same bucket in every batch, on every machine: the products are one float32 matrix
product, whose last bits depend on its shape and on the library, so wherever its error bound reaches a border of a
bucket the sum is done again in float64 from left to right, and that one decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.special import ndtr

from worker.numerics.compiled import compiled
from worker.numerics.seeds import mix

KernelName = Literal["l2", "l1", "angular"]
_HALF_ULP = 2.0**-24  # of float32
_BLOCK = 32  # hash functions at a time: their products and counters stay in the cache
_FARTHEST = 2.0**62  # what an int64 holds
_GROWN = 1.01  # of the error bound d u / (1 - d u), while d is below 100,000


def collision_probability(kernel: KernelName, distance: np.ndarray | float, width: float) -> np.ndarray:
    """Probability that two vectors at a distance >= 0 (for `angular`: an angle in radians) share one hash; float64.

    L2: `1 - 2 Phi(-w/c) - 2c / (sqrt(2 pi) w) (1 - exp(-w^2 / 2c^2))`; L1: `2 atan(w/c) / pi - ln(1 + (w/c)^2) / (pi
    w/c)`; both section 3.2 of Datar et al. Angular: `1 - angle / pi` (Charikar, STOC 2002), whatever the width.
    """
    c = np.asarray(distance, np.float64)
    if kernel == "angular":
        return 1 - c / np.pi
    with np.errstate(divide="ignore"):
        ratio = width / c
    near = ratio > 1e9  # the limit, which the formula itself cannot take
    t = np.where(near, 1.0, ratio)
    if kernel == "l2":
        value = 1 - 2 * ndtr(-t) - 2 / (math.sqrt(2 * math.pi) * t) * -np.expm1(-t * t / 2)
    else:
        value = 2 * np.arctan(t) / np.pi - np.log1p(t * t) / (np.pi * t)
    return np.where(near, 1.0, value)


@dataclass(frozen=True)
class Hashes:
    """`rows` independent hash functions of vectors (d,), each of `hashes` joined ones, into `buckets` buckets.

    `width`: in units of the distance; not used by `angular`. Everything follows from `seed`: a, b float32 from PCG64.
    """

    kernel: KernelName
    dimension: int
    width: float
    hashes: int
    rows: int
    buckets: int
    seed: int

    @cached_property
    def _projections(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """a / w float32 (rows hashes, d); b / w and the error of a product per length of x, float64 (rows hashes,)."""
        random = np.random.Generator(np.random.PCG64(mix(self.seed, self.dimension)))
        shape = self.rows * self.hashes, self.dimension
        if self.kernel == "l1":
            a = np.tan(np.pi * (random.random(shape, dtype=np.float32) - np.float32(0.5)))
        else:
            a = random.standard_normal(shape, dtype=np.float32)
        scaled = a if self.kernel == "angular" else a / np.float32(self.width)
        offsets = np.zeros(shape[0]) if self.kernel == "angular" else random.random(shape[0])
        error = (self.dimension + 2) * _HALF_ULP * _GROWN
        return scaled, offsets, error * np.linalg.norm(scaled.astype(np.float64), axis=1)

    def of(self, x: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Buckets of finite vectors float32 (n, d): 32 hash functions at a time, which ones, and int32 (32, n)."""
        scaled, offsets, slack = self._projections
        lengths = np.sqrt(np.square(x, dtype=np.float64).sum(axis=1))
        for first in range(0, self.rows, _BLOCK):
            rows = slice(first, min(first + _BLOCK, self.rows))
            part = slice(rows.start * self.hashes, rows.stop * self.hashes)
            a = scaled[part]
            salts = np.array([mix(self.seed, row) for row in range(rows.start, rows.stop)], np.uint64)
            out = np.empty((len(salts), len(x)), np.int32)
            with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold is done again in float64
                products = a @ x.T
            _join(
                products, a, x, offsets[part], slack[part], lengths, salts, self.hashes, self.buckets,
                self.kernel == "angular", out,
            )  # fmt: skip
            yield rows, out


@compiled
def _join(
    products: np.ndarray, a: np.ndarray, x: np.ndarray, offsets: np.ndarray, slack: np.ndarray, lengths: np.ndarray,
    salts: np.ndarray, hashes: int, buckets: int, signs: bool, out: np.ndarray,
) -> None:  # fmt: skip
    rows, count = out.shape
    width = a.shape[1]
    state = np.empty(count, np.uint64)
    for row in range(rows):
        state[:] = salts[row]
        for j in range(row * hashes, (row + 1) * hashes):
            for i in range(count):
                value = np.float64(products[j, i]) + offsets[j]
                number = np.floor(value)
                beyond = value - number
                reach = slack[j] * lengths[i]
                if signs:
                    number = np.float64(value >= 0)
                    beyond = abs(value)
                if not (beyond > reach and (signs or beyond < 1 - reach)):
                    value = 0.0
                    for c in range(width):
                        value += np.float64(a[j, c]) * np.float64(x[i, c])
                    value = min(max(value + offsets[j], -_FARTHEST), _FARTHEST)
                    number = np.float64(value >= 0) if signs else np.floor(value)
                mixed = (state[i] ^ np.uint64(np.int64(number))) * np.uint64(0xBF58476D1CE4E5B9)
                state[i] = mixed ^ (mixed >> np.uint64(29))
        for i in range(count):
            mixed = state[i] * np.uint64(0x94D049BB133111EB)
            out[row, i] = np.int32(np.uint32(mixed >> np.uint64(32)) % np.uint32(buckets))
