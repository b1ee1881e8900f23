"""Uploaded logs, lists and texts to a dataset version: sequences in order, with the split drawn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.limits import Limits
from worker.ingest.options import ColumnMap, Maybe, ReadOptions, column_map, parse_options
from worker.ingest.plausibility import of_times, refuse_hours
from worker.ingest.sources import Source
from worker.ingest.table import Table, Words, as_table, read_columns
from worker.ingest.times import NO_TIME
from worker.ingest.upload import Files, Upload, choose_tables, detection
from worker.kinds.sequences import dataset, splits
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.roles import SCHEMA, preference
from worker.kinds.sequences.rows import bounds
from worker.kinds.sequences.upload import lists, side_files, text
from worker.kinds.sequences.upload.log import Log, frequent, in_order, unique

MIN_SEQUENCES, MIN_ITEMS, MAX_ITEMS = 5, 2, 2_000_000
_MANY_TIED = 0.5  # share of events whose order is that of the upload alone
ORDERED_FORMATS = {"adjacency", "list columns", "npz rows"}


class IngestOptions(ReadOptions):
    """How a log of events, a table of lists or a text becomes a dataset version."""

    columns: ColumnMap = column_map(
        SCHEMA, text.TEXTS, example='{"user": "session", "item": "page", "timestamp": "at"}'
    )
    content: Literal["auto", "events", "text"] = Field(
        "auto", description="What the files hold: events of users or sessions, or text; auto looks at them."
    )
    tokeniser: Literal["word", "char", "ids"] = Field(
        "word",
        description="What a token of a text is: word (between blanks; each line ends in <eos>), char, or ids (numbers "
        "between blanks or in lists, taken as they are).",
    )
    min_user_len: int = Field(3, ge=1, le=1000, description="Sequences with fewer events are left out.")
    min_item_count: Maybe[int] = Field(
        None,
        ge=1,
        le=1000,
        description="Items with fewer events are left out, rarer words are <unk>; null: 1 for events, ids and "
        "characters, 3 for words.",
    )
    dedup: Literal["last", "first", "none"] = Field(
        "last", description="Of a sequence's several events on one item keep the latest, the earliest, or all (none)."
    )
    max_len: int = Field(
        dataset.MAX_LEN,
        ge=2,
        le=2048,
        description="How many of the latest events of a sequence learners read; of a text, the length of a window.",
    )
    split: Literal["auto", "leave_one_out", "temporal", "given"] = Field(
        "auto",
        description="What is held out: leave_one_out (the last event of each sequence for test, the one before for "
        "validation), temporal (everything after two moments, at 80 and 90 % of the events), or given (by a split "
        "column, or by files named train, valid and test). auto: given where files or a column say so, else "
        "leave_one_out; of a text, its last tenth and the tenth before.",
    )
    rows_in_time_order: bool = Field(
        False, description="The table has no times, but the rows of each user are in order (as SASRec's files are)."
    )

    def rarest(self, *, words: bool) -> int:
        """The least number of events of an item."""
        return self.min_item_count or (3 if words else 1)


def ingest(
    sources: Files,
    options: Mapping[str, Any] | IngestOptions,
    out: Path,
    ctx: Context,
    limits: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Write the canonical files of a version to `out`; returns statistics, preview, warnings, schema, detection.

    Raises `JobError` whose pointer names the column or option at fault.
    """
    given = parse_options(IngestOptions, options)
    upload = Upload(sources, SCHEMA, ctx, Limits(**(limits or {})))
    ctx.progress(0, 3, phase="look")
    is_text = given.content == "text" or (
        given.content == "auto" and text.looks_like_text(upload, upload.named(given.file))
    )
    counts: dict[str, int] = {}
    data, detected = texts(upload, given, ctx) if is_text else events(upload, given, counts, ctx)
    ctx.progress(2, 3, phase="write")
    dataset.save(data, out)
    ctx.progress(3, 3, phase="write")
    return {
        "statistics": counts | dataset.statistics(out),
        "preview": dataset.preview(out, 20),
        "warnings": list(ctx.warnings),
        "schema": schema_of(data),
        "detection": detected,
    }


