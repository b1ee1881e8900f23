"""A plot, or a picture, as data; `worker.evidence.drawing` draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Series:
    """One line, cloud, group of bars, histogram, or row of a heat map.

    `x`: numbers or labels; for a histogram the bin edges (one more). `low`, `high`: ends of the 95 % interval of every
    y, or empty; `x_low`, `x_high`: of every x of a cloud. `stress`: labels in `x` (or the series' own) to draw with
    emphasis; in a heat map, cells to frame.
    """

    label: str
    x: tuple[float | str, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    stress: tuple[str, ...] = ()
    x_low: tuple[float, ...] = ()
    x_high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Plot:
    """A plot. `description`: one sentence for who cannot see it.

    `kind`: `line`, `scatter`, `bar` (upright, grouped by series), `histogram` (outlines), `interval` (lying bars with
    whiskers, one group per series, a thing per label) or `heatmap` (a row per series over equal labels `x`, `y` the
    cells). `mark_x`: where to draw a reference line, or None; `mark_label`: what it stands for. `n`: over how many
    units.
    """

    name: str
    title: str
    description: str
    kind: Literal["line", "scatter", "bar", "histogram", "interval", "heatmap"]
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False
    mark_x: float | None = None
    mark_label: str = ""
    n: int | None = None


@dataclass(frozen=True)
class Picture:
    """A picture that a kind made, such as a contact sheet: PNG bytes. `description`: for who cannot see it."""

    name: str
    title: str
    description: str
    png: bytes
