"""Drawing: plots as data in, SVG and PNG out. Same data, same bytes; no dates, no random ids, text stays text in SVG.

What a thing looks like is decided in `worker.evidence.looks`. A drawing exists twice: stand-alone with its colours
written in, and for inlining with the colours as CSS variables, so that a page can turn dark. It is as wide as a page on
a phone, where its text is as large as it is drawn; on a wider page it grows.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import re
import textwrap
import unicodedata
import warnings
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from worker.evidence.looks import COLOURS, HEAT, INK, LINE, MUTED, QUIET, Look, Looks
from worker.evidence.plot import Plot, Series
from worker.evidence.wording import decimals_of

VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line", QUIET: "--quiet", HEAT: "--heat"} | {
    colour: f"--c{i}" for i, colour in enumerate(COLOURS, 1)
}
"""Colours of a drawing, and the variables of a page that take their place in it."""
WIDTH = 4.9
_HEIGHT, _LONGEST, _AT_SIDE, _SMALL, _WRITTEN = 3.0, 40, 22, 9.2, 10
_STYLE = {
    "svg.hashsalt": "distillery",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": _SMALL,
    "xtick.labelsize": _SMALL,
    "ytick.labelsize": _SMALL,
}


def looks_of(plots: Iterable[Plot], families: Mapping[str, str]) -> Looks:
    """The looks of everything that some plots show; `families` as in `Findings`."""
    coloured = [series.label for plot in plots if plot.kind not in ("interval", "heatmap") for series in plot.series]
    return Looks(families, coloured)


def draw(plot: Plot, looks: Looks) -> str:
    """The plot as a stand-alone SVG document (UTF-8 text), with title and description for screen readers."""
    empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
    svg = _saved(plot, looks, FigureCanvasSVG, format="svg", metadata=empty, transparent=True)
    return _finish(svg.decode("utf-8"), plot)


def draw_png(plot: Plot, looks: Looks) -> bytes:
    """The same plot as a PNG on white paper, for places that show no SVG; 200 pixels an inch."""
    described = {"Software": None, "Title": _latin(plot.title), "Description": _latin(plot.description)}
    return _saved(plot, looks, FigureCanvasAgg, format="png", metadata=described, dpi=200, facecolor="white")


def _saved(plot: Plot, looks: Looks, canvas: type[FigureCanvasBase], **options: Any) -> bytes:
    out = io.BytesIO()
    with _style():
        figure = figure_of(plot, looks)
        canvas(figure)
        figure.savefig(out, **options)
    return out.getvalue()


def figure_of(plot: Plot, looks: Looks) -> Figure:
    """The drawn plot."""
    with _style():
        figure = Figure(figsize=(WIDTH, _height(plot)), layout="constrained")
        _DRAW[plot.kind](figure.add_subplot(), plot, looks)
    return figure


@contextmanager
def _style() -> Generator[None]:
    style: dict[Any, Any] = {key: value for key, value in _STYLE.items() if key in mpl.rcParams}
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with mpl.rc_context(style), warnings.catch_warnings():
        # Text is drawn by the reader's own font, so a glyph missing in the one used for measuring is no loss.
        warnings.simplefilter("ignore", UserWarning)
        yield


def _latin(text: str) -> str:
    # Text in a PNG is Latin-1 (PNG specification, section 11.3.3.2).
    return clean(text).encode("latin-1", errors="replace").decode("latin-1")


def inline(svg: str, name: str) -> str:
    """The drawing for a page: scales with its column, takes the page's colours, ids apart from other drawings'.

    It brings no style, which a page with a strict content policy would refuse: what was style is attributes.
    """
    prefix = f"{_slug(name)}-"
    body = svg[svg.index("<svg") :]
    body = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'<rect class="paper"[^>]*/>', "", body, count=1)
    body = re.sub(r'\bid="', f'id="{prefix}', body)
    body = body.replace("url(#", f"url(#{prefix}").replace('href="#', f'href="#{prefix}')
    body = re.sub(r'aria-labelledby="([^" ]+) ([^"]+)"', rf'aria-labelledby="{prefix}\1 {prefix}\2"', body, count=1)
    body = re.sub(r"<style\b.*?</style>", "", body, count=1, flags=re.DOTALL)
    body = body.replace("<svg ", '<svg stroke-linejoin="round" stroke-linecap="butt" ', 1)
    body = re.sub(r' style="([^"]*)"', lambda found: _as_attributes(found[1]), body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    return body


def _as_attributes(style: str) -> str:
    """The declarations of a style attribute as attributes of the same names; the font is the page's own."""
    declared = (one.partition(":") for one in style.split(";") if one.strip())
    named = ((name.strip(), value.strip()) for name, _, value in declared)
    return "".join(f' {name}="{value}"' for name, value in named if name != "font-family")