def texts(upload: Upload, given: IngestOptions, ctx: Context) -> tuple[Sequences, dict[str, Any]]:
    """Windows of a text, and what was guessed about it."""
    sources = upload.named(given.file)
    if given.split in ("leave_one_out", "temporal"):
        raise JobError(
            "invalid_input",
            f"The split {given.split} is for events; of a text whole stretches are held out.",
            hint="Leave split out; or choose given, with files named train, valid and test.",
            pointer="/options/split",
        )
    in_lists = given.tokeniser == "ids" and all(_holds_lists(upload, source) for source in sources)
    found = _id_lists(upload, given, sources) if in_lists else text.documents(upload, sources, given.columns)
    rarest = given.rarest(words=given.tokeniser == "word")
    parts, vocabulary, told = text.read(found, given.tokeniser, rarest)
    ctx.progress(1, 3, phase="split")
    if given.split == "given" and not told["named_parts"]:
        raise JobError(
            "invalid_input",
            "The split given needs a split column, or files named train, valid and test.",
            hint="Name the files so; or leave split out, which holds the end of the text out.",
            pointer="/options/split",
        )
    if told["validation_from_training"]:
        ctx.warn("No file is named valid: the last tenth of the training text is held out for validation.")
    unknown = told["unknown_test_tokens"]
    if unknown:
        share = 100 * unknown / max(1, len(parts[splits.TEST]))
        ctx.warn(f"{unknown:,} test tokens ({share:.1f} %) are not in the vocabulary of the training text: {text.UNK}.")
    rows, split = text.windows(parts, given.max_len)
    if int((split == splits.TRAIN).sum()) < MIN_SEQUENCES:
        raise JobError(
            "too_few_rows",
            f"The training text comes to {int((split == splits.TRAIN).sum())} windows of {given.max_len} tokens; at "
            f"least {MIN_SEQUENCES} are needed.",
            hint="Upload more text, or lower max_len.",
            pointer="/options/max_len",
        )
    if not (split == splits.TEST).any():
        ctx.warn("The test text has no window of two tokens: nothing can be measured on this version.")
    width = len(str(len(rows)))
    data = Sequences(
        rows.indptr,
        rows.items,
        vocabulary,
        np.repeat(split, rows.lengths),
        np.array([f"window_{number:0{width}d}" for number in range(len(rows))]),
        options={
            "content": "text", "tokeniser": given.tokeniser, "max_len": given.max_len, "min_item_count": rarest,
            "split": "given" if told["named_parts"] else "contiguous", "unknown_test_tokens": unknown,
        },
    )  # fmt: skip
    detected = {"format": "text", "files": [{"file": source.name} for source in sources], "columns": {}, "ignored": []}
    return data, detected | {"warnings": []}


def _holds_lists(upload: Upload, source: Source) -> bool:
    try:
        return upload.detect(source).format.name in ORDERED_FORMATS
    except JobError:
        return False


def _id_lists(upload: Upload, given: IngestOptions, sources: Sequence[Source]) -> Iterator[tuple[int | None, str]]:
    """Lists of token ids, a line each, with the part that a split column or the name of their file says."""
    for source in sources:
        table = as_table(upload.detect(source, given.hints()), given.columns, SCHEMA)
        columns = read_columns([table], upload.meter)
        named, split = splits.part_of_file(source.name), columns.words.get("split")
        part = None if split is None else _parts_of(split)
        tokens = columns.words["item"].words.take(columns.words["item"].codes).to_pylist()
        owner = columns.words["user"].codes
        cuts = np.flatnonzero(np.diff(owner, prepend=-1, append=-2) != 0) if len(owner) else np.zeros(1, int)
        for start, stop in itertools.pairwise(cuts.tolist()):
            yield named if part is None else int(part[start]), " ".join(tokens[start:stop])


def events(
    upload: Upload, given: IngestOptions, counts: dict[str, int], ctx: Context
) -> tuple[Sequences, dict[str, Any]]:
    """Sequences of a log, and what was guessed about it; `counts` gets what was left out."""
    log, users, items, detected, side = _read(upload, given, ctx)
    ctx.progress(0, 3, phase="clean")
    counts["rows"] = len(log)
    frequent(log, given.min_user_len, given.rarest(words=False), len(users), len(items))
    in_order(log)
    before = len(log)
    unique(log, given.dedup, len(items))
    counts["duplicates_removed"] = before - len(log)
    frequent(log, given.min_user_len, given.rarest(words=False), len(users), len(items))
    _refuse_short(log, given)
    counts["sequences_dropped"] = len(users) - len(np.unique(log.user))
    counts["items_dropped"] = len(items) - len(np.unique(log.item))
    if 2 * counts["sequences_dropped"] > len(users):
        ctx.warn(
            f"{counts['sequences_dropped']:,} of {len(users):,} sequences have fewer than {given.min_user_len} events "
            "and were left out (min_user_len)."
        )
    ctx.progress(1, 3, phase="split")
    kept_users, user = np.unique(log.user, return_inverse=True)
    kept_items, item = np.unique(log.item, return_inverse=True)
    indptr = bounds(np.bincount(user))
    split, name = _split(log, indptr, given)
    known = np.zeros(len(kept_items), bool)
    known[item[split == splits.TRAIN]] = True
    unknown = int((~known[item[split == splits.TEST]]).sum())
    kept = ("min_user_len", "dedup", "max_len", "rows_in_time_order")
    about = {key: getattr(given, key) for key in kept} | {"min_item_count": given.rarest(words=False)}
    about |= {"content": "events", "split": name, "unknown_test_items": unknown}
    if unknown and unknown == int((split == splits.TEST).sum()):
        raise JobError(
            "invalid_input",
            f"All {unknown:,} test events are of items that no training event has.",
            hint="Raise min_item_count, which leaves rare items out"
            + ("." if name == "leave_one_out" else "; or choose split=leave_one_out."),
            pointer="/options/min_item_count" if name == "leave_one_out" else "/options/split",
        )
    if unknown:
        ctx.warn(f"{unknown:,} test events are of items that no training event has: no learner can be right there.")
    ids = _taken(items, kept_items)
    data = Sequences(
        indptr,
        item.astype(np.int32),
        ids,
        split,
        _taken(users, kept_users),
        log.time,
        titles=side_files.titles_of(side, ids),
        features=side_files.features_of(side, ids, items.to_numpy(zero_copy_only=False)),
        options=about,
    )
    _warn_of_order(data, ctx)
    return data, detected


