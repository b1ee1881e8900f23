"""What is said of a comparison of ways of fine-tuning: the verdict, the tables, a plot."""

from __future__ import annotations

from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.plot import Plot, Series
from worker.evidence.table import Column, Table
from worker.evidence.verdict import Verdict, beside_cheap
from worker.kinds.images.dataset import Images
from worker.kinds.images.remem.comparison import ALONE, PLAIN, REMEM, Comparison, Way, difference

RESAMPLES = 1_000
LABELS = {
    PLAIN: "student of the plainly tuned teacher",
    REMEM: "student of the teacher tuned as ReMem does",
    ALONE: "student without a teacher",
}


def findings(data: Images, found: Comparison, settings: dict[str, Any], ctx: Context) -> Findings:
    """The evidence."""
    n = found.students[PLAIN].shape[1]
    verdict = verdict_of(found, ctx.seed)
    warnings = list(ctx.warnings)
    seeds = len(found.students[PLAIN])
    if seeds < 3:
        warnings.append(f"Students were trained with {seeds} seeds: the interval says little of how they vary.")
    return Findings(
        kind="images",
        unit="image",
        units="images",
        test_units="images",
        n_test=n,
        verdict=verdict,
        key_figures=tuple(
            KeyFigure(LABELS[name], f"{100 * right.mean():.2f} %", "accuracy on test images")
            for name, right in found.students.items()
        ),
        tables=(_students(found, ctx.seed), _ways(found)),
        plots=_plots(found),
        warnings=tuple(dict.fromkeys(warnings)),
        protocol=_protocol(data, found, seeds),
        metric={"name": "accuracy", "higher_is_better": True},
        more={"settings": settings, "candidates": [_facts(one) for one in found.ways]},
    )


def verdict_of(found: Comparison, seed: int) -> Verdict:
    """Students of the best other way beside those of plain fine-tuning; undetermined where neither teacher helps."""
    students = found.students
    mean, low, high = difference(students[REMEM], students[PLAIN], RESAMPLES, seed)
    worth, least, most = difference(students[REMEM], students[ALONE], RESAMPLES, seed)
    status = beside_cheap(low, high)
    sentence = (
        f"Students of a teacher tuned with {found.best.candidate.label} reach "
        f"{100 * students[REMEM].mean():.2f} % of the test images, those of the plainly tuned one "
        f"{100 * students[PLAIN].mean():.2f} %: {mean:+.2f} [{low:+.2f}, {high:+.2f}] points. Without a teacher they "
        f"reach {100 * students[ALONE].mean():.2f} %: the tuned teacher gives {worth:+.2f} [{least:+.2f}, {most:+.2f}]."
    )
    reasons: tuple[str, ...] = ()
    if least <= 0 and status != "cheap_is_better":
        status = "undetermined"
        reasons = ("neither teacher helps its students beyond what their classes teach them",)
    settled = ("a stronger teacher: another preset, or more images that pretrain it", "more seeds") if reasons else ()
    return Verdict(status, sentence, mean, low, high, "points", reasons, settled)


def _students(found: Comparison, seed: int) -> Table:
    rows: list[dict[str, Any]] = []
    for name, right in found.students.items():
        each = 100 * right.mean(axis=1)
        row: dict[str, Any] = {"name": LABELS[name], "mean": float(each.mean()), "std": float(each.std())}
        if name != PLAIN:
            row["ahead"], row["low"], row["high"] = difference(right, found.students[PLAIN], RESAMPLES, seed)
        rows.append(row)
    columns = (
        Column("name", "student", "text"),
        Column("mean", "accuracy", unit="%", decimals=2),
        Column("std", "deviation over seeds", unit="points", decimals=2),
        Column("ahead", "ahead of the plain one", unit="points", decimals=2, interval=("low", "high")),
        Column("low", "from", unit="points", decimals=2, shown=False),
        Column("high", "to", unit="points", decimals=2, shown=False),
    )
    return Table("students", "Students on the test images", columns, tuple(rows), heading="Students")


def _facts(way: Way) -> dict[str, Any]:
    told = way.information
    return {
        "name": way.tuned.candidate.label,
        "rho": way.tuned.candidate.rho,
        "mlp_scale": way.tuned.candidate.scale,
        "validation": 100 * way.tuned.validation,
        "test": 100 * float(way.right.mean()),
        "short_student": 100 * way.tuned.student,
    } | ({} if told is None else told.to_json())


def _ways(found: Comparison) -> Table:
    columns = (
        Column("name", "fine-tuning", "text"),
        Column("validation", "teacher, validation", unit="%", decimals=2),
        Column("test", "teacher, test", unit="%", decimals=2),
        Column("short_student", "short student, validation", unit="%", decimals=2),
        Column("infonce", "InfoNCE bound", unit="nats", decimals=3),
        Column("explained", "pixels explained", decimals=3),
        Column("within", "variance within over between classes", decimals=3),
        Column("rank", "effective rank of logits", decimals=2),
        Column("entropy", "entropy of answers", unit="nats", decimals=3),
    )
    among = next((way.information.among for way in found.ways if way.information), 0)
    note = (
        f"The InfoNCE bound is of finding one image among {among}; it cannot be above {np.log(max(1, among)):.2f} "
        "nats. Pixels explained: the share of the pixels' variance that ridge regression from the logits explains. "
        "Both are of validation images, learned on images of the slice; only differences between rows mean something."
    )
    rows = tuple(_facts(way) for way in found.ways)
    return Table("teachers", "Ways of fine-tuning", columns, rows, note=note, heading="Teachers")


def _plots(found: Comparison) -> tuple[Plot, ...]:
    told = [way for way in found.ways if way.information and not np.isnan(way.tuned.student)]
    if not told:
        return ()
    series = tuple(
        Series(way.tuned.candidate.label, (way.information.infonce,), (100 * way.tuned.student,))
        for way in told
        if way.information
    )
    return (
        Plot(
            "information",
            "What a teacher tells of images, and what its student learns",
            "For every way of fine-tuning, the InfoNCE bound of its teacher and the accuracy of its short student.",
            "scatter",
            "InfoNCE bound (nats)",
            "short student, validation accuracy (%)",
            series,
        ),
    )


def _protocol(data: Images, found: Comparison, seeds: int) -> str:
    tuning = found.slices.tuning
    counts = np.bincount(tuning.y, minlength=len(data.classes))
    start = (
        "Every way of fine-tuning begins with the uploaded Vision Transformer"
        if found.given
        else f"A Vision Transformer was pretrained on {len(found.slices.pretraining):,} training images; every way of "
        "fine-tuning begins with it"
    )
    return (
        f"{start} and sees the same {len(tuning):,} other training images, {counts.max():,} of the "
        f"most and {counts.min():,} of the least frequent class, with the same draws. Students are ConvNets that see "
        f"the same images as their teacher; each sort has {seeds} seeds. The way beside the plain one was chosen by "
        "short students on validation images, as were the best epochs. Intervals are of a paired "
        "bootstrap over test images and seeds. Small networks on one dataset: a demonstration, no replication of the "
        "paper, whose teachers are pretrained on far more."
    )
