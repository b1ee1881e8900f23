"""Uploaded interaction tables to a dataset version: who used what, each pair once, with the split drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.arrow import pc
from worker.ingest.limits import Limits, too_large
from worker.ingest.options import ColumnMap, Listed, Maybe, ReadOptions, column_map, parse_options
from worker.ingest.plausibility import of_times, refuse_hours
from worker.ingest.sources import Source
from worker.ingest.table import Table, as_table, read_columns
from worker.ingest.times import NO_TIME
from worker.ingest.upload import Files, Upload, choose_tables, detection
from worker.kinds.interactions import dataset, item_features, plausibility, published, splits
from worker.kinds.interactions.item_features import ItemFeatures
from worker.kinds.interactions.item_table import ItemTable, find_items, read_items
from worker.kinds.interactions.roles import SCHEMA, find_titles, preference, read_titles

MIN_USERS, MIN_ITEMS = 10, 5
MIN_USER_EVENTS = 3
_TITLE_CHARACTERS = 200


class IngestOptions(ReadOptions):
    """How an interaction table becomes a dataset version."""

    columns: ColumnMap = column_map(SCHEMA, example='{"user": "uid", "item": 1}')
    binarize_threshold: Maybe[float] = Field(
        None, description="Keep only events rated at least this; null: every event counts."
    )
    min_user_events: Maybe[int] = Field(
        None,
        ge=1,
        le=1000,
        description="Users with fewer events are left out; null: 3, but 1 where the split is a published one.",
    )
    min_item_events: int = Field(1, ge=1, le=1000, description="Items with fewer events are left out.")
    dedup: Literal["first", "last", "sum"] = Field(
        "first", description="Of a pair's several events keep the earliest, the latest, or sum their ratings."
    )
    split: str = Field(
        "auto",
        pattern=r"^(auto|paper|clean|leave_2|strong|files|column:.+)$",
        description="How events are held out: clean or paper (random 80/10/10 of each user), leave_2 (each user's "
        "last two by time), strong (whole users), column:NAME (a published split in the table: train, validation, "
        "test), or files (a published split in files: train.csv, valid.csv, test.csv, or index.npz beside "
        "total_data.hdf5). auto: that of an index.npz where there is one, else clean.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the split.")
    rows_in_time_order: bool = Field(
        False, description="The table has no times, but its rows are in order of time (as SASRec's files are)."
    )

    keep_text: bool = Field(
        False, description="Keep the text of every event (a review), for the side-text audit. Other jobs never read it."
    )
    item_features: str = Field(
        "",
        max_length=1000,
        description="Which of the files describes items (name or pattern such as `*.item`): a table with a row an "
        "item, or a numpy array whose row r describes the item r. Blank: none. For learners that read features.",
    )
    item_feature_columns: Listed[str] = Field(
        default_factory=list,
        max_length=1000,
        description="Its columns that describe: numbers, or tags as in a|b|c. Blank: those called tags, genres or the "
        "like, else all numbers.",
    )

    @property
    def published(self) -> bool:
        """Whether the split is one that the upload brings."""
        return self.split == "files" or self.split.startswith("column:")

    def settled(self, index: Source | None) -> IngestOptions:
        """The same with what was left open decided; `index`: that of a published split."""
        split = self.split if self.split != "auto" else "clean" if index is None else "files"
        decided = self.model_copy(update={"split": split})
        least = self.min_user_events or (1 if decided.published else MIN_USER_EVENTS)
        return decided.model_copy(update={"min_user_events": least})


@dataclass
class Chosen:
    """The files to read: `tables` of events, of `titles`, the `index` of a published split, the features of `items`;
    what was `detected`."""

    tables: list[Table]
    titles: Table | None
    index: Source | None
    items: ItemTable | None
    detected: dict[str, Any]


@dataclass
class Events:
    """Columns of equal length. user, item: int32 codes; rating: float32; timestamp: int64; part: int8 code of a
    published split; text: str, None where missing. `row`: the place in the upload, which breaks ties of time.
    """

    user: np.ndarray
    item: np.ndarray
    row: np.ndarray
    rating: np.ndarray | None = None
    timestamp: np.ndarray | None = None
    part: np.ndarray | None = None
    text: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def keep(self, rows: np.ndarray) -> None:
        """Keep these rows, or where a mask is true; column by column, so that never two copies of all exist."""
        for name in self.__dataclass_fields__:
            column = getattr(self, name)
            if column is not None:
                setattr(self, name, column[rows])


def ingest(
    sources: Files,
    options: Mapping[str, Any] | IngestOptions,
    out: Path,
    ctx: Context,
    limits: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Write the canonical files of a version to `out`; returns statistics, preview, warnings, schema, detection.

    Events are read, made unique per (user, item), filtered by the threshold, cleared of rare users and items until
    both minima hold, then split. Numbering and split depend only on the ids, not on the file format.
    Raises `JobError` whose pointer names the column or option at fault.
    """
    given = parse_options(IngestOptions, options)
    bounds = Limits(**(limits or {}))
    upload = Upload(sources, SCHEMA, ctx, bounds)
    chosen = choose(upload, given)
    tables, titles, detected = chosen.tables, chosen.titles, chosen.detected
    given = given.settled(chosen.index)
    counts: dict[str, int] = {"overlap": 0}
    events, users, items = _read(chosen, upload, given, counts, ctx)
    upload.tell(tables)
    for warning in detected["warnings"]:
        ctx.warn(warning)
    if counts["users_read"] < MIN_USERS or counts["items_read"] < MIN_ITEMS:
        # a bomb of equal rows ends here, before it is sorted
        raise _too_few(counts["users_read"], counts["items_read"], given, counts)
    _check_widths(users, items, bounds)
    titled = _titles(titles, upload, len(items), ctx) if titles is not None else None
    ctx.progress(0, 3, phase="clean")
    _unique(events, given.dedup, len(users), len(items), counts)
    _positive(events, given, counts)
    _frequent(events, given, len(users), len(items), counts)
    ctx.progress(1, 3, phase="split")
    codes = _split(events, given)
    if len(codes) and codes.min() < 0:
        events.keep(codes >= 0)
        codes = codes[codes >= 0]
    users, items = _compact(events, users, items, given, counts)
    ctx.progress(2, 3, phase="write")
    features = None if chosen.items is None else read_items(chosen.items, items, upload.meter, ctx)
    _save(events, codes, users, items, None if titled is None else _in_order(titled, items), features, given, out)
    held = int((codes == splits.VALIDATION).sum())
    plausibility.warn_of_losses(detected, counts, held, _published_minima(given), ctx)
    ctx.progress(3, 3, phase="write")
    statistics = dataset.statistics(out)
    counted = ("rows", "duplicates_removed", "below_threshold", "users_dropped", "items_dropped")
    return {
        "statistics": {name: counts.get(name, 0) for name in counted} | statistics,
        "preview": dataset.preview(out, 20),
        "warnings": list(ctx.warnings),
        "schema": _schema(events, titled is not None, features is not None),
        "detection": detected,
    }