def _finish(svg: str, plot: Plot) -> str:
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!DOCTYPE.*?>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\n\s*\n+", "\n", svg)
    title = f'<title id="title">{escape(clean(plot.title))}</title>'
    described = f'<desc id="desc">{escape(clean(plot.description))}</desc>'
    paper = '<rect class="paper" width="100%" height="100%" fill="#ffffff"/>'
    head = re.search(r"<svg\b[^>]*>", svg)
    if head is None:
        raise ValueError("the drawing has no svg element")
    opened = head[0][:-1] + ' role="img" aria-labelledby="title desc">'
    return svg[: head.start()] + opened + title + described + paper + svg[head.end() :]


def clean(text: str) -> str:
    """Text without control characters, which XML forbids and which could turn reading direction round."""
    return "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text)


def _short(text: object) -> str:
    label = clean(str(text))
    return label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "…"


def _beside(text: object) -> str:
    """A label that stands beside its bar: in two lines where it is long."""
    lines = textwrap.wrap(_short(text), _AT_SIDE)
    return "\n".join(lines if len(lines) < 3 else [lines[0], " ".join(lines[1:])])


def _beside_axis(label: str) -> str:
    """A label that stands along an axis, in lines no longer than the axis."""
    return "\n".join(textwrap.wrap(clean(label), 30))


def _height(plot: Plot) -> float:
    if plot.kind == "heatmap":
        return 1.1 + 0.38 * len(plot.series)
    if plot.kind != "interval":
        return _HEIGHT + 0.2 * (_legend_rows(plot) - 1)
    return 0.85 + 0.3 * sum(len(s.x) + 1.1 for s in plot.series)


def _draw_interval(axes: Axes, plot: Plot, looks: Looks) -> None:
    y, ticks, labels, top, bottom = 0.0, [], [], 0.0, 0.0
    digits = _digits(plot)
    for series in plot.series:
        axes.text(0, y, _short(series.label), transform=axes.get_yaxis_transform(), va="center", fontweight="bold")
        for i, label in enumerate(series.x):
            y += 1
            look = looks.of_bar(str(label), stressed=label in series.stress)
            axes.barh(y, series.y[i], height=0.56, color=look.colour, alpha=1.0 if look.marker == "" else 0.3)
            end, said = series.y[i], f"{series.y[i]:.{digits}f}"
            if series.low and np.isfinite(series.low[i]):
                axes.plot([series.low[i], series.high[i]], [y, y], color=INK, linewidth=1.4, solid_capstyle="butt")
                end = max(end, series.high[i])
                bottom = min(bottom, series.low[i])
                said += f" [{series.low[i]:.{digits}f}, {series.high[i]:.{digits}f}]"
            if look.marker:
                axes.plot([series.y[i]], [y], **_marker(look, 6.5), linestyle="none", zorder=3)
            axes.text(1.02, y, said, transform=axes.get_yaxis_transform(), va="center", fontsize=_SMALL)
            ticks.append(y)
            labels.append(_beside(label))
            top, bottom = max(top, end), min(bottom, series.y[i])
        y += 1.1
    axes.set_yticks(ticks, labels)
    axes.set_ylim(y - 0.4, -0.6)
    axes.set_xlim(1.03 * min(bottom, plot.mark_x or 0.0), 1.03 * max(top, plot.mark_x or 0, 1e-9))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.spines["left"].set_visible(False)
    axes.xaxis.grid(True)
    _mark(axes, plot)
    axes.set_xlabel(clean(plot.x_label))


