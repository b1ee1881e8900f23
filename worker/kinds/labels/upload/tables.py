"""Tables with a document a row: text, and its labels in one cell, joined by a delimiter or as a list."""

from __future__ import annotations

import ast
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from worker.contract.errors import JobError
from worker.contract.text import storable
from worker.ingest.arrow import Arrow, pc
from worker.ingest.sample import Hints
from worker.ingest.sources import Source
from worker.ingest.table import Role, Schema, Table, as_table, read_batches
from worker.ingest.upload import Upload, choose_tables
from worker.kinds.labels.dataset import TEST, TRAIN, VALIDATION
from worker.kinds.labels.texts import Texts
from worker.kinds.labels.upload import lists
from worker.kinds.labels.upload.found import NO_PART, Found, binary, check_labels, part_of_file

DOCUMENTS = Schema(
    "a table of documents with labels",
    (
        Role(
            "labels", "text", ("labels", "tags", "label", "categories", "topics", "keywords", "classes"), required=True
        ),
        Role("title", "text", ("title", "headline", "subject")),
        Role("text", "text", ("text", "content", "body", "document", "abstract", "description")),
        Role("id", "id", ("id", "uid", "doc_id", "document_id")),
        Role("split", "split", ("split", "part", "set", "fold")),
    ),
    formats=lists.FORMATS,
)
LABELS = Schema(
    "a table of labels with their text",
    (
        Role("label", "text", ("label", "name", "tag", "id", "uid"), required=True),
        Role("text", "text", ("text", "content", "description", "title", "body"), required=True),
    ),
)
DELIMITERS = ("|", ";", ",", "\t")
_PARTS = {
    "train": TRAIN, "training": TRAIN, "trn": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION,
    "dev": VALIDATION, "test": TEST, "tst": TEST, "testing": TEST, "": NO_PART,
}  # fmt: skip
_SAMPLED = 1_000


def read(
    upload: Upload,
    sources: Sequence[Source],
    label_file: Source | None,
    columns: Mapping[str, str | int],
    hints: Hints,
    delimiter: str,
) -> tuple[Found, list[Table]]:
    """Documents of all files, labels numbered by their names in order. Raises `JobError` for tables that have neither
    title nor text. `delimiter`: between labels in a cell, "" to guess it."""

    def table(source: Source) -> Table:
        found = as_table(upload.detect(source, hints), columns, DOCUMENTS)
        if not {"title", "text"} & found.columns.keys():
            seen = ", ".join(repr(one.name) for one in found.detected.columns[:30])
            raise JobError(
                "unknown_column",
                f"No column of {source.name} holds the text of documents. Columns seen: {seen}.",
                hint='Name it in the column map, as in columns={"text": "review"}.',
                pointer="/columns/text",
            )
        return found

    tables, ignored = choose_tables(sources, table)
    tables = sorted(tables, key=lambda one: (part_of_file(one.name), one.name))
    upload.expect([one.detected.source for one in tables])
    kept: dict[str, list[Arrow]] = {}
    parts: list[np.ndarray] = []
    cells: list[Arrow] = []
    for one in tables:
        for batch in read_batches([one], upload.meter):
            for role in ("title", "text", "id"):
                if role in batch.schema.names:
                    kept.setdefault(role, []).append(_text(batch.column(role)))
            cells.append(batch.column("labels"))
            parts.append(_parts(batch, one))
    delimiter = delimiter or _guess(cells)
    counts, flat, names = _numbered(cells, delimiter)
    check_labels(len(names))
    parted = f", labels parted by {delimiter!r}" if delimiter else ""  # guessed, perhaps wrongly: so it is said
    texts = {role: Texts(pa.chunked_array(chunks)) for role, chunks in kept.items()}
    found = Found(
        f"a table of documents ({tables[0].detected.format.name}){parted}",
        binary(np.concatenate([[0], np.cumsum(counts)]), flat, len(names)),
        np.concatenate(parts),
        ids=texts.get("id"),
        titles=texts.get("title"),
        bodies=texts.get("text"),
        label_titles=Texts.of(names),
        label_bodies=None if label_file is None else _label_bodies(upload, label_file, names),
        files=tuple(one.name for one in tables),
        ignored=tuple(ignored),
        warnings=tuple(_other_marks(names, delimiter)),
    )
    return found, tables


