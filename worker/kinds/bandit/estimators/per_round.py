"""What every estimator takes and returns: arrays of one number a round, never the scalar alone.

Intervals, Lepski's rule and paired comparisons all need the rounds, so an estimate is kept as the means it is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """The inputs of an estimator, all (n,) float64.

    `reward`; `weight`: pi_a / p, or the weight of smoothed policies; `q_logged`: the reward model at the logged
    action; `dm`: its mean under the target policy; `rounds`: how many rounds a row stands for (None: one each).
    A missing reward model (`q_logged` and `dm` None) is the model that predicts zero.
    """

    reward: Floats
    weight: Floats
    q_logged: Floats | None = None
    dm: Floats | None = None
    rounds: Floats | None = None


@dataclass(frozen=True)
class PerRound:
    """An estimate `mean(offset) + mean(numerator) [/ mean(denominator)]`, with means over weighted rounds.

    All arrays are (n,) float64. `denominator` None: a plain mean. A ratio whose denominator sums to zero (a target
    that never took a logged action) has no evidence of its own and counts as 0, as in the worked tables of the field.
    """

    offset: Floats
    numerator: Floats
    denominator: Floats | None = None
    rounds: Floats | None = None

    @property
    def n(self) -> int:
        """Number of rows n."""
        return len(self.numerator)

    @cached_property
    def size(self) -> float:
        """How many rounds the rows stand for: n, or the sum of the round weights."""
        return float(self.n if self.rounds is None else self.rounds.sum())

    @property
    def self_normalised(self) -> bool:
        """Whether the estimate is a ratio of two means."""
        return self.denominator is not None

    def mean(self, values: Floats) -> float:
        """Round-weighted mean of an array (n,)."""
        if self.rounds is None:
            return float(values.sum() / self.n)
        return float(self.rounds @ values / self.size)

    @cached_property
    def ratio(self) -> float:
        """The part beside the offset: mean(numerator), divided by mean(denominator) where there is one."""
        top = self.mean(self.numerator)
        if self.denominator is None:
            return top
        bottom = self.mean(self.denominator)
        return top / bottom if bottom != 0 else 0.0

    @cached_property
    def value(self) -> float:
        """The estimate."""
        return self.mean(self.offset) + self.ratio

    @property
    def influence(self) -> Floats:
        """Linearised values z (n,) whose round-weighted mean is `value`: their spread gives the standard error.

        Not kept: a job holds a dozen estimates of as many numbers as the log has rounds.

        A ratio R = mean(num)/mean(den) becomes offset + R + (num - R*den)/mean(den) (delta method), since the
        denominator varies with the sample too; obp 0.5.7 freezes it at its mean and gets wrong intervals.
        """
        if self.denominator is None:
            return self.offset + self.numerator
        bottom = self.mean(self.denominator)
        if bottom == 0:
            return self.offset.copy()
        return self.offset + self.ratio + (self.numerator - self.ratio * self.denominator) / bottom

    @cached_property
    def se(self) -> float:
        """Standard error of `value`, ddof 1; a row of weight c counts as c rounds of the same value."""
        size = self.size
        if size <= 1:
            return float("nan")
        spread = self.influence - self.value
        squares = spread @ spread if self.rounds is None else self.rounds @ (spread * spread)
        return float(np.sqrt(squares / (size - 1) / size))
