"""Results of the LM Evaluation Harness (its JSON file a run) as rows of a score table.

Such a file has `results` {task: {"acc,none": 0.61, "acc_stderr,none": 0.01, "alias": ...}}, `n-samples` {task:
{"original": n, "effective": n}} and, of groups of tasks, `group_subtasks`. It says which model was measured but not
which run and stage that is, so these come from the file's name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.ingest.sources import Source

PATTERNS = ("{run}/{stage}/*.json", "{run}__{stage}/*.json", "{run}__{stage}.json")
PLACES = ("run", "stage", "scale", "mixture", "seed")
_LARGEST = 64_000_000
_RENAMED = {"acc": "accuracy"}


@dataclass(frozen=True)
class Row:
    """One score of a results file."""

    benchmark: str
    metric: str
    value: float
    stderr: float
    n_examples: float
    category: str


def results_of(source: Source, meter: Meter) -> Mapping[str, Any] | None:
    """The file's content if it is such a file, else None."""
    if not source.name.lower().endswith(".json"):
        return None
    held = bytearray()
    with source.open(Meter(meter.limits)) as stream:
        while chunk := stream.read(1 << 20):
            held += chunk
            if len(held) > _LARGEST:
                return None
    try:
        content = json.loads(held)
    except (ValueError, RecursionError):
        return None
    if not (isinstance(content, dict) and isinstance(content.get("results"), dict)):
        return None
    meter.decoded(len(held), source.name)
    return content


def named(source: Source, pattern: str) -> dict[str, str]:
    """{run, stage, ...} by the file's name; raises `JobError` where the pattern does not fit."""
    name = source.name.replace("\\", "/")
    for one in [pattern] if pattern else PATTERNS:
        if found := _regular(one).search(name):
            return found.groupdict()
    tried = repr(pattern) if pattern else " or ".join(repr(one) for one in PATTERNS)
    raise JobError(
        "invalid_input",
        f"The name {source.name!r} does not say which run and stage its results are of: it is not like {tried}.",
        hint="Say how the files are named in the option names, as in names={stage}/{run}_*.json, or put them in "
        "folders run/stage/ of a zip.",
        pointer="/options/names",
    )


def check_pattern(pattern: str) -> str:
    """The pattern, if it names run and stage, and each place once; raises ValueError otherwise."""
    places = re.findall(r"\{([^{}]*)\}", pattern)
    if unknown := [place for place in places if place not in PLACES]:
        raise ValueError(f"there is no place {unknown[0]!r}; the places are {', '.join(PLACES)}")
    if len(set(places)) < len(places) or (pattern and not {"run", "stage"} <= set(places)):
        raise ValueError("the pattern names {run} and {stage}, and each place once")
    return pattern


def rows(source: Source, content: Mapping[str, Any]) -> Iterator[Row]:
    """The scores of a results file; averages over groups of tasks are left out, since their parts are there."""
    given = content.get("group_subtasks")
    groups: dict[str, Any] = given if isinstance(given, dict) else {}
    parts = {str(task): group for group, tasks in groups.items() if isinstance(tasks, list) for task in tasks}
    for task, found in content["results"].items():
        if not isinstance(found, dict) or groups.get(task):
            continue
        for key, value in found.items():
            metric, _, way = str(key).partition(",")
            if metric == "alias" or metric.endswith("_stderr") or not math.isfinite(_number(value)):
                continue
            said = _RENAMED.get(metric, metric) + ("" if way in ("", "none") else f",{way}")
            error: Any = found.get(f"{metric}_stderr,{way}" if way else f"{metric}_stderr")
            yield Row(
                str(task),
                said,
                _number(value),
                _number(error),
                _samples(content, task),
                str(parts.get(task, "")),
            )


def _samples(content: Mapping[str, Any], task: str) -> float:
    counts: Any = content.get("n-samples")
    found: Any = counts.get(task) if isinstance(counts, dict) else None
    number = _number(found.get("effective") if isinstance(found, dict) else found)
    return number if number > 0 else math.nan


def _number(value: object) -> float:
    """NaN where it is no finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e308:
        return math.nan
    return float(value)


def _regular(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^{}]*\}|\*)", pattern)
    written = [
        f"(?P<{part[1:-1]}>[^/]+?)" if part.startswith("{") else "[^/]*" if part == "*" else re.escape(part)
        for part in parts
    ]
    return re.compile(rf"(?:^|/){''.join(written)}$")
