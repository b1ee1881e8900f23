"""By which factor propensities may be off before a verdict turns (the marginal sensitivity model, Tan 2006).

Every true propensity lies within a factor G of the logged one, in any way whatever, and the true weights still have
mean 1. The least value the target can then have is the estimate minus a shift that a weighted quantile of the rewards
gives in closed form (Dorn and Guo 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.kinds.bandit.policies import Floats

LARGEST = 10.0


@dataclass(frozen=True)
class Shifts:
    """Rewards sorted (n,), with running sums of weights and of weighted rewards, both over the number of rounds."""

    reward: Floats
    weight: Floats
    weighted: Floats

    @classmethod
    def of(cls, reward: Floats, weight: Floats, rounds: Floats | None = None) -> Shifts:
        """From rewards and weights (n,), `rounds` (n,) how many each row stands for."""
        share = np.full(len(reward), 1 / len(reward)) if rounds is None else rounds / rounds.sum()
        values, place = np.unique(reward, return_inverse=True)
        mass = np.bincount(place, share * weight)
        return cls(values, np.cumsum(mass), np.cumsum(mass * values))

    def down(self, factor: float) -> float:
        """How much lower the value may be."""
        return self._shift(1 - 1 / factor, factor - 1, 1 / (factor + 1))

    def up(self, factor: float) -> float:
        """How much higher the value may be."""
        return self._shift(factor - 1, 1 - 1 / factor, factor / (factor + 1))

    def turns_at(self, margin: float, *, better: bool) -> float:
        """The largest factor, up to 10, at which a margin (above zero) is not used up; 1 where there is none."""
        if margin <= 0:
            return 1.0
        shift = self.down if better else self.up
        low, high = 1.0, LARGEST
        if shift(high) < margin:
            return high
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if shift(middle) < margin else (low, middle)
        return low

    def _shift(self, above: float, below: float, quantile: float) -> float:
        """min over c of the mean of w ((r - c)+ above + (c - r)+ below), attained at a weighted quantile of r."""
        if not len(self.reward) or self.weight[-1] <= 0:
            return 0.0
        place = min(int(np.searchsorted(self.weight, quantile * self.weight[-1])), len(self.reward) - 1)
        c, mass, sums = self.reward[place], self.weight, self.weighted
        over = float(sums[-1] - sums[place] - c * (mass[-1] - mass[place]))
        under = float(c * mass[place] - sums[place])
        return above * over + below * under
