"""One number a round whose mean is the gain of a target over the logging policy, from below and from above.

With the whole logging policy the target is cut down to T = min(pi, cap mu), which the log can speak of exactly; what
T leaves out, missing support and the tail of the weights alike, is worth between the least and the largest reward. The
cap follows from the policies, the number of rounds and the spread of the rewards, never from which rewards went where.

With propensities alone nothing says what was possible. (w - 1)(r - r_min) then has a mean at most as large as the gain
whatever is missing, and (w - 1)(r - r_max) one at least as large: a mean weight below 1 is paid for by the range. Nor
can such a log contradict propensities that err with the reward. The doubly robust estimate is hardly moved by them
where its model is good, so a claim must hold for it too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.gain.control import Control
from worker.kinds.bandit.overlap import CAPS, Gap, Overlap, Pairs
from worker.kinds.bandit.policies import Floats, Policy

Range = tuple[float, float] | None
_SUSPICIOUS = 1.645  # standard errors: 5 % a side


@dataclass(frozen=True)
class Series:
    """The gain from below and from above, each (n,), the same array where nothing is missing.

    `weight` (n,): min(w, cap). `spread`: variance of the weights minus 1 by the policies, or of the sample where only
    propensities are known. `lost` (n,): mass that the log cannot speak of, None where it is not known. `modelled` (n,):
    what the control variate expects of T - mu, for checks. `open`: mass is missing and the rewards have no declared
    range, so nothing can be said. `second`: low and high of another estimate of the gain, which wrong propensities move
    less; a claim must hold for both.
    `typical`: the size of a round's weight minus 1 where it counts, above 0 and below, by the policies. `cap`: of
    weights.
    """

    low: Floats
    high: Floats
    weight: Floats
    spread: float
    lost: Floats | None
    modelled: Floats | None
    open: bool
    second: tuple[Floats, Floats] | None = None
    typical: tuple[float, float] | None = None
    cap: float = float("inf")


def between(first: Series, second: Series, apart: Floats | None, limits: Range) -> Series:
    """The gain of one target over another, paired round by round.

    `apart` (n,): total variation between the two where the log cannot speak of parts of both; under one cap those
    parts differ by no more (`total_variation`).
    """
    gap = first.weight - second.weight
    ends = [(first.low - second.high, first.high - second.low)]
    if first.second is not None and second.second is not None:
        ends.append((first.second[0] - second.second[1], first.second[1] - second.second[0]))
    if apart is not None and limits is not None and first.lost is not None and second.lost is not None:
        span = limits[1] - limits[0]
        common = [span * np.maximum(lost - apart, 0.0) for lost in (second.lost, first.lost)]
        ends = [(low + common[0], high - common[1]) for low, high in ends]
    spread = float(gap @ gap) / len(gap)
    moved = ends[1] if len(ends) > 1 else None
    return Series(*ends[0], gap, spread, None, None, first.open or second.open, moved)


def total_variation(first: Policy, second: Policy) -> Floats:
    """Half the sum over actions of |first - second|, for every round (n,)."""
    pairs = Pairs.of(first, second)
    found = np.zeros(len(pairs.target_rows))
    for part, block in pairs.blocks():
        listed = np.bincount(block.owner, np.abs(block.pi - block.mu), part.stop - part.start)
        found[part] = (listed + block.rest * np.abs(block.rest_pi - block.rest_mu)) / 2
    return found[pairs.back]


def with_logging_policy(
    log: BanditLog, pairs: Pairs, overlap: Overlap, weight: Floats, control: Control, limits: Range
) -> Series:
    """The series of a target where the logging policy is known; `weight` (n,): pi/p."""
    n, spread_of_reward = effective_rounds(log), float(np.sqrt(_variance(log)))
    cap = _cap(overlap, n, spread_of_reward, None if limits is None else limits[1] - limits[0])
    lost, spread = overlap.capped(cap)
    capped = np.minimum(weight, cap)
    modelled, missing = control.under(Gap(pairs, cap), pairs.back)
    if lost <= 1e-12:
        missing = np.zeros(log.n)  # and not what rounding leaves
    core = modelled + (capped - 1.0) * (log.reward - control.logged)
    if not missing.any():
        return Series(core, core, capped, spread, missing, modelled, open=False, typical=overlap.typical(cap), cap=cap)
    if limits is None:
        return Series(core, core, capped, spread, missing, modelled, open=lost > 1e-6)
    low, high = (core + missing * end for end in limits)
    return Series(low, high, capped, spread, missing, modelled, open=False, typical=overlap.typical(cap), cap=cap)


def with_propensities(
    log: BanditLog,
    weight: Floats,
    missing: Floats | None,
    control: Control,
    name: str,
    limits: Range,
    *,
    attested: bool = False,
) -> Series:
    """The series of a target where propensities of logged actions are known, and perhaps the support; `name`: its own.

    `missing` (n,): unsupported mass where the support was declared, else None. With it, and a mean weight that does not
    fall short of what it says, no mass beside it is missing. The doubly robust estimate stands beside the first one;
    where propensities are `attested` only if what the model expects of the weighted choices speaks against them.
    """
    capped = np.minimum(weight, cap_of_sample(weight))
    off = capped * control.logged - control.mean(name)
    second = None
    if not attested or _departs(off, log.round_weight):
        robust = (capped - 1.0) * log.reward - off
        second = (robust, robust)
    if missing is not None and (declared := _with_support(log, weight, missing, limits)) is not None:
        return replace(declared, second=second)
    over = capped - 1.0
    spread = float(log.round_weight @ (over * over) / log.round_weight.sum())
    if limits is None:
        return Series(over * log.reward, over * log.reward, capped, spread, None, None, open=bool(np.any(over)))
    low, high = (over * (log.reward - end) for end in limits)
    return Series(low, high, capped, spread, None, None, open=False, second=second)


def _departs(values: Floats, weight: Floats) -> bool:
    """Whether a mean over rounds of `weight` (n,) departs from zero with p below 5 % on its side."""
    share = weight / weight.sum()
    mean = float(share @ values)
    return abs(mean) > _SUSPICIOUS * float(np.sqrt(share**2 @ (values - mean) ** 2))


def _with_support(log: BanditLog, weight: Floats, missing: Floats, limits: Range) -> Series | None:
    """With the support as declared, whose `missing` (n,) mass counts between the ends; None where weights lack more."""
    share = log.round_weight / log.round_weight.sum()
    expected = 1.0 - missing
    off = float(share @ (weight - expected))
    if off < -2 * float(np.sqrt(share @ (weight - expected) ** 2 / effective_rounds(log))):
        return None
    squares = share * (weight - 1.0) ** 2
    total = float(squares.sum())
    centre = float(squares @ log.reward) / total if total > 0 else 0.0
    core = (weight - 1.0) * (log.reward - centre) - centre * missing
    low, high = (core + missing * end for end in ((0.0, 0.0) if limits is None else limits))
    return Series(low, high, weight, total, missing, None, open=limits is None and float(share @ missing) > 1e-6)


def calibrated(series: Series, log: BanditLog, scores: Floats) -> Series:
    """The series with a second one for propensities fitted to the log along `scores` (n, k), of mean zero if right.

    To first order, what an estimate with fitted parameters of the propensities differs by is its regression on their
    scores (Hirano, Imbens and Ridder 2003); here that of the target's value, since the logging policy's is observed.
    """
    share = log.round_weight / log.round_weight.sum()
    centred = scores - share @ scores
    normal = np.linalg.pinv((centred * share[:, None]).T @ centred, hermitian=True)
    low, high = (
        end - scores @ (normal @ (centred.T @ (share * (end + log.reward)))) for end in (series.low, series.high)
    )
    return replace(series, second=(low, high))


def effective_rounds(log: BanditLog) -> float:
    """Kish's number of rounds, (sum c)^2 / sum c^2 of the round weights."""
    return float(log.n) if log.weight is None else float(log.weight.sum()) ** 2 / float(log.weight @ log.weight)


