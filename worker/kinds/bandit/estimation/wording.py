"""Rewards as a reader sees them: as many decimals as the interval allows."""

from __future__ import annotations

import math

from worker.evidence.wording import number


def decimals_of(half_width: float, value: float = 1.0) -> int:
    """Decimals that show two digits of a half-width (or three of a value without one), between 0 and 6."""
    size = half_width if half_width > 0 and math.isfinite(half_width) else abs(value) / 10
    return 2 if size <= 0 or not math.isfinite(size) else min(6, max(0, 1 - math.floor(math.log10(size))))


def with_interval(value: float, low: float, high: float) -> str:
    """0.979 [0.858, 1.101]."""
    decimals = decimals_of((high - low) / 2, value)
    return f"{number(value, decimals)} [{number(low, decimals)}, {number(high, decimals)}]"


def signed(value: float, low: float, high: float) -> str:
    """+0.82 [0.70, 0.94]."""
    return f"{'+' if value > 0 else ''}{with_interval(value, low, high)}"
