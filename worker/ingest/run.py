"""Uploaded files to a stream of checked batches with columns user, item[, rating][, timestamp][, split]."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from worker.ingest.canonical import canonical
from worker.ingest.columns import Column, assign_roles, plain_name
from worker.ingest.detect import detect
from worker.ingest.detected import Detected
from worker.ingest.limits import Limits, Meter
from worker.ingest.options import ReadOptions
from worker.ingest.readers import adjacency, delimited, jsonl, npz, parquet, recbole
from worker.ingest.sources import Source, expand
from worker.contract.context import Context
from worker.contract.errors import JobError

Sources = Sequence[tuple[str, Path] | Path]
Reader = Callable[[Any, Mapping[str, Column], Meter], Iterator[pa.RecordBatch]]
READERS: dict[str, Reader] = {
    "delimited": delimited.read,
    "recbole": recbole.read,
    "adjacency": adjacency.read,
    "jsonl": jsonl.read,
    "parquet": parquet.read,
    "npz": npz.read,
}
ROLES = ("user", "item", "rating", "timestamp", "split")
_FATAL = {"unsafe_format", "decoded_too_large"}
_PROSE = re.compile(r"(^|/)(readme|licen[cs]e|changelog|notice)[^/]*$|\.(md|html?|pdf|rst)$", re.IGNORECASE)
_TITLES = ("title", "movie_title", "item_title", "product_title", "item_name", "name")


@dataclass
class Table:
    """A file taken for a table, with the columns that have a role."""

    detected: Detected
    roles: dict[str, Column]

    @property
    def signature(self) -> tuple[Any, ...]:
        """Files alike in this are parts of one table."""
        names = tuple((role, column.name) for role, column in sorted(self.roles.items()))
        return self.detected.format, self.detected.delimiter, self.detected.header, names

    def plausibility(self) -> tuple[bool, bool, bool]:
        """Named columns before guessed positions, tables of events before lists of things, telling file names."""
        name = self.detected.source.name.lower()
        telling = bool(re.search(r"rating|inter|event|review|train|u\.data|click|purchase", name))
        named = self.detected.header or self.detected.format in {"npz", "recbole", "adjacency"}
        return named, "rating" in self.roles or "timestamp" in self.roles, telling


def read_tables(
    sources: Sources,
    options: ReadOptions,
    ctx: Context,
    limits: Limits | None = None,
    *,
    required: Sequence[str] = ("user", "item"),
    wanted: Sequence[str] = ROLES,
) -> tuple[dict[str, Any], Iterator[pa.RecordBatch]]:
    """Detect and read an upload.

    `sources`: (logical name, path) pairs or paths. Returns what was guessed (JSON; for the user to confirm) and the
    batches of all chosen files: user, item, split dictionary<int32, string>; rating float64; timestamp int64 or null
    (dates become milliseconds). Reading reports progress in bytes of the upload (phase "read").
    Raises `JobError`, from the call or while iterating.
    """
    meter = Meter(limits or Limits())
    found = _named(expand(sources, meter), options.file)
    tables, ignored = _tables(found, options, meter, required, wanted)
    titles = _titles_table(found, options, meter, tables)
    if titles is not None:
        ignored = [entry for entry in ignored if entry["file"] != titles.detected.source.name]
    detection = _detection(tables, ignored, titles)
    return detection, _batches(tables, meter, ctx)


def read_titles(sources: Sources, options: ReadOptions, limits: Limits | None = None) -> pa.Table | None:
    """Columns item, title of the first uploaded file that names items (`.item`, `movies.csv`), one row an item."""
    meter = Meter(limits or Limits())
    table = _titles_table(expand(sources, meter), options, meter, [])
    if table is None:
        return None
    batches = []
    for raw in READERS[table.detected.format](table.detected, table.roles, meter):
        batch = canonical(raw, meter, 0, table.detected.source.name)
        batches.append(pa.table({name: pc.cast(batch[name], pa.string()) for name in ("item", "title")}))
    joined = pa.concat_tables(batches) if batches else None
    return joined and joined.group_by("item", use_threads=False).aggregate([("title", "first")])


def _named(found: list[Source], pattern: str) -> list[Source]:
    if not pattern:
        return found
    chosen = [source for source in found if fnmatch(source.name, pattern) or fnmatch(Path(source.name).name, pattern)]
    if not chosen:
        names = ", ".join(source.name for source in found[:20])
        raise JobError("invalid_input", f"No file matches {pattern!r}. Files: {names}.", pointer="/options/file")
    return chosen


def _tables(
    found: list[Source], options: ReadOptions, meter: Meter, required: Sequence[str], wanted: Sequence[str]
) -> tuple[list[Table], list[dict[str, str]]]:
    """The files that hold the table, by the best-looking signature, and why the others do not."""
    tables, problems = [], []
    for source in found:
        if len(found) > 1 and _PROSE.search(source.name):
            problems.append((source.name, JobError("invalid_input", "documentation")))
            continue
        try:
            tables.append(_table(source, options, meter, required, wanted))
        except JobError as problem:
            if problem.code in _FATAL:
                raise
            problems.append((source.name, problem))
    if not tables:
        # a table without the right columns says more than a file that is no table
        raise min((problem for _, problem in problems), key=lambda problem: problem.code != "unknown_column")
    best = max(table.plausibility() for table in tables)
    chosen = [table for table in tables if table.plausibility() == best]
    if len({table.signature for table in chosen}) > 1:
        names = ", ".join(table.detected.source.name for table in chosen[:10])
        raise JobError(
            "invalid_input",
            f"Several files of different form look like the table: {names}.",
            hint="Upload one of them, or name it with the option file.",
            pointer="/options/file",
        )
    others = [
        (table.detected.source.name, "another file looks more like the table")
        for table in tables
        if table not in chosen
    ]
    ignored = others + [(name, problem.detail) for name, problem in problems]
    return chosen, [{"file": name, "why": why} for name, why in ignored]


def _table(source: Source, options: ReadOptions, meter: Meter, required: Sequence[str], wanted: Sequence[str]) -> Table:
    detected = detect(source, options, meter)
    if detected.format == "npz" and detected.layout["sparse"]:
        row, column, data = detected.columns
        fixed = {"user": row, "item": column} | ({"rating": data} if data.type == "number" else {})
        for role, chosen in fixed.items():
            chosen.role = role
        return Table(detected, {role: chosen for role, chosen in fixed.items() if role in wanted})
    if detected.format == "adjacency":
        return Table(detected, dict(zip(("user", "item"), detected.columns, strict=True)))
    roles = assign_roles(
        detected.columns, options.columns, header=detected.header, required=required, where=source.name
    )
    return Table(detected, {role: column for role, column in roles.items() if role in wanted})


def _titles_table(found: list[Source], options: ReadOptions, meter: Meter, tables: list[Table]) -> Table | None:
    taken = {table.detected.source.name for table in tables}
    for source in found:
        if source.name in taken or len(found) == 1 or _PROSE.search(source.name):
            continue
        try:
            detected = detect(source, ReadOptions(), meter)
        except JobError:
            continue
        names = {plain_name(column.name): column for column in reversed(detected.columns)}
        title = next((names[name] for name in _TITLES if name in names), None)
        roles = assign_roles(detected.columns, {}, header=detected.header, required=(), where=source.name)
        if detected.header and title and "item" in roles and "user" not in roles:
            title.type = "text"
            return Table(detected, {"item": roles["item"], "title": title})
    return None


def _detection(tables: list[Table], ignored: list[dict[str, str]], titles: Table | None) -> dict[str, Any]:
    first = tables[0]
    return {
        "format": first.detected.format,
        "files": [table.detected.as_dict() for table in tables],
        "columns": {role: column.name for role, column in first.roles.items()},
        "titles": titles.detected.source.name if titles else None,
        "ignored": ignored,
    }


def _batches(tables: list[Table], meter: Meter, ctx: Context) -> Iterator[pa.RecordBatch]:
    total = max(1, sum(table.detected.source.packed_bytes for table in tables))

    def report() -> None:
        ctx.progress(min(int(meter.packed_done), total), total, phase="read", rows=float(meter.rows))

    meter.tick = report
    for table in tables:
        rows, name = 0, table.detected.source.name
        for raw in READERS[table.detected.format](table.detected, table.roles, meter):
            batch = canonical(raw, meter, rows, name)
            rows += batch.num_rows
            report()
            yield batch
        if not rows:
            raise JobError("invalid_input", f"{name} holds no rows.", hint="Upload a table with at least one row.")
