"""Bootstrap replicates of estimates: rounds (or users) drawn with replacement, every ratio computed again.

obp 0.5.7 resamples w r / mean(w) with the denominator frozen, and so gives [0.78, 1.25] for SNIPS on rewards that are
all 1; here both means of a ratio are drawn, and that interval is [1, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from worker.kinds.bandit.estimators.per_round import PerRound
from worker.kinds.bandit.policies import Floats
from worker.runtime.context import Context

BATCH = 50
_CELLS = 8 * 2**20  # counts held at once
_CODES = 2**16
_FEW = 1000


def replicates(
    estimates: Sequence[PerRound],
    draws: int = 1000,
    seed: int = 0,
    cluster: NDArray[np.integer] | None = None,
    ctx: Context | None = None,
) -> Floats:
    """Values (len(estimates), draws) of estimates on the same rounds under the same resamples.

    `cluster` (n,): resample whole users instead of rounds. A row of weight c is c rounds: as many rounds as the
    weights sum to are drawn, each row with probability c over that sum (with clusters: the weights go along).
    O(n * draws), about 2 ns each: counts come as float32 in batches of 50, so memory is bounded at any n.
    """
    columns = [_columns(estimate, cluster) for estimate in estimates]
    flat = [column for group in columns for column in group]
    # Products run in float32 on centred columns: the mean is added back in float64. Two columns with equal values
    # give equal sums because each is multiplied alone.
    centres = [float(column.mean()) for column in flat]
    narrow = [(column - centre).astype(np.float32) for column, centre in zip(flat, centres, strict=True)]
    first = estimates[0]
    weight = first.rounds if cluster is None else None
    n = len(flat[0])
    sums = np.empty((len(flat), draws))
    done = 0
    for counts in _counts(n, draws, np.random.default_rng(seed), weight):
        size = n if weight is None else round(float(weight.sum()))
        for k, (column, centre) in enumerate(zip(narrow, centres, strict=True)):
            sums[k, done : done + len(counts)] = (counts @ column).astype(np.float64) / size + centre
        done += len(counts)
        if ctx is not None:
            ctx.progress(done, draws, phase="bootstrap")
    values = np.empty((len(estimates), draws))
    place = 0
    for k, group in enumerate(columns):
        values[k] = _value(sums[place : place + len(group)])
        place += len(group)
    return values


def _columns(estimate: PerRound, cluster: NDArray[np.integer] | None) -> list[Floats]:
    """Columns whose resampled sums give the value: size, plain part[, numerator, denominator]."""
    ones = np.ones(estimate.n)
    if estimate.denominator is None:
        columns = [ones, estimate.offset + estimate.numerator]
    else:
        columns = [ones, estimate.offset, estimate.numerator, estimate.denominator]
    if cluster is None:
        return columns
    _, group = np.unique(cluster, return_inverse=True)
    rounds = ones if estimate.rounds is None else estimate.rounds
    return [np.bincount(group, rounds * column).astype(np.float64) for column in columns]


def _value(sums: Floats) -> Floats:
    plain = sums[1] / sums[0]
    if len(sums) == 2:
        return plain
    top, bottom = sums[2], sums[3]
    # The bottom passes zero only where no drawn round has weight: no evidence counts as 0, as in PerRound. Rounding of
    # the float32 product is far below any weight that matters.
    small = np.abs(bottom) <= 1e-6 * np.abs(bottom).max(initial=0.0)
    return plain + np.where(small, 0.0, top / np.where(small, 1.0, bottom))


def _counts(n: int, draws: int, rng: np.random.Generator, weight: Floats | None) -> Iterator[NDArray[np.float32]]:
    batch = max(1, min(BATCH, _CELLS // n))
    for start in range(0, draws, batch):
        size = min(batch, draws - start)
        if weight is not None:
            share = weight / weight.sum()
            yield rng.multinomial(round(float(weight.sum())), share, size).astype(np.float32)
        elif n <= _FEW:
            drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
            yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float32)
        else:
            yield _multinomial(n, size, rng)


def _multinomial(n: int, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Multinomial counts (size, n), n draws over n cells, by independent Poisson cells topped up to n.

    Given their total, Poisson counts are multinomial, and so they stay when the missing draws are added one by one.
    A mean a little below one leaves the total below n but for one replicate in 30,000, which is drawn anew. Cells
    come from a table of 2^16 equally likely codes: four to a random word.
    """
    mean = 1.0 - 4.0 / np.sqrt(n)
    levels = np.arange(16)
    table = np.searchsorted(poisson.cdf(levels, mean), (np.arange(_CODES) + 0.5) / _CODES).astype(np.float32)
    words = rng.integers(0, 2**64 - 1, -(-size * n // 4), dtype=np.uint64, endpoint=True)
    codes = words.view(np.uint16)[: size * n].reshape(size, n)
    counts = np.take(table, codes, mode="clip")
    missing = n - counts.sum(axis=1, dtype=np.float64).astype(np.int64)
    for row in np.flatnonzero(missing < 0):
        counts[row] = np.bincount(rng.integers(0, n, n), minlength=n)
    owner = np.repeat(np.arange(size), np.maximum(missing, 0))
    flat = counts.ravel()
    np.add.at(flat, owner * n + rng.integers(0, n, len(owner)), np.float32(1.0))
    return counts
