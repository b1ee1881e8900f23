"""The loops of relaxed sampling on a CPU, compiled: a row's draws stay in the level-1 cache, and rows go to threads.

The noise of a number is one of 65,536 quantiles of the Gumbel distribution, chosen by 16 random bits. The bits of a row
at a draw are a splitmix64 stream of its own, started by (key, draw, row): how rows are shared out changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from worker.numerics.compiled import WARM_UPS, by_rows, compiled

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def noise(quantiles: np.ndarray, key: int, draw: int, out: np.ndarray) -> None:
    """Fill `out` (n, I) with the quantiles (65,536,) that draw `draw` chooses."""
    _by_rows(len(out), lambda first, last: _fill(quantiles, np.uint64(key), draw, out, first, last))


def samples_mean(powers: np.ndarray, own: np.ndarray, key: int, draws: int, out: np.ndarray) -> None:
    """Fill `out` (n, I) with the mean over draws of s_k = own * powers[bits] / its row sum.

    `own` (n, I): exp(P / tau); `powers` (65,536,): exp(g / tau) of the quantiles. All of one dtype.
    """
    _by_rows(len(out), lambda first, last: _mean(powers, own, np.uint64(key), draws, out, first, last))


def samples_projected(
    powers: np.ndarray, own: np.ndarray, key: int, draws: int, gradient: np.ndarray, out: np.ndarray
) -> None:
    """Fill `out` (n, I) with the mean over draws of s_k <s_k, G>, the same samples as those of `samples_mean`."""
    _by_rows(len(out), lambda first, last: _project(powers, own, np.uint64(key), draws, gradient, out, first, last))


def _by_rows(rows: int, work: Callable[[int, int], None]) -> None:
    threads = torch.get_num_threads()
    by_rows(rows, max(1, -(-rows // threads)), threads, work)


@compiled
def _scrambled(state: np.uint64) -> np.uint64:
    """splitmix64's output function (Steele, Lea and Flood 2014)."""
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))


@compiled
def _stream(key: np.uint64, draw: int, row: int) -> np.uint64:
    """Where the stream of a row at a draw starts."""
    return _scrambled(_scrambled(key + np.uint64(draw) * _GAMMA) ^ np.uint64(row))


@compiled
def _look_up(table: np.ndarray, state: np.uint64, out: np.ndarray) -> None:
    """Fill `out` (I,) with entries of the table (65,536,) that the stream chooses, four a word."""
    low = np.uint64(0xFFFF)
    whole = len(out) // 4 * 4
    for j in range(0, whole, 4):
        state += _GAMMA
        bits = _scrambled(state)
        out[j] = table[bits & low]
        out[j + 1] = table[(bits >> np.uint64(16)) & low]
        out[j + 2] = table[(bits >> np.uint64(32)) & low]
        out[j + 3] = table[bits >> np.uint64(48)]
    bits = _scrambled(state + _GAMMA)
    for j in range(whole, len(out)):
        out[j] = table[bits & low]
        bits >>= np.uint64(16)


@compiled
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    """Their inner product, in four sums that need not wait for each other."""
    s0 = s1 = s2 = s3 = a.dtype.type(0)
    whole = len(a) // 4 * 4
    for j in range(0, whole, 4):
        s0 += a[j] * b[j]
        s1 += a[j + 1] * b[j + 1]
        s2 += a[j + 2] * b[j + 2]
        s3 += a[j + 3] * b[j + 3]
    for j in range(whole, len(a)):
        s0 += a[j] * b[j]
    return (s0 + s1) + (s2 + s3)


@compiled
def _fill(table: np.ndarray, key: np.uint64, draw: int, out: np.ndarray, first: int, last: int) -> None:
    for row in range(first, last):
        _look_up(table, _stream(key, draw, row), out[row])


@compiled
def _mean(
    powers: np.ndarray, own: np.ndarray, key: np.uint64, draws: int, out: np.ndarray, first: int, last: int
) -> None:
    sample = np.empty(own.shape[1], own.dtype)
    for row in range(first, last):
        out[row] = 0
        for draw in range(draws):
            _look_up(powers, _stream(key, draw, row), sample)
            share = 1 / (_dot(sample, own[row]) * draws)
            for j in range(len(sample)):  # own[row] is multiplied in once, at the end
                out[row, j] += sample[j] * share
        out[row] *= own[row]


@compiled
def _project(
    powers: np.ndarray,
    own: np.ndarray,
    key: np.uint64,
    draws: int,
    gradient: np.ndarray,
    out: np.ndarray,
    first: int,
    last: int,
) -> None:
    sample, weighted = np.empty(own.shape[1], own.dtype), np.empty(own.shape[1], own.dtype)
    for row in range(first, last):
        out[row] = 0
        weighted[:] = own[row] * gradient[row]
        for draw in range(draws):
            _look_up(powers, _stream(key, draw, row), sample)
            total = _dot(sample, own[row])
            share = _dot(sample, weighted) / (total * total * draws)
            for j in range(len(sample)):
                out[row, j] += sample[j] * share
        out[row] *= own[row]


def warm_up() -> None:
    """Have the loops compiled."""
    for dtype in (np.float32, np.float64):
        table, rows = np.ones(1 << 16, dtype), np.ones((1, 1), dtype)
        noise(table, 0, 0, rows)
        samples_mean(table, rows, 0, 1, rows.copy())
        samples_projected(table, rows, 0, 1, rows, rows.copy())


WARM_UPS.append(warm_up)
