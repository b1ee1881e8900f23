"""Uploaded interaction tables to a dataset version: who used what, each pair once, with the split drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.arrow import pc
from worker.ingest.limits import Limits, too_large
from worker.ingest.options import parse_options
from worker.ingest.plausibility import of_times, refuse_hours
from worker.ingest.sources import Source
from worker.ingest.table import Table, as_table, read_columns
from worker.ingest.times import NO_TIME
from worker.ingest.upload import Files, Upload, choose_tables, detection
from worker.kinds.interactions import dataset, item_features, plausibility, published, splits
from worker.kinds.interactions.cleaning import (
    MIN_ITEMS,
    MIN_USERS,
    Events,
    compact,
    frequent,
    parts_of,
    positive,
    published_minima,
    too_few,
    unique,
)  # fmt: skip
from worker.kinds.interactions.item_features import ItemFeatures
from worker.kinds.interactions.item_table import ItemTable, find_items, read_items
from worker.kinds.interactions.options import IngestOptions
from worker.kinds.interactions.roles import SCHEMA, find_titles, preference, read_titles

_TITLE_CHARACTERS = 200


@dataclass
class Chosen:
    """The files to read: `tables` of events, of `titles`, the `index` of a published split, the features of `items`;
    what was `detected`."""

    tables: list[Table]
    titles: Table | None
    index: Source | None
    items: ItemTable | None
    detected: dict[str, Any]


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
        raise too_few(counts["users_read"], counts["items_read"], given, counts)
    _check_widths(users, items, bounds)
    titled = _titles(titles, upload, len(items), ctx) if titles is not None else None
    ctx.progress(0, 3, phase="clean")
    unique(events, given.dedup, len(users), len(items), counts)
    positive(events, given, counts)
    frequent(events, given, len(users), len(items), counts)
    ctx.progress(1, 3, phase="split")
    codes = parts_of(events, given)
    if len(codes) and codes.min() < 0:
        events.keep(codes >= 0)
        codes = codes[codes >= 0]
    users, items = compact(events, users, items, given, counts)
    ctx.progress(2, 3, phase="write")
    features = None if chosen.items is None else read_items(chosen.items, items, upload.meter, ctx)
    _save(events, codes, users, items, None if titled is None else _in_order(titled, items), features, given, out)
    held = int((codes == splits.VALIDATION).sum())
    plausibility.warn_of_losses(detected, counts, held, published_minima(given), ctx)
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
