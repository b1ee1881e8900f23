"""The files that a user downloads of a selection of documents, written in one pass over them."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from worker.ingest.arrow import Arrow, pc
from worker.kinds.text.dataset import TRAIN, Corpus
from worker.kinds.text.row_groups import GROUP_BYTES, GROUP_ROWS, GroupedFile
from worker.kinds.text.shards import CorpusWriter, schema_of

_DOCUMENTS = pa.schema(
    [
        ("id", pa.string()), ("text", pa.string()), ("source", pa.string()), ("row", pa.int64()),
        ("score", pa.float32()), ("weight", pa.float32()),
    ]
)  # fmt: skip


def write_documents(folder: Path, corpus: Corpus, taken: np.ndarray, numbers: Mapping[str, np.ndarray]) -> None:
    """documents.parquet, documents.jsonl.gz and dataset/ of the documents `taken` (s,), in this order. `numbers`: what
    else is said of each, (s,): `row`, `score` and `weight`."""
    own = CorpusWriter(folder / "dataset", corpus.score_names, corpus.dimension)
    at = 0
    with (
        GroupedFile(folder / "documents.parquet", _DOCUMENTS) as table,
        (folder / "documents.jsonl.gz").open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as lines,
    ):
        for documents in _in_order(corpus, taken):
            own.add(documents)
            span = slice(at, at + len(documents))
            columns = [
                documents.column(one.name)
                if one.name in ("id", "text", "source")
                else pa.array(numbers[one.name][span], one.type, from_pandas=True)
                for one in _DOCUMENTS
            ]
            batch = pa.RecordBatch.from_arrays(columns, schema=_DOCUMENTS)
            table.add(batch, pc.binary_length(documents.column("text")).to_numpy())
            lines.writelines(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in batch.to_pylist())
            at += len(documents)
    own.finish(np.full(len(taken), TRAIN, np.int8), "all for training")


def _in_order(corpus: Corpus, taken: np.ndarray) -> Iterator[Arrow]:
    """The documents in the order given, with all columns of the corpus, in batches of bounded size."""
    names = schema_of(corpus.score_names, corpus.dimension).names
    if (np.diff(taken) > 0).all():
        yield from corpus.read(taken, names)
        return
    parts = np.cumsum(corpus.bytes[taken], dtype=np.int64) // GROUP_BYTES + np.arange(len(taken)) // GROUP_ROWS
    for rows in np.split(taken, np.flatnonzero(np.diff(parts)) + 1):
        order = np.argsort(rows, kind="stable")
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        found = pa.Table.from_batches(corpus.read(rows[order], names))
        yield from found.take(pa.array(back)).combine_chunks().to_batches()


def write_scores(
    folder: Path, data: Corpus, candidates: np.ndarray, selected: np.ndarray, scores: Mapping[str, np.ndarray]
) -> None:
    """scores.parquet: of every candidate its number and id in `data`, whether it was selected, and its scores; all
    arrays (m,)."""
    fields = [("row", pa.int64()), ("id", pa.string()), ("selected", pa.bool_())]
    schema = pa.schema(fields + [(name, pa.float32()) for name in scores])
    at = 0
    with GroupedFile(folder / "scores.parquet", schema) as table:
        for documents in data.read(candidates, ("id",)):
            span = slice(at, at + len(documents))
            columns = [pa.array(candidates[span]), documents.column("id"), pa.array(selected[span])]
            columns += [pa.array(values[span], pa.float32()) for values in scores.values()]
            batch = pa.RecordBatch.from_arrays(columns, schema=schema)
            table.add(batch, np.zeros(len(batch), np.int64))
            at += len(documents)


def hashes_of_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
