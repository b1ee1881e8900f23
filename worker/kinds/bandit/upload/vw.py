"""The log from Vowpal Wabbit's contextual-bandit text: `action:cost:probability | features`, actions from 1."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from worker.ingest.limits import Meter
from worker.ingest.readers.native import Lines
from worker.ingest.sources import Source
from worker.kinds.bandit.upload.features import ENCODED_BYTES
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.raw import RawLog, number_words
from worker.runtime.errors import JobError

_LABELLED = re.compile(r"^[^|]*?(?:^|\s)(\d+):([^:\s|]+):([^:\s|]+)(?:\s|\||$)")
_CHUNK = 1 << 20


def looks_like_vw(text: str) -> bool:
    """Whether the first lines are VW examples."""
    lines = [line for line in text.splitlines() if line.strip()][:20]
    return bool(lines) and all("|" in line and _LABELLED.match(line) for line in lines)


def read_vw(source: Source, options: IngestOptions, meter: Meter, report: Callable[[], None] = lambda: None) -> RawLog:
    """One round a line. Reward is minus the cost. More feature names than max_categories x 4 are hashed."""
    actions: list[int] = []
    outcomes: list[tuple[float, float]] = []
    names: dict[str, int] = {}
    rows: list[int] = []
    places: list[int] = []
    values: list[float] = []
    with source.open(meter) as stream:
        lines, rest = Lines(stream, source.name), ""
        while chunk := lines.read(_CHUNK):
            block = (rest + chunk.decode("utf-8", "replace")).splitlines()
            for line in block:
                if not line.strip():
                    continue
                action, cost, probability = _label(line, len(actions) + 1, source.name)
                for name, value in _features(line):
                    rows.append(len(actions))
                    places.append(names.setdefault(name, len(names)))
                    values.append(value)
                actions.append(action)
                outcomes.append((cost, probability))
            meter.rows_read(len(block), source.name)
            meter.columns(0 if len(names) < 1_000_000 else len(names), source.name)
            report()
    if not actions:
        raise JobError("invalid_input", f"{source.name} holds no examples.")
    pair = np.array(outcomes)
    raw = RawLog(len(actions), number_words(pa.array(actions).cast(pa.string())), -pair[:, 0], pair[:, 1])
    raw.one_based, raw.n_actions = True, options.n_actions
    if names:
        raw.contexts = _matrix(len(actions), names, rows, places, values, options)
    return raw


def _label(line: str, row: int, where: str) -> tuple[int, float, float]:
    match = _LABELLED.match(line)
    if match is None:
        raise JobError(
            "invalid_input",
            f"Line {row:,} of {where} has no action:cost:probability before its features.",
            hint="Only examples of one line with a label are read; turn cb_adf examples into a table.",
        )
    try:
        return int(match[1]), float(match[2]), float(match[3])
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
            found.append((space + name, value if math.isfinite(value) else 0.0))
    return found


def _matrix(
    n: int, names: dict[str, int], rows: list[int], places: list[int], values: list[float], options: IngestOptions
) -> np.ndarray:
    most = max(4 * options.max_categories, options.hash_columns)
    width = len(names)
    if width > most:
        width = options.hash_columns
        place = np.array([zlib.crc32(name.encode()) % width for name in names])
    else:
        place = np.arange(width)
    if n * width * 4 > ENCODED_BYTES:
        raise JobError(
            "dense_too_large",
            f"{n:,} contexts of {width:,} columns are too large.",
            hint="Lower max_categories or hash_columns.",
            pointer="/options/hash_columns",
        )
    matrix = np.zeros((n, width), np.float32)
    np.add.at(matrix, (np.array(rows, np.int64), place[np.array(places, np.int64)]), np.array(values, np.float32))
    return matrix
