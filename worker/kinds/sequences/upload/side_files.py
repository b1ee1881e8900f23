"""What an upload says of items beside the events: titles, attributes, columns of categories, vectors.

    RecBole `.item`, csv, Parquet...   a row an item: a title, and every other column a category
    .json                              {item: [attribute, ...]}
    .npy                               vectors (n, dim), a row an item

Rows of vectors belong to all items of the upload in the order of their ids (as numbers where all are), or, where ids
are whole numbers and the table is longer, row r to item r.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.errors import JobError
from worker.contract.text import storable
from worker.ingest.arrow import pc
from worker.ingest.columns import Wanted, plain_name
from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.ingest.table import Role, Schema, Table, as_table, read_batches
from worker.ingest.upload import Upload, is_prose
from worker.kinds.sequences.item_features import ItemFeatures
from worker.kinds.sequences.rows import Rows

TITLES = ("title", "movie_title", "item_title", "product_title", "item_name", "name")
_IDS = ("item", "itemid", "item_id", "iid", "movieid", "movie_id", "asin", "parent_asin", "product_id")
_ITEM = Schema("a table of items", (Role("item", "id", _IDS, required=True),))
_USER = {"user", "userid", "user_id", "uid", "session_id", "reviewerid"}
_LARGEST_JSON, _TITLE_CHARACTERS = 400_000_000, 200


@dataclass
class Side:
    """What is known of items by id: titles, and features in one form; `names`: of the files."""

    titles: dict[str, str] | None = None
    sets: dict[str, list[str]] | None = None
    columns: tuple[list[str], dict[str, list[str]]] | None = None
    vectors: np.ndarray | None = None
    names: tuple[str, ...] = ()


def find(upload: Upload, sources: Sequence[Source]) -> Side:
    """What these files say of items. Raises `JobError` where two of them bring features."""
    side = Side()
    for source in sources:
        if is_prose(source.name):
            continue
        if source.name.lower().endswith(".npy"):
            _once(side, source)
            side.vectors = _vectors(source, upload.meter)
        elif source.name.lower().endswith(".json") and (sets := _sets(source, upload.meter)) is not None:
            _once(side, source)
            side.sets = sets
        elif (table := _table(upload, source)) is not None:
            _read_table(table, side, upload.meter)
        else:
            continue
        side.names = (*side.names, source.name)
    return side


def _once(side: Side, source: Source) -> None:
    if side.sets is not None or side.columns is not None or side.vectors is not None:
        raise JobError(
            "invalid_input",
            f"Both {side.names[-1]} and {source.name} bring features of items.",
            hint="Upload one of them.",
            pointer="/options/file",
        )


def _vectors(source: Source, meter: Meter) -> np.ndarray:
    """A table of numbers from a `.npy` file whose header is parsed, never trusted."""
    with source.seekable(meter) as raw:
        size = raw.seek(0, 2)
        raw.seek(0)
        try:
            version = np.lib.format.read_magic(raw)
            parse = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, fortran, dtype = parse[version](raw, max_header_size=10_000)
        except (ValueError, KeyError, SyntaxError, TypeError) as bad:
            raise JobError("invalid_input", f"{source.name} has no readable header: {str(bad)[:100]}.") from bad
        if dtype.kind not in "fiu" or len(shape) != 2 or not shape[1] or fortran:
            raise JobError(
                "invalid_input",
                f"{source.name} is not a table of numbers.",
                hint="Save float32 vectors (items, dim) in row order, as np.save(path, np.ascontiguousarray(x)) does.",
            )
        wanted = int(shape[0]) * int(shape[1]) * dtype.itemsize
        if size - raw.tell() != wanted:
            raise JobError(
                "invalid_input", f"{source.name} announces {wanted:,} bytes and holds {size - raw.tell():,}."
            )
        meter.promised(wanted, source.name)
        values = np.frombuffer(raw.read(wanted), dtype).reshape(shape).astype(np.float32)
    if not np.isfinite(values).all():
        raise JobError("invalid_input", f"{source.name} holds numbers that are not finite.")
    return values


def _sets(source: Source, meter: Meter) -> dict[str, list[str]] | None:
    with source.open(meter) as stream:
        text = b""
        while chunk := stream.read(1 << 20):
            text += chunk
            if len(text) > _LARGEST_JSON:
                raise JobError("decoded_too_large", f"{source.name} is above {_LARGEST_JSON:,} bytes.")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not found or not all(isinstance(value, list) for value in found.values()):
        return None
    return {storable(str(item)): [storable(str(one)) for one in values] for item, values in found.items()}


def _table(upload: Upload, source: Source) -> Table | None:
    try:
        detected = upload.detect(source)
        named = {plain_name(column.name) for column in detected.columns}
        if not detected.header or named & _USER:
            return None
        return as_table(detected, {}, _ITEM)
    except JobError:
        return None


def _read_table(table: Table, side: Side, meter: Meter) -> None:
    """Titles, and every other column as a category; RecBole's sequences of tokens are one value each."""
    item = table.columns["item"]
    others = [column for column in table.detected.columns if column is not item and column.constant is None]
    title = next((column for column in others if plain_name(column.name) in TITLES), None)
    kept = [
        column for column in others if column is not title and column.type in ("text", "integer", "boolean", "nested")
    ]
    if table.detected.format.name != "recbole":
        kept = [column for column in kept if column.type != "nested"]
    for column in [*kept, *([] if title is None else [title])]:
        column.type = "text"
    wanted = [Wanted(f"column {number}", column, "text") for number, column in enumerate(kept)]
    more = [] if title is None else [Wanted("title", title, "text")]
    read = Table(table.detected, (*table.wanted, *wanted, *more))
    found: dict[str, list[str]] = {}
    titles: dict[str, str] = {}
    for batch in read_batches([read], meter):
        values: dict[str, list[Any]] = {
            name: pc.fill_null(batch[name].cast("string"), "").to_pylist() for name in batch.schema.names
        }
        for number, name in enumerate(values["item"]):
            found.setdefault(name, [storable(values[one.name][number]) for one in wanted])
            if title is not None:
                titles.setdefault(name, storable(values["title"][number])[:_TITLE_CHARACTERS])
    if kept:
        _once(side, table.detected.source)
        side.columns = ([plain_name(column.name) for column in kept], found)
    if title is not None:
        side.titles = titles


