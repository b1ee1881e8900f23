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
from worker.ingest.sample import Sample

_LABELLED = re.compile(r"^[^|]*?(?:^|\s)(\d{1,9}):([^:\s|]+):([^:\s|]+)(?:\s|\||$)")
_CHUNK = 1 << 20
_LARGEST = 3e38  # of a float32


def recognise(sample: Sample) -> bool:
    """Whether the first lines are labelled examples."""
    lines = sample.lines[:20]
    return bool(lines) and all("|" in line and _LABELLED.match(line) for line in lines)


def describe(sample: Sample, meter: Meter) -> Detected:
    """Four columns: action, minus the cost, probability, and the features by name."""
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
            examples = [line for line in chunk.decode("utf-8", "replace").splitlines() if line.strip()]
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
