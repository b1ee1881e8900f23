"""Uploaded interaction tables to a dataset version: who used what, each pair once, with the split drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator, Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.ids import IdMap
from worker.ingest.limits import Limits, too_large
from worker.ingest.options import ReadOptions, none_if_blank, parse_options
from worker.ingest.run import Sources, read_tables, read_titles
from worker.kinds.interactions import dataset, splits

MIN_USERS, MIN_ITEMS = 10, 5
_FEW_VALIDATION_EVENTS = 500
_HEAVY_DUPLICATES = 0.1
_TITLE_CHARACTERS = 200
_NO_TIME = np.iinfo(np.int64).min


class IngestOptions(ReadOptions):
    """How an interaction table becomes a dataset version."""

    binarize_threshold: Annotated[float | None, BeforeValidator(none_if_blank)] = Field(
        None, description="Keep only events rated at least this; null: every event counts."
    )
    min_user_events: int = Field(3, ge=1, le=1000, description="Users with fewer events are left out.")
    min_item_events: int = Field(1, ge=1, le=1000, description="Items with fewer events are left out.")
    dedup: Literal["first", "last", "sum"] = Field(
        "first", description="Of a pair's several events keep the earliest, the latest, or sum their ratings."
    )
    split: str = Field(
        "clean",
        pattern=r"^(paper|clean|leave_2|strong|column:.+)$",
        description="How events are held out: clean or paper (random 80/10/10 of each user), leave_2 (each user's "
        "last two by time), strong (whole users), or column:NAME (a published split in the table).",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the split.")
    rows_in_time_order: bool = Field(
        False, description="The table has no times, but its rows are in order of time (as SASRec's files are)."
    )


@dataclass
class Events:
    """Columns of equal length. user, item: int32 codes; rating: float32; timestamp: int64; part: int8 code of a
    published split. `row`: the place in the upload, which breaks ties of time.
    """

    user: np.ndarray
    item: np.ndarray
    row: np.ndarray
    rating: np.ndarray | None = None
    timestamp: np.ndarray | None = None
    part: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def keep(self, rows: np.ndarray) -> None:
        """Keep these rows, or where a mask is true; column by column, so that never two copies of all exist."""
        for name in self.__dataclass_fields__:
            column = getattr(self, name)
            if column is not None:
                setattr(self, name, column[rows])


def ingest(
    sources: Sources,
    options: Mapping[str, Any] | IngestOptions,
    out: Path,
    ctx: Context,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Write the canonical files of a version to `out`; returns statistics, preview, warnings, schema, detection.

    Events are read, made unique per (user, item), filtered by the threshold, cleared of rare users and items until
    both minima hold, then split. Numbering and split depend only on the ids, not on the file format.
    Raises `JobError` whose pointer names the column or option at fault.
    """
    given = parse_options(IngestOptions, options)
    limits = limits or Limits()
    column = given.split.removeprefix("column:") if given.split.startswith("column:") else ""
    reading = given.model_copy(update={"columns": given.columns | ({"split": column} if column else {})})
    wanted = ("user", "item", "rating", "timestamp", *(("split",) if column else ()))
    detection, batches = read_tables(sources, reading, ctx, limits, wanted=wanted)
    told: dict[str, Any] = {"overlap": 0}
    events, users, items = _read(batches, given, told, ctx)
    if len(users) < MIN_USERS or len(items) < MIN_ITEMS:  # a bomb of equal rows ends here, before it is sorted
        raise _too_few(len(users), len(items), given, told)
    _check_widths(users, items, limits)
    ctx.progress(0, 3, phase="clean")
    _unique(events, given.dedup, len(users), len(items), told)
    _positive(events, given, told)
    _frequent(events, given, len(users), len(items), told)
    ctx.progress(1, 3, phase="split")
    codes = _split(events, given)
    if len(codes) and codes.min() < 0:
        events.keep(codes >= 0)
        codes = codes[codes >= 0]
    users, items = _compact(events, users, items, given, told)
    ctx.progress(2, 3, phase="write")
    titles = _titles(sources, given, items, limits, ctx) if detection["titles"] else None
    _save(events, codes, users, items, titles, given, out)
    _warn(detection, told, codes, ctx)
    ctx.progress(3, 3, phase="write")
    statistics = dataset.statistics(out)
    counted = ("rows", "duplicates_removed", "below_threshold", "users_dropped", "items_dropped")
    return {
        "statistics": {name: told.get(name, 0) for name in counted} | statistics,
        "preview": dataset.preview(out, 20),
        "warnings": list(ctx.warnings),
        "schema": _schema(events, titles is not None),
        "detection": detection,
    }


