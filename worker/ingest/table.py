"""Tables as a kind asks for them: which roles its columns have, and their rows as batches or as whole columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.contract.text import storable
from worker.ingest.arrow import Arrow, pc
from worker.ingest.columns import Column, Content, Wanted, find, holds_lists, not_found, plain_name
from worker.ingest.format import Detected, Format
from worker.ingest.ids import IdMap
from worker.ingest.limits import Meter
from worker.ingest.times import settle
from worker.ingest.values import convert


@dataclass(frozen=True)
class Role:
    """What a column may be for a kind. `names`: what it is customarily called, as `plain_name` writes it; `read`: False
    for what is only pointed out to the user.
    """

    name: str
    content: Content
    names: tuple[str, ...] = ()
    required: bool = False
    read: bool = True


@dataclass(frozen=True)
class Schema:
    """The table that a kind reads.

    `what`: its name in sentences ("a log of decisions"). `pairs`: roles of row, column and value where a file is a
    matrix; empty: a matrix is not read. `by_position`: the roles of a table without a header. `formats`: formats of
    this kind alone, tried before the common ones.
    """

    what: str
    roles: tuple[Role, ...]
    pairs: tuple[str, ...] = ()
    by_position: Callable[[Sequence[Column]], dict[str, Column]] | None = None
    formats: tuple[Format, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """All known names: a first line with one of them is a header."""
        return frozenset(name for role in self.roles for name in role.names)

    def reading(self, *names: str) -> Schema:
        """The same, with these roles read and not only pointed out."""
        return replace(self, roles=tuple(replace(one, read=one.read or one.name in names) for one in self.roles))

    def without(self, *names: str) -> Schema:
        """The same without these roles."""
        return replace(self, roles=tuple(role for role in self.roles if role.name not in names))


@dataclass(frozen=True)
class Table:
    """A file taken for a table, and the columns to be read from it."""

    detected: Detected
    wanted: tuple[Wanted, ...]

    @property
    def name(self) -> str:
        """The file's name."""
        return self.detected.source.name

    @property
    def columns(self) -> dict[str, Column]:
        """Column by role."""
        return {one.name: one.column for one in self.wanted}

    @property
    def signature(self) -> tuple[Any, ...]:
        """Files alike in this are parts of one table."""
        names = tuple((role, column.name) for role, column in sorted(self.columns.items()))
        return self.detected.format.name, self.detected.delimiter, self.detected.header, names


def as_table(detected: Detected, asked: Mapping[str, str | int], schema: Schema) -> Table:
    """A file as the schema's table: its columns by the user's map `asked` (role to name or position, "" for none), then
    by known names or, without a header, by position.

    Raises `JobError` `unknown_column` with the columns seen and the nearest match; `pointer` is /columns/<role>.
    """
    roles = _matrix_roles(detected, asked, schema) if detected.pairs else _named_roles(detected, asked, schema)
    _refuse_two_roles(detected, roles)
    for column in detected.columns:
        column.role = next((role for role, chosen in roles.items() if chosen is column), "")
    read = (role for role in schema.roles if role.read and role.name in roles)
    return Table(detected, tuple(Wanted(role.name, roles[role.name], role.content, role.required) for role in read))


def _matrix_roles(detected: Detected, asked: Mapping[str, str | int], schema: Schema) -> dict[str, Column]:
    if not schema.pairs:
        raise JobError(
            "unsupported",
            f"{detected.source.name} is {detected.format.name}, which {schema.what} is not read from.",
            hint="Upload CSV, Parquet, JSON lines or npz.",
        )
    known = {role.name for role in schema.roles}
    paired = zip(schema.pairs, detected.columns[: detected.pairs], strict=False)
    return {role: column for role, column in paired if role in known and asked.get(role) != ""}


def _named_roles(detected: Detected, asked: Mapping[str, str | int], schema: Schema) -> dict[str, Column]:
    columns, where = detected.columns, detected.source.name
    roles: dict[str, Column] = {}
    for role in schema.roles:
        wanted = asked.get(role.name, "")
        if wanted != "":
            found = find(columns, wanted)
            if found is None:
                raise not_found(columns, role.name, where, role.names, wanted, _places(roles))
            roles[role.name] = found
    for role, column in _guess(detected, schema).items():
        if role not in asked and not any(column is other for other in roles.values()):
            roles[role] = column
    for role, column in roles.items():
        _refuse_namesakes(columns, column, role, asked.get(role, ""), where)
    for role in schema.roles:
        if role.required and role.name not in roles:
            for column in columns:
                if column.type == "nested" and {plain_name(column.name), plain_name(column.name)[:-1]} & {*role.names}:
                    raise holds_lists(column, role.name, where)
            raise not_found(columns, role.name, where, role.names, taken=_places(roles))
    return roles


def _refuse_namesakes(columns: Sequence[Column], chosen: Column, role: str, wanted: str | int, where: str) -> None:
    """Refuse a name that several columns have, unless one of them was chosen by its position."""
    same = [column for column in columns if column.name == chosen.name]
    if len(same) < 2 or chosen.name == "" or (wanted != "" and wanted != chosen.name):
        return
    raise JobError(
        "invalid_input",
        f"{where} has {len(same)} columns {chosen.name!r} (positions {', '.join(str(c.index) for c in same)} from 0).",
        hint=f'Choose one by position, as in columns={{"{role}": "{same[0].index}"}}; in Parquet and Arrow, rename it.',
        pointer=f"/columns/{role}",
    )


def _places(roles: Mapping[str, Column]) -> set[int]:
    return {column.index for column in roles.values()}