def _other_marks(names: Sequence[str], delimiter: str) -> Iterator[str]:
    """Where labels hold a mark that joins labels elsewhere: cells may be joined in more than one way."""
    for mark in DELIMITERS[:2]:
        held = [name for name in names if mark in name]
        if held and mark != delimiter:
            yield (
                f"{len(held):,} labels hold {mark!r} (such as {held[0][:60]!r}), which was not taken to part labels: "
                "where it does, write one mark throughout, and say it with label_delimiter."
            )


def _text(column: Arrow) -> Arrow:
    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if pa.types.is_nested(column.type):
        column = pa.array([None if one is None else " ".join(map(str, one)) for one in column.to_pylist()], pa.string())
    cleaned = pc.replace_substring(column.cast(pa.large_string()), "\0", "\ufffd")
    return pc.fill_null(cleaned, "")


def _parts(batch: Arrow, table: Table) -> np.ndarray:
    """The part of every row: by its column, where that says one, else by the name of the file."""
    of_file = part_of_file(table.name)
    if "split" not in batch.schema.names:
        return np.full(batch.num_rows, of_file, np.int8)
    column = batch.column("split")
    words = [str(word).strip().lower() for word in pc.fill_null(column.dictionary, "").to_pylist()]
    wrong = [word for word in words if word not in _PARTS]
    if wrong:
        raise JobError(
            "invalid_input",
            f"The split column {table.columns['split'].name!r} of {table.name} holds {wrong[0][:60]!r}; its cells are "
            "train, validation or test.",
            hint='Write these words, or leave the column out with columns={"split": ""}.',
            pointer="/columns/split",
        )
    codes = np.array([*(_PARTS[word] for word in words), NO_PART], np.int8)
    found = codes[pc.fill_null(column.indices, len(words)).to_numpy(zero_copy_only=False)]
    return np.where(found == NO_PART, of_file, found).astype(np.int8)


def _numbered(cells: Sequence[Arrow], delimiter: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels of each document, all of them as numbers, and the names, sorted, that they number."""
    number: dict[str, int] = {}
    counts, flat = array("q"), array("q")  # plain numbers: labels of documents are many
    for column in cells:
        for cell in _plain(column):
            own = labels_of(cell, delimiter)
            counts.append(len(own))
            flat.extend(number.setdefault(word, len(number)) for word in own)
    names = sorted(number)
    rank = np.empty(len(names), np.int64)
    rank[[number[name] for name in names]] = np.arange(len(names))
    return np.array(counts, np.int64), rank[np.array(flat, np.int64)], names


def _plain(column: Arrow) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_list(column.type)):
        column = column.cast(pa.string())
    return column.to_pylist()


def labels_of(cell: Any, delimiter: str) -> list[str]:
    """The distinct labels in a cell: a list, a list written as JSON or by Python, or words joined by a delimiter
    (" ": by any blanks)."""
    if cell is None:
        return []
    words = cell
    if isinstance(cell, str):
        words = _written_list(cell.strip())
        if words is None:
            words = cell.split(None if delimiter == " " else delimiter) if delimiter else [cell]
    cleaned = (storable(str(word)).strip() for word in words if word is not None)
    return list(dict.fromkeys(word for word in cleaned if word))


def _written_list(cell: str) -> list[Any] | None:
    if not (cell.startswith("[") and cell.endswith("]")):
        return None
    for reads in (json.loads, ast.literal_eval):
        try:
            found: Any = reads(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list) and all(isinstance(one, str | int | float | None) for one in found):
            return found
    return None


def _guess(cells: Sequence[Arrow]) -> str:
    """The delimiter that most of the first cells hold; the stronger of two that are about as frequent."""
    sample = [cell for column in cells for cell in _plain(column)[:_SAMPLED]][:_SAMPLED]
    seen = Counter(mark for cell in sample if isinstance(cell, str) for mark in DELIMITERS if mark in cell)
    most = max(seen.values(), default=0)
    return next((mark for mark in DELIMITERS if seen[mark] and 2 * seen[mark] >= most), "")


def _label_bodies(upload: Upload, source: Source, names: Sequence[str]) -> Texts:
    table = as_table(upload.detect(source), {}, LABELS)
    place = {name: at for at, name in enumerate(names)}
    bodies = [""] * len(names)
    for batch in read_batches([table], upload.meter):
        for label, text in zip(_plain(batch.column("label")), _plain(batch.column("text")), strict=True):
            if label is not None and label.strip() in place:
                bodies[place[label.strip()]] = storable(text or "")
    if not any(bodies):
        raise JobError(
            "invalid_input",
            f"{source.name} has the text of none of the labels of the documents.",
            hint="Write the labels in its column `label` as in the documents.",
        )
    return Texts.of(bodies)
