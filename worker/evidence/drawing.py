"""Drawing: plots as data in, SVG and PNG out. Same data, same bytes; no dates, no random ids, text stays text in SVG.

The first six colours are those of Okabe and Ito, distinct for every kind of colour vision; lines and clouds also differ
by marker. A drawing exists twice: stand-alone with its colours written in, and for inlining with the colours as CSS
variables, so that a page can turn dark.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import re
import unicodedata
import warnings
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
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from worker.evidence.plot import Plot, Series
from worker.evidence.wording import decimals_of

INK, MUTED, LINE, QUIET = "#24292f", "#66707a", "#e3e6e9", "#b4bcc4"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a68b3", "#595e63")
_VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line", QUIET: "--quiet"} | {
    colour: f"--c{i}" for i, colour in enumerate(COLOURS, 1)
}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (7, 2, 1, 2)), (0, (3, 3)))
_WIDTH, _HEIGHT = 6.0, 3.3
_LONGEST = 40
_STYLE = {
    "svg.hashsalt": "distillery",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
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
    "legend.fontsize": 8.5,
}


def draw(plot: Plot) -> str:
    """The plot as a stand-alone SVG document (UTF-8 text), with title and description for screen readers."""
    empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
    svg = _drawn(plot, FigureCanvasSVG, format="svg", metadata=empty, transparent=True)
    return _finish(svg.decode("utf-8"), plot)


def draw_png(plot: Plot) -> bytes:
    """The same plot as a PNG on white paper, for places that show no SVG; 150 pixels an inch."""
    described = {"Software": None, "Title": _latin(plot.title), "Description": _latin(plot.description)}
    return _drawn(plot, FigureCanvasAgg, format="png", metadata=described, dpi=150, facecolor="white")


def _drawn(plot: Plot, canvas: type[FigureCanvasBase], **options: Any) -> bytes:
    style: dict[Any, Any] = {key: value for key, value in _STYLE.items() if key in mpl.rcParams}
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with mpl.rc_context(style), warnings.catch_warnings():
        # Text is drawn by the reader's own font, so a glyph missing in the one used for measuring is no loss.
        warnings.simplefilter("ignore", UserWarning)
        figure = Figure(figsize=(_WIDTH, _height(plot)), layout="constrained")
        canvas(figure)
        axes = figure.add_subplot()
        _DRAW[plot.kind](axes, plot)
        out = io.BytesIO()
        figure.savefig(out, **options)
    return out.getvalue()


def _latin(text: str) -> str:
    # Text in a PNG is Latin-1 (PNG specification, section 11.3.3.2).
    return clean(text).encode("latin-1", errors="replace").decode("latin-1")


def inline(svg: str, name: str) -> str:
    """The drawing for a page: scales with its column, takes the page's colours, ids apart from other drawings'."""
    prefix = f"{_slug(name)}-"
    body = svg[svg.index("<svg") :]
    body = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'<rect class="paper"[^>]*/>', "", body, count=1)
    body = re.sub(r'\bid="', f'id="{prefix}', body)
    body = body.replace("url(#", f"url(#{prefix}").replace('href="#', f'href="#{prefix}')
    body = re.sub(r'aria-labelledby="([^" ]+) ([^"]+)"', rf'aria-labelledby="{prefix}\1 {prefix}\2"', body, count=1)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    return body


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


def _height(plot: Plot) -> float:
    if plot.kind == "heatmap":
        return 1.1 + 0.34 * len(plot.series)
    if plot.kind != "interval":
        return _HEIGHT + 0.2 * ((len(plot.series) - 1) // 2 if len(plot.series) > 1 else 0)
    return 0.75 + 0.27 * sum(len(s.x) + 1.2 for s in plot.series)


def _draw_interval(axes: Axes, plot: Plot) -> None:
    y, ticks, labels, top, bottom = 0.0, [], [], 0.0, 0.0
    digits = _digits(plot)
    for series in plot.series:
        axes.text(0, y, _short(series.label), transform=axes.get_yaxis_transform(), va="center", fontweight="bold")
        for i, label in enumerate(series.x):
            y += 1
            stressed = label in series.stress
            axes.barh(y, series.y[i], height=0.62, color=COLOURS[0] if stressed else QUIET)
            end, said = series.y[i], f"{series.y[i]:.{digits}f}"
            if series.low and np.isfinite(series.low[i]):
                axes.plot([series.low[i], series.high[i]], [y, y], color=INK, linewidth=1.4, solid_capstyle="butt")
                end = max(end, series.high[i])
                bottom = min(bottom, series.low[i])
                said += f" [{series.low[i]:.{digits}f}, {series.high[i]:.{digits}f}]"
            axes.text(1.02, y, said, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
            ticks.append(y)
            labels.append(_short(label))
            top, bottom = max(top, end), min(bottom, series.y[i])
        y += 1.2
    axes.set_yticks(ticks, labels)
    axes.set_ylim(y - 0.4, -0.6)
    axes.set_xlim(1.03 * min(bottom, plot.mark_x or 0.0), 1.03 * max(top, plot.mark_x or 0, 1e-9))
    axes.spines["left"].set_visible(False)
    axes.xaxis.grid(True)
    if plot.mark_x is not None:
        axes.axvline(plot.mark_x, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlabel(clean(plot.x_label))


def _digits(plot: Plot) -> int:
    """Decimals behind the bars: two digits of the narrowest interval, and at least one."""
    ends = [pair for series in plot.series for pair in zip(series.low, series.high, strict=True)]
    halves = [(high - low) / 2 for low, high in ends if math.isfinite(high - low) and high > low]
    return max(1, min(4, decimals_of(min(halves)) if halves else 1))


def _draw_line(axes: Axes, plot: Plot) -> None:
    for i, series in _stressed_first(plot):
        colour, marker, dash = _look(i)
        x, y = np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float)
        wide = 2.2 if series.stress else 1.4
        many = len(x) > 25
        if series.low:
            spread = [y - np.asarray(series.low), np.asarray(series.high) - y]
            axes.errorbar(x, y, yerr=np.maximum(spread, 0), fmt="none", ecolor=colour, elinewidth=1.2, capsize=3)
        axes.plot(
            x,
            y,
            color=colour,
            linestyle=dash if len(x) > 1 else "none",
            linewidth=wide,
            marker="" if many else marker,
            markersize=7 if series.stress else 5,
            label=_short(series.label),
        )
    _scales(axes, plot)
    _legend(axes, plot)


def _draw_scatter(axes: Axes, plot: Plot) -> None:
    for i, series in _stressed_first(plot):
        colour, marker, _ = _look(i)
        x, y = np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float)
        if series.low:
            spread = [y - np.asarray(series.low), np.asarray(series.high) - y]
            axes.errorbar(x, y, yerr=np.maximum(spread, 0), fmt="none", ecolor=colour, elinewidth=1.0)
        size = 34 if series.stress else 20
        axes.scatter(x, y, s=size, color=colour, marker=marker, alpha=0.8, linewidths=0, label=_short(series.label))
    axes.xaxis.grid(True)
    _scales(axes, plot)
    _legend(axes, plot)


def _draw_heatmap(axes: Axes, plot: Plot) -> None:
    """A tile per cell, the stronger the higher its value, with the value written on it."""
    values = np.array([series.y for series in plot.series], dtype=float)
    known = values[np.isfinite(values)]
    lowest, highest = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    decimals = decimals_of((highest - lowest) / 20, highest)
    for down, row in enumerate(values):
        for across, value in enumerate(row):
            if np.isfinite(value):
                level = (value - lowest) / (highest - lowest) if highest > lowest else 0.5
                # Ink stays readable on the strongest tile, on white and on dark paper.
                axes.barh(down, 0.96, 0.92, across - 0.48, color=COLOURS[0], alpha=0.06 + 0.5 * level)
            said = f"{value:.{decimals}f}" if np.isfinite(value) else "–"
            axes.text(across, down, said, ha="center", va="center", fontsize=8.5)
    labels = [_short(label) for label in plot.series[0].x]
    axes.set_xticks(range(len(labels)), labels, rotation=30 if len(labels) > 6 else 0)
    axes.set_yticks(range(len(plot.series)), [_short(series.label) for series in plot.series])
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_ylim(len(plot.series) - 0.5, -0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    axes.set(xlabel=clean(plot.x_label), ylabel=clean(plot.y_label))


def _draw_bar(axes: Axes, plot: Plot) -> None:
    labels = list(dict.fromkeys(label for series in plot.series for label in series.x))
    width = 0.8 / max(len(plot.series), 1)
    for i, series in enumerate(plot.series):
        at = [labels.index(x) + (i - (len(plot.series) - 1) / 2) * width for x in series.x]
        axes.bar(at, series.y, width=0.92 * width, color=_look(i)[0], label=_short(series.label))
    axes.set_xticks(range(len(labels)), [_short(label) for label in labels], rotation=30 if len(labels) > 6 else 0)
    axes.yaxis.grid(True)
    axes.set(xlabel=clean(plot.x_label), ylabel=clean(plot.y_label))
    if plot.log_y:
        axes.set_yscale("log")
    _legend(axes, plot)


def _draw_histogram(axes: Axes, plot: Plot) -> None:
    for i, series in _stressed_first(plot):
        colour, _, dash = _look(i)
        edges = np.asarray(series.x, dtype=float)
        axes.stairs(series.y, edges, fill=True, color=colour, alpha=0.12)
        axes.stairs(series.y, edges, color=colour, linestyle=dash, linewidth=1.8, label=_short(series.label))
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
    if plot.mark_x is not None:
        axes.axvline(plot.mark_x, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.yaxis.grid(True)
    axes.set(xlabel=clean(plot.x_label), ylabel=clean(plot.y_label))


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
        axes.figure.legend(loc="outside lower left", ncols=2, handlelength=2.6, columnspacing=2)


def _look(i: int) -> tuple[str, str, object]:
    return COLOURS[i % len(COLOURS)], _MARKERS[i % len(_MARKERS)], _DASHES[i % len(_DASHES)]


def _stressed_first(plot: Plot) -> list[tuple[int, Series]]:
    """The series with the number of their look: what is stressed has the first one in every plot."""
    order = sorted(plot.series, key=lambda series: not series.stress)
    return [(order.index(series), series) for series in plot.series]


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
