"""What a target gains over the logging policy, unit by unit, by the rule of logs of which only propensities are known.

As in `worker.kinds.bandit.gain.series`: (w - 1)(r - least) has a mean at most as large as the gain of a step whatever
the log lacks, (w - 1)(r - largest) one at least as large, also with weights capped. Here they are summed over the steps
of a unit, and the test is one over units, or over their users. Where the target's support is known to be complete, both
are (w - 1)(r - c), or the doubly robust value less what was earned, which is far less noisy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.gain.claim import mean_of
from worker.kinds.bandit.gain.gain import CLAIM, Gain
from worker.kinds.bandit.gain.sensitivity import Shifts
from worker.kinds.bandit.gain.series import cap_of_sample
from worker.kinds.bandit.policies import Floats

Range = tuple[float, float] | None
SHORTFALL = 2.0  # standard errors


@dataclass(frozen=True)
class Weighted:
    """What a claim rests on, (m, L) each: `weight`, `reward`, and the `least` and `largest` reward that a step could
    have had, all discounted; None where no range is declared. `counted`: the steps that there are. `supported`: all
    that the target does is known to have been possible, so that no mean weight falls short of 1. `robust` (m,): the
    doubly robust value of a unit less what it earned, which takes the place of weighted rewards where this is so.
    """

    weight: Floats
    reward: Floats
    counted: NDArray[np.bool_]
    least: Floats | None
    largest: Floats | None
    supported: bool = False
    robust: Floats | None = None

    @classmethod
    def of(
        cls,
        weight: Floats,
        reward: Floats,
        counted: NDArray[np.bool_],
        limits: Range,
        discount: Floats | float = 1.0,
        *,
        supported: bool = False,
        robust: Floats | None = None,
    ) -> Weighted:
        """With rewards `reward` (m, L), discounted by `discount` (L,), each within `limits`."""
        ends = [None, None] if limits is None else [np.where(counted, end * discount, 0.0) for end in limits]
        return cls(np.where(counted, weight, 1.0), reward * discount, counted, ends[0], ends[1], supported, robust)

    def as_one(self, weight: Floats) -> Weighted:
        """The unit as one step of weight (m,): all its rewards count together."""
        reward = self.reward.sum(axis=1, keepdims=True)
        ends = [None if end is None else end.sum(axis=1, keepdims=True) for end in (self.least, self.largest)]
        return Weighted(weight[:, None], reward, np.ones_like(reward, bool), ends[0], ends[1], self.supported)


def gain_of(given: Weighted, alpha: float, unit: NDArray[np.integer] | None = None) -> Gain:
    """Interval, p values and sensitivity of the gain; `unit` (m,): the user of every unit, from 0."""
    weight = np.column_stack([np.minimum(column, cap_of_sample(column)) for column in given.weight.T])
    over = weight - 1.0
    centred = _centred(given, weight, unit)
    open_ended = given.least is None or given.largest is None
    if open_ended and np.any(over[:, ~centred]):
        return Gain(float("nan"), float("inf"), -np.inf, np.inf, 1.0, 1.0, open=True)
    middle = _middle(given.reward, over)
    least, largest = (np.where(centred, middle, 0.0 if end is None else end) for end in (given.least, given.largest))
    # One more unit as large as the sample lets expect: weights not drawn yet (steps may fall together).
    reach = np.abs(given.reward - given.reward.mean(axis=0)).max(axis=0)
    if given.least is not None and given.largest is not None:
        reach = np.minimum(reach, (given.largest - given.least).max(axis=0))
    undrawn = float((np.sqrt((over**2).mean(axis=0)) * reach).sum()) ** 2
    if given.robust is not None and centred.all():
        low = high = mean_of(given.robust, float(np.max((given.robust - given.robust.mean()) ** 2)), None, unit)
    else:
        low = mean_of((over * (given.reward - least)).sum(axis=1), undrawn, None, unit)
        high = mean_of((over * (given.reward - largest)).sum(axis=1), undrawn, None, unit)
    span = np.inf
    if given.least is not None and given.largest is not None:
        span = float((given.largest - given.least).sum(axis=1).mean())
    if not np.isfinite(low.se):
        return Gain((low.value + high.value) / 2, float("inf"), -span, span, 1.0, 1.0, few=True)
    level = CLAIM * alpha / 2
    better_to, worse_to = _turning(given, weight, low.low(level), -high.high(level))
    # Where the mean weight came out above 1, the end from below lies above the other: each is valid by itself.
    ends = sorted((max(low.low(alpha / 2), -span), min(high.high(alpha / 2), span)))
    return Gain(
        value=min(max((low.value + high.value) / 2, ends[0]), ends[1]),
        se=max(low.se, high.se),
        low=ends[0],
        high=ends[1],
        p_better=low.above(),
        p_worse=high.below(),
        better_to=better_to,
        worse_to=worse_to,
    )


def _centred(given: Weighted, weight: Floats, unit: NDArray[np.integer] | None) -> NDArray[np.bool_]:
    """The steps (L,) at which mean weights are 1 for certain: any constant may then be taken off the rewards.

    Not where a weight was capped, or where the sample falls short of 1 by two standard errors.
    """
    if not given.supported:
        return np.zeros(weight.shape[1], bool)
    whole = (weight == given.weight).all(axis=0)
    return whole & (mean_weights(weight, unit)[1] >= -SHORTFALL)


def _middle(reward: Floats, over: Floats) -> Floats:
    """The constant of every step (L,) that leaves the least noise: rewards weighted by (w - 1)^2."""
    squares = over**2
    total = squares.sum(axis=0)
    return np.where(total > 0, (squares * reward).sum(axis=0) / np.where(total > 0, total, 1.0), 0.0)


def _turning(given: Weighted, weight: Floats, better: float, worse: float) -> tuple[float, float]:
    """The factors at which claims with these margins turn; one constraint for all steps, so never too large."""
    if max(better, worse) <= 0:
        return 1.0, 1.0
    shifts = Shifts.of(given.reward[given.counted], weight[given.counted])
    steps = float(given.counted.sum()) / len(weight)
    return shifts.turns_at(better / steps, better=True), shifts.turns_at(worse / steps, better=False)


def effective_units(weight: Floats) -> Floats:
    """Kish's number of units at every step (L,): (sum w)^2 / sum w^2, 0 where all weights are."""
    squares = (weight**2).sum(axis=0)
    return np.where(squares > 0, weight.sum(axis=0) ** 2 / np.where(squares > 0, squares, 1.0), 0.0)


def mean_weights(weight: Floats, unit: NDArray[np.integer] | None) -> tuple[Floats, Floats]:
    """Mean weight of every step (L,), and its distance from 1 in standard errors; 0 with fewer than five units.

    The error counts one more unit of the largest weight, as a large one may be due.
    """
    means, off = weight.mean(axis=0), np.zeros(weight.shape[1])
    for step, column in enumerate(weight.T):
        found = mean_of(column - 1.0, float(np.max((column - 1.0) ** 2)), None, unit)
        if np.isfinite(found.se) and found.se > 0:
            off[step] = found.value / found.se
    return means, off
