"""The plots that every report of a summary carries, as data."""

from __future__ import annotations

import math
from dataclasses import replace

from worker.contract.learner import Learner
from worker.evidence.comparison import Comparison
from worker.evidence.looks import FULL, OWN, family_of_baseline
from worker.evidence.measurements import Measurements
from worker.evidence.noise import Noise
from worker.evidence.ordering import Ordering
from worker.evidence.plot import Plot, Series
from worker.evidence.searches import searches
from worker.evidence.summary_verdict import Judged


def families(m: Measurements) -> dict[str, str]:
    """The family of every set and learner, by its label: a baseline's is its method, whatever was made equal."""
    of_sets = {
        one.label: FULL
        if one.role == "full"
        else family_of_baseline(one.method or one.name)
        if one.role == "baseline"
        else OWN
        for one in m.sets
    }
    return of_sets | {one.label: f"learner {one.name}" for one in m.learners if not one.floor}


def all_figures(c: Comparison, judged: Judged, noise: Noise) -> tuple[Plot, ...]:
    """Every plot that has something to show, the kind's own last."""
    m = c.measurements
    drawn = [kept(c), *against_sizes(c, judged.learner), carried_over(c), ranked(c, judged.ordering)]
    drawn += [*searches(m, noise), *m.plots]
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
        mark_label=m.full.label,
        n=m.test.n,
    )


def against_sizes(c: Comparison, judged: Learner | None) -> list[Plot]:
    """A plot of the metric against bytes for the learner that the verdict speaks of, then for every other usual one."""
    others = (one for one in c.measurements.learners if one.usual and not one.floor)
    chosen = {one.name: one for one in (judged, *others) if one is not None}
    return [
        replace(plot, name=f"{plot.name}-{name}") if number else plot
        for number, (name, plot) in enumerate((name, against_size(c, one)) for name, one in chosen.items())
    ]


def against_size(c: Comparison, learner: Learner) -> Plot:
    """The metric of one learner against the bytes of what it was trained on."""
    m = c.measurements
    series: list[Series] = []
    for one in m.sets:
        mean = c.mean(learner.name, one.name)
        if mean is not None and one.bytes > 0:
            e = mean.estimate
            value, low, high = (m.metric.scale * v for v in (e.value, e.low, e.high))
            stress = (one.label,) if one.role == "summary" else ()
            ends = ((low,), (high,)) if math.isfinite(low) else ((), ())
            series.append(Series(one.label, (float(one.bytes),), (value,), *ends, stress=stress))
    name = learner.label
    said = ", ".join(f"{s.label} {s.y[0]:.{m.metric.decimals}f} at {s.x[0]:,.0f} bytes" for s in series)
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
            found = [None if share is None else share.estimate for share in shares]
            cells = tuple(math.nan if e is None else 100 * e.value for e in found)
            ends = (
                tuple(math.nan if e is None else 100 * e.low for e in found),
                tuple(math.nan if e is None else 100 * e.high for e in found),
            )
            series.append(Series(one.label, tuple(learner.label for learner in learners), cells, *ends))
    said = "; ".join(f"{s.label}: " + ", ".join(_each(s)) for s in series)
    return Plot(
        "cross-learner",
        f"Share of full-data {m.metric.label} kept, by training set and learner",
        f"Per cent of the full data's {m.metric.label}, with half the 95 % interval. {said}.",
        "heatmap",
        "% of full data, by learner",
        "",
        tuple(series),
        n=m.test.n,
    )


def ranked(c: Comparison, found: Ordering) -> Plot:
    """Every configuration by how far it is from the favourite of the full data, and from that of the summary."""
    m = c.measurements
    series: list[Series] = []
    for learner in m.learners if found.tau is not None else ():
        own = [one for one in found.configurations if one.learner == learner.name]
        if own:
            x, y = [one.behind_full for one in own], [one.behind_summary for one in own]
            known = all(math.isfinite(e.width) for e in (*x, *y))
            (x_, x_low, x_high), (y_, low, high) = (
                zip(*((m.metric.scale * v for v in (e.value, e.low, e.high)) for e in side), strict=True)
                for side in (x, y)
            )
            if known:
                series.append(Series(learner.label, x_, y_, low, high, x_low=x_low, x_high=x_high))
            else:
                series.append(Series(learner.label, x_, y_))
    count = len(found.configurations)
    said = f" Kendall's tau-b is {found.tau.value:.2f}." if found.tau is not None else ""
    return Plot(
        "ordering",
        "Does the summary rank configurations as the full data does?",
        f"Validation {m.metric.label} of {count} configurations trained on the full data and on the summary, each less "
        f"that of the favourite there, with 95 % intervals: where one holds 0, noise may be all.{said}",
        "scatter",
        _with_unit("behind the full data's favourite", m.metric.unit),
        _with_unit("behind the summary's favourite", m.metric.unit),
        tuple(series),
    )


def _with_unit(label: str, unit: str) -> str:
    return f"{label} ({unit})" if unit else label


def _each(series: Series) -> list[str]:
    return [f"{label} {value:.1f} %" for label, value in zip(series.x, series.y, strict=True) if math.isfinite(value)]
