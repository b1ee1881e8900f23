"""The table behind a plot: for who cannot see it, and for who wants the numbers."""

from __future__ import annotations

import math

from worker.evidence import wording
from worker.evidence.page_table import ShownCell, ShownRow, ShownTable
from worker.evidence.plot import Plot, Series

_MOST = 400
Head = tuple[str, str, bool]


def table_of(plot: Plot) -> ShownTable:
    """Every point of a plot, with its interval; a heat map as it stands. What is longer than a reader reads is cut."""
    heads, rows = _of_heatmap(plot) if plot.kind == "heatmap" else _of_points(plot)
    note = f"The first {_MOST} of {len(rows)}; all are in report.json." if len(rows) > _MOST else ""
    caption = plot.title + (f" (n = {wording.number(plot.n)})" if plot.n is not None else "")
    return ShownTable(plot.name, plot.title, caption, note, heads, tuple(rows[:_MOST]), folded=True)


def _of_heatmap(plot: Plot) -> tuple[tuple[Head, ...], list[ShownRow]]:
    columns = plot.series[0].x if plot.series else ()
    decimals = _decimals(plot)
    heads: list[Head] = [(plot.y_label or "Row", "", False), *((str(label), "", True) for label in columns)]
    rows = [
        ShownRow((ShownCell(one.label), *(_value(one, at, decimals) for at in range(len(one.y)))))
        for one in plot.series
    ]
    return tuple(heads), rows


def _of_points(plot: Plot) -> tuple[tuple[Head, ...], list[ShownRow]]:
    decimals, steps = _decimals(plot), plot.kind == "histogram"
    sideways = plot.kind == "interval"  # its values lie along x
    across, up = ("", plot.x_label) if sideways else (plot.x_label, plot.y_label)
    heads: tuple[Head, ...] = (("Series", "", False), (across or "Of", "", False), (up or "Value", "", True))
    rows = [
        ShownRow((ShownCell(one.label), _place(one, at, steps=steps), _value(one, at, decimals)))
        for one in plot.series
        for at in range(len(one.y))
    ]
    return heads, rows


def _place(one: Series, at: int, *, steps: bool) -> ShownCell:
    """Where a point lies: its label or number, with its interval; of a histogram, from where to where."""
    x = one.x[at]
    if steps:
        return ShownCell(f"{_plain(x)} to {_plain(one.x[at + 1])}")
    ends = wording.ends(one.x_low[at], one.x_high[at], decimals=_digits(one.x_low[at])) if one.x_low else ""
    return ShownCell(_plain(x), ends)


def _value(one: Series, at: int, decimals: int) -> ShownCell:
    ends = wording.ends(one.low[at], one.high[at], decimals=decimals) if one.low else ""
    return ShownCell(wording.number(float(one.y[at]), decimals), ends, number=True)


def _plain(x: float | str) -> str:
    return x if isinstance(x, str) else wording.number(x, _digits(x)) if math.isfinite(x) else wording.NOTHING


def _digits(x: float) -> int:
    return 0 if float(x).is_integer() else wording.decimals_of(0.0, x)


def _decimals(plot: Plot) -> int:
    """Two digits of the narrowest interval, or three of the largest value."""
    halves = [(high - low) / 2 for one in plot.series for low, high in zip(one.low, one.high, strict=False)]
    known = [half for half in halves if math.isfinite(half) and half > 0]
    sizes = [abs(y) for one in plot.series for y in one.y if math.isfinite(y)]
    return wording.decimals_of(min(known) if known else 0.0, max(sizes, default=1.0) or 1.0)
