"""How hyper-parameters were chosen: a table of every configuration tried, and a plot for each search.

One hyper-parameter makes a curve for the full data and for the summary, two a heat map for each, more a cloud in the
order of trying. Intervals are those of the paired difference to the best configuration: where one reaches the best, the
two are equal as far as the validation units can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.contract.learner import Learner, Settings
from worker.evidence.columns import trained, with_interval
from worker.evidence.measurements import Measurements, TrainedResult, TrainingSet
from worker.evidence.noise import Noise, as_good
from worker.evidence.plot import Plot, Series
from worker.evidence.statistics import Estimate, value_of
from worker.evidence.table import Cell, Column, Table


@dataclass(frozen=True)
class Point:
    """A configuration with its validation metric, and how far that is from the best of its search."""

    settings: Settings
    value: float
    behind: Estimate


Points = list[Point]


def tuning(m: Measurements, noise: Noise) -> Table:
    """Every configuration of every search; the chosen one is marked, and those that are as good."""
    rows: list[dict[str, Cell]] = []
    for learner, one, results in trained(m):
        for result in results:
            for point in _points(result, noise):
                e = point.behind
                rows.append(
                    {
                        "learner": m.learner(learner).label,
                        "set": one.label,
                        "draw": result.draw,
                        "seed": result.seed,
                        "settings": _words(point.settings) or "no settings",
                        "metric": m.metric.scale * point.value,
                        "behind": m.metric.scale * e.value,
                        "behind_low": m.metric.scale * e.low,
                        "behind_high": m.metric.scale * e.high,
                        "chosen": "chosen" if dict(point.settings) == dict(result.chosen) else _as_good(e),
                    }
                )
    return Table(
        "tuning",
        "Hyper-parameter searches on validation data",
        (
            Column("learner", "Learner", "text"),
            Column("set", "Trained on", "text"),
            Column("draw", "Draw", decimals=0),
            Column("seed", "Seed", decimals=0),
            Column("settings", "Settings", "text"),
            Column("metric", f"Validation {m.metric.label}", unit=m.metric.unit, decimals=m.metric.decimals),
            *with_interval("behind", "Against the best", m.metric.unit, m.metric.decimals),
            Column("chosen", "Choice", "text"),
        ),
        tuple(rows),
        note="As good: the interval of the difference to the best holds 0, so that noise may be all there is between "
        "them.",
        folded=True,
        group="learner",
        heading="How hyper-parameters were chosen",
    )


def searches(m: Measurements, noise: Noise) -> list[Plot]:
    """The plots of every tuned learner: validation metric against what was tried (first draw, first seed)."""
    plots: list[Plot] = []
    for learner in m.learners:
        of_sets = [(one, m.of(learner.name, one.name)) for one in (m.full, m.summary)]
        tried = [(one, _points(results[0], noise)) for one, results in of_sets if results]
        tried = [(one, points) for one, points in tried if len(points) > 1]
        varied = _varied([point.settings for _, points in tried for point in points])
        everything = [point.settings for _, points in tried for point in points]
        if len(varied) == 1 and all(_is_number(settings[varied[0]]) for settings in everything):
            plots.append(_curve(m, learner, varied[0], tried))
        elif len(varied) == 2:
            plots += [_heat_map(m, learner, (varied[0], varied[1]), one, points) for one, points in tried]
        elif varied:
            plots.append(_cloud(m, learner, varied, tried))
    return plots


def _curve(m: Measurements, learner: Learner, parameter: str, tried: list[tuple[TrainingSet, Points]]) -> Plot:
    series: list[Series] = []
    best: list[str] = []
    for one, points in tried:
        points = sorted(points, key=lambda point: float(point.settings[parameter]))
        at = tuple(float(point.settings[parameter]) for point in points)
        series.append(_series(m, one, at, points))
        equal = [x for x, point in zip(at, points, strict=True) if as_good(point.behind)]
        top = next(x for x, point in zip(at, points, strict=True) if point.behind.value == 0)
        among = f", as good from {min(equal):g} to {max(equal):g}" if len(equal) > 1 else ""
        best.append(f"{one.label} at {top:g}{among}")
    return Plot(
        f"search-{learner.name}",
        f"Choosing {parameter} of {learner.label} on validation data",
        f"Validation {m.metric.label} against {parameter}, with 95 % intervals of the difference to the best; best: "
        f"{'; '.join(best)}.",
        "line",
        f"{parameter} (log scale)",
        _axis(m),
        tuple(series),
        log_x=True,
    )


def _series(m: Measurements, one: TrainingSet, at: tuple[float, ...], points: Points) -> Series:
    """The metric at places, with the interval of the difference to the best laid around it."""
    scale = m.metric.scale
    tops = [point.value - point.behind.value for point in points]
    low = tuple(scale * (top + point.behind.low) for top, point in zip(tops, points, strict=True))
    high = tuple(scale * (top + point.behind.high) for top, point in zip(tops, points, strict=True))
    known = np.isfinite([*low, *high]).all()
    stress = (one.label,) if one.role == "summary" else ()
    y = tuple(scale * point.value for point in points)
    return Series(one.label, at, y, low if known else (), high if known else (), stress)


def _heat_map(m: Measurements, learner: Learner, parameters: tuple[str, str], one: TrainingSet, points: Points) -> Plot:
    down, across = parameters
    cells = {(p.settings.get(down), p.settings.get(across)): p for p in points}
    columns = _in_order([p.settings.get(across) for p in points])
    rows = _in_order([p.settings.get(down) for p in points])
    best = next(p for p in points if p.behind.value == 0)

    def row(of: float | int | str | None) -> Series:
        found = [cells.get((of, x)) for x in columns]
        return Series(
            _word(of),
            tuple(_word(x) for x in columns),
            tuple(np.nan if p is None else m.metric.scale * p.value for p in found),
            stress=tuple(_word(x) for x, p in zip(columns, found, strict=True) if p and as_good(p.behind)),
        )

    return Plot(
        f"search-{learner.name}-{one.name}",
        f"Choosing {down} and {across} of {learner.label} trained on {one.label}",
        f"Validation {m.metric.label} of {learner.label} trained on {one.label}; best at {_words(best.settings)}. "
        "Framed: as good, as far as the validation units can tell.",
        "heatmap",
        f"{across}; framed: as good as the best",
        down,
        tuple(row(of) for of in rows),
    )


def _cloud(m: Measurements, learner: Learner, varied: Sequence[str], tried: list[tuple[TrainingSet, Points]]) -> Plot:
    series = tuple(
        _series(m, one, tuple(float(number) for number in range(1, len(points) + 1)), points) for one, points in tried
    )
    tops = [(one, next(p for p in points if p.behind.value == 0)) for one, points in tried]
    best = "; ".join(f"{one.label} at {_words(top.settings)}" for one, top in tops)
    return Plot(
        f"search-{learner.name}",
        f"Choosing {', '.join(varied)} of {learner.label} on validation data",
        f"Validation {m.metric.label} of every configuration in the order of trying, with 95 % intervals of the "
        f"difference to the best; best: {best}.",
        "scatter",
        "configuration, in the order of trying",
        _axis(m),
        series,
    )


def _as_good(difference: Estimate) -> str:
    return "as good" if as_good(difference) else ""


def _axis(m: Measurements) -> str:
    return f"validation {m.metric.label} ({m.metric.unit})" if m.metric.unit else f"validation {m.metric.label}"


def _points(result: TrainedResult, noise: Noise) -> Points:
    values = [(one.settings, value_of(one.validation)) for one in result.tried]
    # A search of one configuration is its own best.
    differences = noise.behind(result) or [Estimate(0.0, 0.0, 0.0, 1)] * len(values)
    return [
        Point(settings, value, difference)
        for (settings, value), difference in zip(values, differences, strict=True)
        if np.isfinite(value)
    ]


def _varied(tried: list[Settings]) -> list[str]:
    names = dict.fromkeys(name for settings in tried for name in settings)
    return [name for name in names if len({settings.get(name) for settings in tried}) > 1]


def _in_order(values: Sequence[float | int | str | None]) -> list[float | int | str | None]:
    """Distinct values: numbers first and rising, then words as they came."""
    distinct = list(dict.fromkeys(values))
    numbers = sorted(value for value in distinct if isinstance(value, int | float))
    return [*numbers, *(value for value in distinct if not isinstance(value, int | float))]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _word(value: float | int | str | None) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value or "none")


def _words(settings: Settings) -> str:
    return ", ".join(f"{name} {_word(value)}" for name, value in settings.items())
