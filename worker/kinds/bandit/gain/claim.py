"""From one number a round to a claim: an interval of its mean and how probable such a mean is without any gain.

Means of weighted rewards are skewed, heavy in the tail, and often carried by a few rounds or users, so a z test claims
too much. Four corrections, each of which vanishes on healthy logs: the variance takes one more round of the size that
the policies allow, since the largest weights may not have been drawn; Hall's transformation for skewness, used only
where it is the more careful side; degrees of freedom from the fourth moment and from unequal users; and units instead
of rounds where rounds of a user go together (Hall 1992; Satterthwaite's rule for the degrees of freedom).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from worker.kinds.bandit.policies import Floats

FEWEST_UNITS = 5


@dataclass(frozen=True)
class Mean:
    """A mean with what its distribution needs: `skew` is skewness / sqrt(units), `df` degrees of freedom."""

    value: float
    se: float
    skew: float
    df: float

    def above(self) -> float:
        """p value of a mean of zero or less."""
        return float(stats.t.sf(min(self._t, self._hall), self.df)) if self.se > 0 else float(self.value <= 0)

    def below(self) -> float:
        """p value of a mean of zero or more."""
        return float(stats.t.cdf(max(self._t, self._hall), self.df)) if self.se > 0 else float(self.value >= 0)

    def low(self, alpha: float) -> float:
        """Lower end at one-sided level 1 - alpha: the tests above turned round."""
        q = float(stats.t.ppf(1 - alpha, self.df))
        return self.value - max(q, self._inverse(q)) * self.se

    def high(self, alpha: float) -> float:
        """Upper end at one-sided level 1 - alpha."""
        q = float(stats.t.ppf(1 - alpha, self.df))
        return self.value - min(-q, self._inverse(-q)) * self.se

    def moved(self, by: float) -> Mean:
        """The mean with `by` added to every value."""
        return replace(self, value=self.value + by)

    @property
    def _t(self) -> float:
        return self.value / self.se

    @property
    def _hall(self) -> float:
        t, k = self._t, self.skew
        return t + k * t**2 / 3 + k**2 * t**3 / 27 + k / 6

    def _inverse(self, hall: float) -> float:
        """The t whose transform is `hall`."""
        if abs(self.skew) < 1e-8:
            return hall
        return 3 / self.skew * (float(np.cbrt(1 + self.skew * (hall - self.skew / 6))) - 1)


def mean_of(
    values: Floats, undrawn: float, weight: Floats | None = None, unit: NDArray[np.integer] | None = None
) -> Mean:
    """The mean of values (n,) over rounds of `weight` (n,), summed by `unit` (n,) from 0 (users; None: each round).

    `undrawn`: square of one more round, in the squared unit of the values. Raises nothing; with fewer than 5 units the
    standard error is infinite.
    """
    each = np.ones(len(values)) if weight is None else weight
    total = float(each.sum())
    value = float(each @ values) / total
    sums, sizes = each * (values - value), each
    if unit is not None:
        sums, sizes = np.bincount(unit, sums), np.bincount(unit, each)
        present = sizes > 0
        sums, sizes = sums[present], sizes[present]
    units = len(sums)
    if units < FEWEST_UNITS:
        return Mean(value, np.inf, 0.0, 1.0)
    squares = sums * sums
    second = float(squares.sum())
    spread = second + undrawn * (total / len(values)) ** 2
    se = float(np.sqrt(units / (units - 1) * spread)) / total
    if second <= 0:
        return Mean(value, se, 0.0, max(1.0, units - 1.0))
    skew = float((squares * sums).sum()) / units / (second / units) ** 1.5 / units**0.5
    df = min(total**2 / float(sizes @ sizes) - 1, second**2 / float(squares @ squares))
    return Mean(value, se, skew, max(df, 1.0))
