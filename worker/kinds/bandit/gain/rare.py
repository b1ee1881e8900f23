"""The gain where one of two rewards is rare: counts of weighted events instead of a mean that is nearly normal.

With few events the spread of a sample says little of its mean, and a t interval is too wide on one side and too narrow
on the other. Each of the two sums of weighted events, of rounds that the target prefers and of rounds that it avoids,
has a gamma interval (Fay and Feuer 1997) with one more event of the size that the policies make typical; the interval
of their difference follows from both (method of variance estimates recovery). Events of a user go together: squares are
then of users' sums, and one more event is larger by as much as these exceed the events' own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.gain.series import Range, Series
from worker.kinds.bandit.policies import Floats

MOST_EVENTS, LARGEST_SHARE = 400, 0.05


@dataclass(frozen=True)
class Events:
    """A mean over rounds of weighted events, `second` the sum of squares over n^2, `typical` one more event over n."""

    value: float
    second: float
    typical: float

    @classmethod
    def of(cls, size: Floats, typical: float, n: int, unit: NDArray[np.integer] | None) -> Events:
        """From the weights (k,) of events among n rounds, the policies' typical weight, and the events' users (k,)."""
        squares = float(size @ size)
        together = squares if unit is None else float((np.bincount(unit, size) ** 2).sum())
        more = together / squares if squares > 0 else 1.0
        return cls(float(size.sum()) / n, together / n**2, typical * more / n)

    def low(self, alpha: float) -> float:
        """Lower end at one-sided level 1 - alpha."""
        return _gamma(self.value, self.second, alpha) if self.value > 0 else 0.0

    def high(self, alpha: float) -> float:
        """Upper end at one-sided level 1 - alpha."""
        return _gamma(self.value + self.typical, self.second + self.typical**2, 1 - alpha)


@dataclass(frozen=True)
class RareMean:
    """`sign` * `span` * (preferred - avoided) + `shift`, with ends and p values like `claim.Mean`."""

    preferred: Events
    avoided: Events
    span: float
    sign: int
    shift: float

    @property
    def value(self) -> float:
        """The mean."""
        return self.sign * self.span * (self.preferred.value - self.avoided.value) + self.shift

    @property
    def se(self) -> float:
        """Its standard error, at least that of one event."""
        least = max(self.preferred.typical, self.avoided.typical) ** 2
        return self.span * max(self.preferred.second + self.avoided.second, least) ** 0.5

    def low(self, alpha: float) -> float:
        """Lower end at one-sided level 1 - alpha."""
        return self._end(alpha, upper=False)

    def high(self, alpha: float) -> float:
        """Upper end at one-sided level 1 - alpha."""
        return self._end(alpha, upper=True)

    def above(self) -> float:
        """p value of a mean of zero or less: the level at which the lower end is zero."""
        return _level(lambda alpha: self.low(alpha) > 0)

    def below(self) -> float:
        """p value of a mean of zero or more."""
        return _level(lambda alpha: self.high(alpha) < 0)

    def moved(self, by: float) -> RareMean:
        """The mean with `by` added to every value."""
        return replace(self, shift=self.shift + by)

    def _end(self, alpha: float, *, upper: bool) -> float:
        first, second = (self.preferred, self.avoided) if upper == (self.sign > 0) else (self.avoided, self.preferred)
        reach = float(np.hypot(first.high(alpha) - first.value, second.value - second.low(alpha)))
        return self.value + (1 if upper else -1) * self.span * reach


def rare_ends(
    log: BanditLog, series: Series, limits: Range, unit: NDArray[np.integer] | None
) -> tuple[RareMean, RareMean] | None:
    """The gain from below and from above; None where rewards are not two, not rare, or the policies not known.

    Rare is at most 400 events and 5 % of the rounds.
    """
    if series.typical is None or limits is None or log.weight is not None:
        return None
    at_ends = [np.flatnonzero(log.reward == end) for end in limits]
    if len(at_ends[0]) + len(at_ends[1]) < log.n:
        return None
    few = int(np.argmin([len(rounds) for rounds in at_ends]))
    events = at_ends[few]
    if len(events) > min(MOST_EVENTS, LARGEST_SHARE * log.n):
        return None
    over = series.weight[events] - 1.0
    user = None if unit is None else unit[events]
    parts = [
        Events.of(size, typical, log.n, user)
        for size, typical in zip((np.maximum(over, 0.0), np.maximum(-over, 0.0)), series.typical, strict=True)
    ]
    span = limits[1] - limits[0]
    missing = 0.0 if series.lost is None else span * float(series.lost.mean())
    if few == 1:
        return RareMean(*parts, span, 1, 0.0), RareMean(*parts, span, 1, missing)
    return RareMean(*parts, span, -1, -missing), RareMean(*parts, span, -1, 0.0)


def _gamma(mean: float, second: float, level: float) -> float:
    if mean <= 0 or second <= 0:
        return 0.0
    return second / (2 * mean) * float(stats.chi2.ppf(level, 2 * mean**2 / second))


def _level(claims: Callable[[float], bool]) -> float:
    """The least one-sided level at which a claim is made, on a log scale from 1e-12 to 1."""
    if claims(1e-12):
        return 1e-12
    low, high = -12.0, 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if claims(10.0**middle) else (middle, high)
    return 10.0**high
