"""Any table (CSV, Parquet, JSON lines) to whole columns by role: ids, numbers, times, categories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from worker.ingest.canonical import ids, numbers, timestamps
from worker.ingest.columns import Column, assign_roles
from worker.ingest.detected import Detected
from worker.ingest.ids import IdMap
from worker.ingest.limits import Meter
from worker.ingest.readers import delimited, jsonl, parquet
from worker.kinds.bandit.upload.features import Arrow
from worker.contract.errors import JobError

pc: Any = pyarrow.compute  # its functions are made at run time, unknown to type checkers

NO_TIME = np.iinfo(np.int64).min
Content = Literal["id", "number", "feature", "time", "category"]
_READERS: dict[str, Callable[..., Any]] = {
    "delimited": delimited.read,
    "recbole": delimited.read,
    "jsonl": jsonl.read,
    "parquet": parquet.read,
}
ALIASES: dict[str, tuple[str, ...]] = {
    "action": ("action", "item_id", "a", "arm", "action_id", "arm_id", "chosen_action", "item"),
    "reward": ("reward", "click", "r", "label", "clicked", "conversion", "y"),
    "propensity": (
        "propensity", "propensity_score", "pscore", "action_prob", "p", "prob", "probability", "logging_prob",
        "action_probability",
    ),
    "position": ("position", "slot"),
    "user": ("user_id", "user", "uid"),
    "timestamp": ("timestamp", "time", "ts", "datetime", "date"),
    "weight": ("round_weight", "omega"),
    "round": ("round", "round_id"),
}  # fmt: skip


@dataclass
class Words:
    """A column of ids or categories: `codes` (n,) int32 into the distinct `words`, which are sorted."""

    codes: NDArray[np.int32]
    words: Arrow


@dataclass
class Columns:
    """Whole columns by role, all of length `n`: ids and categories as `words`, all else as `numbers`."""

    n: int
    words: dict[str, Words] = field(default_factory=dict[str, Words])
    numbers: dict[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])


def roles_of(
    detected: Detected, asked: Mapping[str, str | int], required: Sequence[str], names: Mapping[str, Sequence[str]]
) -> dict[str, Column]:
    """Role to column by the user's map, then by known names; refuses one column in two roles."""
    if detected.format not in _READERS:
        raise JobError(
            "unsupported",
            f"{detected.source.name} is {detected.format}, which a log of decisions is not read from.",
            hint="Upload CSV, Parquet, JSON lines or npz.",
        )
    chosen = {role: column for role, column in asked.items() if role in names}
    roles = assign_roles(
        detected.columns, chosen, header=detected.header, required=required, where=detected.source.name, names=names
    )
    seen: dict[int, str] = {}
    for role, column in roles.items():
        other = seen.setdefault(column.index, role)
        if other != role:
            raise JobError(
                "invalid_input",
                f"The column {column.name!r} of {detected.source.name} is both {other} and {role}.",
                hint=f'Map one of them elsewhere, or leave it out with columns={{"{role}": ""}}.',
                pointer=f"/columns/{role}",
            )
    return roles


def read_columns(
    tables: Sequence[tuple[Detected, Mapping[str, Column]]],
    contents: Mapping[str, Content],
    meter: Meter,
    report: Callable[[], None] = lambda: None,
) -> Columns:
    """The columns of the tables, one below the other, converted by `contents` (role to what it holds).

    Numbers are float64, features float32, times int64 with `NO_TIME` where missing. Raises `JobError` with the row.
    """
    maps = {role: IdMap() for role, content in contents.items() if content in {"id", "category"}}
    parts: dict[str, list[NDArray[Any]]] = {role: [] for role in contents if role not in maps}
    total = 0
    for detected, roles in tables:
        for role, column in roles.items():
            column.numeric = contents[role] in {"number", "feature"}
        rows, name = 0, detected.source.name
        for batch in _READERS[detected.format](detected, roles, meter):
            meter.rows_read(batch.num_rows, name)
            for role, column in zip(batch.schema.names, batch.columns, strict=True):
                if role in maps:
                    category = contents[role] == "category"
                    maps[role].add(_category(column, meter, name) if category else ids(column, role, meter, rows, name))
                else:
                    parts[role].append(_numbers(column, contents[role], role, rows, name))
            rows += batch.num_rows
            report()
        if not rows:
            raise JobError("invalid_input", f"{name} holds no rows.", hint="Upload a table with at least one row.")
        total += rows
    found = Columns(total)
    for role, collected in maps.items():
        found.words[role] = Words(*collected.finish())
    for role in list(parts):
        found.numbers[role] = np.concatenate(parts.pop(role))
    return found


def _numbers(column: Arrow, content: Content, role: str, rows: int, where: str) -> NDArray[Any]:
    if content == "time":
        return pc.fill_null(timestamps(column, rows, where), NO_TIME).to_numpy(zero_copy_only=False)
    values = numbers(column, role, rows, where).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        return values.astype(np.float32) if content == "feature" else values


def _category(column: Arrow, meter: Meter, where: str) -> Arrow:
    """Any column as categories: missing cells are a category of their own, the empty one."""
    encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    try:
        words = pc.utf8_trim_whitespace(encoded.dictionary.cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as invalid:
        raise JobError("invalid_input", f"A column of {where} cannot be read as categories: {invalid}.") from invalid
    meter.id_length(pc.max(pc.binary_length(words)).as_py() or 0, where)
    with_blank = pa.concat_arrays([pc.fill_null(words, ""), pa.array([""], pa.string())])
    indices = pc.fill_null(encoded.indices.cast(pa.int32()), pa.scalar(len(words), pa.int32()))
    return pa.DictionaryArray.from_arrays(indices, with_blank)