def _taken(words: Any, kept: np.ndarray) -> np.ndarray:
    return words.take(kept).to_numpy(zero_copy_only=False)


def _read(upload: Upload, given: IngestOptions, ctx: Context) -> tuple[Log, Any, Any, dict[str, Any], side_files.Side]:
    """The log, the words of users and items, what was guessed, and what is said of items."""
    found = upload.named(given.file)
    schema = SCHEMA if given.split in ("auto", "given") else SCHEMA.without("split")
    parts = {source.name: splits.part_of_file(source.name) for source in found}

    def preferred(table: Table) -> tuple[bool, ...]:
        of_part = parts[table.name] is not None  # then all parts are wanted, whatever else their names tell
        return (of_part, *(preference(table)[:2] if of_part else preference(table)))

    tables, ignored = choose_tables(
        found, lambda source: as_table(upload.detect(source, given.hints()), given.columns, schema), preferred
    )
    chosen = [table.detected.source for table in tables]
    others = [source for source in upload.sources if source not in chosen]
    side = side_files.find(upload, others)
    ignored = [entry for entry in ignored if entry["file"] not in side.names]
    upload.expect(chosen)
    columns = read_columns(tables, upload.meter)
    user, item = columns.words["user"], columns.words["item"]
    if len(tables) > 1 and tables[0].columns["user"].name == lists.ROW:
        user = _rows_of_files(user, tables, columns.sizes)
    if len(item.words) > MAX_ITEMS:
        raise JobError(
            "decoded_too_large",
            f"There are {len(item.words):,} different items; up to {MAX_ITEMS:,} are served.",
            hint="Raise min_item_count, or merge rare items.",
            pointer="/columns/item",
        )
    log = Log(user.codes, item.codes, columns.numbers.get("timestamp"))
    _check_order(log, tables[0], given, ctx)
    named = [parts[table.name] for table in tables]
    if "split" in columns.words:
        log.part = _parts_of(columns.words["split"])
    elif given.split in ("auto", "given") and len(tables) > 1 and None not in named:
        log.part = np.repeat(np.array(named, np.int8), columns.sizes)
    elif given.split == "given":
        raise JobError(
            "invalid_input",
            "The split given needs a split column, or files named train, valid and test.",
            hint='Name the column, as in columns={"split": "part"}; or choose split=leave_one_out.',
            pointer="/options/split",
        )
    upload.tell(tables)
    detected = detection(tables, ignored) | {"items": list(side.names)}
    if log.time is not None and not given.rows_in_time_order:
        refuse_hours(log.time, tables[0], given.columns)
        detected["warnings"] += of_times(log.time)
    for warning in detected["warnings"]:
        ctx.warn(warning)
    return log, user.words, item.words, detected, side


def _parts_of(split: Words) -> np.ndarray:
    """The part of each event, int8, by a split column, whose words may hold some that no event has."""
    words, used = np.array(split.words.to_pylist(), dtype=str), np.unique(split.codes)
    codes = np.zeros(len(words), np.int8)
    codes[used] = splits.given(words[used])
    return codes[split.codes]


def _rows_of_files(user: Words, tables: Sequence[Table], sizes: Sequence[int]) -> Words:
    """Where sequences are known by their row alone: those of different files are different ones."""
    key = np.repeat(np.arange(len(tables), dtype=np.int64), sizes) * len(user.words) + user.codes
    found, codes = np.unique(key, return_inverse=True)
    numbers = user.words.to_pylist()
    names = [f"{tables[at // len(numbers)].name}:{numbers[at % len(numbers)]}" for at in found.tolist()]
    return Words(codes.astype(np.int32), pa.array(names, pa.string()))