def choose(upload: Upload, given: IngestOptions) -> Chosen:
    """The files of the events, the one of the titles if there is one, and what was guessed."""
    asked, schema = dict(given.columns), SCHEMA.reading("text") if given.keep_text else SCHEMA
    if given.split.startswith("column:"):
        asked["split"] = given.split.removeprefix("column:")
    else:
        schema = schema.without("split")
    index = published.index_beside_data(upload.sources)
    described = None
    if given.item_features:
        described = find_items(upload, given.item_features, given.item_feature_columns, asked.get("item", ""))
    beside = [index] if described is None else [index, described.source]
    found = [source for source in upload.named(given.file) if source not in beside]
    if not found:
        raise JobError(
            "invalid_input",
            f"{given.item_features!r} is the only file, and a table of events is needed beside it.",
            hint="Upload the events, too, or leave item_features out.",
            pointer="/options/item_features",
        )
    parts = published.parts([source.name for source in found])
    candidates, preferred = found, preference
    if given.split == "files" and index is None:
        parts = published.require([source.name for source in found])
        candidates, preferred = [source for source in found if source.name in parts], published.alike
    tables, ignored = choose_tables(
        candidates, lambda source: as_table(upload.detect(source, given.hints()), asked, schema), preferred
    )
    chosen = [table.detected.source for table in tables]
    named = [] if described is None or described.table is None else [described.source]
    titles = find_titles(upload, [*named, *(source for source in found if source not in chosen)])
    if titles is not None:
        ignored = [entry for entry in ignored if entry["file"] != titles.name]
        chosen.append(titles.detected.source)
    upload.expect([*chosen, *named])
    if given.split not in {"auto", "files"}:
        index = None
    guessed = detection(tables, ignored)
    guessed["titles"] = titles.name if titles is not None else None
    guessed["split"] = index.name if index is not None else None
    guessed["item_features"] = described.as_dict() if described is not None else None
    guessed["warnings"] += plausibility.of_parts([table.name for table in tables], parts)
    return Chosen(tables, titles, index, described, guessed)


