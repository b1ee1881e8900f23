"""Uplift by segment: the paired gain among the rounds of one country, device or kind of user at a time.

A segment's gain is the target's own series on the rounds of the segment, with the noise that the policies allow there.
Claims are made under the gates of the whole verdict, with p values after Holm over all segments of the target that are
large enough; how large they are does not depend on rewards. A segment of fewer than 100 rounds, five users, or five
rounds' worth of policy ESS has no claim.

That one segment has a claim and another has none does not say that they differ. Cochran's Q over the segments of a
column does: the squared distances of their gains from the common one, each over its variance, are chi-square without
any difference.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.prepare import Prepared
from worker.kinds.bandit.gain import checks
from worker.kinds.bandit.gain.control import Control
from worker.kinds.bandit.gain.gain import CLAIM, Gain, gain_of
from worker.kinds.bandit.gain.series import Series, effective_rounds
from worker.kinds.bandit.intervals import holm
from worker.kinds.bandit.overlap import Overlap, Pairs

LEAST_ROUNDS, LEAST_WORTH, MOST = 100, 5.0, 50
SMALL = f"fewer than {LEAST_ROUNDS} rounds"


@dataclass(frozen=True)
class Segment:
    """One segment of a column. `gain` None: too small to be looked at; `why`: what forbids a claim, "" where nothing
    does; `p`: two-sided, after Holm over the target's segments, None where no claim is tested.
    """

    column: str
    word: str
    rounds: int
    logged: float
    gain: Gain | None
    why: str = ""
    p: float | None = None
    trust: float = 1.0

    def status(self, alpha: float) -> str:
        """better, worse, cannot_tell or small."""
        if self.gain is None:
            return "small"
        if self.why or self.p is None or self.p >= CLAIM * alpha:
            return "cannot_tell"
        better = self.gain.p_better < self.gain.p_worse
        turns = self.gain.better_to if better else self.gain.worse_to
        return "cannot_tell" if turns < self.trust else "better" if better else "worse"


@dataclass(frozen=True)
class Column:
    """The segments of one column, largest first; `differ`: p value of Cochran's Q, None where it cannot be tested."""

    name: str
    segments: tuple[Segment, ...]
    differ: float | None


def check_segments(log: BanditLog, asked: list[str] | None) -> None:
    """Raise `JobError` invalid_params for segments that the log lacks."""
    for place, name in enumerate(asked or []):
        if name not in log.segments:
            raise JobError(
                "invalid_params",
                f"The log has no segments {name!r}.",
                hint=f"It has: {', '.join(log.segments) or 'none'}. Name columns of the upload in its option segments.",
                pointer=f"/params/segments/{place}",
            )


def by_segment(
    prepared: Prepared,
    series: Series,
    pairs: Pairs | None,
    *,
    asked: list[str] | None,
    alpha: float,
    trust: float,
    forbidden: str = "",
) -> tuple[Column, ...]:
    """The gain of one target in every segment; `pairs`: with the logging policy where it is known; `forbidden`: why no
    claim is made on the target at all.
    """
    log = prepared.log
    names = [*log.segments] if asked is None else [*dict.fromkeys(asked)]
    found = {name: _column(prepared, series, pairs, name, alpha, trust, forbidden) for name in names}
    tested = [one for each in found.values() for one in each if one.gain is not None and not one.why]
    adjusted = iter(holm([one.gain.p for one in tested if one.gain is not None]).tolist() if tested else ())
    judged = {
        name: tuple(replace(one, p=next(adjusted)) if one.gain is not None and not one.why else one for one in each)
        for name, each in found.items()
    }
    return tuple(Column(name, each, _differ(prepared, series, name, each)) for name, each in judged.items())


