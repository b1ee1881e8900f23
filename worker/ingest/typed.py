"""Tables that bring their types, as Parquet and Arrow do: columns by name, a field inside a struct by its path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow, pc
from worker.ingest.columns import Column, Wanted, holds_lists

LEVELS = 8
"""How deep a value may lie inside objects or structs to be a column."""
Path = tuple[str, ...]
"""The names that lead to a column: one, or those of the structs around it too."""


def typed_columns(schema: Arrow) -> tuple[list[Column], list[Path]]:
    """The columns of a schema of Arrow, a field inside a struct as `outer.inner`, and the path to each."""
    found = [leaf for field in schema for leaf in _leaves(field, ())]
    columns = [Column(".".join(path), place, column_type(kind)) for place, (path, kind) in enumerate(found)]
    return columns, [path for path, _ in found]


def _leaves(field: Arrow, above: Path) -> list[tuple[Path, Arrow]]:
    path = (*above, field.name)
    if pa.types.is_struct(field.type) and field.type.num_fields and len(path) < LEVELS:
        return [leaf for inner in field.type for leaf in _leaves(inner, path)]
    return [(path, field.type)]


def column_type(kind: Arrow) -> str:
    """The type of a column (`worker.ingest.columns.Column`) whose cells have a type of Arrow."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_nested(kind) or pa.types.is_run_end_encoded(kind):
        return "nested"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    return "datetime" if pa.types.is_temporal(kind) else "text"


def at(batch: Arrow, path: Path) -> Arrow:
    """The column of a batch to which a path leads; null where a struct around it is null."""
    column = batch.column(path[0])
    return pc.struct_field(column, list(path[1:])) if len(path) > 1 else column


def kind_at(schema: Arrow, path: Path) -> Arrow:
    """The type of Arrow of the column to which a path leads."""
    kind = schema.field(schema.get_field_index(path[0])).type
    for name in path[1:]:
        kind = kind.field(name).type
    return kind


def check_wanted(columns: Sequence[Column], wanted: Sequence[Wanted], where: str) -> None:
    """Refuse columns that hold lists, and those whose name another has."""
    often = Counter(column.name for column in columns)
    for one in wanted:
        name = one.column.name
        if one.column.type == "nested" and one.content != "vector":
            raise holds_lists(one.column, one.name, where)
        if often[name] > 1:
            raise JobError(
                "invalid_input",
                f"{where} has {often[name]} columns {name!r}.",
                hint=f"Rename one of them, or map another column to {one.name}.",
                pointer=f"/columns/{one.name}",
            )
