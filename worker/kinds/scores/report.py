"""What a comparison of two stages says: verdict, key figures, warnings, and the tables and plots that carry them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.verdict import Status, Verdict
from worker.evidence.wording import ends, number
from worker.kinds.scores import report_plots, report_tables
from worker.kinds.scores.calibrating import Calibrated
from worker.kinds.scores.transfer import Found, Transfer
from worker.kinds.scores.words import FEWEST, Rule

KIND = "scores"
_LISTED = 6
FOOTNOTE = (
    "Square brackets are 95\u202f% intervals: of correlations over runs, the outer ends of Fisher's and of the BCa "
    "bootstrap; of means over benchmarks, percentile; of calibration, over examples."
)


@dataclass(frozen=True)
class Asked:
    """What the job asked for, and over what it was computed."""

    stages: tuple[str, str]
    rule: Rule
    resamples: int
    permutations: int
    bins: int
    example_resamples: int
    scatters: int


def findings(found: Found, calibrated: Sequence[Calibrated], asked: Asked, warnings: tuple[str, ...]) -> Findings:
    """Lay out what was found."""
    verdict = _verdict(found, asked)
    runs = sorted({run for panel in found.panels for run in panel.runs})
    return Findings(
        kind=KIND,
        unit="run",
        units="runs",
        test_units="runs",
        n_test=len(runs),
        verdict=verdict,
        headline=_headline(found),
        because=_because(found, asked),
        key_figures=_key_figures(found),
        tables=report_tables.tables(found, calibrated, asked.stages),
        plots=report_plots.plots(found, calibrated, asked.stages, asked.rule, asked.scatters),
        warnings=(*warnings, *_warnings(found)),
        protocol=_protocol(asked),
        lead="transfer",
        families=report_plots.FAMILIES,
        metric={"name": "pearson", "label": "Pearson's r", "unit": "r", "scale": 1},
        footnote=FOOTNOTE,
        more={"stages": list(asked.stages)},
    )


def _verdict(found: Found, asked: Asked) -> Verdict:
    words = Counter(one.judged.word for one in found.transfers)
    status: Status = "undetermined"
    if words["reliable"]:
        status = "reliable" if words["reliable"] == len(found.transfers) else "partly_reliable"
    elif words["unreliable"]:
        status = "unreliable"
    whole = found.suites[0].accuracy if len(found.panels) == 1 else None
    rest: dict[str, Any] = {} if whole is None or not math.isfinite(whole.value) else {
        "value": whole.value, "low": _known(whole.low), "high": _known(whole.high), "unit": "mean r"}  # fmt: skip
    undetermined = [one for one in found.transfers if one.judged.word == "undetermined"]
    reasons = dict.fromkeys(f"{label(one)}: {one.judged.reason}" for one in undetermined if one.judged.reason)
    return Verdict(
        status,
        _sentence(found, asked),
        reasons=tuple(list(reasons)[:20]),
        settled_by=_settled_by(undetermined),
        details={"benchmarks": [_in_json(one) for one in found.transfers], "stages": list(asked.stages)},
        **rest,
    )


def _sentence(found: Found, asked: Asked) -> str:
    first, second = asked.stages
    by_word: dict[str, list[str]] = {"reliable": [], "unreliable": [], "undetermined": []}
    for one in found.transfers:
        by_word[one.judged.word].append(label(one))
    reversing = [label(one) for one in found.transfers if one.judged.reversing]
    parts = []
    if names := by_word["reliable"]:
        parts.append(f"{_listed(names)} {_is(names)} reliable: the ranking at {first} holds at {second}")
    if names := by_word["unreliable"]:
        turned = f", of which reversing (the better runs come out worse): {_listed(reversing)}" if reversing else ""
        parts.append(f"{_listed(names)} {_is(names)} unreliable{turned}")
    if names := by_word["undetermined"]:
        parts.append(f"{_listed(names)} {_is(names)} undetermined")
    total = len(found.transfers)
    start = f"Of {total} benchmarks" if total > 1 else "Of one benchmark"
    return f"{start} with {_counted(found.transfers)} at both {first} and {second}: {'; '.join(parts)}."


def _headline(found: Found) -> str:
    words = Counter(one.judged.word for one in found.transfers)
    said = [f"{words[word]} {word}" for word in ("reliable", "unreliable", "undetermined") if words[word]]
    return f"Benchmarks: {', '.join(said)}"


def _because(found: Found, asked: Asked) -> str:
    level, q = asked.rule.level, asked.rule.discovery
    return (
        f"Reliable: the 95\u202f% intervals of Pearson's r and Spearman's rho lie above {level:g}, and so they do with "
        f"the false discovery rate of all {len(found.transfers)} benchmarks held at {q:g}; unreliable: both lie below "
        f"{level:g}; undetermined: neither, or fewer than {FEWEST} runs."
    )


def _settled_by(undetermined: Sequence[Transfer]) -> tuple[str, ...]:
    """How many runs would do, the fewest first."""
    said = [
        f"{label(one)}: about {one.judged.needed} runs instead of {len(one.runs)}, if its correlation stays "
        f"{number(one.correlations['pearson'].value)}"
        for one in sorted(undetermined, key=lambda one: one.judged.needed or 10**9)
        if one.judged.needed
    ]
    few = [label(one) for one in undetermined if len(one.runs) < FEWEST]
    if few:
        said.append(f"{_listed(few)}: at least {FEWEST} runs")
    hopeless = [label(one) for one in undetermined if not one.judged.needed and len(one.runs) >= FEWEST]
    if hopeless:
        said.append(f"{_listed(hopeless)}: no number of runs up to 1,000 would settle it at the present correlations")
    return tuple(said[:12])


def _in_json(one: Transfer) -> dict[str, object]:
    r = one.correlations["pearson"]
    return {
        "benchmark": one.benchmark,
        "scale": one.scale or None,
        "metric": one.metric,
        "word": one.judged.word,
        "reversing": one.judged.reversing,
        "reason": one.judged.reason,
        "runs": len(one.runs),
        "runs_needed": one.judged.needed,
        "pearson": _known(r.value),
        "low": _known(r.widest[0]),
        "high": _known(r.widest[1]),
        "q_above": _known(one.judged.q_above),
        "q_below": _known(one.judged.q_below),
    }


def _key_figures(found: Found) -> tuple[KeyFigure, ...]:
    out = []
    for panel in found.panels:
        suite = next(one for one in found.suites if one.scale == panel.scale and not one.category)
        at = f", {panel.scale}" if panel.scale else ""
        out.append(
            KeyFigure(
                f"mean r over benchmarks{at}",
                number(suite.accuracy.value),
                ends(suite.accuracy.low, suite.accuracy.high, decimals=2),
            )
        )
        if math.isfinite(suite.confidence.value):
            out.append(
                KeyFigure(
                    f"mean r of confidence{at}",
                    number(suite.confidence.value),
                    ends(suite.confidence.low, suite.confidence.high, decimals=2),
                )
            )
    words = Counter(one.judged.word for one in found.transfers)
    out.append(KeyFigure("reliable", f"{words['reliable']} of {len(found.transfers)}", "benchmarks"))
    out.append(KeyFigure("runs", _runs(found.transfers), "with scores at both stages"))
    return tuple(out[:6])


def _warnings(found: Found) -> list[str]:
    said = []
    of = [one.correlations["pearson"] for one in found.transfers]
    constant = [label(one) for one, r in zip(found.transfers, of, strict=True) if not math.isfinite(r.value)]
    if constant:
        said.append(f"All runs score the same at one stage on {_listed(constant)}: no correlation exists there.")
    skipped = max(r.skipped / max(1, r.resamples) for r in of)
    if skipped > 0.01:
        said.append(
            f"Up to {100 * skipped:.0f}\u202f% of resamples of a benchmark drew equal scores alone and were skipped."
        )
    if alike := [r for r in of if r.effective < 0.9 * r.runs]:
        worth, runs = min((r.effective, r.runs) for r in alike)
        said.append(
            f"Runs of one mixture are alike: {runs} runs of a benchmark tell as much as {worth:.0f} unrelated ones, "
            "and count as so many."
        )
    if any(len(panel.benchmarks) > report_tables.MOST_PAIRED for panel in found.panels):
        said.append(
            f"Of more than {report_tables.MOST_PAIRED} benchmarks coherence is shown by suites alone, not of every two."
        )
    if len(found.panels) > 1:
        said.append(
            "Scales are compared one by one: pooled, larger models would lead at both stages and make any benchmark "
            "look reliable."
        )
    return said


def _protocol(asked: Asked) -> str:
    rate = f"{100 * asked.rule.discovery:g}\u202f%"
    return (
        f"Runs are the units. Correlations are between the scores of the same runs at {asked.stages[0]} and at "
        f"{asked.stages[1]}, seeds of a run averaged. {asked.resamples:,} bootstrap resamples of runs, the same for "
        "all benchmarks of a scale; resamples without variance are skipped and counted. The permutation test is exact "
        f"up to 8 runs, else of {asked.permutations:,} random orders. Calibration: {asked.bins} bins, "
        f"{asked.example_resamples:,} resamples of examples, an example drawn with the answers of all runs to it. On a "
        f"table of nothing but noise the chance that any benchmark is called reliable is at most {rate}; where some "
        f"benchmarks do transfer, at most {rate} of those called reliable are expected not to."
    )


def label(one: Transfer) -> str:
    """A benchmark with its scale, where there is one."""
    return f"{one.benchmark} ({one.scale})" if one.scale else one.benchmark


def _counted(transfers: Sequence[Transfer]) -> str:
    return f"{_runs(transfers)} runs"


def _runs(transfers: Sequence[Transfer]) -> str:
    counts = [len(one.runs) for one in transfers]
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _listed(names: Sequence[str]) -> str:
    if len(names) > _LISTED:
        return f"{', '.join(names[:_LISTED])} and {len(names) - _LISTED} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _is(names: Sequence[str]) -> str:
    return "are" if len(names) > 1 else "is"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
