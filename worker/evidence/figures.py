"""The plots that every report of a summary carries, as data."""

from __future__ import annotations

import math

from worker.contract.learner import Learner
from worker.evidence.comparison import Comparison
from worker.evidence.ordering import Ordering
from worker.evidence.plot import Plot, Series
from worker.evidence.searches import searches
from worker.evidence.summary_verdict import Judged


def all_figures(c: Comparison, judged: Judged) -> tuple[Plot, ...]:
    """Every plot that has something to show, the kind's own last."""
    m = c.measurements
    drawn = [
        kept(c), against_size(c, judged.learner), carried_over(c), ranked(c, judged.ordering), *searches(m), *m.plots
    ]  # fmt: skip
    return tuple(plot for plot in drawn if plot.series)


def kept(c: Comparison) -> Plot:
    """Share of the full-data metric that each set keeps, per learner, with intervals."""
    m = c.measurements
    stress = tuple(s.label for s in m.sets if s.role in ("summary", "form"))
    series: list[Series] = []
    for learner in (one for one in m.learners if not one.floor):
        shares = [(s.label, c.share(learner.name, s.name)) for s in m.sets if s.role != "full"]
        found = [(label, share.estimate) for label, share in shares if share is not None]
        usable = [(label, e) for label, e in found if math.isfinite(e.value)]
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
        n=m.test.n,
    )


def against_size(c: Comparison, learner: Learner | None) -> Plot:
    """The metric of one learner against the bytes of what it was trained on."""
    m = c.measurements
    series: list[Series] = []
    for one in m.sets:
        mean = c.mean(learner.name, one.name) if learner else None
        if mean is not None and one.bytes > 0:
            e = mean.estimate
            value, low, high = (m.metric.scale * v for v in (e.value, e.low, e.high))
            stress = (one.label,) if one.role == "summary" else ()
            ends = ((low,), (high,)) if math.isfinite(low) else ((), ())
            series.append(Series(one.label, (float(one.bytes),), (value,), *ends, stress=stress))
    name = learner.label if learner else ""
    said = ", ".join(f"{s.label} {s.y[0]:.1f} at {s.x[0]:,.0f} bytes" for s in series)
    return Plot(
        "metric-against-size",
        f"{m.metric.label} of {name} against the size of its training set",
        f"{m.metric.label} of {name} on test data with 95 % intervals: {said}.",
        "line",
        "bytes (log scale)",
        _with_unit(m.metric.label, m.metric.unit),
        tuple(series),
        log_x=True,
        n=m.test.n,
    )


def carried_over(c: Comparison) -> Plot:
    """A heat map of the share kept, training set x learner, where there are at least two learners beside the floors."""
    m = c.measurements
    learners = [one for one in m.learners if not one.floor and c.mean(one.name, m.full.name) is not None]
    series: list[Series] = []
    for one in m.sets if len(learners) > 1 else ():
        shares = [c.share(learner.name, one.name) for learner in learners]
        if one.role != "full" and any(share is not None for share in shares):
            cells = tuple(math.nan if share is None else 100 * share.value for share in shares)
            series.append(Series(one.label, tuple(learner.label for learner in learners), cells))
    said = "; ".join(f"{s.label}: " + ", ".join(_each(s)) for s in series)
    return Plot(
        "cross-learner",
        f"Share of full-data {m.metric.label} kept, by training set and learner",
        f"Per cent of the full data's {m.metric.label}. {said}.",
        "heatmap",
        "% of full data, by learner",
        "",
        tuple(series),
        n=m.test.n,
    )


def ranked(c: Comparison, found: Ordering) -> Plot:
    """Every configuration by its validation metric on the full data and on the summary."""
    m = c.measurements
    series: list[Series] = []
    for learner in m.learners:
        own = [one for one in found.configurations if one.learner == learner.name]
        if own:
            x, y = (
                tuple(m.metric.scale * v for v in side)
                for side in zip(*((o.full, o.summary) for o in own), strict=True)
            )
            series.append(Series(learner.label, x, y))
    count = len(found.configurations)
    said = f" Kendall's tau-b is {found.tau.value:.2f}." if found.tau is not None else ""
    return Plot(
        "ordering",
        "Does the summary rank configurations as the full data does?",
        f"Validation {m.metric.label} of {count} configurations trained on the full data and on the summary.{said}",
        "scatter",
        _with_unit(f"validation {m.metric.label}, full data", m.metric.unit),
        _with_unit(f"validation {m.metric.label}, summary", m.metric.unit),
        tuple(series) if count > 1 else (),
    )


def _with_unit(label: str, unit: str) -> str:
    return f"{label} ({unit})" if unit else label


def _each(series: Series) -> list[str]:
    return [f"{label} {value:.1f} %" for label, value in zip(series.x, series.y, strict=True) if math.isfinite(value)]