def titles_of(side: Side, ids: np.ndarray) -> np.ndarray | None:
    """The title of each item, "" where it has none."""
    if side.titles is None:
        return None
    return np.array([side.titles.get(item, "") for item in ids.tolist()], dtype=str)


def features_of(side: Side, ids: np.ndarray, everything: np.ndarray) -> ItemFeatures | None:
    """Features of the items with these ids (V,); `everything`: all ids of the upload, in their order.

    Raises `JobError` when items have none.
    """
    if side.sets is not None:
        _refuse_missing([item for item in ids.tolist() if not side.sets.get(item)], len(ids), side)
        found = [side.sets[item] for item in ids.tolist()]
        names = sorted({one for row in found for one in row}, key=_as_number)
        number = {name: place for place, name in enumerate(names)}
        rows = Rows.of([sorted({number[one] for one in row}) for row in found])
        return ItemFeatures("attributes", sets=rows, names=np.array(names, dtype=str))
    if side.columns is not None:
        columns, by_item = side.columns
        _refuse_missing([item for item in ids.tolist() if item not in by_item], len(ids), side)
        names: list[str] = []
        codes = np.full((len(ids), len(columns)), -1, np.int32)
        for place, column in enumerate(columns):
            values = [by_item[item][place] for item in ids.tolist()]
            distinct = sorted({value for value in values if value})
            number = {value: len(names) + at for at, value in enumerate(distinct)}
            names += [f"{column}={value}" for value in distinct]
            codes[:, place] = [number.get(value, -1) for value in values]
        return ItemFeatures(
            "columns", codes=codes, names=np.array(names, dtype=str), columns=np.array(columns, dtype=str)
        )
    if side.vectors is not None:
        return ItemFeatures("vectors", vectors=side.vectors[_rows_of(side, ids, everything)])
    return None


def _rows_of(side: Side, ids: np.ndarray, everything: np.ndarray) -> np.ndarray:
    assert side.vectors is not None  # noqa: S101 - asked for only then
    n = len(side.vectors)
    if n == len(everything):
        place = {item: number for number, item in enumerate(everything.tolist())}
        return np.array([place[item] for item in ids.tolist()])
    if all(item.isdigit() and int(item) < n for item in ids.tolist()):
        return ids.astype(np.int64)
    raise JobError(
        "invalid_input",
        f"{side.names[-1]} has {n:,} rows, and the upload has {len(everything):,} items.",
        hint="Give a row for each item in the order of their ids; or number items from 0 and give row r for item r.",
        pointer="/options/file",
    )


def _as_number(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isdigit() else (1, 0, name)


def _refuse_missing(missing: list[str], items: int, side: Side) -> None:
    if missing:
        shown = ", ".join(missing[:5])
        raise JobError(
            "invalid_input",
            f"{len(missing):,} of {items:,} items have no features in {', '.join(side.names)} ({shown}).",
            hint="Add them there, leave out rare items with min_item_count, or leave the file of features out.",
            pointer="/options/file",
        )
