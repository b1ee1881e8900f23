"""Bootstrap replicates of estimates: rounds (or users) drawn with replacement, every ratio computed again.

obp 0.5.7 resamples w r / mean(w) with the denominator frozen, and so gives [0.78, 1.25] for SNIPS on rewards that are
all 1; here both means of a ratio are drawn, and that interval is [1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.contract.context import Context
from worker.kinds.bandit.estimators.per_round import PerRound
from worker.kinds.bandit.policies import Floats

BATCH = 50  # replicates that share one vector of counts
_FEW = 1000  # units below which every replicate has counts of its own


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

    From 1,000 units on a batch of 50 replicates takes one vector of multinomial counts at 50 random cyclic shifts
    along the units in random order. Shifted multinomial counts are multinomial, so every replicate has exactly the
    bootstrap's distribution; two of a batch correlate by about 1/sqrt(units). That leaves two products with a vector
    a replicate and one draw of counts a batch, instead of a draw and gathers a replicate.
    """
    columns = [_columns(estimate, cluster) for estimate in estimates]
    flat = [column for group in columns for column in group]
    weight = estimates[0].rounds if cluster is None else None
    means = _resampled_means(flat, draws, np.random.default_rng(seed), weight, ctx)
    values = np.empty((len(estimates), draws))
    place = 0
    for k, group in enumerate(columns):
        values[k] = _value(means[place : place + len(group)])
        place += len(group)
    return values


def _columns(estimate: PerRound, cluster: NDArray[np.integer] | None) -> list[Floats]:
    """Columns whose resampled means give the value: size, plain part[, numerator, denominator]."""
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


def _value(means: Floats) -> Floats:
    plain = means[1] / means[0]
    if len(means) == 2:
        return plain
    top, bottom = means[2], means[3]
    # The bottom is zero only where no drawn round has weight: no evidence counts as 0, as in PerRound. The bound is
    # far above the rounding of float32 products and far below any weight that matters.
    small = np.abs(bottom) <= 1e-6 * np.abs(bottom).max(initial=0.0)
    return plain + np.where(small, 0.0, top / np.where(small, 1.0, bottom))


def _resampled_means(
    columns: list[Floats], draws: int, rng: np.random.Generator, weight: Floats | None, ctx: Context | None
) -> Floats:
    """Means (k, draws) of columns (n,) under common resamples.

    Products run in float32 on centred columns and the mean is added back in float64; a constant column needs no
    product. Columns with equal values give equal means because each is multiplied alone.
    """
    n = len(columns[0])
    size = n if weight is None else round(float(weight.sum()))
    order = rng.permutation(n) if weight is None else np.arange(n)
    centres = np.array([column.mean() for column in columns])
    varying = {
        k: (column - centre).astype(np.float32)[order]
        for k, (column, centre) in enumerate(zip(columns, centres, strict=True))
        if column.min() != column.max()
    }
    sums = np.zeros((len(columns), draws))
    for start in range(0, draws, BATCH):
        batch = range(start, min(start + BATCH, draws))
        if weight is None and n > _FEW:
            counts = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float32)
            twice = np.concatenate([counts, counts])
            for b, shift in zip(batch, rng.integers(0, n, len(batch)).tolist(), strict=True):
                shifted = twice[shift : shift + n]
                for k, column in varying.items():
                    sums[k, b] = shifted.dot(column)
        else:
            counts = _counts(n, size, len(batch), rng, weight)
            for k, column in varying.items():
                sums[k, batch.start : batch.stop] = counts @ column
        if ctx is not None:
            ctx.progress(start, draws, phase="bootstrap")
    return sums / size + centres[:, None]


def _counts(n: int, size: int, replicates: int, rng: np.random.Generator, weight: Floats | None) -> NDArray[np.float32]:
    if weight is not None:
        return rng.multinomial(size, weight / weight.sum(), replicates).astype(np.float32)
    drawn = rng.integers(0, n, (replicates, n)) + n * np.arange(replicates)[:, None]
    return np.bincount(drawn.ravel(), minlength=replicates * n).reshape(replicates, n).astype(np.float32)
