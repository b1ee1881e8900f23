"""Uploaded documents to a corpus: read and written in one stream, the split drawn or read, empty ones left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import Sources
from worker.ingest.columns import COUNTED, Wanted
from worker.ingest.format import Detected
from worker.ingest.formats import FORMATS
from worker.ingest.limits import Limits
from worker.ingest.options import NAMED_FORMATS, ColumnMap, Listed, ReadOptions, column_map, named, parse_options
from worker.ingest.sources import Source
from worker.ingest.table import Role, Schema, Table, as_table
from worker.ingest.upload import Upload, choose_tables, detection
from worker.kinds.text import splits
from worker.kinds.text.dataset import LEFT_OUT, TEST, TRAIN, VALIDATION
from worker.kinds.text.description import describe
from worker.kinds.text.json_documents import JSON_DOCUMENTS
from worker.kinds.text.plain_text import Ends, plain_text
from worker.kinds.text.reading import SCORE, Reading
from worker.kinds.text.shards import CorpusWriter

ROLES = Schema(
    "a corpus of documents",
    (
        Role("text", "text", ("text", "content", "document", "body"), required=True),
        Role("id", "id", ("id", "doc_id", "document_id", "uid", "uuid")),
        Role("source", "category", ("group", "source", "url", "domain", "subset")),
        Role("split", "split", ("split",)),
        Role("embedding", "vector", ("embedding", "embeddings", "vector")),
    ),
)
if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal[("auto", "text", *(format.name for format in FORMATS))]


class IngestOptions(ReadOptions):
    """How documents become a dataset version."""

    columns: ColumnMap = column_map(ROLES, example='{"text": "content", "source": "url"}')
    format: Annotated[FormatName, *named({**NAMED_FORMATS, "txt": "text"})] = Field(
        "auto", description="Format of the files; `auto` looks at their content, and takes .txt for text."
    )
    documents: Ends = Field(
        "line", description="Where a document of a text file ends: with the line, or with the paragraph (a blank line)."
    )
    scores: Listed[str] = Field(
        default_factory=lambda: [f"{SCORE}*"],
        description="Columns of numbers that are scores of documents; names or patterns.",
    )
    min_chars: int = Field(1, ge=1, le=1_000_000, description="Shorter documents are left out.")
    split: Literal["auto", "random", "group", "files"] = Field(
        "auto",
        description="How documents are held out: random (by a hash of the text, so that equal texts are never on both "
        "sides), group (by source), files (their names say train, validation, test or hq), or auto: the column split "
        "where there is one, else the names of the files where they say train and test, else random.",
    )
    holdout: float = Field(
        0.1, gt=0, le=0.5, description="Share of the documents that become test; half as many become validation."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the split.")


def ingest(
    sources: Sources, options: Mapping[str, Any], out: Path, ctx: Context, limits: Mapping[str, int]
) -> dict[str, Any]:
    """Write the canonical files of a version to `out`; see `worker.contract.kind.Ingest`.

    Raises `JobError` whose pointer names the column or option at fault.
    """
    given = parse_options(IngestOptions, options)
    schema = replace(ROLES, formats=(JSON_DOCUMENTS, plain_text(given.documents)))
    upload = Upload(sources, schema, ctx, Limits(**limits))
    tables, ignored = choose_tables(
        upload.named(given.file), lambda source: _table(_detected(upload, source, given), given)
    )
    upload.expect([table.detected.source for table in tables])
    by_file = _by_file(tables, given)
    reading = Reading(tables, out, given.min_chars, by_file, upload.meter)
    writer = reading.run()
    upload.tell(tables)
    reading.tell(ctx)
    if "id" in reading.roles and (repeated := writer.repeated_ids):
        ctx.warn(
            f"{repeated:,} documents have the id of an earlier one: all are kept, and their ids do not tell them apart."
        )
    ctx.progress(0, 2, phase="split")
    given_by = "names of the files" if by_file else "column split"
    split, how = _split(reading.parts, given_by, writer, given, ctx)
    writer.finish(split, how)
    ctx.progress(1, 2, phase="describe")
    return describe(out) | {
        "schema": {"documents-*.parquet": {one.name: str(one.type) for one in writer.schema}},
        "warnings": list(ctx.warnings),
        "detection": detection(tables, ignored) | {"scores": reading.scores, "split": how},
    }


def _by_file(tables: Sequence[Table], given: IngestOptions) -> list[int] | None:
    """The part of each file, where the names of the files say the split."""
    if given.split == "files" or (given.split == "auto" and "split" not in tables[0].columns):
        return splits.of_files([table.name for table in tables], asked=given.split == "files")
    return None


def _detected(upload: Upload, source: Source, given: IngestOptions) -> Detected:
    """What a file is; of one that is no table the refusal says how it is read as plain text."""
    try:
        return upload.detect(source, given.hints())
    except JobError as problem:
        if problem.pointer == "/options/delimiter":
            problem.hint = (
                f"If a line is a document, say format=text (and documents=paragraph where blank lines part them). "
                f"{problem.hint}"
            )
        raise


def _table(detected: Detected, given: IngestOptions) -> Table:
    """A file as a table of documents: columns by their roles, and those of scores."""
    schema = ROLES if given.split == "auto" else ROLES.without("split")
    found = as_table(detected, given.columns, schema)
    _refuse_numbers(found)
    return replace(found, wanted=(*found.wanted, *_scores(detected, found, given.scores)))


def _refuse_numbers(found: Table) -> None:
    """Refuse a text column that its file says to hold numbers."""
    column = found.columns["text"]
    if found.detected.format.name != "delimited" and column.type in COUNTED:
        raise JobError(
            "invalid_input",
            f"The column {column.name!r} of {found.name} holds values of type {column.type}, not text.",
            hint='Name the column of the documents, as in columns={"text": "content"}.',
            pointer="/columns/text",
        )


def _scores(detected: Detected, found: Table, patterns: Sequence[str]) -> Iterator[Wanted]:
    """The columns of scores, in order of their names."""
    taken = {column.index for column in found.columns.values()}
    names: dict[str, str] = {}
    for column in sorted(detected.columns, key=lambda column: column.name):
        asked = any(fnmatchcase(column.name, pattern) for pattern in patterns)
        if not asked or column.index in taken:
            continue
        if column.type not in COUNTED:
            detected.warnings.append(f"The column {column.name!r} holds no numbers, and is no score.")
            continue
        plain = re.sub(r"\W", "_", column.name, flags=re.ASCII)
        name = plain if plain.startswith(SCORE) else SCORE + plain
        if name in names:
            raise JobError(
                "invalid_input",
                f"The columns {names[name]!r} and {column.name!r} of {detected.source.name} are both {name}.",
                hint="Rename one of them, or name one in the option scores.",
                pointer="/options/scores",
            )
        names[name] = column.name
        column.role = "score"
        yield Wanted(name, column, "number")


def _split(
    parts: np.ndarray | None, given_by: str, writer: CorpusWriter, given: IngestOptions, ctx: Context
) -> tuple[np.ndarray, str]:
    """int8 (n,), and where it is from in words."""
    hashes, by = writer.hashes, "text"
    if given.split == "group":
        hashes, by = writer.source_hashes, "source"
    split = splits.drawn(hashes, given.holdout, given.seed)
    how = f"drawn by a hash of the {by}: {given.holdout:.0%} test, half as much validation"
    if parts is not None:
        split, how = _completed(parts, split, ctx), f"given by the {given_by}"
    elif not (split == TRAIN).any():
        split = np.full(len(split), TRAIN, np.int8)
        ctx.warn("The hashes of all documents fall into the held-out parts; all are for training instead.")
    kept = splits.without_held_out(split, writer.hashes)
    if count := int((kept == LEFT_OUT).sum()):
        ctx.warn(
            f"{count:,} training documents equal held-out ones; they are left out of every training set, since nothing "
            "may be trained on what it is asked."
        )
    if not (kept == TRAIN).any():
        raise JobError(
            "invalid_input",
            "No document is for training.",
            hint="Hold out less, or let the split be drawn with split=random.",
            pointer="/options/split",
        )
    if not (kept == TEST).any():
        ctx.warn(
            "No document fell into the test part, so nothing can be measured on it: upload more, or raise holdout."
        )
    return kept, how


def _completed(parts: np.ndarray, drawn: np.ndarray, ctx: Context) -> np.ndarray:
    """A given split; where it has no test or no validation documents, these are drawn from its training part."""
    parts = parts.copy()
    for code, name in ((TEST, "test"), (VALIDATION, "validation")):
        if not (parts == code).any():
            moved = (parts == TRAIN) & (drawn == code)
            parts[moved] = code
            ctx.warn(
                f"The given split has no {name} documents: {int(moved.sum()):,} of its training part became these."
            )
    return parts