def _read(
    chosen: Chosen, upload: Upload, options: IngestOptions, counts: dict[str, int], ctx: Context
) -> tuple[Events, Any, Any]:
    """All events, and the ids of users and items. Rows that a published split drops are left out."""
    tables, warnings = chosen.tables, chosen.detected["warnings"]
    columns = read_columns(tables, upload.meter)
    pa.default_memory_pool().release_unused()  # the batches are gone, and sorting needs the room
    if options.keep_text and "text" not in columns.numbers:
        raise JobError(
            "invalid_input",
            f"keep_text asks for a text column, and {tables[0].name} has none that is known as such.",
            hint='Name it, as in columns={"text": "review"}; or leave keep_text out.',
            pointer="/columns/text",
        )
    user, item = columns.words["user"], columns.words["item"]
    events = Events(user.codes, item.codes, np.arange(columns.n, dtype=np.int32), **columns.numbers)
    if "split" in columns.words:
        part = columns.words["split"]
        events.part = splits.column(np.array(part.words.to_pylist(), dtype=str))[part.codes]
    elif chosen.index is not None:
        events.part = published.indexed(chosen.index, len(events), upload.meter)
    elif options.split == "files":
        names = [table.name for table in tables]
        events.part = published.codes(names, columns.sizes, published.require(names))
    if events.part is not None and events.part.size and events.part.min() < 0:
        counts["in_no_part"] = int((events.part < 0).sum())
        events.keep(events.part >= 0)
        events.row = np.arange(len(events), dtype=np.int32)
    counts["rows"] = len(events)
    counts["users_read"] = int(np.count_nonzero(np.bincount(events.user)))
    counts["items_read"] = int(np.count_nonzero(np.bincount(events.item)))
    warnings += plausibility.of_ids(tables[0].columns, {"user": user.words, "item": item.words}, len(events))
    if events.rating is not None and len(events):
        warnings += plausibility.of_ratings(events.rating, options.binarize_threshold)
    _check_times(events, options, ctx)
    if events.timestamp is not None and not options.rows_in_time_order:
        refuse_hours(events.timestamp, tables[0], options.columns)
        warnings += of_times(events.timestamp)
    return events, user.words, item.words


def _check_times(events: Events, options: IngestOptions, ctx: Context) -> None:
    """Times for all events, or none: half a column of times orders nothing."""
    if options.rows_in_time_order:
        events.timestamp = events.row.astype(np.int64)
        return
    missing = 0 if events.timestamp is None else int((events.timestamp == NO_TIME).sum())
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


def _check_widths(users: Any, items: Any, limits: Limits) -> None:
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


def _unique(events: Events, how: str, n_users: int, n_items: int, counts: dict[str, int]) -> None:
    """One event a pair, sorted by user, item. The earliest (latest) by time, and by row where times tie or lack."""
    if not len(events):
        return
    order, key = _by_pair(events, n_users, n_items)
    starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))).astype(order.dtype)
    counts["duplicates_removed"] = len(key) - len(starts)
    if len(starts) == len(key):
        events.keep(order)
        return
    sizes = np.diff(starts, append=starts.dtype.type(len(key)))
    counts["overlap"] = _overlap(events, order, starts)
    if events.timestamp is not None:
        repeated = np.flatnonzero(np.repeat(sizes > 1, sizes))
        rows = order[repeated]
        order[repeated] = rows[np.lexsort((rows, events.timestamp[rows], key[repeated]))]
    summed = None
    if how == "sum":
        rating = np.ones(len(key)) if events.rating is None else events.rating[order].astype(np.float64)
        with np.errstate(over="ignore"):
            summed = np.add.reduceat(rating, starts).astype(np.float32)
        if not np.isfinite(summed).all():
            raise JobError(
                "invalid_input",
                "The sum of a pair's ratings is above what 32 bits hold (3.4e38).",
                hint="Scale the ratings down, or keep one of them, as in dedup=last.",
                pointer="/options/dedup",
            )
    events.keep(order[starts + sizes - 1] if how == "last" else order[starts])
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


def _positive(events: Events, options: IngestOptions, counts: dict[str, int]) -> None:
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
    counts["below_threshold"] = int(len(kept) - kept.sum())
    events.keep(kept)


def _frequent(events: Events, options: IngestOptions, n_users: int, n_items: int, counts: dict[str, int]) -> None:
    """Leave out rare users and items until both minima hold (a user may become rare when an item goes)."""
    before = len(events)
    counts["users_before"] = int(np.count_nonzero(np.bincount(events.user, minlength=n_users)))
    counts["items_before"] = int(np.count_nonzero(np.bincount(events.item, minlength=n_items)))
    while len(events):
        often_user = np.bincount(events.user, minlength=n_users) >= options.min_user_events
        often_item = np.bincount(events.item, minlength=n_items) >= options.min_item_events
        kept = often_user[events.user] & often_item[events.item]
        if kept.all():
            break
        events.keep(kept)
    counts["rare_events"] = before - len(events)


def _published_minima(options: IngestOptions) -> dict[str, int]:
    """What may thin out a published split; of others the minima are a part."""
    if not options.published:
        return {}
    return {"min_user_events": options.min_user_events, "min_item_events": options.min_item_events}