def _guess(detected: Detected, schema: Schema) -> dict[str, Column]:
    if not detected.header:
        stored = [column for column in detected.columns if column.constant is None]
        return schema.by_position(stored) if schema.by_position is not None else {}
    single = {plain_name(one.name): one for one in reversed(detected.columns) if one.type != "nested"}
    lists = {plain_name(one.name): one for one in reversed(detected.columns) if one.type == "nested"}
    found: dict[str, Column] = {}
    for role in schema.roles:
        by_name = lists if role.content == "vector" else single
        match = next((by_name[name] for name in role.names if name in by_name), None)
        if match is not None:
            found[role.name] = match
    return found


def _refuse_two_roles(detected: Detected, roles: Mapping[str, Column]) -> None:
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


def read_batches(tables: Sequence[Table], meter: Meter) -> Iterator[Arrow]:
    """The rows of the tables, one table below the other, in the canonical types of `worker.ingest.values`.

    What a column holds is decided by the first table. Progress goes to `meter.tick`. Raises `JobError` while iterating.
    """
    for _, batch in numbered_batches(tables, meter):
        yield batch


def numbered_batches(tables: Sequence[Table], meter: Meter) -> Iterator[tuple[int, Arrow]]:
    """Batches with the number of their table."""
    contents = {one.name: one.content for one in tables[0].wanted}
    empty: list[str] = []
    for place, table in enumerate(tables):
        wanted = [replace(one, content=contents[one.name]) for one in table.wanted]
        rows = 0
        for raw in _read(table, wanted, meter):
            batch = convert(raw, wanted, meter, rows, table.name)
            rows += batch.num_rows
            meter.tick()
            yield place, batch
        if not rows:
            empty.append(table.name)
    if len(empty) == len(tables):
        names = ", ".join(empty[:10])
        raise JobError("invalid_input", f"{names}: no rows.", hint="Upload a table with at least one row.")
    meter.remarks.empty_files += empty


def _read(table: Table, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    """The batches of a file, with the columns that its folders say."""
    stored = [one for one in wanted if one.column.constant is None]
    _refuse_unwritable(wanted, table.name)
    if not stored:
        raise JobError(
            "invalid_input",
            f"All that is wanted of {table.name} stands in the names of its folders.",
            hint="Map at least one column of the file itself.",
            pointer=f"/columns/{wanted[0].name}",
        )
    for batch in table.detected.format.read(table.detected, stored, meter):
        said = {
            one.name: pa.DictionaryArray.from_arrays(np.zeros(batch.num_rows, np.int32), [one.column.constant])
            for one in wanted
            if one.column.constant is not None
        }
        columns = [said[one.name] if one.name in said else batch.column(one.name) for one in wanted]
        yield pa.RecordBatch.from_arrays(columns, names=[one.name for one in wanted])


def _refuse_unwritable(wanted: Sequence[Wanted], where: str) -> None:
    for one in wanted:
        if storable(one.column.name) != one.column.name:
            raise JobError(
                "invalid_input",
                f"The name {one.column.name[:80]!r} of a column of {where} holds what is no text.",
                hint="Rename the column.",
                pointer=f"/columns/{one.name}",
            )


@dataclass
class Words:
    """A column of ids or categories: `codes` (n,) int32 into the distinct `words`, which are sorted: as numbers where
    all are whole numbers.
    """

    codes: NDArray[np.int32]
    words: Arrow


@dataclass
class Columns:
    """Whole columns by role, all of length `n`, of which each table has its `sizes`: ids and categories as `words`,
    all else as `numbers`.
    """

    n: int = 0
    sizes: list[int] = field(default_factory=list[int])
    words: dict[str, Words] = field(default_factory=dict[str, Words])
    numbers: dict[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])


def read_columns(tables: Sequence[Table], meter: Meter) -> Columns:
    """All rows of the tables as whole columns. Ids, categories and parts of a split are numbered, a missing part as "";
    numbers are float64, features and labels float32, times int64 with `NO_TIME` where missing, text is str or None.
    """
    contents: dict[str, Content] = {one.name: one.content for one in tables[0].wanted}
    maps = {role: IdMap() for role, content in contents.items() if content in {"id", "category", "split"}}
    parts: dict[str, list[Any]] = {role: [] for role in contents if role not in maps}
    found = Columns(sizes=[0] * len(tables))
    for place, batch in numbered_batches(tables, meter):
        for role, column in zip(batch.schema.names, batch.columns, strict=True):
            if role in maps:
                maps[role].add(_with_blank(column) if contents[role] == "split" else column)
            else:
                parts[role].append(column if contents[role] == "time" else _array(column, contents[role]))
        found.n += batch.num_rows
        found.sizes[place] += batch.num_rows
    for role, collected in maps.items():
        found.words[role] = Words(*collected.finish())
    for role in list(parts):
        collected = parts.pop(role)
        found.numbers[role] = settle(collected) if contents[role] == "time" else np.concatenate(collected)
    return found


def _with_blank(column: Arrow) -> Arrow:
    words = pa.concat_arrays([pc.fill_null(column.dictionary, ""), pa.array([""], pa.string())])
    indices = pc.fill_null(column.indices, pa.scalar(len(words) - 1, pa.int32()))
    return pa.DictionaryArray.from_arrays(indices, words)


def _array(column: Arrow, content: Content) -> NDArray[Any]:
    if content == "text":
        column = column.cast(pa.string())
    values = column.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):  # a float64 above float32's range becomes infinite, and is refused later
        return values.astype(np.float32) if content in {"feature", "label"} else values