def _mark(axes: Axes, plot: Plot) -> None:
    """The reference line, with what it stands for above it."""
    if plot.mark_x is None:
        return
    axes.axvline(plot.mark_x, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    if plot.mark_label:
        place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        axes.text(plot.mark_x, 1.01, _short(plot.mark_label), color=MUTED, fontsize=_SMALL, **place)


def _marker(look: Look, size: float) -> dict[str, Any]:
    """How matplotlib is told of a marker: one that is not full keeps its edge."""
    return {
        "color": look.colour,
        "marker": look.marker,
        "markersize": size,
        "fillstyle": look.fill,
        "markerfacecoloralt": "none",
    }


def _digits(plot: Plot) -> int:
    """Decimals behind the bars: two digits of the narrowest interval, and at least one."""
    ends = [pair for series in plot.series for pair in zip(series.low, series.high, strict=True)]
    halves = [(high - low) / 2 for low, high in ends if math.isfinite(high - low) and high > low]
    return max(1, min(4, decimals_of(min(halves)) if halves else 1))


def _draw_line(axes: Axes, plot: Plot, looks: Looks) -> None:
    for series in plot.series:
        look = looks.of(series.label)
        x, y = np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float)
        _whiskers(axes, series, look, 1.2)
        shown = look if len(x) <= 25 else replace(look, marker="")
        axes.plot(
            x,
            y,
            linestyle=look.dash if len(x) > 1 else "none",
            linewidth=2.2 if series.stress else 1.4,
            label=_short(series.label),
            **_marker(shown, 7 if series.stress else 5.5),
        )
    _scales(axes, plot)
    _legend(axes, plot)


def _draw_scatter(axes: Axes, plot: Plot, looks: Looks) -> None:
    for series in plot.series:
        look = looks.of(series.label)
        _whiskers(axes, series, look, 0.9)
        axes.plot(
            np.asarray(series.x, dtype=float),
            np.asarray(series.y, dtype=float),
            linestyle="none",
            label=_short(series.label),
            **_marker(look, 7 if series.stress else 5.5),
        )
    axes.xaxis.grid(True)
    _scales(axes, plot)
    _legend(axes, plot)


def _whiskers(axes: Axes, series: Series, look: Look, width: float) -> None:
    """Intervals of the values, and of the places where they have some."""
    x, y = np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float)
    style: dict[str, Any] = {"fmt": "none", "ecolor": look.colour, "elinewidth": width, "alpha": 0.6}
    if series.low:
        spread = [y - np.asarray(series.low), np.asarray(series.high) - y]
        axes.errorbar(x, y, yerr=np.maximum(spread, 0), capsize=0 if series.x_low else 3, **style)
    if series.x_low:
        spread = [x - np.asarray(series.x_low), np.asarray(series.x_high) - x]
        axes.errorbar(x, y, xerr=np.maximum(spread, 0), **style)


def _draw_heatmap(axes: Axes, plot: Plot, looks: Looks) -> None:
    """A tile per cell, the stronger the higher its value, with the value written on it, and half its interval.

    Beyond ten columns there is no room to write: the tiles alone speak.
    """
    del looks  # a tile's colour says how much, not what
    values = np.array([series.y for series in plot.series], dtype=float)
    known = values[np.isfinite(values)]
    lowest, highest = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    decimals = decimals_of((highest - lowest) / 20, highest)
    for down, row in enumerate(values):
        for across, value in enumerate(row):
            if np.isfinite(value):
                level = (value - lowest) / (highest - lowest) if highest > lowest else 0.5
                # Ink stays readable on the strongest tile, on white and on dark paper.
                axes.barh(down, 0.96, 0.92, across - 0.48, color=HEAT, alpha=0.06 + 0.5 * level)
            said = f"{value:.{decimals}f}" if np.isfinite(value) else "–"
            series = plot.series[down]
            if series.low and np.isfinite(series.low[across]):
                said += f" ±{(series.high[across] - series.low[across]) / 2:.{decimals}f}"
            if str(series.x[across]) in series.stress:
                axes.barh(down, 0.9, 0.84, across - 0.45, fill=False, edgecolor=INK, linewidth=1.2)
            if len(row) <= _WRITTEN:
                axes.text(across, down, said, ha="center", va="center", fontsize=_SMALL)
    labels = [_short(label) for label in plot.series[0].x]
    turned = 90 if len(labels) > _WRITTEN else 30 if len(labels) > 6 else 0
    axes.set_xticks(range(len(labels)), labels, rotation=turned)
    axes.set_yticks(range(len(plot.series)), [_beside(series.label) for series in plot.series])
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_ylim(len(plot.series) - 0.5, -0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    axes.set(xlabel=clean(plot.x_label), ylabel=_beside_axis(plot.y_label))


def _draw_bar(axes: Axes, plot: Plot, looks: Looks) -> None:
    labels = list(dict.fromkeys(label for series in plot.series for label in series.x))
    width = 0.8 / max(len(plot.series), 1)
    for i, series in enumerate(plot.series):
        at = [labels.index(x) + (i - (len(plot.series) - 1) / 2) * width for x in series.x]
        look = looks.of(series.label)
        axes.bar(
            at,
            series.y,
            width=0.92 * width,
            color=look.colour if look.fill == "full" else "none",
            edgecolor=look.colour,
            label=_short(series.label),
        )
        _whiskers(axes, replace(series, x=tuple(at)), replace(look, colour=INK), 1.2)
    axes.set_xticks(range(len(labels)), [_short(label) for label in labels], rotation=30 if len(labels) > 6 else 0)
    axes.yaxis.grid(True)
    axes.set(xlabel=clean(plot.x_label), ylabel=_beside_axis(plot.y_label))
    if plot.log_y:
        axes.set_yscale("log")
    _legend(axes, plot)


def _draw_histogram(axes: Axes, plot: Plot, looks: Looks) -> None:
    for series in plot.series:
        look = looks.of(series.label)
        edges = np.asarray(series.x, dtype=float)
        axes.stairs(series.y, edges, fill=True, color=look.colour, alpha=0.12)
        axes.stairs(series.y, edges, color=look.colour, linestyle=look.dash, linewidth=1.8, label=_short(series.label))
    _scales(axes, plot)
    _legend(axes, plot)


def _scales(axes: Axes, plot: Plot) -> None:
    values = [float(x) for series in plot.series for x in series.x]
    if plot.log_x and values:
        positive = [v for v in values if v > 0]
        if len(positive) == len(values):
            axes.set_xscale("log")
        elif positive:
            # A grid may hold 0, which a logarithm has no room for.
            axes.set_xscale("symlog", linthresh=min(positive))
        _plain_ticks(axes.xaxis, values)
    if plot.log_y:
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis, [y for series in plot.series for y in series.y if y > 0])
    _mark(axes, plot)
    axes.yaxis.grid(True)
    axes.set(xlabel=clean(plot.x_label), ylabel=_beside_axis(plot.y_label))


