"""How hyper-parameters were chosen: a table of every configuration tried, and a plot for each search.

One hyper-parameter makes a curve per training set, two a heat map, more a cloud in the order of trying.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.contract.learner import Learner, Settings
from worker.evidence.columns import trained
from worker.evidence.measurements import Measurements, TrainedResult, TrainingSet
from worker.evidence.plot import Plot, Series
from worker.evidence.statistics import value_of
from worker.evidence.table import Cell, Column, Table

Points = list[tuple[Settings, float]]


def tuning(m: Measurements) -> Table:
    """Every configuration of every search; the chosen one is marked."""
    rows: list[dict[str, Cell]] = []
    for learner, one, results in trained(m):
        for result in results:
            for settings, value in _points(result):
                rows.append(
                    {
                        "learner": m.learner(learner).label,
                        "set": one.label,
                        "draw": result.draw,
                        "seed": result.seed,
                        "settings": _words(settings) or "no settings",
                        "metric": m.metric.scale * value,
                        "chosen": "yes" if dict(settings) == dict(result.chosen) else "",
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
            Column("metric", f"Validation {m.metric.label}", unit=m.metric.unit),
            Column("chosen", "Chosen", "text"),
        ),
        tuple(rows),
        folded=True,
        group="learner",
        heading="How hyper-parameters were chosen",
    )


def searches(m: Measurements) -> list[Plot]:
    """The plots of every tuned learner: validation metric against what was tried (first draw, first seed)."""
    plots: list[Plot] = []
    for learner in m.learners:
        tried = [(one, _points(results[0])) for one in m.sets if (results := m.of(learner.name, one.name))]
        tried = [(one, points) for one, points in tried if len(points) > 1]
        varied = _varied([settings for _, points in tried for settings, _ in points])
        if len(varied) == 1 and all(_is_number(settings[varied[0]]) for _, points in tried for settings, _ in points):
            plots.append(_curve(m, learner, varied[0], tried))
        elif len(varied) == 2:
            shown = [(one, points) for one, points in tried if one in (m.full, m.summary)]
            plots += [_heat_map(m, learner, (varied[0], varied[1]), one, points) for one, points in shown]
        elif varied:
            plots.append(_cloud(m, learner, varied, tried))
    return plots


def _curve(m: Measurements, learner: Learner, parameter: str, tried: list[tuple[TrainingSet, Points]]) -> Plot:
    series: list[Series] = []
    for one, points in tried:
        x, y = zip(*sorted((float(settings[parameter]), value) for settings, value in points), strict=True)
        stress = (one.label,) if one.role == "summary" else ()
        series.append(Series(one.label, x, tuple(m.metric.scale * v for v in y), stress=stress))
    pick = max if m.metric.higher_is_better else min
    best = ", ".join(f"{s.label} at {s.x[s.y.index(pick(s.y))]:g}" for s in series)
    return Plot(
        f"search-{learner.name}",
        f"Choosing {parameter} of {learner.label} on validation data",
        f"Validation {m.metric.label} against {parameter}; best: {best}.",
        "line",
        f"{parameter} (log scale)",
        _axis(m),
        tuple(series),
        log_x=True,
    )


def _heat_map(m: Measurements, learner: Learner, parameters: tuple[str, str], one: TrainingSet, points: Points) -> Plot:
    down, across = parameters
    cells = {(settings.get(down), settings.get(across)): m.metric.scale * value for settings, value in points}
    columns = _in_order([settings.get(across) for settings, _ in points])
    rows = _in_order([settings.get(down) for settings, _ in points])
    pick = max if m.metric.higher_is_better else min
    best = pick(points, key=lambda point: point[1])
    return Plot(
        f"search-{learner.name}-{one.name}",
        f"Choosing {down} and {across} of {learner.label} trained on {one.label}",
        f"Validation {m.metric.label} of {learner.label} trained on {one.label}; best at {_words(best[0])}.",
        "heatmap",
        across,
        down,
        tuple(
            Series(_word(row), tuple(_word(x) for x in columns), tuple(cells.get((row, x), np.nan) for x in columns))
            for row in rows
        ),
    )


def _cloud(m: Measurements, learner: Learner, varied: Sequence[str], tried: list[tuple[TrainingSet, Points]]) -> Plot:
    series = tuple(
        Series(
            one.label,
            tuple(float(number) for number in range(1, len(points) + 1)),
            tuple(m.metric.scale * value for _, value in points),
            stress=(one.label,) if one.role == "summary" else (),
        )
        for one, points in tried
    )
    pick = max if m.metric.higher_is_better else min
    best = "; ".join(f"{one.label} at {_words(pick(points, key=lambda p: p[1])[0])}" for one, points in tried)
    return Plot(
        f"search-{learner.name}",
        f"Choosing {', '.join(varied)} of {learner.label} on validation data",
        f"Validation {m.metric.label} of every configuration in the order of trying; best: {best}.",
        "scatter",
        "configuration, in the order of trying",
        _axis(m),
        series,
    )


def _axis(m: Measurements) -> str:
    return f"validation {m.metric.label} ({m.metric.unit})" if m.metric.unit else f"validation {m.metric.label}"


def _points(result: TrainedResult) -> Points:
    found = [(one.settings, value_of(one.validation)) for one in result.tried]
    return [(settings, value) for settings, value in found if np.isfinite(value)]


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
