"""The log from an npz: Open Bandit Pipeline's dictionary of arrays, or any npz whose arrays have the known names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.formats.arrays import Arrays, check_length
from worker.ingest.table import Table, Words
from worker.kinds.bandit.upload.features import ENCODED_BYTES
from worker.kinds.bandit.upload.log_table import asked_beside, no_such_column
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.raw import RawLog, number_words, positions

DENSE_BYTES = 1_000_000_000  # of one dense table of probabilities or expected rewards, counted in float64
_KEEP_EXACT = 64_000_000  # smaller tables stay float64


def read_dictionary(table: Table, options: IngestOptions) -> RawLog:
    """The log of an npz. `pi_b` (n, A) or (n, A, 1) is the logging policy, `action_context` the action embeddings."""
    arrays: Arrays = table.detected.layout["arrays"]
    names = {role: column.name for role, column in table.columns.items()}
    n = int(arrays.shapes[names["action"]][0])
    check_length(n, arrays.meter, arrays.source.name)
    n_actions = arrays.number("n_actions") if "n_actions" in arrays.shapes else options.n_actions
    columns = {role: _column(arrays, role, name, n) for role, name in names.items()}
    raw = RawLog(
        n=n,
        action=columns["action"],
        reward=columns["reward"],
        propensity=columns.get("propensity"),
        position=positions(columns.get("position")),
        user=columns.get("user"),
        timestamp=columns.get("timestamp"),
        weight=columns.get("weight"),
        rounds=columns.get("round"),
        part=columns.get("split"),
        n_actions=n_actions,
    )
    _check_rounds(arrays, n)
    for option, names in asked_beside(options).items():
        for name in names:
            if len(arrays.shapes.get(name, ())) != 1:
                raise no_such_column(arrays.source.name, name, [*arrays.shapes], option)
            if option == "guardrails":
                raw.guardrails[name] = _column(arrays, option, name, n)
            else:
                raw.segments[name] = _column(arrays, "split", name, n)
    context = arrays.find("context", "contexts", "X", "x", dimensions=(1, 2))
    if context:
        raw.contexts = _contexts(arrays, context, n)
    embeddings = arrays.find("action_context", "action_embeddings", "embeddings", dimensions=(2,))
    raw.embeddings = matrix(arrays, embeddings) if embeddings else None
    logging = arrays.find("pi_b", "logging_policy", dimensions=(2, 3))
    raw.logging = read_dense(arrays, logging, n) if logging else None
    truth = arrays.find("expected_reward", dimensions=(2, 3))
    raw.truth = read_dense(arrays, truth, n).astype(np.float32) if truth else None
    if raw.n_actions is None:
        tables = (raw.logging, raw.truth)
        raw.n_actions = next((table.shape[1] for table in tables if table is not None), None)
        raw.n_actions = raw.n_actions or (None if raw.embeddings is None else len(raw.embeddings))
    return raw


def read_dense(arrays: Arrays, name: str, n: int | None) -> NDArray[np.floating]:
    """A table (rows, A) or (rows, A, 1): float64 while small, else float32. `n`: rows it must have."""
    shape = arrays.shapes[name]
    if len(shape) == 3 and shape[2] != 1:
        raise JobError(
            "unsupported",
            f"The array {name!r} of {arrays.source.name} has {shape[2]} positions.",
            hint="Upload the rounds of one position, and its policy as (n, A).",
        )
    rows, actions = int(shape[0]), int(shape[1])
    check_dense(rows, actions, f"The array {name!r} of {arrays.source.name}")
    if n is not None and rows != n:
        raise JobError("invalid_input", f"The array {name!r} has {rows:,} rows for {n:,} rounds.")
    exact = rows * actions * 8 <= _KEEP_EXACT and arrays.kinds[name] == "f"
    return arrays.read(name, np.float64 if exact else np.float32).reshape(rows, actions)


def check_dense(rows: int, actions: int, what: str) -> None:
    """Refuse a dense table that no worker should hold."""
    size = rows * actions * 8
    if size > DENSE_BYTES:
        raise JobError(
            "dense_too_large",
            f"{what} is dense with {rows:,} x {actions:,} numbers ({size:,} bytes); the limit is {DENSE_BYTES:,}.",
            hint="Upload it as CSR (an npz of data, indices, indptr, shape), with one row a distinct context (table "
            "and index), as a long table round,action,prob, or as a scorer (weights, embeddings).",
            pointer="/files",
        )


def matrix(arrays: Arrays, name: str) -> NDArray[np.float32]:
    """A table of descriptions (rows, d) float32, finite."""
    rows, width = arrays.shapes[name]
    if rows * width * 4 > ENCODED_BYTES:
        raise JobError(
            "dense_too_large",
            f"The array {name!r} of {arrays.source.name} takes {rows * width * 4:,} bytes; the limit is "
            f"{ENCODED_BYTES:,}.",
            hint="Reduce its columns, for example by PCA.",
            pointer="/files",
        )
    values = arrays.read(name, np.float32)
    if not np.isfinite(values).all():
        raise JobError("invalid_input", f"The array {name!r} of {arrays.source.name} holds NaN or infinite numbers.")
    return values


def _contexts(arrays: Arrays, name: str, n: int) -> NDArray[np.float32]:
    shape = arrays.shapes[name]
    if shape[0] != n:
        raise JobError("invalid_input", f"The array {name!r} has {shape[0]:,} rows for {n:,} rounds.")
    if len(shape) == 1:
        return arrays.read(name, np.float32).reshape(n, 1)
    return matrix(arrays, name)


def _column(arrays: Arrays, role: str, name: str, n: int) -> Any:
    shape = arrays.shapes[name]
    if shape != (n,):
        raise JobError(
            "invalid_input",
            f"The array {name!r} has the shape {shape}, not ({n},) like the actions.",
            pointer=f"/columns/{role}",
        )
    if role in {"action", "user", "round", "split"}:
        return _ids(arrays, name)
    return arrays.read(name, np.int64 if role == "timestamp" else np.float64)


def _ids(arrays: Arrays, name: str) -> Words:
    """Whole numbers are numbered without becoming text a row."""
    if arrays.kinds[name] in "US":
        return number_words(arrays.words(name))
    values, codes = np.unique(arrays.whole(name), return_inverse=True)
    return Words(codes.astype(np.int32), pa.array(values).cast(pa.string()))


def _check_rounds(arrays: Arrays, n: int) -> None:
    if "n_rounds" in arrays.shapes and arrays.number("n_rounds") != n:
        raise JobError("invalid_input", f"n_rounds is {arrays.number('n_rounds'):,}, but there are {n:,} actions.")
