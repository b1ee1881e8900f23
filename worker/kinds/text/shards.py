"""Writing a corpus while it is read: documents to Parquet shards, numbers of all of them to arrays.

Row groups are those of `worker.kinds.text.row_groups`; a shard is full at 65,536 documents or 64 MB of text.
Where groups and shards end depends on the documents alone, not on the batches in which they come.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from worker.ingest.arrow import Arrow, pc
from worker.kinds.text.dataset import ARRAYS, FORMAT, MANIFEST, SOURCES, VERSION, WORD_OR_MARK
from worker.kinds.text.row_groups import RowGroups, parquet_writer

SHARD_ROWS, SHARD_BYTES = 65_536, 64_000_000
MOST_SOURCES = 100_000
"""Sources that are told apart; documents of further ones keep the name, but count as of no source."""


class CorpusWriter:
    """Writes canonical files to a folder: `add` documents, then `finish` with their split.

    `scores`: names of the columns of scores; `dimension`: of embeddings, 0 where there are none.
    """

    def __init__(self, folder: Path, scores: Sequence[str] = (), dimension: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._scores, self._dimension = folder, tuple(scores), dimension
        self.schema = schema_of(scores, dimension)
        self._shards: list[dict[str, Any]] = []
        self._groups = RowGroups(self.schema)
        self._shard_rows = self._shard_bytes = 0
        self._file: Any = None
        self._arrays: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS if name not in {"split", "key"}}
        self._ids: list[np.ndarray] = []
        self._sources: dict[str, int] = {}

    def add(self, documents: Arrow, *, identified: bool = True) -> None:
        """Append a record batch with the columns `id`, `text`, `source` and those of scores and embeddings.

        `identified`: ids come from the user, and decide the keys; where they are numbers of rows, texts do.
        """
        documents = pa.RecordBatch.from_arrays(
            [documents.column(field.name).cast(field.type) for field in self.schema], schema=self.schema
        )
        text = documents.column("text")
        hashes = hashes_of(text)
        sizes = pc.binary_length(text).to_numpy().astype(np.int32)
        for name, values in (
            ("bytes", sizes),
            ("chars", pc.utf8_length(text).to_numpy()),
            ("tokens", pc.count_substring_regex(text, WORD_OR_MARK).to_numpy()),
            ("hash", hashes),
            ("source", self._numbered(documents.column("source"))),
        ):
            self._arrays[name].append(np.asarray(values, ARRAYS[name]))
        self._ids.append(hashes_of(documents.column("id")) if identified else hashes)
        for group, size in self._groups.add(documents, sizes):
            self._append(group, size)

    @property
    def hashes(self) -> np.ndarray:
        """Of the texts of all documents so far: uint64 (n,)."""
        return np.concatenate([np.empty(0, np.uint64), *self._arrays["hash"]])

    @property
    def repeated_ids(self) -> int:
        """Documents with an id that an earlier one has."""
        ids = np.concatenate([np.empty(0, np.uint64), *self._ids])
        return len(ids) - len(np.unique(ids))

    @property
    def source_hashes(self) -> np.ndarray:
        """Of the sources of all documents so far, uint64 (n,); of those without one, of their texts."""
        numbers = np.concatenate([np.empty(0, np.int32), *self._arrays["source"]])
        named = np.append(hashes_of(pa.array(self._sources, pa.string())), np.uint64(0))[numbers]
        return np.where(numbers >= 0, named, self.hashes)

    def finish(self, split: np.ndarray, split_by: str) -> None:
        """Write what is left, and the arrays. `split`: int8 (n,); `split_by`: where it is from, in words."""
        for group, size in self._groups.rest():
            self._append(group, size)
        self._close_shard()
        for name, parts in self._arrays.items():
            np.save(self._folder / f"{name}.npy", np.concatenate([np.empty(0, ARRAYS[name]), *parts]))
            parts.clear()
        np.save(self._folder / "split.npy", np.asarray(split, np.int8))
        np.save(self._folder / "key.npy", keys_of(np.concatenate([np.empty(0, np.uint64), *self._ids])))
        about = {
            "format": FORMAT,
            "version": VERSION,
            "documents": len(split),
            "shards": self._shards,
            "scores": list(self._scores),
            "dimension": self._dimension,
            "split": split_by,
        }
        _write_json(self._folder / MANIFEST, about)
        _write_json(self._folder / SOURCES, list(self._sources))

    def _numbered(self, column: Arrow) -> np.ndarray:
        encoded = pc.dictionary_encode(column)
        numbers = np.full(len(encoded.dictionary) + 1, -1, np.int32)
        for at, name in enumerate(encoded.dictionary.to_pylist()):
            if name in self._sources or len(self._sources) < MOST_SOURCES:
                numbers[at] = self._sources.setdefault(name, len(self._sources))
        return numbers[pc.fill_null(encoded.indices, len(encoded.dictionary)).to_numpy()]

    def _append(self, group: Arrow, size: int) -> None:
        """Write a row group into the shard that is open, and close that when it is full."""
        if self._file is None:
            self._file = parquet_writer(self._folder / f"documents-{len(self._shards):05d}.parquet", self.schema)
        self._file.write_table(group)
        self._shard_rows += len(group)
        self._shard_bytes += size
        if self._shard_rows >= SHARD_ROWS or self._shard_bytes >= SHARD_BYTES:
            self._close_shard()

    def _close_shard(self) -> None:
        if self._file is None:
            return
        self._file.close()
        first = sum(shard["rows"] for shard in self._shards)
        self._shards.append(
            {"file": f"documents-{len(self._shards):05d}.parquet", "first": first, "rows": self._shard_rows}
        )
        self._file, self._shard_rows, self._shard_bytes = None, 0, 0


def schema_of(scores: Sequence[str], dimension: int) -> Arrow:
    """The columns of canonical documents."""
    fields = [("id", pa.string()), ("text", pa.string()), ("source", pa.string())]
    fields += [(name, pa.float32()) for name in scores]
    if dimension:
        fields.append(("embedding", pa.list_(pa.float32(), dimension)))
    return pa.schema(fields)


def hashes_of(column: Arrow) -> np.ndarray:
    """uint64 (n,): the first 8 bytes of BLAKE2b of each text, in UTF-8."""
    column = column.cast(pa.large_string())
    offsets = np.frombuffer(column.buffers()[1], np.int64, len(column) + 1, 8 * column.offset).tolist()
    data = memoryview(column.buffers()[2] or b"")
    digests = [hashlib.blake2b(data[start:end], digest_size=8).digest() for start, end in pairwise(offsets)]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def keys_of(ids: np.ndarray) -> np.ndarray:
    """Keys of documents uint64 (n,) of the hashes of their ids; the second and later ones of an id get others."""
    order = np.argsort(ids, kind="stable")
    new = np.ones(len(ids), bool)
    new[1:] = ids[order][1:] != ids[order][:-1]
    starts = np.flatnonzero(new)
    again = np.empty(len(ids), np.uint64)
    again[order] = np.arange(len(ids)) - np.repeat(starts, np.diff(np.append(starts, len(ids))))
    with np.errstate(over="ignore"):
        return ids + again * np.uint64(0x9E3779B97F4A7C15)


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
