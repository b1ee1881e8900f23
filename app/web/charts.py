"""Small plots of the pages as SVG: one shape each, drawn in the page's colours, with their numbers as text beside them.

Large plots are a report's own; these are for a glance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

_QUANTILES = ("min", "p10", "median", "p90", "max")
_MOST_BARS = 24


def sort_of(value: Any) -> str:
    """What a statistic is shown as: `number`, `spread` (of quantiles), `bars` (of counts) or `other`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Mapping | Sequence):
        return "other"
    if isinstance(value, int | float | str):
        return "number"
    if isinstance(value, Mapping):
        numbers = value and all(_is_number(one) for one in value.values())
        if numbers and {"min", "max"} <= value.keys():
            return "spread"
        return "bars" if numbers and len(value) <= _MOST_BARS and any(value.values()) else "other"
    return "other"


def spread(value: Mapping[str, float], name: str) -> Markup:
    """A line from the least to the most, thick where 80 % lie, marked at the median; on a log scale if it is wide."""
    low, high = float(value["min"]), float(value["max"])
    wide = low > 0 and high / low > 50

    def at(one: float) -> float:
        if high <= low:
            return 50.0
        part = math.log(one / low) / math.log(high / low) if wide else (one - low) / (high - low)
        return 2 + 96 * min(1.0, max(0.0, part))

    marks = {key: at(float(value[key])) for key in _QUANTILES if key in value}
    said = ", ".join(f"{key} {_short(value[key])}" for key in (*_QUANTILES, "mean") if key in value)
    body = f'<line class="thin" x1="{marks["min"]:.1f}" x2="{marks["max"]:.1f}" y1="8" y2="8"/>'
    if "p10" in marks and "p90" in marks:
        width = max(1.0, marks["p90"] - marks["p10"])
        body += f'<rect class="bulk" x="{marks["p10"]:.1f}" width="{width:.1f}" y="4" height="8" rx="1"/>'
    if "median" in marks:
        body += f'<line class="middle" x1="{marks["median"]:.1f}" x2="{marks["median"]:.1f}" y1="1" y2="15"/>'
    return _svg(body, f"{name}: {said}{', log scale' if wide else ''}", 100, 16, "spread")


def share(value: float, most: float) -> Markup:
    """A bar as long as its share of the longest."""
    width = 0.0 if most <= 0 else 100 * max(0.0, value) / most
    body = f'<rect class="bulk" width="{width:.1f}" height="10" rx="1"/>'
    return Markup(
        '<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(
        Markup(body)  # noqa: S704 - numbers of ours
    )


def curve(points: Sequence[tuple[float, float]], name: str) -> Markup:
    """A line through the points of a metric, with its ends written."""
    if not points:
        return Markup("")
    shown = points if len(points) <= 300 else [points[i * (len(points) - 1) // 299] for i in range(300)]
    xs, ys = [x for x, _ in shown], [y for _, y in shown]
    low, high = min(ys), max(ys)
    left, wide = min(xs), max(max(xs) - min(xs), 1e-12)
    tall = max(high - low, 1e-12)
    placed = [(4 + 292 * (x - left) / wide, 76 - 68 * (y - low) / tall if high > low else 42.0) for x, y in shown]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    last = placed[-1]
    body = (
        '<line class="base" x1="0" x2="300" y1="79.5" y2="79.5"/>'
        f'<polyline class="line" points="{line}"/><circle class="dot" cx="{last[0]:.1f}" cy="{last[1]:.1f}" r="3"/>'
    )
    ends = f"from {_short(ys[0])} to {_short(ys[-1])}, least {_short(low)}, most {_short(high)}"
    said = f"{name}: {len(points)} values {ends}"
    return _svg(body, said, 300, 80, "curve")


def in_order(value: Mapping[str, float]) -> list[tuple[str, float]]:
    """Quantiles from the least to the most, the mean after them."""
    return [(key, value[key]) for key in (*_QUANTILES, "mean") if key in value]


def _svg(body: str, said: str, width: int, height: int, sort: str) -> Markup:
    fit = "none" if sort == "spread" else "xMidYMid"
    shape = '<svg class="{}" viewBox="0 0 {} {}" preserveAspectRatio="{}" role="img" aria-label="{}">{}</svg>'
    return Markup(shape).format(  # noqa: S704 - the rest is escaped
        sort,
        width,
        height,
        fit,
        said,
        Markup(body),  # noqa: S704 - numbers of ours
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: float) -> str:
    return str(escape(f"{value:.4g}"))
