"""The plots every report carries, as data: what each set keeps, metric against size, hyper-parameter curves."""

from __future__ import annotations

import math

from worker.evidence.comparison import Comparison
from worker.evidence.measurements import Measurements, Plot, Series


def all_figures(c: Comparison, learner: str) -> tuple[Plot, ...]:
    """Every plot that has something to show, the kind's own last. `learner`: the one the verdict speaks of."""
    m = c.measurements
    drawn = [kept(c), against_size(c, learner), *searches(m), *m.plots]
    return tuple(plot for plot in drawn if plot.series)


def kept(c: Comparison) -> Plot:
    """Share of the full-data metric that each set keeps, per learner, with intervals."""
    m = c.measurements
    stress = tuple(s.label for s in m.sets if s.role in ("summary", "form"))
    series = []
    for learner in (one for one in m.learners if not one.floor):
        found = [(s.label, c.fidelity(learner.name, s.name)) for s in m.sets if s.role != "full"]
        usable = [(label, e) for label, e in found if e is not None and math.isfinite(e.value)]
        if usable:
            series.append(
                Series(
                    learner.label,
                    tuple(label for label, _ in usable),
                    tuple(100 * e.value for _, e in usable),
                    tuple(100 * e.low for _, e in usable),
                    tuple(100 * e.high for _, e in usable),
                    stress,
                )
            )
    said = "; ".join(f"{s.label}: " + ", ".join(_each(s)) for s in series)
    return Plot(
        "fidelity",
        f"What each training set keeps of full-data {m.metric.label}",
        f"Per cent of the full data's {m.metric.label}, with 95 % intervals. {said}.",
        "interval",
        "% of full data",
        "",
        tuple(series),
        mark_x=100.0,
        n=m.n_test,
    )


def against_size(c: Comparison, learner: str) -> Plot:
    """The metric of one learner against the bytes of what it was trained on."""
    m = c.measurements
    series = []
    for one in m.sets:
        mean = c.mean(learner, one.name) if learner else None
        if mean is not None and one.bytes > 0:
            scaled = [m.metric.scale * v for v in (mean.value, mean.low, mean.high)]
            label, stress = one.label, (one.label,) if one.role == "summary" else ()
            series.append(Series(label, (float(one.bytes),), (scaled[0],), (scaled[1],), (scaled[2],), stress))
    name = m.learner(learner).label if learner else ""
    said = ", ".join(f"{s.label} {s.y[0]:.1f} at {s.x[0]:,.0f} bytes" for s in series)
    return Plot(
        "metric-against-size",
        f"{m.metric.label} of {name} against the size of its training set",
        f"{m.metric.label} of {name} on test data with 95 % intervals: {said}.",
        "line",
        "bytes (log scale)",
        f"{m.metric.label} ({m.metric.unit})",
        tuple(series),
        log_x=True,
        n=m.n_test,
    )


def searches(m: Measurements) -> list[Plot]:
    """One plot per tuned learner: validation metric against the hyper-parameter, a line per set (first seed)."""
    plots = []
    for learner in m.learners:
        series, parameter = [], ""
        for one in m.sets:
            curve = next((r.curve for r in m.of(learner.name, one.name) if r.curve is not None), None)
            if curve is not None and len(curve.points) > 1:
                parameter = curve.parameter
                x, y = zip(*sorted(curve.points), strict=True)
                stress = (one.label,) if one.role == "summary" else ()
                series.append(Series(one.label, x, tuple(m.metric.scale * v for v in y), stress=stress))
        if series:
            best = ", ".join(f"{s.label} at {s.x[s.y.index(max(s.y))]:g}" for s in series)
            plots.append(
                Plot(
                    f"search-{learner.name}",
                    f"Choosing {parameter} of {learner.label} on validation data",
                    f"Validation {m.metric.label} against {parameter}; highest: {best}.",
                    "line",
                    f"{parameter} (log scale)",
                    f"validation {m.metric.label} ({m.metric.unit})",
                    tuple(series),
                    log_x=True,
                )
            )
    return plots


def _each(series: Series) -> list[str]:
    return [f"{label} {value:.1f} %" for label, value in zip(series.x, series.y, strict=True)]