def _column(
    prepared: Prepared, series: Series, pairs: Pairs | None, name: str, alpha: float, trust: float, forbidden: str
) -> list[Segment]:
    log, kept = prepared.log, prepared.log.segments[name]
    order = np.argsort(kept.code, kind="stable")
    ends = np.cumsum(np.bincount(kept.code, minlength=len(kept.words)))
    every = [order[end - size : end] for end, size in zip(ends, np.diff(ends, prepend=0), strict=True)]
    large = sorted((-len(rounds), code) for code, rounds in enumerate(every) if len(rounds))
    found: list[Segment] = []
    for place, (_, code) in enumerate(large):
        rounds = every[code]
        logged = float(np.average(log.reward[rounds], weights=log.round_weight[rounds]))
        word = kept.words[code] or "(none)"
        if len(rounds) < LEAST_ROUNDS or place >= MOST:
            found.append(Segment(name, word, len(rounds), logged, None, SMALL))
            continue
        gain, why = _gain(prepared, series, pairs, rounds, alpha)
        found.append(Segment(name, word, len(rounds), logged, gain, forbidden or why, trust=trust))
    return found


def _gain(
    prepared: Prepared, series: Series, pairs: Pairs | None, rounds: NDArray[np.intp], alpha: float
) -> tuple[Gain, str]:
    some = prepared.log.take(rounds)
    unit = None if prepared.unit is None else np.unique(prepared.unit[rounds], return_inverse=True)[1]
    spread, typical, worth = _noise(some, series, pairs, rounds)
    mine = _taken(series, rounds, prepared.log.n, spread=spread, typical=typical)
    gain = gain_of(some, mine, prepared.reward_range, alpha, unit)
    if gain.open:
        return gain, "some of what it does was never possible there, and rewards have no declared range"
    if gain.few:
        return gain, "fewer than five users"
    if worth is not None and worth < LEAST_WORTH:
        return gain, f"worth {worth:.1f} rounds of its own (policy ESS)"
    control = Control(prepared.control.logged[rounds], None)
    doubts = checks.of_target(some, mine, control, "", prepared.reward_range)
    return gain, f"the propensities disagree with the log: {doubts[0]}" if doubts else ""


def _noise(
    some: BanditLog, series: Series, pairs: Pairs | None, rounds: NDArray[np.intp]
) -> tuple[float, tuple[float, float] | None, float | None]:
    """Variance of the weights, size of a typical one, and policy ESS, all by the policies in these rounds' contexts."""
    if pairs is None:
        over, weight = series.weight[rounds] - 1.0, some.round_weight
        return float(weight @ (over * over) / weight.sum()), None, None
    used, back = np.unique(pairs.back[rounds], return_inverse=True)
    mine = Pairs(pairs.target, pairs.logging, pairs.target_rows[used], pairs.logging_rows[used], back)
    overlap = Overlap.of(mine, mine.share(some.weight))
    worth = effective_rounds(some) * overlap.policy_ess_share
    return overlap.capped(series.cap)[1], overlap.typical(series.cap), worth


def _taken(series: Series, rounds: NDArray[np.intp], n: int, **changed: Any) -> Series:
    """The series on some of its n rounds, whatever arrays it holds."""

    def of(value: Any) -> Any:
        if isinstance(value, np.ndarray) and len(value) == n:
            return value[rounds]
        return tuple(of(one) for one in value) if isinstance(value, tuple) else value

    taken = {one.name: of(getattr(series, one.name)) for one in fields(series)}
    if series.high is series.low:
        taken["high"] = taken["low"]
    return Series(**(taken | changed))


def _differ(prepared: Prepared, series: Series, name: str, found: tuple[Segment, ...]) -> float | None:
    """p value of the gains being one; None where gains are bounds, users are in several segments, or too few remain."""
    gains = [one.gain for one in found if one.gain is not None and not one.why and np.isfinite(one.gain.se)]
    if len(gains) < 2 or series.low is not series.high or any(gain.se <= 0 for gain in gains):
        return None
    code = prepared.log.segments[name].code.astype(np.int64)
    if prepared.unit is not None:
        both = np.unique(prepared.unit * (int(code.max()) + 1) + code)
        if len(both) > len(np.unique(prepared.unit)):
            return None
    value, precision = np.array([gain.value for gain in gains]), np.array([gain.se for gain in gains]) ** -2.0
    common = float(precision @ value / precision.sum())
    return float(stats.chi2.sf(float(precision @ (value - common) ** 2), len(gains) - 1))
