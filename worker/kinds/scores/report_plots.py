"""Plots of a comparison of two stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from worker.evidence.looks import OWN, REFERENCE
from worker.evidence.plot import Plot, Series
from worker.evidence.wording import ends, number
from worker.kinds.scores import coherence
from worker.kinds.scores.calibrating import Calibrated
from worker.kinds.scores.panel import Panel
from worker.kinds.scores.suites import complete
from worker.kinds.scores.transfer import Found, Transfer
from worker.kinds.scores.words import Rule

DIAGONAL = "as confident as correct"
RUNS = "runs"
FAMILIES = {DIAGONAL: REFERENCE, RUNS: OWN}
_MOST_IN_HEAT = 24
_Z = 1.959964


def plots(
    found: Found, calibrated: Sequence[Calibrated], stages: tuple[str, str], rule: Rule, scatters: int
) -> tuple[Plot, ...]:
    """All that have something to show; at most `scatters` scatters, and a matrix of at most 24 benchmarks."""
    made = [*_transfers(found, rule)]
    for panel in found.panels:
        made += _heat(panel, stages)
    made += _regret(found)
    made += _reliability(calibrated, stages)
    made += [_scatter(at, one, stages) for at, one in enumerate(found.transfers[:scatters], 1)]
    return tuple(made)


def _named(one: Transfer) -> str:
    return f"{one.benchmark} ({one.scale})" if one.scale else one.benchmark


def _transfers(found: Found, rule: Rule) -> list[Plot]:
    """Every benchmark's r with its interval, a group per scale."""
    series: list[Series] = []
    for panel in found.panels:
        here = [
            one
            for one in found.transfers
            if one.scale == panel.scale and np.isfinite(one.correlations["pearson"].value)
        ]
        here.sort(key=lambda one: -one.correlations["pearson"].value)
        if not here:
            continue
        widest = [one.correlations["pearson"].widest for one in here]
        values = [one.correlations["pearson"].value for one in here]
        series.append(
            Series(
                panel.scale or "Pearson's r",
                tuple(one.benchmark for one in here),
                tuple(values),
                tuple(low if np.isfinite(low) else value for (low, _), value in zip(widest, values, strict=True)),
                tuple(high if np.isfinite(high) else value for (_, high), value in zip(widest, values, strict=True)),
                tuple(one.benchmark for one in here if one.judged.word == "reliable"),
            )
        )
    if not series:
        return []
    return [
        Plot(
            "transfer",
            "How scores of runs correlate across stages",
            "Pearson's r of every benchmark with its 95 % interval over runs; reliable benchmarks are stressed. The "
            "line is what a reliable one exceeds.",
            "interval",
            "Pearson's r between the stages",
            "",
            tuple(series),
            mark_x=rule.level,
            mark_label=f"{rule.level:g}",
            n=max(len(panel.runs) for panel in found.panels),
        )
    ]


def _heat(panel: Panel, stages: tuple[str, str]) -> list[Plot]:
    """Coherence of benchmarks at both stages, and across."""
    members = np.arange(len(panel.benchmarks))[:_MOST_IN_HEAT]
    rows = complete(panel, members)
    if len(members) < 2 or len(rows) < 3:
        return []
    first, second = panel.first[np.ix_(rows, members)], panel.second[np.ix_(rows, members)]
    labels = tuple(panel.benchmarks[at] for at in members)
    at = f", {panel.scale}" if panel.scale else ""
    shown = {
        "first": (f"at {stages[0]}", coherence.matrix(first, first), stages[0], stages[0]),
        "second": (f"at {stages[1]}", coherence.matrix(second, second), stages[1], stages[1]),
        "across": ("across stages", coherence.matrix(first, second), stages[1], stages[0]),
    }
    return [
        Plot(
            f"coherence-{key}{f'-{panel.scale}' if panel.scale else ''}",
            f"Coherence of benchmarks {where}{at}",
            f"Pearson's r over runs between every two benchmarks {where}; rows are at {below}, columns at {along}.",
            "heatmap",
            f"benchmark at {along}",
            f"benchmark at {below}",
            tuple(Series(name, labels, tuple(row.tolist())) for name, row in zip(labels, matrix, strict=True)),
            n=len(rows),
        )
        for key, (where, matrix, along, below) in shown.items()
    ]


def _regret(found: Found) -> list[Plot]:
    series = []
    for panel in found.panels:
        made = [(one, one.decision) for one in found.transfers if one.scale == panel.scale]
        known = [(one.benchmark, 100 * decision.regret_share) for one, decision in made if decision is not None]
        if known:
            names, values = zip(*known, strict=True)
            series.append(Series(panel.scale or "regret", tuple(names), tuple(values)))
    if not series:
        return []
    return [
        Plot(
            "regret",
            "What choosing at the first stage loses at the second",
            "Regret of the run that is best at the first stage, as a share of the range between the worst and the best "
            "run at the second.",
            "interval",
            "regret, % of the range",
            "",
            tuple(series),
            n=max(len(panel.runs) for panel in found.panels),
        )
    ]


def _reliability(calibrated: Sequence[Calibrated], stages: tuple[str, str]) -> list[Plot]:
    """Accuracy against confidence in bins, a line per stage; a plot per scale."""
    made: list[Plot] = []
    for scale in dict.fromkeys(one.scale for one in calibrated):
        here = [one for one in calibrated if one.scale == scale and one.over == "all"]
        series = [
            Series(one.stage, tuple(one.bins[:, 0].tolist()), tuple(one.bins[:, 1].tolist()))
            for one in sorted(here, key=lambda one: stages.index(one.stage))
        ]
        made.append(
            Plot(
                f"reliability{f'-{scale}' if scale else ''}",
                f"Reliability diagram{f', {scale}' if scale else ''}",
                "Share of correct answers against mean confidence, in bins of equal width, at both stages; on the "
                "dashed line confidence is right.",
                "line",
                "mean confidence",
                "accuracy",
                (*series, Series(DIAGONAL, (0.0, 1.0), (0.0, 1.0))),
                n=sum(one.calibration.n for one in here),
            )
        )
    return made


def _scatter(number_of: int, one: Transfer, stages: tuple[str, str]) -> Plot:
    """A point a run, with what noise of measurement leaves open where it is known."""
    reach = [_Z * np.sqrt(noise) for noise in one.noise]
    known = all(np.isfinite(part).all() for part in reach)
    r = one.correlations["pearson"]
    said = f"r {number(r.value)} {ends(*r.widest, decimals=2)}" if np.isfinite(r.value) else "no correlation"
    points = Series(RUNS, tuple(one.first.tolist()), tuple(one.second.tolist()))
    if known:
        points = replace(
            points,
            low=tuple((one.second - reach[1]).tolist()),
            high=tuple((one.second + reach[1]).tolist()),
            x_low=tuple((one.first - reach[0]).tolist()),
            x_high=tuple((one.first + reach[0]).tolist()),
        )
    return Plot(
        f"scatter-{number_of}-{_named(one)}",  # names of files, in which benchmarks may look alike
        f"{_named(one)}: {one.judged.word}, {said.strip()}",
        f"{one.metric} of every run on {_named(one)} at {stages[0]} (across) and at {stages[1]} (up)"
        + ("; whiskers are 95 % intervals over examples." if known else "."),
        "scatter",
        f"{one.metric} at {stages[0]}",
        f"{one.metric} at {stages[1]}",
        (points,),
        n=len(one.runs),
    )
