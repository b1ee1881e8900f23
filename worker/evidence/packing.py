"""A trained result as named arrays and JSON, and back: resume points, figures for later jobs and downloads share it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from worker.evidence.measurements import Pooled, Ratio, Scores, TrainedResult, Tried, columns_of

_FIELDS = ("learner", "set", "draw", "seed", "validation", "fit_s", "tune_s", "predict_s", "peak_mb")


def pack(result: TrainedResult) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a result by name, and everything else as JSON."""
    arrays: dict[str, np.ndarray] = {}
    scores = {
        test: {metric: _pack(f"score/{test}/{metric}", one, arrays) for metric, one in metrics.items()}
        for test, metrics in result.scores.items()
    }
    tried = [
        {"settings": dict(one.settings), "validation": _pack(f"tried/{at}", one.validation, arrays)}
        for at, one in enumerate(result.tried)
    ]
    state = {name: getattr(result, name) for name in _FIELDS}
    return arrays, state | {"chosen": dict(result.chosen), "scores": scores, "tried": tried}


def unpack(arrays: Mapping[str, np.ndarray], state: Mapping[str, Any], job: str = "") -> TrainedResult:
    """The result back. `job`: where it comes from, when that is not the job that reads it."""
    return TrainedResult(
        **{name: state[name] for name in _FIELDS if name != "fit_s"},
        fit_s=tuple(state["fit_s"]),
        scores={
            test: {metric: _unpack(f"score/{test}/{metric}", form, arrays) for metric, form in metrics.items()}
            for test, metrics in state["scores"].items()
        },
        tried=tuple(
            Tried(one["settings"], _unpack(f"tried/{at}", one["validation"], arrays))
            for at, one in enumerate(state["tried"])
        ),
        chosen=state["chosen"],
        job=job,
    )


def _pack(name: str, scores: Scores, arrays: dict[str, np.ndarray]) -> Any:
    """Put the columns of scores among the arrays; returns what else there is to know of them."""
    columns = columns_of(scores)
    for column, values in columns.items():
        arrays[f"{name}/{column}"] = values
    match scores:
        case Ratio():
            return "exponential ratio" if scores.exponential else "ratio"
        case Pooled():
            return {"statistic": scores.statistic, "columns": list(columns)}
        case np.ndarray():
            return "mean"
        case _:
            return float(scores)


def _unpack(name: str, form: Any, arrays: Mapping[str, np.ndarray]) -> Scores:
    if form in ("ratio", "exponential ratio"):
        return Ratio(arrays[f"{name}/numerator"], arrays[f"{name}/denominator"], form != "ratio")
    if form == "mean":
        return arrays[f"{name}/"]
    if isinstance(form, Mapping):
        return Pooled(form["statistic"], {column: arrays[f"{name}/{column}"] for column in form["columns"]})
    return float(form)
