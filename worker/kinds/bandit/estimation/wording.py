"""Rewards as a reader sees them: as many decimals as the interval allows."""

from __future__ import annotations

import math

from worker.evidence.wording import decimals_of, number
from worker.kinds.bandit.intervals import Interval


def with_interval(value: float, low: float, high: float) -> str:
    """0.979 [0.858, 1.101]; the value alone where no interval is known."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return number(value, decimals_of(0.0, value))
    decimals = decimals_of((high - low) / 2, value)
    return f"{number(value, decimals)} [{number(low, decimals)}, {number(high, decimals)}]"


def with_ends(span: Interval) -> str:
    """An estimate with its interval; of bounds the ends alone."""
    if span.method != "bounds":
        return with_interval(span.value, span.low, span.high)
    decimals = decimals_of((span.high - span.low) / 2, span.value)
    return f"between {number(span.low, decimals)} and {number(span.high, decimals)}"


def signed(value: float, low: float, high: float) -> str:
    """+0.82 [0.70, 0.94]."""
    return f"{'+' if value > 0 else ''}{with_interval(value, low, high)}"
