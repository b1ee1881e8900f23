"""Item features as uploads hold them: a table with a row an item, or vectors saved by numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow, pc
from worker.ingest.columns import COUNTED, Column, Wanted, find, plain_name
from worker.ingest.format import Detected
from worker.ingest.formats.npz import read_header
from worker.ingest.limits import Meter, too_large
from worker.ingest.sources import Source
from worker.ingest.table import Table, read_columns
from worker.ingest.upload import Upload
from worker.kinds.interactions.item_features import ItemFeatures
from worker.kinds.interactions.roles import SCHEMA, TITLES

Rows = sparse.csr_array
_NUMPY = b"\x93NUMPY"
_TAGS = ("tags", "tag", "genres", "genre", "categories", "category", "class", "keywords", "labels", "attributes")
_SEPARATORS = ("|", ";", ",")
_POINTER = "/options/item_features"


@dataclass(frozen=True)
class ItemTable:
    """Where the features are: the `source`, and the `table` that it is, None for a numpy array."""

    source: Source
    table: Table | None

    def as_dict(self) -> dict[str, Any]:
        """JSON for the user: the file, and its columns of features."""
        columns = [] if self.table is None else [one.column.name for one in self.table.wanted if one.name != "item"]
        return {"file": self.source.name, "columns": columns}


def find_items(upload: Upload, name: str, columns: Sequence[str], item: str | int) -> ItemTable:
    """The file of this name or pattern as a table of features: those of `columns`, or else those known as tags, or else
    all numbers. `item`: what the column of item ids is called in the events, "" where that was guessed.

    Raises `JobError` that points at the option.
    """
    try:
        found = upload.named(name)
    except JobError as none:
        none.pointer = _POINTER
        raise
    if len(found) > 1:
        listed = ", ".join(source.name for source in found[:10])
        raise _refused(f"Several files match {name!r}: {listed}.", "Name one of them.")
    source = found[0]
    if source.head(upload.meter)[0].startswith(_NUMPY):
        return ItemTable(source, None)
    detected = upload.detect(source)
    if not detected.header:
        raise _refused(f"{source.name} has no header.", "Write a first line that names its columns.")
    ids = _ids(detected, item)
    chosen = [_described(column, detected) for column in _chosen(detected, columns, ids)]
    wanted = [Wanted(f"feature {number}", column, _content(column)) for number, column in enumerate(chosen)]
    return ItemTable(source, Table(detected, (Wanted("item", ids, "id", required=True), *wanted)))


def _refused(detail: str, hint: str, pointer: str = _POINTER) -> JobError:
    return JobError("invalid_input", detail, hint=hint, pointer=pointer)


def _ids(detected: Detected, item: str | int) -> Column:
    """The column of item ids: as it is called in the events, else by a known name."""
    known = next(role.names for role in SCHEMA.roles if role.name == "item")
    by_name = {plain_name(column.name): column for column in reversed(detected.columns)}
    found = find(detected.columns, item) if isinstance(item, str) and item and not item.isdigit() else None
    found = found or next((by_name[name] for name in known if name in by_name), None)
    if found is None:
        seen = ", ".join(repr(column.name) for column in detected.columns[:20])
        raise _refused(
            f"No column of {detected.source.name} holds item ids. Columns seen: {seen}.",
            "Call it as the events' table does, or item_id.",
        )
    return found


def _chosen(detected: Detected, columns: Sequence[str], ids: Column) -> list[Column]:
    others = [column for column in detected.columns if column is not ids]
    if columns:
        found = [find(others, name) for name in columns]
        missing = next((name for name, column in zip(columns, found, strict=True) if column is None), None)
        if missing is not None:
            seen = ", ".join(repr(column.name) for column in others[:20])
            raise _refused(
                f"{detected.source.name} has no column {missing!r} beside the item ids. Columns seen: {seen}.",
                "Name columns that are there, or leave item_feature_columns out.",
                "/options/item_feature_columns",
            )
        return [column for column in found if column is not None]
    tags = [column for column in others if plain_name(column.name) in _TAGS]
    numbers = [column for column in others if column.type in COUNTED and plain_name(column.name) not in TITLES]
    if not tags and not numbers:
        seen = ", ".join(repr(column.name) for column in others[:20])
        raise _refused(
            f"No column of {detected.source.name} is known to hold tags, and none holds numbers. Columns seen: {seen}.",
            'Name them, as in item_feature_columns=["style"].',
            "/options/item_feature_columns",
        )
    return tags or numbers


def _described(column: Column, detected: Detected) -> Column:
    if column.type != "nested":
        return column
    if detected.format.name == "recbole":
        return replace(column, type="text")  # a sequence of tokens, with blanks between them
    raise _refused(
        f"The column {column.name!r} of {detected.source.name} holds lists or objects.",
        f"Write the tags of an item as one text, as in a|b|c: in pandas `df[{column.name!r}].str.join('|')`.",
        "/options/item_feature_columns",
    )


def _content(column: Column) -> Any:
    return "number" if column.type in COUNTED else "text"


def read_items(found: ItemTable, items: Arrow, meter: Meter, ctx: Context) -> ItemFeatures:
    """The features of these items (I,) in their order; of items that the file has several times, the first row counts.

    A missing number is the mean of the others. Raises `JobError` where no item is known, or a number is infinite.
    """
    read = _of_array(found.source, items, meter) if found.table is None else _of_table(found.table, items, meter, ctx)
    if not read.known:
        raise _refused(
            f"{found.source.name} says nothing of any item of the events.",
            "Write the item ids as the events have them."
            if found.table is not None
            else "Rows of an array are items 0, 1, 2, ...: write a table with a column of item ids instead.",
        )
    if read.known < len(read):
        ctx.warn(f"{len(read) - read.known:,} of {len(read):,} items have no features in {found.source.name}.")
    return read


def _of_table(table: Table, items: Arrow, meter: Meter, ctx: Context) -> ItemFeatures:
    columns = read_columns([table], meter)
    place = pc.fill_null(pc.index_in(columns.words["item"].words, items.cast(pa.string())), -1).to_numpy()
    item = place[columns.words["item"].codes]
    _, first = np.unique(item, return_index=True)
    rows = first[item[first] >= 0]
    item = item[rows]
    parts: list[Rows] = []
    names: list[str] = []
    tags: list[bool] = []
    for one in table.wanted:
        if one.name == "item":
            continue
        values, called = columns.numbers[one.name][rows], one.column.name
        if one.content == "number":
            part, own = _numbers(values, called, table.name, ctx), [called]
        else:
            part, own = _tags(values, called, " " if table.detected.format.name == "recbole" else None)
        parts.append(part)
        names += own
        tags += [one.content != "number"] * len(own)
    stored = sparse.hstack(parts, format="coo")
    values = Rows((stored.data, (item[stored.row], stored.col)), shape=(len(items), len(names)), dtype=np.float32)
    return ItemFeatures(values, np.array(names, dtype=str), np.array(tags, dtype=bool))


def _numbers(values: np.ndarray, name: str, where: str, ctx: Context) -> Rows:
    """A column (n, 1) of numbers."""
    with np.errstate(over="ignore"):
        infinite = np.isinf(values.astype(np.float32)).any()
    if infinite:
        raise _refused(f"The column {name!r} of {where} holds a number beyond 32 bits.", "Scale it down.")
    missing = np.isnan(values)
    if missing.any():
        ctx.warn(f"{int(missing.sum()):,} items have no {name!r} in {where}; they get the mean of the others.")
    if missing.all():
        return Rows((len(values), 1))
    return _stored(np.where(missing, np.nanmean(values), values)[:, None])


def _stored(values: np.ndarray, rows: np.ndarray | None = None) -> Rows:
    """All of dense numbers (n, F), those of `rows` alone where given, zeros as well: 0 is known, too."""
    given = np.arange(len(values)) if rows is None else rows
    width = values.shape[1]
    sizes = np.zeros(len(values), np.int64)
    sizes[given] = width
    ends = np.concatenate(([0], np.cumsum(sizes)))
    return Rows((values[given].ravel(), np.tile(np.arange(width), len(given)), ends), shape=values.shape)


def _tags(cells: np.ndarray, name: str, separator: str | None) -> tuple[Rows, list[str]]:
    """Columns (n, tags) of 1 where a cell has a tag, tags in their order as text, and `name=tag` for each."""
    texts = ["" if cell is None else str(cell) for cell in cells.tolist()]
    if separator is None:
        separator = next((mark for mark in _SEPARATORS if any(mark in text for text in texts)), _SEPARATORS[0])
    split = [dict.fromkeys(tag.strip() for tag in text.split(separator) if tag.strip()) for text in texts]
    known = {tag: number for number, tag in enumerate(sorted({tag for tags in split for tag in tags}))}
    row = np.repeat(np.arange(len(split)), [len(tags) for tags in split])
    column = np.array([known[tag] for tags in split for tag in tags], np.int64)
    found = Rows((np.ones(len(row), np.float32), (row, column)), shape=(len(split), len(known)))
    return found, [f"{name}={tag}" for tag in known]


def _of_array(source: Source, items: Arrow, meter: Meter) -> ItemFeatures:
    """Rows of a numpy array of two dimensions, of which row r describes the item whose id is r."""
    with source.seekable(meter) as stream:
        held = stream.seek(0, 2)
        stream.seek(0)
        array = read_header(stream, held, source.name, meter)
        if len(array.shape) != 2 or array.dtype.kind not in "iufb" or not math.prod(array.shape):
            raise _refused(
                f"{source.name} holds {array.dtype} of the shape {array.shape}; vectors are numbers, items x features.",
                "Save it with `numpy.save`, one row an item.",
            )
        rows, width = array.shape
        if len(items) * width * 8 > meter.limits.decoded_bytes:
            raise too_large("The features of all items", len(items) * width * 8, meter.limits.decoded_bytes,
                            "decoded_bytes")  # fmt: skip
        place = _row_numbers(items, rows)
        values = np.zeros((len(items), width), np.float32)
        wanted = np.flatnonzero(place >= 0)[np.argsort(place[place >= 0], kind="stable")]
        block = max(1, 4_000_000 // width)
        for start in range(0, rows, block):
            with np.errstate(over="ignore"):
                part = array.take(min(block, rows - start) * width).reshape(-1, width).astype(np.float32)
            here = wanted[(place[wanted] >= start) & (place[wanted] < start + len(part))]
            values[here] = part[place[here] - start]
            meter.tick()
    if not np.isfinite(values).all():
        raise _refused(f"{source.name} holds numbers that are not finite.", "Replace NaN and infinite numbers.")
    names = np.array([f"vector_{column}" for column in range(width)], dtype=str)
    return ItemFeatures(_stored(values, np.flatnonzero(place >= 0)), names, np.zeros(width, dtype=bool))


def _row_numbers(items: Arrow, rows: int) -> np.ndarray:
    """Which row (I,) int64 describes each item, -1 where its id is no number of a row."""
    whole = pc.match_substring_regex(items, r"^(0|[1-9]\d{0,17})$")
    numbers = pc.if_else(whole, items, "-1").cast(pa.int64()).to_numpy()
    return np.where(numbers < rows, numbers, -1)
