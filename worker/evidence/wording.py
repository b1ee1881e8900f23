"""Numbers as a reader sees them: thin-spaced thousands, sizes in kB, a true minus sign, no needless digits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from worker.evidence.statistics import Estimate

_SPACE = "\u202f"
_MINUS = "\u2212"
NOTHING = "\u2013"
MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905


def number(value: float | int | None, decimals: int = 2) -> str:
    """A plain number: 12 345.67; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{abs(value):,.{0 if isinstance(value, int) else decimals}f}".replace(",", _SPACE)
    negative = value < 0 and any(digit in "123456789" for digit in text)
    return f"{_MINUS}{text}" if negative else text


def share(value: float | None) -> str:
    """A share as per cent with two significant digits below 10 %, whole above 100 %: 0.8 %, 12.4 %, 365 %."""
    if value is None or not math.isfinite(value):
        return NOTHING
    percent = 100 * value
    if percent == 0:
        return "0" + _SPACE + "%"
    if percent >= 99.95:
        return f"{number(round(percent))}{_SPACE}%"
    if percent >= 10:
        return f"{percent:.1f}{_SPACE}%"
    digits = max(1, 1 - math.floor(math.log10(percent)))
    text = f"{percent:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.')}{_SPACE}%"


def size(value: float | None) -> str:
    """Bytes in decimal units: 812 B, 18.0 kB, 1.58 MB."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value < 1000:
        return f"{value:.0f}{_SPACE}B"
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5 or unit == "GB":
            break
    return f"{_three_digits(value)}{_SPACE}{unit}"


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours with three digits: 0.042 s, 25.3 s, 4.2 min."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds >= 2 * 3600:
        return f"{_three_digits(seconds / 3600)}{_SPACE}h"
    if seconds >= 120:
        return f"{_three_digits(seconds / 60)}{_SPACE}min"
    if seconds < 0.001:
        return f"< 0.001{_SPACE}s"
    return f"{_three_digits(seconds)}{_SPACE}s"


def percent(estimate: Estimate) -> str:
    """A ratio with its interval in per cent: 96.4 % [95.1, 97.6]."""
    if not math.isfinite(estimate.value):
        return "an unknown share"
    low, high = number(100 * estimate.low, 1), number(100 * estimate.high, 1)
    return f"{number(100 * estimate.value, 1)}{_SPACE}% [{low}, {high}]"


def points(estimate: Estimate, scale: float = 100.0, decimals: int = 1) -> str:
    """A difference with its sign and interval: +1.2 [0.3, 2.1]."""
    sign = "+" if estimate.value > 0 else ""
    low, high = number(scale * estimate.low, decimals), number(scale * estimate.high, decimals)
    return f"{sign}{number(scale * estimate.value, decimals)} [{low}, {high}]"


def ends(low: float | None, high: float | None, scale: float = 1.0, decimals: int = 1) -> str:
    """The ends of an interval: [95.1, 97.6]; nothing where one is not known."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{number(scale * low, decimals)}, {number(scale * high, decimals)}]"


def decimals_of(half_width: float, value: float = 1.0) -> int:
    """Decimals that show two digits of a half-width (or three of a value without one), between 0 and 6."""
    size = half_width if half_width > 0 and math.isfinite(half_width) else abs(value) / 10
    return 2 if size <= 0 or not math.isfinite(size) else min(6, max(0, 1 - math.floor(math.log10(size))))


def decimals_of_column(half_widths: Iterable[float]) -> int:
    """Decimals that show two digits of the narrowest half-width of a column; those of 0 or without end do not count."""
    return decimals_of(min((one for one in half_widths if math.isfinite(one) and one > 0), default=0.001))


def _three_digits(value: float) -> str:
    if value >= 100:
        return number(round(value))
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def about(job: Mapping[str, Any]) -> list[str]:
    """What the report of a job is about, in two lines: what was done; with which data, of which files, and when."""
    version = f" v{job['method_version']}" if job.get("method_version") else ""
    method = f"{job['method']}{version}" if job.get("method") else ""
    files = [str(one) for one in job.get("dataset_files") or ()]
    names = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    done = [job.get("task") or "report", job.get("kind"), method]
    made_of = [job.get("dataset_name"), job.get("dataset"), names, date(job.get("created_at"))]
    return [line for part in (done, made_of) if (line := " \u00b7 ".join(str(one) for one in part if one))]


def date(moment: str | None) -> str:
    """The day of an ISO 8601 time in words, 30 November 2026, in UTC; nothing where there is none."""
    if not moment:
        return ""
    day = datetime.fromisoformat(moment).astimezone(UTC)
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]