def _read(
    batches: Iterator[pa.RecordBatch], options: IngestOptions, told: dict[str, Any], ctx: Context
) -> tuple[Events, pa.Array, pa.Array]:
    """All events as number columns; ids become numbers batch by batch."""
    users, items = IdMap(), IdMap()
    numbers: dict[str, list[np.ndarray]] = {"rating": [], "timestamp": [], "part": []}
    for batch in batches:
        kept = batch
        if "split" in batch.schema.names:
            part = _parts(batch["split"])
            numbers["part"].append(part[part >= 0])
            kept = batch.filter(pa.array(part >= 0))
            told["dropped_by_split"] = told.get("dropped_by_split", 0) + len(part) - kept.num_rows
        users.add(kept["user"])
        items.add(kept["item"])
        if "rating" in kept.schema.names:
            numbers["rating"].append(kept["rating"].to_numpy(zero_copy_only=False).astype(np.float32))
        if "timestamp" in kept.schema.names:
            numbers["timestamp"].append(pc.fill_null(kept["timestamp"], _NO_TIME).to_numpy(zero_copy_only=False))
    user, user_words = users.finish()
    item, item_words = items.finish()
    told["rows"] = len(user)
    columns = {name: np.concatenate(numbers.pop(name)) for name in list(numbers) if numbers[name]}
    pa.default_memory_pool().release_unused()  # the batches are gone, and sorting needs the room
    events = Events(user, item, np.arange(len(user), dtype=np.int32), **columns)
    _check_times(events, options, ctx)
    return events, user_words, item_words


def _parts(column: pa.DictionaryArray) -> np.ndarray:
    words = pc.fill_null(column.dictionary, "")
    codes = splits.column(np.array([*words.to_pylist(), ""], dtype=str))
    return codes[pc.fill_null(column.indices, len(words)).to_numpy(zero_copy_only=False)]


def _check_times(events: Events, options: IngestOptions, ctx: Context) -> None:
    """Times for all events, or none: half a column of times orders nothing."""
    if options.rows_in_time_order:
        events.timestamp = events.row.astype(np.int64)
        return
    missing = 0 if events.timestamp is None else int((events.timestamp == _NO_TIME).sum())
    if options.split == "leave_2" and (events.timestamp is None or missing):
        raise JobError(
            "invalid_input",
            f"The split leave_2 goes by time, but {'no column holds times' if not missing else ''}"
            f"{f'{missing:,} of {len(events):,} rows have none' if missing else ''}.",
            hint='Name the time column, as in columns={"timestamp": "date"}; or say rows_in_time_order; or choose '
            "another split.",
            pointer="/columns/timestamp",
        )
    if missing:
        ctx.warn(f"{missing:,} of {len(events):,} rows have no time, so the times of all were left out.")
        events.timestamp = None


def _check_widths(users: pa.Array, items: pa.Array, limits: Limits) -> None:
    """Ids are later held as fixed-width text: one long id among millions of short ones would fill the memory."""
    for words in (users, items):
        longest = (pc.max(pc.utf8_length(words)).as_py() or 0) if len(words) else 0
        if len(words) * longest * 4 > limits.decoded_bytes // 2:
            raise too_large(
                f"The ids in fixed width (the longest has {longest} characters)",
                len(words) * longest * 4,
                limits.decoded_bytes // 2,
                "decoded_bytes",
            )


