"""A corpus: documents on the disk, iterated and never whole in memory, and small arrays of all of them, mapped.

Canonical files of a version: `documents-00000.parquet`, ... (see `worker.kinds.text.shards`), columns `id`, `text`,
`source`, score columns `score_*`, `embedding`; beside them one array of every number that is known of each document,
in the order of the documents (`ARRAYS`); `sources.json`, the names of the sources; and `corpus.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from worker.ingest.arrow import Arrow

TRAIN, VALIDATION, TEST, HQ = 0, 1, 2, 3
LEFT_OUT = -1
"""Of a given split: a training document that equals a held-out one, which nobody may be trained on."""
PARTS = ("train", "validation", "test", "hq")
ARRAYS = {
    "split": np.int8, "bytes": np.int32, "chars": np.int32, "tokens": np.int32, "hash": np.uint64, "key": np.uint64,
    "source": np.int32,
}  # fmt: skip
MANIFEST, SOURCES = "corpus.json", "sources.json"
FORMAT, VERSION = "distillery-corpus", 1
WORD_OR_MARK = r"[\p{L}\p{M}\p{N}]+|[^\s\p{L}\p{M}\p{N}]"
"""What counts as a token, as a regular expression of RE2: a run of letters, marks and digits, or another character
that is no blank."""


@dataclass(frozen=True)
class Shard:
    """One file of documents: `rows` of them from number `first`. Picklable."""

    path: Path
    first: int
    rows: int

    def read(self, rows: np.ndarray, columns: Sequence[str] = ("text",)) -> Iterator[Arrow]:
        """Its documents of these numbers in the corpus (sorted int64), one batch for each row group that has any."""
        local = np.asarray(rows, np.int64) - self.first
        if not len(local):
            return
        with parquet.ParquetFile(self.path) as file:
            start = 0
            for group in range(file.metadata.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                here = local[np.searchsorted(local, start) : np.searchsorted(local, end)] - start
                if len(here):
                    table = file.read_row_group(group, columns=list(columns), use_threads=False).combine_chunks()
                    taken = table if len(here) == end - start else table.take(pa.array(here)).combine_chunks()
                    yield from taken.select(list(columns)).to_batches()
                start = end


@dataclass(frozen=True)
class Corpus:
    """n documents. Mapped arrays (n,): `split` int8, see `PARTS` and `LEFT_OUT`; `bytes`, `chars`, `tokens` int32, of
    the text; `hash` uint64, of the text, equal for exact duplicates; `key` uint64, of the id, or of the text where none
    was given: what random draws and ties go by, so that they do not depend on the order of documents; `source` int32,
    a number into `sources`, -1 where there is none.

    `score_names`: columns of scores. `dimension`: of uploaded embeddings, 0: none. `split_by`: where the split is from,
    in words. Picklable.
    """

    folder: Path
    shards: tuple[Shard, ...]
    split: np.ndarray
    bytes: np.ndarray
    chars: np.ndarray
    tokens: np.ndarray
    hash: np.ndarray
    key: np.ndarray
    source: np.ndarray
    score_names: tuple[str, ...] = ()
    dimension: int = 0
    split_by: str = "random"
    sources: tuple[str, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.split)

    def __reduce__(self) -> tuple[Any, ...]:
        """By its folder: another process maps the same arrays."""
        return load, (self.folder,)

    def rows(self, part: int) -> np.ndarray:
        """Numbers of the documents of a part, sorted int64."""
        return np.flatnonzero(self.split == part)

    def read(self, rows: np.ndarray, columns: Sequence[str] = ("text",)) -> Iterator[Arrow]:
        """Documents by their numbers (sorted int64), in order, in batches of 4,096 at most and about 16 MB of text."""
        rows = np.asarray(rows, np.int64)
        for shard in self.shards:
            inside = slice(*np.searchsorted(rows, (shard.first, shard.first + shard.rows)))
            yield from shard.read(rows[inside], columns)

    def texts(self, rows: np.ndarray) -> Iterator[str]:
        """The texts of documents by their numbers (sorted int64), in order."""
        for batch in self.read(rows):
            yield from batch.column(0).to_pylist()

    def column(self, name: str) -> np.ndarray:
        """A column of scores: float32 (n,), NaN where there is none."""
        found = np.empty(len(self), np.float32)
        done = 0
        for batch in self.read(np.arange(len(self)), (name,)):
            found[done : done + len(batch)] = batch.column(0).to_numpy(zero_copy_only=False)
            done += len(batch)
        return found

    def embeddings(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Uploaded embeddings of documents by their numbers (sorted int64): float32 (batch, dimension)."""
        for batch in self.read(rows, ("embedding",)):
            yield batch.column(0).flatten().to_numpy().reshape(len(batch), self.dimension)

    @cached_property
    def held_out(self) -> np.ndarray:
        """Hashes of the texts that nobody may be trained on, sorted."""
        return np.unique(self.hash[self.split > TRAIN])


def load(folder: Path) -> Corpus:
    """The corpus of a folder of canonical files, mapped."""
    about: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if about.get("format") != FORMAT or about.get("version") != VERSION:
        raise ValueError(f"{folder} holds no corpus of this version")
    shards = tuple(Shard(folder / one["file"], one["first"], one["rows"]) for one in about["shards"])
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
    sources = tuple(json.loads((folder / SOURCES).read_text(encoding="utf-8")))
    return Corpus(
        folder, shards, **arrays, score_names=tuple(about["scores"]), dimension=about["dimension"],
        split_by=about["split"], sources=sources,
    )  # fmt: skip
