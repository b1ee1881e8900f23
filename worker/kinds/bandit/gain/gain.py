"""The gain of one target over the logging policy, or over another target: interval, p values, sensitivity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.gain.claim import Mean, mean_of
from worker.kinds.bandit.gain.rare import RareMean, rare_ends
from worker.kinds.bandit.gain.sensitivity import Shifts
from worker.kinds.bandit.gain.series import Range, Series
from worker.kinds.bandit.policies import Floats

End = Mean | RareMean
MANY_USERS = 50
CLAIM = 0.4  # a claim is made at this share of alpha: 2 % where intervals are at 95 %


@dataclass(frozen=True)
class Margin:
    """The gain against minus a `width` in the unit of the reward: p values of its lying at or below it (`within`: small
    where the gain is above), at or above it (`beyond`), and the factors to which propensities may be off before either
    claim turns.
    """

    width: float
    p_within: float = 1.0
    p_beyond: float = 1.0
    within_to: float = 1.0
    beyond_to: float = 1.0


@dataclass(frozen=True)
class Gain:
    """`value` with [`low`, `high`] at level 1 - alpha; one-sided p values; what is missing is inside the interval.

    `better_to`, `worse_to`: the factor by which propensities may be off before a claim turns, 1 where there is none
    to turn; `sign_to`: the same of the sign of `value` itself, whether it is a claim or not. `open`: nothing can be
    said without a declared range of rewards; `few`: fewer than five users. `margin`: tests against one, where it was
    asked for.
    """

    value: float
    se: float
    low: float
    high: float
    p_better: float
    p_worse: float
    better_to: float = 1.0
    worse_to: float = 1.0
    sign_to: float = 1.0
    open: bool = False
    few: bool = False
    margin: Margin | None = None

    @property
    def p(self) -> float:
        """Two-sided p value."""
        return min(1.0, 2 * min(self.p_better, self.p_worse))


def gain_of(
    log: BanditLog,
    series: Series,
    limits: Range,
    alpha: float,
    unit: NDArray[np.integer] | None = None,
    *,
    sensitive: bool = True,
    margin: float | None = None,
) -> Gain:
    """Test and interval of a series; `unit` (n,): user of every round, from 0; `sensitive`: find the factors; `margin`:
    a loss, in the unit of the reward, that the gain is tested against beside zero.
    """
    untested = None if margin is None else Margin(margin)
    if series.open:
        return Gain(float("nan"), float("inf"), -np.inf, np.inf, 1.0, 1.0, open=True, margin=untested)
    reach = float(np.max(np.abs(log.reward - log.reward.mean()), initial=0.0))
    span = np.inf if limits is None else limits[1] - limits[0]
    undrawn = series.spread * min(reach, span) ** 2
    low = mean_of(series.low, undrawn, log.weight, unit)
    high = low if series.high is series.low else mean_of(series.high, undrawn, log.weight, unit)
    if not np.isfinite(low.se):
        middle = (low.value + high.value) / 2
        return Gain(middle, float("inf"), -span, span, 1.0, 1.0, few=True, margin=untested)
    lows: list[End] = [low]
    highs: list[End] = [high]
    if (rare := rare_ends(log, series, limits, unit)) is not None:
        # Counts say nothing of how much few users differ, so the t interval over users stays beside them.
        kept = unit is not None and _users(unit, log.round_weight) < MANY_USERS
        lows, highs = [rare[0], *lows[: int(kept)]], [rare[1], *highs[: int(kept)]]
    if series.second is not None:
        lows.append(mean_of(series.second[0], undrawn, log.weight, unit))
        highs.append(mean_of(series.second[1], undrawn, log.weight, unit))
    factors = _turning(log, series.weight, lows, highs, alpha) if sensitive else {}
    return Gain(
        value=(lows[0].value + highs[0].value) / 2,
        se=max(one.se for one in lows + highs),
        low=max(min(one.low(alpha / 2) for one in lows), -span),
        high=min(max(one.high(alpha / 2) for one in highs), span),
        p_better=max(one.above() for one in lows),
        p_worse=max(one.below() for one in highs),
        **factors,
        margin=None if margin is None else _against(log, series.weight, lows, highs, alpha, margin),
    )


def both(first: Gain, second: Gain) -> Gain:
    """The gain of which is claimed only what can be claimed of two; its value is the first's."""
    margin = first.margin
    if margin is not None and second.margin is not None:
        other = second.margin
        margin = Margin(
            margin.width,
            max(margin.p_within, other.p_within),
            max(margin.p_beyond, other.p_beyond),
            min(margin.within_to, other.within_to),
            min(margin.beyond_to, other.beyond_to),
        )
    return Gain(
        value=first.value,
        se=max(first.se, second.se),
        low=min(first.low, second.low),
        high=max(first.high, second.high),
        p_better=max(first.p_better, second.p_better),
        p_worse=max(first.p_worse, second.p_worse),
        better_to=min(first.better_to, second.better_to),
        worse_to=min(first.worse_to, second.worse_to),
        sign_to=min(first.sign_to, second.sign_to),
        open=first.open or second.open,
        few=first.few or second.few,
        margin=margin,
    )


def _against(log: BanditLog, weight: Floats, lows: list[End], highs: list[End], alpha: float, width: float) -> Margin:
    """The tests of zero, moved by the margin."""
    lows, highs = ([one.moved(width) for one in ends] for ends in (lows, highs))
    factors = _turning(log, weight, lows, highs, alpha)
    p_within, p_beyond = max(one.above() for one in lows), max(one.below() for one in highs)
    return Margin(width, p_within, p_beyond, factors["better_to"], factors["worse_to"])


def _users(unit: NDArray[np.integer], weight: Floats) -> float:
    """Effective number of users, (sum of sizes)^2 / sum of their squares."""
    sizes = np.bincount(unit, weight)
    return float(sizes.sum()) ** 2 / float(sizes @ sizes)


def _turning(log: BanditLog, weight: Floats, lows: list[End], highs: list[End], alpha: float) -> dict[str, float]:
    """The factors of a `Gain`."""
    level = CLAIM * alpha / 2
    shifts = Shifts.of(log.reward, weight, log.weight)
    above, below = min(one.value for one in lows), min(-one.value for one in highs)
    return {
        "better_to": shifts.turns_at(min(one.low(level) for one in lows), better=True),
        "worse_to": shifts.turns_at(min(-one.high(level) for one in highs), better=False),
        "sign_to": shifts.turns_at(max(above, below), better=above >= below),
    }
