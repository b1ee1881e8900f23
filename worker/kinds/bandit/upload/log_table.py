"""The log from tables with a row a round: Open Bandit CSV as it is, and anything with action, reward, propensity."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.columns import COUNTED, DESCRIBING, Column, Content, Wanted, find, plain_name
from worker.ingest.format import Detected
from worker.ingest.limits import Meter
from worker.ingest.table import Columns, Table, as_table, read_columns
from worker.ingest.times import NO_TIME
from worker.kinds.bandit.upload.features import Feature
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.raw import RawLog, positions
from worker.kinds.bandit.upload.structured import raw_structure, target_columns
from worker.kinds.bandit.upload.vectors import vectors

CONTEXT_PATTERNS = (
    "context", "context*", "user_feature*", "user_item_affinity*", "feature_*", "feat_*", "x_*", "x[0-9]*",
)  # fmt: skip

Values = TypeVar("Values")
_PROPENSITY = re.compile(r"pscore|propensity|(^|_)prob(ability)?(_|$)")


def asked_columns(options: IngestOptions) -> dict[str, str | int]:
    """The user's column map, with the column of a published split."""
    named = options.split.startswith("column:")
    return options.columns | ({"split": options.split.removeprefix("column:")} if named else {})


def log_table(detected: Detected, options: IngestOptions) -> Table:
    """The columns of a log table by role; those of the context are called `context:NAME`."""
    table = as_table(detected, asked_columns(options), options.log_schema)
    taken = {column.index for column in table.columns.values()}
    context = [column for column in context_columns(detected, options) if column.index not in taken]
    for column in context:
        column.role = "context"
        if column.type == "nested":
            raise _nested(column.name, detected.source.name)
    given = target_columns(detected, options.structure)
    detected.warnings += _unused(detected, table)
    described = [described_by(column, "context", options) for column in context]
    return Table(detected, (*table.wanted, *described, *given, *_beside(detected, options)))


def _beside(detected: Detected, options: IngestOptions) -> list[Wanted]:
    """The columns of guardrails and of segments; those may have another role, too."""
    found: list[Wanted] = []
    for option, names in asked_beside(options).items():
        for name in names:
            column = find(detected.columns, name)
            if column is None or column.type == "nested":
                raise no_such_column(detected.source.name, name, [c.name for c in detected.columns], option)
            if not column.role:
                column.role = option.removesuffix("s")
            found.append(Wanted(f"{option}:{name}", column, "number" if option == "guardrails" else "split"))
    return found


def asked_beside(options: IngestOptions) -> dict[str, list[str]]:
    """The names that each of the two options lists, once each."""
    return {option: [*dict.fromkeys(getattr(options, option))] for option in ("guardrails", "segments")}


def no_such_column(where: str, name: str, seen: Sequence[str], option: str) -> JobError:
    """The refusal of a column that the file does not have as numbers or words."""
    listed = ", ".join(repr(one) for one in seen[:30])
    return JobError(
        "unknown_column",
        f"{where} has no column {name!r} of plain cells. Columns seen: {listed}.",
        hint=f"Name columns of the log in {option}.",
        pointer=f"/options/{option}",
    )


def _unused(detected: Detected, table: Table) -> list[str]:
    """Warnings about columns that look like what another column was taken for."""
    taken = table.columns.get("propensity")
    if taken is None:
        return []
    others = [
        column.name
        for column in detected.columns
        if not column.role and column.type in COUNTED and _PROPENSITY.search(plain_name(column.name))
    ]
    if not others:
        return []
    return [
        f"Several columns look like propensities: {taken.name!r} was taken and not "
        f'{", ".join(repr(name) for name in others)}; columns={{"propensity": "{others[0]}"}} takes another. The '
        "propensity of a row must be that of its action alone, not of a whole page."
    ]


