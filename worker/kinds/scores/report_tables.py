"""Tables of a comparison of two stages."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from worker.evidence.table import Cell, Column, Table
from worker.kinds.scores import coherence
from worker.kinds.scores.calibrating import Calibrated
from worker.kinds.scores.correlation import LABELS
from worker.kinds.scores.intervals import NOTHING
from worker.kinds.scores.suites import Estimate, Suite, complete
from worker.kinds.scores.transfer import Found

MOST_PAIRED = 200
"""Benchmarks of which every two are shown; pairs of more would fill a report."""
CALIBRATION = {
    "ece": "ECE, equal width",
    "ece_equal_count": "ECE, equal count",
    "mce": "MCE",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "auroc": "AUROC",
    "risk_coverage": "Risk-coverage area",
}
OF_SUITES = {
    "accuracy": "Mean r",
    "confidence": "Mean r of confidence",
    "coherent_first": "Coherence at {0}",
    "coherent_second": "Coherence at {1}",
    "coherent_across": "Coherence across",
    "structure": "Persistence of structure",
    "aligned_first": "Alignment at {0}",
    "aligned_second": "Alignment at {1}",
    "alignment_persists": "Persistence of alignment",
}


def tables(found: Found, calibrated: Sequence[Calibrated], stages: tuple[str, str]) -> tuple[Table, ...]:
    """All that have a row; the words first."""
    made = (
        _words(found),
        _decisions(found, stages),
        _suites(found, stages),
        _mixtures(found),
        _pairs(found, stages),
        _calibration(calibrated, "all", "Calibration", folded=False),
        _calibration(calibrated, "benchmark", "Calibration by benchmark", folded=True),
        _calibration(calibrated, "run", "Calibration by run", folded=True),
        _intervals(found),
        _noise(found, stages),
        _runs(found, stages),
        _scores(found, stages),
    )
    return tuple(one for one in made if one.rows)


def _with_ends(key: str, label: str, *, shown: bool = True) -> tuple[Column, ...]:
    ends = (f"{key}_low", f"{key}_high")
    return (
        Column(key, label, decimals=2, interval=ends, shown=shown),
        Column(ends[0], f"{label}, low", decimals=2, shown=False),
        Column(ends[1], f"{label}, high", decimals=2, shown=False),
    )


def _cells(key: str, value: float, ends: tuple[float, float]) -> dict[str, Cell]:
    return {key: value, f"{key}_low": ends[0], f"{key}_high": ends[1]}


def _scale(found: Found) -> tuple[Column, ...]:
    return (Column("scale", "Scale", "text"),) if any(panel.scale for panel in found.panels) else ()


def _words(found: Found) -> Table:
    order = {"reliable": 0, "unreliable": 1, "undetermined": 2}
    rows: list[dict[str, Cell]] = []
    for one in sorted(found.transfers, key=lambda one: (order[one.judged.word], one.scale, one.benchmark)):
        judged, trust = one.judged, one.confidence
        row: dict[str, Cell] = {"benchmark": one.benchmark, "scale": one.scale, "metric": one.metric}
        row |= {"category": one.category, "word": judged.word + (", reversing" if judged.reversing else "")}
        row |= {"runs": len(one.runs), "needed": judged.needed, "reason": judged.reason}
        for name in ("pearson", "spearman"):
            row |= _cells(name, one.correlations[name].value, one.correlations[name].widest)
        row |= {"kendall": one.correlations["kendall"].value, "p": one.p}
        row |= {"q_above": judged.q_above, "q_below": judged.q_below}
        row |= _cells("confidence", trust.value if trust else math.nan, trust.widest if trust else NOTHING)
        rows.append(row)
    return Table(
        "verdicts",
        "Every benchmark: its word, and how the scores of runs at both stages correlate",
        (
            Column("benchmark", "Benchmark", "text"),
            *_scale(found),
            Column("category", "Category", "text", shown=False),
            Column("metric", "Metric", "text", shown=False),
            Column("word", "Verdict", "text"),
            Column("runs", "Runs", decimals=0),
            *_with_ends("pearson", "Pearson's r"),
            *_with_ends("spearman", "Spearman's rho"),
            Column("kendall", "tau-b", decimals=2),
            *_with_ends("confidence", "r of confidence", shown=any(one.confidence for one in found.transfers)),
            Column("p", "p (permutation)", decimals=4, shown=False),
            Column("q_above", "Adjusted p, above", decimals=4),
            Column("q_below", "Adjusted p, below", decimals=4, shown=False),
            Column("needed", "Runs that would settle it", decimals=0),
            Column("reason", "Why undetermined", "text", shown=False),
        ),
        tuple(rows),
        note="Adjusted p: of the correlation being above the level, after Benjamini and Hochberg over all benchmarks. "
        "Runs that would settle it: if the correlations stayed as they are.",
        heading="Which benchmarks can be trusted",
    )


def _decisions(found: Found, stages: tuple[str, str]) -> Table:
    rows: list[dict[str, Cell]] = []
    for one in found.transfers:
        if (made := one.decision) is None:
            continue
        rows.append(
            {
                "benchmark": one.benchmark,
                "scale": one.scale,
                "favourite": one.runs[made.favourite],
                "best": one.runs[made.best],
                "regret": made.regret,
                "share": 100 * made.regret_share,
                "top_1": 100 * made.top_1,
                "top_3": 100 * made.top_3,
                "pairwise": 100 * made.pairwise,
            }
        )
    return Table(
        "decisions",
        f"What is lost at {stages[1]} by taking the run that is best at {stages[0]}",
        (
            Column("benchmark", "Benchmark", "text"),
            *_scale(found),
            Column("favourite", f"Best at {stages[0]}", "text"),
            Column("best", f"Best at {stages[1]}", "text"),
            Column("regret", "Regret", decimals=3),
            Column("share", "of the range", unit="%", decimals=0),
            Column("top_1", "Same best", unit="%", decimals=0, shown=False),
            Column("top_3", "Same best three", unit="%", decimals=0),
            Column("pairwise", "Pairs ordered alike", unit="%", decimals=0),
        ),
        tuple(rows),
        note="Regret is in units of the metric; the range is from worst to best run. 50 % of pairs is guessing.",
        heading="Decisions",
    )


def _suites(found: Found, stages: tuple[str, str]) -> Table:
    rows: list[dict[str, Cell]] = []
    for one in found.suites:
        row: dict[str, Cell] = {"suite": one.category or "all benchmarks", "scale": one.scale}
        row |= {"benchmarks": one.benchmarks, "complete": one.complete, "aligned": one.aligned}
        for key in OF_SUITES:
            found_of: Estimate = getattr(one, key)
            row |= _cells(key, found_of.value, (found_of.low, found_of.high))
        row["reason"] = "; ".join(dict.fromkeys(_reasons(one)))
        rows.append(row)
    columns = [
        column
        for key, label in OF_SUITES.items()
        for column in _with_ends(key, label.format(*stages), shown=any(row[key] == row[key] for row in rows))
    ]
    return Table(
        "suites",
        "Suites of benchmarks",
        (
            Column("suite", "Suite", "text"),
            *_scale(found),
            Column("benchmarks", "Benchmarks", decimals=0),
            Column("complete", "Runs with all scores", decimals=0, shown=False),
            Column("aligned", "Runs with alignment", decimals=0, shown=False),
            *columns,
            Column("reason", "Why not", "text", shown=False),
        ),
        tuple(rows),
        note="Coherence: mean r over runs between two benchmarks of the suite. Alignment: mean over runs of r between "
        "accuracy and confidence over benchmarks. Persistence: r between both stages, of alignment over runs, of "
        "structure over pairs of benchmarks.",
        heading="Suites",
    )


def _reasons(one: Suite) -> list[str]:
    return [reason for key in OF_SUITES if (reason := getattr(one, key).reason)]


def _mixtures(found: Found) -> Table:
    rows: list[dict[str, Cell]] = [
        {"mixture": one.mixture, "scale": one.scale, "runs": one.runs, "benchmarks": one.benchmarks}
        | _cells("transfer", one.transfer.value, (one.transfer.low, one.transfer.high))
        | {"reason": one.transfer.reason}
        for one in found.mixtures
    ]
    return Table(
        "mixtures",
        "Mean r over benchmarks among the runs of one mixture",
        (
            Column("mixture", "Mixture", "text"),
            *_scale(found),
            Column("runs", "Runs", decimals=0),
            Column("benchmarks", "Benchmarks", decimals=0),
            *_with_ends("transfer", "Mean r"),
            Column("reason", "Why not", "text", shown=False),
        ),
        tuple(rows),
        heading="Within mixtures",
    )


def _pairs(found: Found, stages: tuple[str, str]) -> Table:
    """Coherence of every two benchmarks: what the heat maps show."""
    rows: list[dict[str, Cell]] = []
    for panel in found.panels:
        members = np.arange(len(panel.benchmarks))
        kept = complete(panel, members)
        if not 2 <= len(members) <= MOST_PAIRED or len(kept) < 3:
            continue
        first, second = panel.first[kept], panel.second[kept]
        within = coherence.matrix(first, first), coherence.matrix(second, second)
        across = coherence.matrix(first, second)
        pairs: list[dict[str, Cell]] = [
            {
                "one": panel.benchmarks[i],
                "other": panel.benchmarks[j],
                "scale": panel.scale,
                "first": float(within[0][i, j]),
                "second": float(within[1][i, j]),
                "forth": float(across[i, j]),
                "back": float(across[j, i]),
            }
            for i in range(len(members))
            for j in range(i + 1, len(members))
        ]
        rows += pairs
    return Table(
        "coherence",
        "How every two benchmarks correlate over runs: at each stage, and across stages",
        (
            Column("one", "Benchmark", "text"),
            Column("other", "Other benchmark", "text"),
            *_scale(found),
            Column("first", f"Both at {stages[0]}", decimals=2),
            Column("second", f"Both at {stages[1]}", decimals=2),
            Column("forth", "First to other", decimals=2),
            Column("back", "Other to first", decimals=2),
        ),
        tuple(rows),
        note=f"First to other: the benchmark at {stages[0]} with the other one at {stages[1]}.",
        heading="Coherence of benchmarks",
        folded=True,
    )


def _calibration(calibrated: Sequence[Calibrated], over: str, heading: str, *, folded: bool) -> Table:
    rows: list[dict[str, Cell]] = []
    for one in calibrated:
        if one.over != over:
            continue
        found = one.calibration
        row: dict[str, Cell] = {"name": one.name, "stage": one.stage, "scale": one.scale, "answers": found.n}
        row |= {"examples": found.units, "accuracy": found.accuracy, "confidence": found.confidence}
        for key, (value, low, high) in found.values.items():
            row |= _cells(key, value, (low, high))
        rows.append(row)
    named = (Column("name", over.capitalize(), "text"),) if over != "all" else ()
    return Table(
        f"calibration-{over}",
        "How far the confidence of single answers can be believed",
        (
            *named,
            Column("stage", "Stage", "text"),
            Column("scale", "Scale", "text", shown=any(row["scale"] for row in rows)),
            Column("answers", "Answers", decimals=0),
            Column("examples", "Examples", decimals=0, shown=False),
            Column("accuracy", "Accuracy", decimals=3),
            Column("confidence", "Confidence", decimals=3),
            *(
                Column(
                    c.key,
                    c.label,
                    c.kind,
                    c.unit,
                    3,
                    c.interval,
                    c.shown and key in ("ece", "brier", "auroc", "risk_coverage"),
                )
                for key, label in CALIBRATION.items()
                for c in _with_ends(key, label)
            ),
        ),
        tuple(rows),
        note="Pooled over runs unless said. Alignment of means says nothing of this: a run can be confident on the "
        "right benchmarks and on the wrong answers.",
        heading=heading,
        folded=folded,
    )


def _intervals(found: Found) -> Table:
    rows: list[dict[str, Cell]] = []
    for one in found.transfers:
        for name, of in (*one.correlations.items(), *([("confidence", one.confidence)] if one.confidence else [])):
            row: dict[str, Cell] = {"benchmark": one.benchmark, "scale": one.scale}
            row |= {"statistic": LABELS.get(name, "Pearson's r of confidence"), "value": of.value}
            for which in ("fisher", "bca", "percentile"):
                row[f"{which}_low"], row[f"{which}_high"] = getattr(of, which)
            row |= {"skipped": of.skipped, "resamples": of.resamples}
            rows.append(row)
    which = {"fisher": "Fisher", "bca": "BCa", "percentile": "Percentile"}
    return Table(
        "intervals",
        "Every correlation with its three intervals",
        (
            Column("benchmark", "Benchmark", "text"),
            *_scale(found),
            Column("statistic", "Statistic", "text"),
            Column("value", "Value", decimals=3),
            *(
                Column(f"{key}_{end}", f"{label}, {end}", decimals=2)
                for key, label in which.items()
                for end in ("low", "high")
            ),
            Column("skipped", "Skipped resamples", decimals=0, shown=False),
            Column("resamples", "Resamples", decimals=0, shown=False),
        ),
        tuple(rows),
        heading="Intervals",
        folded=True,
    )


def _noise(found: Found, stages: tuple[str, str]) -> Table:
    rows: list[dict[str, Cell]] = [
        {
            "benchmark": one.benchmark,
            "scale": one.scale,
            "first": one.attenuation.first,
            "second": one.attenuation.second,
            "observed": one.correlations["pearson"].value,
            "corrected": one.attenuation.corrected,
            "reason": one.attenuation.reason,
        }
        for one in found.transfers
        if one.attenuation.first == one.attenuation.first or one.attenuation.second == one.attenuation.second
    ]
    return Table(
        "noise",
        "How far noise of measurement hides the correlation",
        (
            Column("benchmark", "Benchmark", "text"),
            *_scale(found),
            Column("first", f"Reliability at {stages[0]}", decimals=2),
            Column("second", f"Reliability at {stages[1]}", decimals=2),
            Column("observed", "r", decimals=2),
            Column("corrected", "r, corrected", decimals=2),
            Column("reason", "Why not corrected", "text"),
        ),
        tuple(rows),
        note="Reliability: the share of the variance between runs that is not noise of a finite number of examples. "
        "The verdicts are on the observed scores, which are what a decision is made by.",
        heading="Noise of measurement",
        folded=True,
    )


def _runs(found: Found, stages: tuple[str, str]) -> Table:
    rows: list[dict[str, Cell]] = [
        {key: value for key, value in vars(one).items()}
        for one in sorted(found.runs, key=lambda one: (one.scale, one.run))
    ]
    return Table(
        "runs",
        "Every run: its mean rank over benchmarks (1 is the best), and how confidence follows accuracy",
        (
            Column("run", "Run", "text"),
            *_scale(found),
            Column("mixture", "Mixture", "text", shown=bool(found.mixtures)),
            Column("rank_first", f"Mean rank at {stages[0]}", decimals=1),
            Column("rank_second", f"Mean rank at {stages[1]}", decimals=1),
            Column("aligned_first", f"Alignment at {stages[0]}", decimals=2),
            Column("aligned_second", f"Alignment at {stages[1]}", decimals=2),
        ),
        tuple(rows),
        heading="Runs",
        folded=True,
    )


def _scores(found: Found, stages: tuple[str, str]) -> Table:
    rows: list[dict[str, Cell]] = [
        {"benchmark": one.benchmark, "scale": one.scale, "run": run, "first": float(a), "second": float(b)}
        for one in found.transfers
        for run, a, b in zip(one.runs, one.first, one.second, strict=True)
    ]
    return Table(
        "scores",
        "The scores that were compared",
        (
            Column("benchmark", "Benchmark", "text"),
            *_scale(found),
            Column("run", "Run", "text"),
            Column("first", stages[0], decimals=4),
            Column("second", stages[1], decimals=4),
        ),
        tuple(rows),
        heading="Scores",
        folded=True,
    )
