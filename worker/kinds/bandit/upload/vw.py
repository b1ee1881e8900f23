"""The log from Vowpal Wabbit's contextual-bandit text: `action:cost:probability | features`, actions from 1."""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.ingest.limits import Meter, too_large
from worker.ingest.readers.native import Lines
from worker.ingest.sources import Source
from worker.kinds.bandit.upload.features import ENCODED_BYTES
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.raw import RawLog, number_words
from worker.contract.errors import JobError

_LABELLED = re.compile(r"^[^|]*?(?:^|\s)(\d{1,9}):([^:\s|]+):([^:\s|]+)(?:\s|\||$)")
_CHUNK = 1 << 20
_MOST_NAMES = 1_000_000
_LARGEST = 3e38  # of a float32


def looks_like_vw(text: str) -> bool:
    """Whether the first lines are VW examples."""
    lines = [line for line in text.splitlines() if line.strip()][:20]
    return bool(lines) and all("|" in line and _LABELLED.match(line) for line in lines)


def read_vw(source: Source, options: IngestOptions, meter: Meter, report: Callable[[], None] = lambda: None) -> RawLog:
    """One round a line. Reward is minus the cost. More feature names than max_categories x 4 are hashed."""
    actions, costs, chances = array("i"), array("d"), array("d")
    names: dict[str, int] = {}
    rows, places, values = array("i"), array("i"), array("f")
    with source.open(meter) as stream:
        lines = Lines(stream, source.name)
        while chunk := lines.read(_CHUNK):
            for line in chunk.decode("utf-8", "replace").splitlines():
                if not line.strip():
                    continue
                action, cost, chance = _label(line, len(actions) + 1, source.name)
                for name, value in _features(line):
                    rows.append(len(actions))
                    places.append(names.setdefault(name, len(names)))
                    values.append(value)
                actions.append(action)
                costs.append(cost)
                chances.append(chance)
                meter.rows_read(1, source.name)
            if len(names) > _MOST_NAMES:
                raise too_large(f"{source.name} has too many features", len(names), _MOST_NAMES, "columns")
            report()
    if not actions:
        raise JobError("invalid_input", f"{source.name} holds no examples.")
    ids = number_words(pa.array(np.frombuffer(actions, np.int32)).cast(pa.string()))
    raw = RawLog(len(actions), ids, -np.frombuffer(costs), np.frombuffer(chances))
    raw.one_based, raw.n_actions = True, options.n_actions
    if names:
        at = (np.frombuffer(rows, np.int32), np.frombuffer(places, np.int32), np.frombuffer(values, np.float32))
        raw.contexts = _matrix(len(actions), names, *at, options)
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


def _matrix(
    n: int,
    names: dict[str, int],
    rows: NDArray[np.int32],
    places: NDArray[np.int32],
    values: NDArray[np.float32],
    options: IngestOptions,
) -> NDArray[np.float32]:
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
    np.add.at(matrix, (rows, place[places]), values)
    return matrix