def _cap(overlap: Overlap, n: float, spread_of_reward: float, span: float | None) -> float:
    """The cap of least uncertainty: noise of the weighted rewards and the range times the mass cut off."""
    if span is None or overlap.largest <= CAPS[0]:
        return float("inf")
    best, least = CAPS[0], np.inf
    for cap in [*CAPS[overlap.largest > CAPS], float("inf")]:
        lost, spread = overlap.capped(float(cap))
        reach = min(float(cap), overlap.largest)
        if cap > CAPS[0] and (reach - 1) ** 2 > n * spread / 10:
            continue
        uncertain = 2 * spread_of_reward * float(np.sqrt(spread / n)) + span * lost
        if uncertain < least:
            best, least = cap, uncertain
    return float(best)


def cap_of_sample(weight: Floats) -> float:
    """The largest weight whose square is at most a tenth of the sum of all, capped there; at least 2."""
    ordered = np.sort(weight)
    squares = (ordered - 1) ** 2
    sums = np.cumsum(squares) + np.arange(len(ordered))[::-1] * squares
    fits = np.flatnonzero((squares <= sums / 10) & (ordered >= 1))
    return max(2.0, float(ordered[fits[-1]]) if len(fits) else 2.0)


def _variance(log: BanditLog) -> float:
    share = log.round_weight / log.round_weight.sum()
    return float(share @ (log.reward - float(share @ log.reward)) ** 2)