def _unique(events: Events, how: str, n_users: int, n_items: int, told: dict[str, Any]) -> None:
    """One event a pair, sorted by user, item. The earliest (latest) by time, and by row where times tie or lack."""
    if not len(events):
        return
    order, key = _by_pair(events, n_users, n_items)
    starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))).astype(order.dtype)
    told["duplicates_removed"] = len(key) - len(starts)
    if len(starts) == len(key):
        events.keep(order)
        return
    counts = np.diff(starts, append=starts.dtype.type(len(key)))
    told["overlap"] = _overlap(events, order, starts)
    if events.timestamp is not None:
        repeated = np.flatnonzero(np.repeat(counts > 1, counts))
        rows = order[repeated]
        order[repeated] = rows[np.lexsort((rows, events.timestamp[rows], key[repeated]))]
    summed = None
    if how == "sum":
        rating = np.ones(len(key)) if events.rating is None else events.rating[order].astype(np.float64)
        summed = np.add.reduceat(rating, starts).astype(np.float32)
    events.keep(order[starts + counts - 1] if how == "last" else order[starts])
    events.rating = events.rating if summed is None else summed


def _by_pair(events: Events, n_users: int, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """The order of rows by user, item, row, and the pair's number in that order.

    Pair and row in one 64-bit number, where they fit, can be sorted in place: several times faster than an argsort.
    """
    row_bits = max(1, (len(events) - 1).bit_length())
    key = events.user.astype(np.int64)
    key *= n_items
    key += events.item
    if (n_users * n_items).bit_length() + row_bits <= 63:
        key <<= row_bits
        key |= events.row
        key.sort()
        order = (key & ((1 << row_bits) - 1)).astype(np.int32)
        key >>= row_bits
        return order, key
    order = np.argsort(key, kind="stable")
    return order, key[order]


def _overlap(events: Events, order: np.ndarray, starts: np.ndarray) -> int:
    """Pairs that a published split has in more than one part."""
    if events.part is None:
        return 0
    part = events.part[order]
    return int((np.maximum.reduceat(part, starts) != np.minimum.reduceat(part, starts)).sum())


def _positive(events: Events, options: IngestOptions, told: dict[str, Any]) -> None:
    if options.binarize_threshold is None:
        return
    if events.rating is None:
        raise JobError(
            "invalid_input",
            "binarize_threshold needs ratings, and no column holds them.",
            hint='Name it, as in columns={"rating": "stars"}, or leave the threshold out.',
            pointer="/options/binarize_threshold",
        )
    kept = events.rating >= options.binarize_threshold
    told["below_threshold"] = int(len(kept) - kept.sum())
    events.keep(kept)


def _frequent(events: Events, options: IngestOptions, n_users: int, n_items: int, told: dict[str, Any]) -> None:
    """Leave out rare users and items until both minima hold (a user may become rare when an item goes)."""
    told["users_before"] = int(np.count_nonzero(np.bincount(events.user, minlength=n_users)))
    told["items_before"] = int(np.count_nonzero(np.bincount(events.item, minlength=n_items)))
    while len(events):
        often_user = np.bincount(events.user, minlength=n_users) >= options.min_user_events
        often_item = np.bincount(events.item, minlength=n_items) >= options.min_item_events
        kept = often_user[events.user] & often_item[events.item]
        if kept.all():
            break
        events.keep(kept)


def _split(events: Events, options: IngestOptions) -> np.ndarray:
    if events.part is not None:
        return events.part
    if not len(events):
        return np.empty(0, np.int8)
    by_time = options.split in {"leave_2", "strong"} and events.timestamp is not None
    order = np.lexsort((events.row, events.timestamp)) if by_time else slice(None)
    codes = np.empty(len(events), np.int8)
    codes[order] = splits.split_events(
        options.split,
        events.user[order],
        events.item[order],
        seed=options.seed,
        timestamp=events.timestamp[order] if by_time else None,
        min_events=options.min_user_events,
    )
    return codes


def _compact(
    events: Events, users: pa.Array, items: pa.Array, options: IngestOptions, told: dict[str, Any]
) -> tuple[pa.Array, pa.Array]:
    """Number only the users and items that are left; refuse what is too little to learn from."""
    has_user = np.bincount(events.user, minlength=len(users)) > 0
    has_item = np.bincount(events.item, minlength=len(items)) > 0
    n_users, n_items = int(has_user.sum()), int(has_item.sum())
    told["users_dropped"] = told["users_before"] - n_users
    told["items_dropped"] = told["items_before"] - n_items
    if n_users < MIN_USERS or n_items < MIN_ITEMS:
        raise _too_few(n_users, n_items, options, told)
    events.user = (np.cumsum(has_user, dtype=np.int32) - 1)[events.user]
    events.item = (np.cumsum(has_item, dtype=np.int32) - 1)[events.item]
    return users.filter(pa.array(has_user)), items.filter(pa.array(has_item))


def _too_few(n_users: int, n_items: int, options: IngestOptions, told: dict[str, Any]) -> JobError:
    pointer, hint = "", "Upload more interactions."
    if options.binarize_threshold is not None and told.get("below_threshold"):
        pointer, hint = "/options/binarize_threshold", "Lower binarize_threshold."
    if told.get("users_dropped"):
        pointer = "/options/min_user_events"
        hint = f"Lower min_user_events (now {options.min_user_events}) or upload more interactions."
    detail = f"{n_users} users and {n_items} items are left; at least {MIN_USERS} and {MIN_ITEMS} are needed."
    if not n_users and told.get("users_before"):
        detail = f"All {told['users_before']:,} users were left out: none has the events that are asked for."
    return JobError("too_few_rows", detail, hint=hint, pointer=pointer)


def _titles(
    sources: Sources, options: IngestOptions, items: pa.Array, limits: Limits, ctx: Context
) -> np.ndarray | None:
    """The beginning of each item's title: titles are for showing, and are later held as fixed-width text."""
    if len(items) * _TITLE_CHARACTERS * 4 > limits.decoded_bytes // 8:
        ctx.warn("There are too many items to keep their titles.")
        return None
    table = read_titles(sources, options, limits)
    if table is None:
        return None
    place = pc.index_in(items, table["item"].combine_chunks())
    titles = pc.fill_null(table["title_first"].combine_chunks().take(place), "")
    titles = pc.utf8_slice_codeunits(titles, 0, _TITLE_CHARACTERS)
    return titles.to_numpy(zero_copy_only=False)


def _save(
    events: Events, codes: np.ndarray, users: pa.Array, items: pa.Array, titles: np.ndarray | None,
    options: IngestOptions, out: Path,
) -> None:  # fmt: skip
    kept = ("binarize_threshold", "min_user_events", "min_item_events", "dedup", "split", "seed", "rows_in_time_order")
    table = dataset.Events(events.user, events.item, codes, events.rating, events.timestamp)
    ids = (words.to_numpy(zero_copy_only=False) for words in (users, items))
    data = dataset.Interactions(table, *ids, titles, {name: getattr(options, name) for name in kept})
    dataset.save(data, out)


def _warn(detection: dict[str, Any], told: dict[str, Any], codes: np.ndarray, ctx: Context) -> None:
    removed, rows = told.get("duplicates_removed", 0), max(1, told["rows"])
    if removed > _HEAVY_DUPLICATES * rows:
        ctx.warn(f"{removed:,} of {rows:,} rows repeat a pair of user and item ({removed / rows:.0%}).")
    if told["overlap"]:
        ctx.warn(f"The published split has {told['overlap']:,} pairs in two parts; they stay in one only.")
    held = int((codes == splits.VALIDATION).sum())
    if held < _FEW_VALIDATION_EVENTS:
        ctx.warn(f"Only {held:,} validation events: what is chosen on them (lambda, stopping) is unreliable.")
    if len(detection["files"]) > 1:
        ctx.warn(f"{len(detection['files'])} files of one form were read as one table.")
    unread = [entry["file"] for entry in detection["ignored"] if entry["why"] != "documentation"]
    if unread:
        more = f" and {len(unread) - 10} more" if len(unread) > 10 else ""
        ctx.warn(f"Not read: {', '.join(unread[:10])}{more} (the detection says why).")


def _schema(events: Events, titled: bool) -> dict[str, Any]:
    columns = {"user": "int32", "item": "int32", "split": "int8"}
    columns |= {"rating": "float32"} if events.rating is not None else {}
    columns |= {"timestamp": "int64"} if events.timestamp is not None else {}
    return {
        dataset.EVENTS_FILE: columns,
        dataset.USERS_FILE: {"user_id": "string"},
        dataset.ITEMS_FILE: {"item_id": "string"} | ({"title": "string"} if titled else {}),
    }
