"""What the plots of a report look like: colour, marker and fill of every thing that they draw."""

from __future__ import annotations

import numpy as np

from worker.evidence import drawing
from worker.evidence.findings import Findings
from worker.evidence.looks import Looks
from worker.evidence.plot import Plot

Drawn = dict[str, set[tuple[str, str, str]]]


def looks_in(plot: Plot, looks: Looks) -> Drawn:
    """Colour, marker and fill of every label that a plot draws with a marker or a legend."""
    (axes,) = drawing.figure_of(plot, looks).axes
    found: Drawn = {}
    if plot.kind == "interval":
        dots = [line for line in axes.lines if line.get_marker() not in ("", "None", None)]
        labels = [text.get_text().replace("\n", " ") for text in axes.get_yticklabels()]
        places = [float(tick) for tick in axes.get_yticks()]
        for dot in dots:
            label = labels[places.index(float(np.asarray(dot.get_ydata())[0]))]
            found.setdefault(label, set()).add((str(dot.get_color()), str(dot.get_marker()), str(dot.get_fillstyle())))
        return found
    for line in axes.lines:
        if not str(line.get_label()).startswith("_"):
            look = str(line.get_color()), str(line.get_marker()), str(line.get_fillstyle())
            found.setdefault(str(line.get_label()), set()).add(look)
    return found


def drawn(found: Findings) -> Drawn:
    looks = drawing.looks_of(found.plots, found.families)
    every: Drawn = {}
    for plot in found.plots:
        for label, seen in looks_in(plot, looks).items():
            every.setdefault(label, set()).update(seen)
    return every