def _plain_ticks(axis: Axis, values: list[float]) -> None:
    """Powers of ten, or 1, 2 and 5 times them on a short axis, written out: 0.01, 1, 20k."""
    positive = [v for v in values if v > 0]
    decades = math.log10(max(positive) / min(positive)) if positive else 0.0
    stride = max(1, math.ceil(decades / 6))
    first, last = (math.floor(math.log10(f(positive))) for f in (min, max)) if positive else (0, 0)
    steps = (1, 2, 5) if decades < 2 else (1,)
    ticks = [s * 10.0**e for e in range(first, last + 2) for s in steps if (e - first) % stride == 0]
    axis.set_major_locator(FixedLocator(([0.0] if min(values, default=1) <= 0 else []) + ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _compact(value)))
    axis.set_minor_locator(NullLocator())  # they have no length, and take a third of the time


def _compact(value: float) -> str:
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


def _legend(axes: Axes, plot: Plot) -> None:
    if len(plot.series) > 1:
        axes.figure.legend(loc="outside lower left", ncols=_legend_columns(plot), handlelength=2.6, columnspacing=1.5)


def _legend_columns(plot: Plot) -> int:
    return 2 if all(len(_short(series.label)) <= _AT_SIDE for series in plot.series) else 1


def _legend_rows(plot: Plot) -> int:
    return math.ceil(len(plot.series) / _legend_columns(plot)) if len(plot.series) > 1 else 0


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or hashlib.sha256(name.encode()).hexdigest()[:8]


def file_name(name: str, ending: str = "svg") -> str:
    """The file name, without folder, of a plot or picture: lower-case letters, digits and hyphens, and its ending."""
    return f"{_slug(name)}.{ending}"


def to_json(plot: Plot) -> dict[str, object]:
    """The plot as data for the report: everything a reader needs to draw it anew."""

    def series(one: Series) -> dict[str, object]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(one).items()}

    return {
        "name": plot.name,
        "title": plot.title,
        "description": plot.description,
        "kind": plot.kind,
        "file": f"plots/{file_name(plot.name)}",
        "x": {"label": plot.x_label, "log": plot.log_x},
        "y": {"label": plot.y_label, "log": plot.log_y},
        "mark_x": plot.mark_x,
        "mark_label": plot.mark_label,
        "n": plot.n,
        "series": [series(one) for one in plot.series],
    }


_DRAW = {
    "interval": _draw_interval,
    "line": _draw_line,
    "scatter": _draw_scatter,
    "bar": _draw_bar,
    "histogram": _draw_histogram,
    "heatmap": _draw_heatmap,
}