def _nested(name: str, where: str) -> JobError:
    return JobError(
        "invalid_input",
        f"The context column {name!r} of {where} holds lists or objects, not one number or category a cell.",
        hint=f"Write one column a number: {name}_0, {name}_1, and so on; or name the columns of the context without it "
        "in context_columns.",
        pointer="/options/context_columns",
    )


def described_by(column: Column, prefix: str, options: IngestOptions) -> Wanted:
    """A column that describes a context or an action, as a number or a category; it is called `prefix:NAME`."""
    content: Content = "category" if is_category(column, options) else "feature"
    return Wanted(f"{prefix}:{column.name}", column, content)


def context_columns(detected: Detected, options: IngestOptions) -> list[Column]:
    """The columns that describe the context, by the user's patterns or by known names."""
    if not options.context_columns:
        named = ((column, plain_name(column.name)) for column in detected.columns)
        return [
            column
            for column, name in named
            if column.type in {*DESCRIBING, "nested"} and any(fnmatch(name, known) for known in CONTEXT_PATTERNS)
        ]
    found: list[Column] = []
    for pattern in options.context_columns:
        matched = [column for column in detected.columns if fnmatch(column.name, pattern)]
        if not matched:
            seen = ", ".join(repr(column.name) for column in detected.columns[:30])
            raise JobError(
                "unknown_column",
                f"No column of {detected.source.name} matches {pattern!r}. Columns seen: {seen}.",
                pointer="/options/context_columns",
            )
        found += [column for column in matched if column not in found]
    return found


def is_category(column: Column, options: IngestOptions) -> bool:
    """Whether a context column holds names rather than numbers."""
    return column.type not in COUNTED or any(fnmatch(column.name, pattern) for pattern in options.categorical_columns)


def read_log_table(tables: Sequence[Table], options: IngestOptions, meter: Meter) -> RawLog:
    """All rounds of the tables in the order of the upload."""
    columns = read_columns(tables, meter)
    return RawLog(
        n=columns.n,
        action=columns.words["action"],
        reward=columns.numbers["reward"],
        propensity=columns.numbers.get("propensity"),
        position=positions(columns.numbers.get("position")),
        user=columns.words.get("user"),
        timestamp=_times(columns),
        weight=columns.numbers.get("weight"),
        rounds=columns.words.get("round"),
        part=columns.words.get("split"),
        guardrails=_named(columns.numbers, "guardrails:"),
        segments=_named(columns.words, "segments:"),
        features=described_columns(columns, tables[0]),
        n_actions=options.n_actions,
        structure=raw_structure(columns),
    )


def described_columns(columns: Columns, table: Table) -> list[Feature]:
    """All features of the contexts."""
    names = {role: column.name for role, column in table.columns.items() if role.startswith("context:")}
    return [part for role, name in names.items() for part in _described(columns, role, name, table.name)]


def _named(columns: Mapping[str, Values], prefix: str) -> dict[str, Values]:
    """The columns whose role begins so, by the rest of it."""
    return {role.removeprefix(prefix): values for role, values in columns.items() if role.startswith(prefix)}


def _described(columns: Columns, role: str, name: str, where: str) -> list[Feature]:
    """The features that a context column becomes: one, or the numbers of its vectors."""
    parts = vectors(columns.words[role], name, where) if role in columns.words else None
    return [as_feature(columns, role, name)] if parts is None else parts


def as_feature(columns: Columns, role: str, name: str) -> Feature:
    """One column of a table as a feature; categories that no row has are forgotten."""
    if role in columns.numbers:
        return Feature(name, columns.numbers.pop(role))
    found = columns.words[role]
    used = np.bincount(found.codes, minlength=len(found.words)) > 0
    rank = np.cumsum(used, dtype=np.int32) - 1
    return Feature(name, None, rank[found.codes].astype(np.int32), found.words.filter(pa.array(used)))


def _times(columns: Columns) -> NDArray[np.int64] | None:
    times = columns.numbers.get("timestamp")
    return None if times is None or (times == NO_TIME).any() else times
