"""Vowpal Wabbit's contextual-bandit text, `action:cost:probability | features`, actions from 1: a format of logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow
from worker.ingest.columns import Column, Wanted
from worker.ingest.format import Detected, Format
from worker.ingest.limits import Meter
from worker.ingest.native import Lines
from worker.ingest.sample import Sample, lines_of

_LABELLED = re.compile(r"^[^|]*?(?:^|\s)(\d{1,9}):([^:\s|]+):([^:\s|]+)(?:\s|\||$)")
_TRIPLE = re.compile(r"(?:^|\s)\d+:[^:\s|]+:[^:\s|]+(?=\s|\||$)")
_SHARED = re.compile(r"^\s*shared\b[^|]*\|")
_CHUNK = 1 << 20
_LARGEST = 3e38  # of a float32


def recognise(sample: Sample) -> bool:
    """Whether the first lines are examples of which some are labelled."""
    lines = sample.lines[:20]
    if not lines or not all("|" in line for line in lines):
        return False
    return all(_LABELLED.match(line) for line in lines) or _is_adf(lines)


def _is_adf(lines: Sequence[str]) -> bool:
    """Whether an example takes several lines, one an action: a shared line, or lines without a label between others."""
    labelled = [bool(_LABELLED.match(line)) for line in lines]
    return any(_SHARED.match(line) for line in lines) or (any(labelled) and not all(labelled))


def describe(sample: Sample, meter: Meter) -> Detected:
    """Four columns: action, minus the cost, probability, and the features by name."""
    if _is_adf(sample.lines[:20]):
        raise JobError(
            "unsupported",
            f"{sample.source.name} is in the format of Vowpal Wabbit's cb_adf, with several lines an example, which is "
            "not read here.",
            hint="Export a table with a row a round (action, reward, propensity, context columns), as CSV or Parquet, "
            "and what describes the actions as a table embeddings with a row an action; or examples of one line, "
            "action:cost:probability | features.",
        )
    labels = [_label(line, row, sample.source.name) for row, line in enumerate(sample.lines[:3], 1)]
    columns = [
        Column("action", 0, "integer", [str(action) for action, _, _ in labels]),
        Column("-cost", 1, "number", [f"{-cost:g}" for _, cost, _ in labels]),
        Column("probability", 2, "number", [f"{chance:g}" for _, _, chance in labels]),
        Column("features", 3, "nested"),
    ]
    return Detected(sample.source, VW, columns, sample.encoding, header=False)


def read(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    """One round a line; features are a map from name, with its namespace, to float32."""
    name, row = detected.source.name, 0
    with detected.source.open(meter) as stream:
        lines = Lines(stream, name)
        while chunk := lines.read(_CHUNK):
            examples = [line for line in lines_of(chunk.decode("utf-8", "replace")) if line.strip()]
            if not examples:
                continue
            labels = [_label(line, row + place, name) for place, line in enumerate(examples, 1)]
            row += len(examples)
            actions, costs, chances = zip(*labels, strict=True)
            columns: list[Any] = [
                pa.array(actions, pa.int32()),
                pa.array([-cost for cost in costs], pa.float64()),
                pa.array(chances, pa.float64()),
                pa.array([_features(line) for line in examples], pa.map_(pa.string(), pa.float32())),
            ]
            yield pa.RecordBatch.from_arrays(
                [columns[one.column.index] for one in wanted], names=[one.name for one in wanted]
            )


def _label(line: str, row: int, where: str) -> tuple[int, float, float]:
    match = _LABELLED.match(line)
    if match is None:
        raise JobError(
            "invalid_input",
            f"Line {row:,} of {where} has no action:cost:probability before its features.",
            hint="Only examples of one line with a label are read; turn cb_adf examples into a table.",
        )
    labels = _TRIPLE.findall(line.split("|")[0])
    if len(labels) > 1:
        raise JobError(
            "invalid_input",
            f"Line {row:,} of {where} has {len(labels)} labels action:cost:probability; a log knows the cost "
            "of the one action that was taken.",
            hint="Keep the label of the action that was taken, with its probability.",
        )
    try:
        return int(match[1]), float(match[2]), float(match[3])  # at most nine digits, which an int32 holds
    except ValueError:
        raise JobError("invalid_input", f"The label in line {row:,} of {where} is not made of numbers.") from None


def _features(line: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for part in line.split("|")[1:]:
        tokens = part.split()
        space = ""
        if tokens and not part[:1].isspace():
            space = tokens.pop(0).partition(":")[0] + "^"
        for token in tokens:
            name, _, text = token.rpartition(":") if ":" in token else (token, "", "1")
            try:
                value = float(text)
            except ValueError:
                name, value = token, 1.0
            found.append((space + name, value if abs(value) < _LARGEST else 0.0))  # NaN too
    return found


VW = Format("vw", recognise, describe, read, alone=True)