def _check_order(log: Log, table: Table, given: IngestOptions, ctx: Context) -> None:
    """There must be an order: times of all events, or rows that are said to be in order."""
    if given.rows_in_time_order or table.detected.format.name in ORDERED_FORMATS:
        missing = 0 if log.time is None else int((log.time == NO_TIME).sum())
        if missing:
            ctx.warn(f"{missing:,} of {len(log):,} events have no time: events are taken in the order of the upload.")
            log.time = None
        return
    if log.time is None:
        raise JobError(
            "invalid_input",
            f"Nothing in {table.name} says in which order the events of a sequence happened.",
            hint='Name the time column, as in columns={"timestamp": "date"}; or, where the rows are in order, say '
            "rows_in_time_order=true.",
            pointer="/columns/timestamp",
        )
    missing = int((log.time == NO_TIME).sum())
    if missing:
        raise JobError(
            "invalid_input",
            f"{missing:,} of {len(log):,} rows of {table.name} have no time.",
            hint="Leave those rows out; or, where all rows are in order, say rows_in_time_order=true.",
            pointer="/columns/timestamp",
        )


def _warn_of_order(data: Sequences, ctx: Context) -> None:
    """Say where the order of events, or that of the parts, is not what a next-event question needs."""
    tied = dataset.share_of_tied_times(data) if data.times is not None else 0.0
    if tied >= _MANY_TIED:
        ctx.warn(
            f"{100 * tied:.0f} % of events have the time of the one before them in their sequence: their order is that "
            "of the upload, and what came next is known no better."
        )
    owner = data.rows.owners()
    backward = int(((np.diff(data.split) < 0) & (np.diff(owner) == 0)).sum())
    if backward:
        ctx.warn(
            f"In {backward:,} places training or validation events follow on held-out ones of the same sequence: "
            "learners are trained on what happened after the question."
        )
    if not len(data.cases("test")):
        ctx.warn(
            "No test event has an event of its sequence before it: nothing can be measured on this version. Upload "
            "whole sequences, or choose split=leave_one_out."
        )


def _refuse_short(log: Log, given: IngestOptions) -> None:
    lengths = np.bincount(log.user)
    lengths = lengths[lengths > 0]
    if len(lengths) >= MIN_SEQUENCES and np.median(lengths) < 2:
        raise JobError(
            "too_few_rows",
            f"Most sequences have fewer than 2 events (of {len(lengths):,} sequences {int((lengths < 2).sum()):,}).",
            hint="Is the user column the right one? Otherwise raise min_user_len to 2, which leaves them out.",
            pointer="/columns/user",
        )
    n_items = len(np.unique(log.item))
    if len(lengths) < MIN_SEQUENCES or n_items < MIN_ITEMS:
        raise JobError(
            "too_few_rows",
            f"{len(lengths):,} sequences over {n_items:,} items are left; at least {MIN_SEQUENCES} and {MIN_ITEMS} are "
            "needed.",
            hint=f"Lower min_user_len (now {given.min_user_len}) or min_item_count (now "
            f"{given.rarest(words=False)}), or upload more.",
            pointer="/options/min_user_len",
        )


def _split(log: Log, indptr: np.ndarray, given: IngestOptions) -> tuple[np.ndarray, str]:
    if log.part is not None:
        return log.part, "given"
    if given.split == "temporal":
        if log.time is None:
            raise JobError(
                "invalid_input",
                "The split temporal goes by time, and there are no times.",
                hint='Name the time column, as in columns={"timestamp": "date"}; or choose split=leave_one_out.',
                pointer="/options/split",
            )
        return splits.temporal(log.time), "temporal"
    if np.diff(indptr).max(initial=0) < 3:
        raise JobError(
            "too_few_rows",
            "No sequence has 3 events, of which one could be held out for test and one for validation.",
            hint="Choose split=temporal, or upload longer sequences.",
            pointer="/options/split",
        )
    return splits.leave_one_out(indptr), "leave_one_out"


def schema_of(data: Sequences) -> dict[str, Any]:
    """The columns of the canonical files, by file."""
    columns = {"item": "int32", "split": "int8"} | ({} if data.times is None else {"time": "int64"})
    return {
        dataset.EVENTS_FILE: columns,
        dataset.SEQUENCES_FILE: {"sequence_id": "string", "length": "int64"},
        dataset.ITEMS_FILE: {"item_id": "string"} | ({} if data.titles is None else {"title": "string"}),
    }
