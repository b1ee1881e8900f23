"""The log from tables with a row a round: Open Bandit CSV as it is, and anything with action, reward, propensity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.ingest.columns import Column, plain_name
from worker.ingest.detected import Detected
from worker.ingest.limits import Meter
from worker.kinds.bandit.upload.features import Feature
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.raw import RawLog
from worker.kinds.bandit.upload.tables import ALIASES, NO_TIME, Columns, Content, read_columns, roles_of
from worker.contract.errors import JobError

CONTEXT_PATTERNS = (
    "context", "context*", "user_feature*", "user_item_affinity*", "feature_*", "feat_*", "x_*", "x[0-9]*",
)  # fmt: skip
_CONTENTS: dict[str, Content] = {
    "action": "id", "user": "id", "round": "id", "split": "category", "timestamp": "time", "reward": "number",
    "propensity": "number", "position": "number", "weight": "number",
}  # fmt: skip
Tables = Sequence[tuple[Detected, Mapping[str, Column]]]


def log_roles(detected: Detected, options: IngestOptions) -> dict[str, Column]:
    """The columns of a log table by role; those of the context are called `context:NAME`."""
    asked = dict(options.columns)
    names = ALIASES | {"split": ()}
    if options.split.startswith("column:"):
        asked["split"] = options.split.removeprefix("column:")
    roles = roles_of(detected, asked, ("action", "reward"), names)
    taken = {column.index for column in roles.values()}
    roles |= {
        f"context:{column.name}": column for column in context_columns(detected, options) if column.index not in taken
    }
    for role, column in roles.items():
        column.role = role.partition(":")[0]
    return roles


def context_columns(detected: Detected, options: IngestOptions) -> list[Column]:
    """The columns that describe the context, by the user's patterns or by known names."""
    if not options.context_columns:
        named = ((column, plain_name(column.name)) for column in detected.columns)
        return [
            column
            for column, name in named
            if column.type in {"integer", "number", "text"} and any(fnmatch(name, known) for known in CONTEXT_PATTERNS)
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
    return column.type not in {"integer", "number"} or any(
        fnmatch(column.name, pattern) for pattern in options.categorical_columns
    )


def read_log(tables: Tables, options: IngestOptions, meter: Meter, report: Callable[[], None]) -> RawLog:
    """All rounds of the tables in the order of the upload."""
    roles = tables[0][1]
    contents: dict[str, Content] = {}
    for role, column in roles.items():
        category = is_category(column, options)
        contents[role] = _CONTENTS.get(role) or ("category" if category else "feature")
    columns = read_columns(tables, contents, meter, report)
    names = {role: column.name for role, column in roles.items() if role.startswith("context:")}
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
        features=[as_feature(columns, role, name) for role, name in names.items()],
        n_actions=options.n_actions,
    )


def as_feature(columns: Columns, role: str, name: str) -> Feature:
    """One column of a table as a feature; categories that no row has are forgotten."""
    if role in columns.numbers:
        return Feature(name, columns.numbers.pop(role))
    found = columns.words[role]
    used = np.bincount(found.codes, minlength=len(found.words)) > 0
    rank = np.cumsum(used, dtype=np.int32) - 1
    return Feature(name, None, rank[found.codes].astype(np.int32), found.words.filter(pa.array(used)))


def positions(values: NDArray[Any] | None) -> NDArray[np.int32] | None:
    """Positions as whole numbers; None where there are none."""
    if values is None or not len(values):
        return None
    finite = np.isfinite(values)
    whole = finite & (np.floor(np.where(finite, values, 0)) == values) & (np.abs(np.where(finite, values, 0)) < 2**31)
    if not whole.all():
        row = int(np.argmin(whole)) + 1
        raise JobError(
            "invalid_input",
            f"The position in row {row:,} is {values[row - 1]}, not a whole number.",
            hint='Correct it, or leave the column out with columns={"position": ""}.',
            pointer="/columns/position",
        )
    return values.astype(np.int32)


def _times(columns: Columns) -> NDArray[np.int64] | None:
    times = columns.numbers.get("timestamp")
    return None if times is None or (times == NO_TIME).any() else times