def _split(events: Events, options: IngestOptions) -> np.ndarray:
    if events.part is not None:
        return events.part
    if not len(events):
        return np.empty(0, np.int8)
    times = events.timestamp if options.split in {"leave_2", "strong"} else None
    order = slice(None) if times is None else np.lexsort((events.row, times))
    codes = np.empty(len(events), np.int8)
    codes[order] = splits.split_events(
        options.split,
        events.user[order],
        events.item[order],
        seed=options.seed,
        timestamp=None if times is None else times[order],
        min_events=options.min_user_events,
    )
    return codes


def _compact(events: Events, users: Any, items: Any, options: IngestOptions, counts: dict[str, int]) -> tuple[Any, Any]:
    """Number only the users and items that are left; refuse what is too little to learn from."""
    has_user = np.bincount(events.user, minlength=len(users)) > 0
    has_item = np.bincount(events.item, minlength=len(items)) > 0
    n_users, n_items = int(has_user.sum()), int(has_item.sum())
    counts["users_dropped"] = counts["users_before"] - n_users
    counts["items_dropped"] = counts["items_before"] - n_items
    if n_users < MIN_USERS or n_items < MIN_ITEMS:
        raise _too_few(n_users, n_items, options, counts)
    events.user = (np.cumsum(has_user, dtype=np.int32) - 1)[events.user]
    events.item = (np.cumsum(has_item, dtype=np.int32) - 1)[events.item]
    return users.filter(pa.array(has_user)), items.filter(pa.array(has_item))


def _too_few(n_users: int, n_items: int, options: IngestOptions, counts: dict[str, int]) -> JobError:
    pointer, hint = "", "Upload more interactions."
    if options.binarize_threshold is not None and counts.get("below_threshold"):
        pointer, hint = "/options/binarize_threshold", "Lower binarize_threshold."
    if counts.get("users_dropped"):
        pointer = "/options/min_user_events"
        hint = f"Lower min_user_events (now {options.min_user_events}) or upload more interactions."
    detail = f"{n_users} users and {n_items} items are left; at least {MIN_USERS} and {MIN_ITEMS} are needed."
    if not n_users and counts.get("users_before"):
        detail = f"All {counts['users_before']:,} users were left out: none has the events that are asked for."
    return JobError("too_few_rows", detail, hint=hint, pointer=pointer)


def _titles(table: Table, upload: Upload, n_items: int, ctx: Context) -> Any:
    """Titles of items, if there are not too many: they are for showing, and are later held as fixed-width text."""
    if n_items * _TITLE_CHARACTERS * 4 > upload.meter.limits.decoded_bytes // 8:
        ctx.warn("There are too many items to keep their titles.")
        return None
    return read_titles(table, upload.meter)


def _in_order(titles: Any, items: Any) -> np.ndarray:
    """The beginning of each item's title, "" where it has none."""
    place = pc.index_in(items, titles["item"].combine_chunks())
    found = pc.fill_null(titles["title"].combine_chunks().take(place), "")
    return pc.utf8_slice_codeunits(found, 0, _TITLE_CHARACTERS).to_numpy(zero_copy_only=False)


def _save(
    events: Events, codes: np.ndarray, users: Any, items: Any, titles: np.ndarray | None,
    features: ItemFeatures | None, options: IngestOptions, out: Path,
) -> None:  # fmt: skip
    kept = ("binarize_threshold", "min_user_events", "min_item_events", "dedup", "split", "seed", "rows_in_time_order")
    table = dataset.Events(events.user, events.item, codes, events.rating, events.timestamp)
    user_ids, item_ids = (words.to_numpy(zero_copy_only=False) for words in (users, items))
    named = {name: getattr(options, name) for name in kept} | ({"keep_text": True} if options.keep_text else {})
    texts = None if events.text is None else lambda: events.text
    described = None if features is None else lambda: features
    data = dataset.Interactions(table, user_ids, item_ids, titles, named, texts=texts, item_features=described)
    dataset.save(data, out)


def _schema(events: Events, titled: bool, described: bool) -> dict[str, Any]:
    columns = {"user": "int32", "item": "int32", "split": "int8"}
    columns |= {"rating": "float32"} if events.rating is not None else {}
    columns |= {"timestamp": "int64"} if events.timestamp is not None else {}
    more: dict[str, Any] = {} if events.text is None else {dataset.TEXTS_FILE: {"text": "string"}}
    if described:
        more[item_features.VALUES_FILE] = {"item": "int32", "feature": "int32", "value": "float32"}
        more[item_features.NAMES_FILE] = {"name": "string", "tag": "bool"}
    return more | {
        dataset.EVENTS_FILE: columns,
        dataset.USERS_FILE: {"user_id": "string"},
        dataset.ITEMS_FILE: {"item_id": "string"} | ({"title": "string"} if titled else {}),
    }
