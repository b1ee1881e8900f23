"""The word of a benchmark: `reliable`, `unreliable` or `undetermined`, by a rule that is wrong at a known rate.

A benchmark is *reliable* when its correlation across stages is above `level` (0.3 unless said) by all of these:

1. Pearson's r and Spearman's rho, each by the lower end of `Interval.widest` at 95 %. Pearson alone is taken in by one
   run that fails at both stages, Spearman alone by how coarse ranks of few runs are.
2. A p-value, adjusted over all benchmarks of the table after Benjamini and Hochberg, of at most `discovery` (0.05). It
   is the largest of three: Fisher's, two-sided, against r = `level`, the same of rho, and the permutation test's
   against no relation, which holds for any distribution.

It is *unreliable* when both correlations are below `level` in the same sense (there is no permutation test to ask
then), and *reversing* is said when their upper ends are below 0, too. All else, and everything of fewer than 5 runs,
is *undetermined*. Runs that come in groups of like ones (mixtures) count as fewer (`worker.kinds.scores.clusters`).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr

from worker.kinds.scores.false_discovery import adjusted
from worker.kinds.scores.intervals import Interval, fisher, standard_error, value_within

Word = Literal["reliable", "unreliable", "undetermined"]
FEWEST = 5
MOST = 1000


@dataclass(frozen=True)
class Rule:
    """`level`: the correlation that a reliable benchmark exceeds; `discovery`: the false discovery rate."""

    level: float = 0.3
    discovery: float = 0.05


@dataclass(frozen=True)
class Judged:
    """The word of a benchmark. `q_above`, `q_below`: adjusted p-values of being above and below the level; `reversing`:
    better runs come out worse; `reason`: why nothing could be said; `needed`: runs that would settle it if the
    correlations stayed as they are, None beyond `MOST` or where it is settled.
    """

    word: Word
    q_above: float
    q_below: float
    reversing: bool = False
    reason: str = ""
    needed: int | None = None


def judge(
    pearson: Sequence[Interval], spearman: Sequence[Interval], p_permutation: Sequence[float], rule: Rule
) -> list[Judged]:
    """Words of the benchmarks of one table; all arguments in one order."""
    pairs = list(zip(pearson, spearman, strict=True))
    tested = [pair[0].runs >= FEWEST and all(math.isfinite(one.value) for one in pair) for pair in pairs]
    above = [
        max(p_of, *(_against(one, rule.level, +1) for one in pair)) if test else math.nan
        for pair, p_of, test in zip(pairs, p_permutation, tested, strict=True)
    ]
    below = [
        max(_against(one, rule.level, -1) for one in pair) if test else math.nan
        for pair, test in zip(pairs, tested, strict=True)
    ]
    q_above, q_below = adjusted(np.array(above)).tolist(), adjusted(np.array(below)).tolist()
    found = sum(min(qs) <= rule.discovery for qs in zip(q_above, q_below, strict=True))
    # What the next benchmark's p-value has to fall below, where some are discoveries already.
    strict = rule.discovery * min(1.0, (found + 1) / max(1, sum(tested)))
    return [
        _judged(r, rho, above, below, rule, strict)
        for (r, rho), above, below in zip(pairs, q_above, q_below, strict=True)
    ]


def _judged(pearson: Interval, spearman: Interval, q_above: float, q_below: float, rule: Rule, strict: float) -> Judged:
    if pearson.runs < FEWEST:
        return Judged("undetermined", q_above, q_below, reason=f"fewer than {FEWEST} runs have scores at both stages")
    if not (math.isfinite(pearson.value) and math.isfinite(spearman.value)):
        return Judged("undetermined", q_above, q_below, reason="the scores of one stage are all the same")
    low = min(pearson.widest[0], spearman.widest[0])
    high = max(pearson.widest[1], spearman.widest[1])
    if low > rule.level and q_above <= rule.discovery:
        return Judged("reliable", q_above, q_below)
    if high < rule.level and q_below <= rule.discovery:
        return Judged("unreliable", q_above, q_below, reversing=high < 0)
    if pearson.value > rule.level and fisher("spearman", 1.0, pearson.effective)[0] <= rule.level:
        few = f"{pearson.runs} runs" if pearson.inflation <= 1 else f"{pearson.runs} runs in groups of like ones"
        reason = f"of {few} not even a perfect order is rare enough to be called reliable"
    elif low > rule.level or high < rule.level:
        reason = "its interval is clear of the level, but among so many benchmarks that may be chance"
    else:
        reason = f"the intervals of r and rho, {low:.2f} to {high:.2f} together, hold {rule.level:g}"
    return Judged("undetermined", q_above, q_below, reason=reason, needed=runs_needed(pearson, spearman, rule, strict))


def runs_needed(pearson: Interval, spearman: Interval, rule: Rule, strict: float) -> int | None:
    """About how many runs, more than there are, would settle a benchmark whose correlations stayed as they are.

    By Fisher's intervals at the level 1 - `strict`; where these would do already and the bootstrap's are wider, by
    those, which narrow with the root of the runs above 3. None when 1,000 would not do. Where runs come in groups, more
    of the same groups are meant.
    """
    for_one = pearson.runs / min(pearson.effective, spearman.effective)
    runs = enough(pearson.value, spearman.value, rule.level, strict)
    if runs is None:
        return None
    needed = math.ceil(runs * for_one)
    if needed <= pearson.runs:
        narrowed = max(_narrowed(one, rule.level) for one in (pearson, spearman))
        needed = max(pearson.runs + 1, math.ceil(narrowed * for_one))
    return needed if needed <= MOST else None


def enough(pearson: float, spearman: float, level: float, strict: float) -> int | None:
    """The smallest number of runs at which both of Fisher's intervals are clear of the level on one side.

    None when even 1,000 would not do, or when the two correlations lie on different sides of the level.
    """

    def settled(runs: int) -> bool:
        ends = [fisher(name, value, runs, 1 - strict) for name, value in (("pearson", pearson), ("spearman", spearman))]
        return min(low for low, _ in ends) > level or max(high for _, high in ends) < level

    # Intervals only narrow with more runs, so what is settled stays so.
    runs = bisect.bisect_left(range(MOST + 1), True, lo=FEWEST, key=settled)
    return runs if runs <= MOST else None


def _narrowed(one: Interval, level: float) -> int:
    """Runs at which the widest interval would be clear of the level."""
    value, end = one.value, one.widest[0] if one.value > level else one.widest[1]
    reach, room = (abs(math.atanh(value_within(one.statistic, value, one.effective)) - math.atanh(
        value_within(one.statistic, other, one.effective))) for other in (end, level))  # fmt: skip
    return math.ceil(min(MOST + 1, 3 + (one.effective - 3) * (reach / room) ** 2)) if room > 0 else MOST + 1


def _against(one: Interval, level: float, side: int) -> float:
    """Fisher's p-value (twice the tail) of a correlation being on this side of the level."""
    error = standard_error(one.statistic, one.value, one.effective)
    z = float(np.arctanh(value_within(one.statistic, one.value, one.effective))) - math.atanh(level)
    return min(1.0, 2 * float(ndtr(-side * z / error)))
