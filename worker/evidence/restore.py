"""Measurements back from a report that was stored: what `worker.evidence.archive` wrote, without the times it took.

So summaries that were judged by different jobs can be compared unit by unit, and nothing is trained for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worker.contract.errors import JobError
from worker.contract.learner import learners_of
from worker.contract.product import Origin
from worker.evidence.archive import NAME
from worker.evidence.measurements import (
    Measurements,
    Metric,
    Pooled,
    Protocol,
    Ratio,
    Scores,
    TestSet,
    TrainedResult,
    TrainingSet,
    Tried,
)


@dataclass(frozen=True)
class Evidence:
    """What one job measured. `label`: its method and the end of its id, for readers."""

    label: str
    measurements: Measurements


def restore(folder: Path, pointer: str = "") -> Evidence:
    """The evidence in the files of a report: `report.json` and `files/measurements.npz`.

    Raises `JobError` where a report has no scores by unit, or names a learner that is not there any more.
    """
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    method, job = str(report.get("method") or "summary"), str(report["reproduce"].get("id") or "")
    label = f"{method} {job[-4:]}".strip()
    path = folder / "files" / NAME
    if not path.is_file() or not report["protocol"]["hash"]:
        raise JobError(
            "invalid_input",
            f"The report of {label} has no scores of single test units.",
            hint="Compare summaries whose reports have a table of fidelity.",
            pointer=pointer,
        )
    with np.load(path, allow_pickle=False) as arrays:
        index = json.loads(str(arrays["index"]))
        return Evidence(label, _measurements(report, index, arrays, pointer))


def _measurements(
    report: Mapping[str, Any], index: Mapping[str, Any], arrays: Mapping[str, np.ndarray], pointer: str
) -> Measurements:
    known = learners_of(str(report["kind"]))
    names = list(dict.fromkeys(one["learner"] for one in index["results"]))
    if gone := [name for name in names if name not in known]:
        raise JobError(
            "invalid_input",
            f"A learner of this report is not installed any more: {', '.join(gone)}.",
            hint="Make the summary again, or judge it with `evaluate`.",
            pointer=pointer,
        )
    sets = tuple(TrainingSet(**one) for one in index["sets"])
    tests = tuple(_test(one, arrays) for one in index["tests"])
    primary = index["primary"]
    origin = Origin(**{name: report["origin"][name] for name in ("method", "reason", "optimised_for")})
    return Measurements(
        kind=report["kind"],
        unit=report["unit"],
        units=report["units"],
        event=next((c["label"].lower() for c in _columns(report, "sizes") if c["key"] == "events"), "events"),
        sets=sets,
        tests=tuple(sorted(tests, key=lambda one: one.name != primary["test"])),
        learners=tuple(known[name] for name in names),
        metrics=tuple(Metric(**one) for one in index["metrics"]),
        primary=primary["metric"],
        results=tuple(_result(one, arrays) for one in index["results"]),
        protocol=Protocol(report["protocol"]["fields"], report["protocol"]["text"]),
        origins={one.name: origin for one in sets if one.role == "summary"},
        warnings=tuple(report["warnings"]),
        unfinished=report["unfinished"],
        bootstrap=index["bootstrap"]["resamples"],
        seed=index["bootstrap"]["seed"],
    )


def _columns(report: Mapping[str, Any], table: str) -> list[dict[str, Any]]:
    return next((one["columns"] for one in report["tables"] if one["name"] == table), [])


def _test(one: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TestSet:
    ids = arrays[one["ids"]] if "ids" in one else None
    return TestSet(one["name"], one["label"], one["units"], one["n"], ids)


def _result(one: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TrainedResult:
    return TrainedResult(
        learner=one["learner"],
        set=one["set"],
        draw=one["draw"],
        seed=one["seed"],
        scores={
            test: {metric: _scores(said, arrays) for metric, said in found.items()}
            for test, found in one["scores"].items()
        },
        tried=tuple(Tried(tried["settings"], _scores(tried["validation"], arrays)) for tried in one["tried"]),
        chosen=one["chosen"],
        validation=one["validation"],
    )


def _scores(said: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Scores:
    match said["statistic"]:
        case "value":
            return float(said["value"])
        case "mean":
            return arrays[said["array"]]
        case "ratio of sums" | "e to the ratio of sums" as ratio:
            return Ratio(arrays[said["numerator"]], arrays[said["denominator"]], ratio != "ratio of sums")
        case statistic:
            return Pooled(statistic, {name: arrays[key] for name, key in said.items() if name != "statistic"})
