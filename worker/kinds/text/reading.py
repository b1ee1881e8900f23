"""The documents of an upload as a stream of canonical batches, on their way into a corpus."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow, pc
from worker.ingest.cells import is_text
from worker.ingest.limits import Meter
from worker.ingest.table import Table, numbered_batches
from worker.kinds.text import splits
from worker.kinds.text.row_groups import GROUP_BYTES, GROUP_ROWS
from worker.kinds.text.shards import CorpusWriter, schema_of

MOST_BYTES = 1 << 20
"""Bytes of a document in UTF-8."""
SCORE = "score_"


class Reading:
    """Reads tables of documents and writes them; remembers what the split needs.

    `by_file`: the part of each table, None where files say nothing. `left_out`: documents that were empty or too short.
    `parts`: int8 of every document, where the split is given.
    """

    def __init__(
        self, tables: Sequence[Table], out: Path, min_chars: int, by_file: Sequence[int] | None, meter: Meter
    ) -> None:
        self._tables, self._min_chars, self._meter, self._by_file = tables, min_chars, meter, by_file
        self.roles = [one.name for one in tables[0].wanted]
        self.scores = [name for name in self.roles if name.startswith(SCORE)]
        self._out = out
        self._writer: CorpusWriter | None = None
        self._parts: list[np.ndarray] = []
        self._dimension = 0
        self._rows = 0
        self.left_out = 0
        self._beyond: dict[str, int] = dict.fromkeys(self.scores, 0)

    def run(self) -> CorpusWriter:
        """Read everything; the writer has all documents then. Raises `JobError`."""
        for place, raw in numbered_batches(self._tables, self._meter):
            for start, documents in self._pieces(raw):
                self._add(place, documents, start)
                self._meter.tick()
        if self._writer is None or not len(self._writer.hashes):
            raise JobError(
                "invalid_input",
                f"No document is left: all {self._rows:,} are shorter than {self._min_chars} characters.",
                hint="Check which column holds the text, or lower min_chars.",
                pointer="/columns/text",
            )
        return self._writer

    @property
    def parts(self) -> np.ndarray | None:
        """int8 (n,): the given split, None where none was given."""
        return np.concatenate(self._parts) if self._parts else None

    def _pieces(self, raw: Arrow) -> Iterator[tuple[int, Arrow]]:
        """A batch in pieces of bounded text, decoded, with the number of the first row of each in the table."""
        text = raw.column("text")
        if not is_text(text.type.value_type if pa.types.is_dictionary(text.type) else text.type):
            raise JobError(
                "invalid_input",
                f"The text column {self._tables[0].columns['text'].name!r} holds {text.type}, not text.",
                hint='Name the column of the documents, as in columns={"text": "content"}.',
                pointer="/columns/text",
            )
        sizes = _sizes(text)
        if pa.types.is_dictionary(text.type):  # a few bytes may stand for any number of equal documents
            self._meter.decoded(int(sizes.sum()), self._tables[0].name)
        if len(sizes) and sizes.max() > MOST_BYTES:
            at = int(np.argmax(sizes > MOST_BYTES))
            raise JobError(
                "decoded_too_large",
                f"Document {self._rows + at + 1:,} has {int(sizes[at]):,} bytes; the most is {MOST_BYTES:,}.",
                hint="Split long documents into several, or leave this one out.",
                pointer="/columns/text",
            )
        groups = np.cumsum(sizes) // GROUP_BYTES + np.arange(len(sizes)) // GROUP_ROWS
        cuts = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(sizes)]
        for start, stop in pairwise(cuts):
            if stop > start:
                yield self._rows + start, raw.slice(start, stop - start)
        self._rows += len(sizes)

    def _add(self, place: int, raw: Arrow, first: int) -> None:
        """Append the documents of a piece that are long enough."""
        text = _decoded(raw.column("text"))
        blank = pc.fill_null(pc.less(pc.utf8_length(pc.utf8_trim_whitespace(text)), self._min_chars), True)
        kept = pc.indices_nonzero(pc.invert(blank))
        self.left_out += len(raw) - len(kept)
        self._check_dimension(raw, first)
        if self._writer is None:
            self._writer = CorpusWriter(self._out, self.scores, self._dimension)
        if not len(kept):
            return
        schema = schema_of(self.scores, self._dimension)
        given = {"text": text, "id": self._ids(raw, first), "source": self._sources(raw)}
        for name in self.scores:
            self._beyond[name] += _beyond(raw.column(name).take(kept))
        columns = [(given[one.name] if one.name in given else raw.column(one.name)).take(kept) for one in schema]
        columns = [column.cast(one.type) for column, one in zip(columns, schema, strict=True)]
        self._writer.add(pa.RecordBatch.from_arrays(columns, schema=schema), identified="id" in self.roles)
        if self._by_file is not None:
            self._parts.append(np.full(len(kept), self._by_file[place], np.int8))
        elif "split" in self.roles:
            column = raw.column("split").take(kept)
            used = pc.dictionary_encode(column.dictionary_decode())
            words = splits.of_words([*used.dictionary.to_pylist(), *([None] if used.null_count else [])])
            self._parts.append(words[pc.fill_null(used.indices, len(used.dictionary)).to_numpy()])

    def _check_dimension(self, raw: Arrow, first: int) -> None:
        """Refuse embeddings of another length than the first ones."""
        if "embedding" not in self.roles:
            return
        size = raw.column("embedding").type.list_size
        if self._dimension and size != self._dimension:
            raise JobError(
                "invalid_input",
                f"The embeddings from row {first + 1:,} on have {size} numbers, not {self._dimension} like the first.",
                hint='Make all embeddings with one model, or leave them out with columns={"embedding": ""}.',
                pointer="/columns/embedding",
            )
        self._dimension = size

    def _ids(self, raw: Arrow, first: int) -> Arrow:
        """Ids as text: those of the upload, or the numbers of its rows from 0."""
        if "id" in self.roles:
            return raw.column("id").dictionary_decode()
        return pa.array(np.arange(first, first + len(raw))).cast(pa.string())

    def _sources(self, raw: Arrow) -> Arrow:
        """Sources as text, of addresses on the web the host; null where none is said."""
        if "source" not in self.roles:
            return pa.nulls(len(raw), pa.string())
        column = raw.column("source")
        words = [_host(word) or None for word in column.dictionary.to_pylist()]
        return pa.array(words, pa.string()).take(column.indices)

    def tell(self, ctx: Context) -> None:
        """Warn of what was left out."""
        if self.left_out:
            ctx.warn(
                f"{self.left_out:,} of {self._rows:,} documents are empty or shorter than {self._min_chars} "
                "characters without the blanks around them, and were left out."
            )
        for name, count in self._beyond.items():
            if count:
                ctx.warn(f"{count:,} values of {name} are infinite or beyond 3.4e38, and count as no score.")


def _beyond(scores: Arrow) -> int:
    """How many numbers a float32 does not hold."""
    values = scores.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return int((np.abs(values) > np.finfo(np.float32).max).sum())


def _host(word: str) -> str:
    found = re.match(r"^https?://(?:[^/?#]*@)?([^/?#@]+)", word, re.IGNORECASE)  # names and keys may stand before @
    return found[1].lower() if found else word


def _sizes(text: Arrow) -> np.ndarray:
    """Bytes of every text int64 (n,), 0 where it is missing; of dictionaries without decoding them."""
    if pa.types.is_dictionary(text.type):
        lengths = pc.fill_null(pc.binary_length(text.dictionary), 0).to_numpy(zero_copy_only=False)
        lengths = np.append(lengths, 0).astype(np.int64)
        return lengths[pc.fill_null(text.indices, len(lengths) - 1).to_numpy(zero_copy_only=False)]
    return pc.fill_null(pc.binary_length(text), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _decoded(text: Arrow) -> Arrow:
    return (text.dictionary_decode() if pa.types.is_dictionary(text.type) else text).cast(pa.string())
