"""A selection of documents: which, with what scores and weights, in memory and as files.

What is read back is, bit for bit, what was measured:

    documents.parquet    the documents: id, text, source, row (in the version), weight and scores
    documents.jsonl.gz   the same as JSON lines
    scores.parquet       the scores of ALL candidates, and which of them were selected
    summary.json         method, settings, counts, hashes of the files
    load.py              a loader that needs pyarrow
    dataset/             the documents as canonical files of a dataset version, all for training
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pyarrow import parquet

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin, Product
from worker.kinds.text import dataset
from worker.kinds.text.bundle import hashes_of_files, write_documents, write_scores
from worker.kinds.text.dataset import Corpus

FORMAT, VERSION = "distillery-text", 1

LOADER = '''"""Load this selection: `documents()` yields {id, text, source, row, score, weight}, `texts()` the texts
alone; `table()` is all of it in memory (Arrow; `table().to_pandas()` with pandas)."""
import pathlib
import pyarrow.parquet as pq

here = pathlib.Path(__file__).resolve().parent


def table():
    return pq.read_table(here / "documents.parquet")


def documents():
    with pq.ParquetFile(here / "documents.parquet") as file:
        for batch in file.iter_batches(4096):
            yield from batch.to_pylist()


def texts():
    return (document["text"] for document in documents())
'''


@dataclass(frozen=True)
class TextSummary(Product):
    """What a method keeps of a corpus: the documents `taken` int64 (s,) of `corpus`, in the order of delivery.

    `rows` int64 (s,): their numbers in the version that they were selected from, -1 where they are of another;
    `weights` float32 (s,): what each stands for. `candidates` int64 (m,) and `scores`, by name float32 (m,): of all
    documents of that version that were looked at; none where a subset was made elsewhere. `facts`: JSON numbers that
    belong into the report.
    """

    type: ClassVar[str] = "documents"

    corpus: Corpus
    taken: np.ndarray
    rows: np.ndarray
    weights: np.ndarray
    candidates: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    scores: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    origin: Origin = field(default_factory=Origin)
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.taken)

    @property
    def bytes(self) -> int:
        """Of all texts, in UTF-8."""
        return int(self.corpus.bytes[self.taken].sum(dtype=np.int64))

    @property
    def tokens(self) -> int:
        """Words and punctuation marks of all texts."""
        return int(self.corpus.tokens[self.taken].sum(dtype=np.int64))

    def texts(self) -> Iterator[str]:
        """The texts in the order of the corpus, whatever that of delivery."""
        return self.corpus.texts(np.sort(self.taken))

    @property
    def selected_by(self) -> np.ndarray:
        """The score that each document was selected by, float32 (s,); NaN where there is none."""
        values = next(iter(self.scores.values()), None)
        if values is None:
            return np.full(len(self), np.nan, np.float32)
        return values[np.searchsorted(self.candidates, self.rows)]

    def write(self, folder: Path, data: Corpus) -> None:
        """Write the delivered files."""
        numbers = {"row": self.rows, "score": self.selected_by, "weight": self.weights}
        write_documents(folder, self.corpus, self.taken, numbers)
        write_scores(folder, data, self.candidates, np.isin(self.candidates, self.rows), self.scores)
        (folder / "load.py").write_text(LOADER, encoding="utf-8")
        about = {
            "format": FORMAT,
            "version": VERSION,
            "documents": len(self),
            "bytes": self.bytes,
            "tokens": self.tokens,
            "candidates": len(self.candidates),
            "scores": list(self.scores),
            "facts": dict(self.facts),
            "origin": self.origin.to_json(),
            "warnings": list(self.warnings),
            "sha256": hashes_of_files(folder),
        }
        text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> TextSummary:
        """The summary back from its files. Raises `ValueError` for files that are not such a bundle."""
        about = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if about.get("format") != FORMAT or about.get("version") != VERSION:
            raise ValueError(f"{folder} is not a bundle of this kind and version")
        corpus = dataset.load(folder / "dataset")
        kept = parquet.read_table(folder / "documents.parquet", columns=["row", "weight"])
        scored = parquet.read_table(folder / "scores.parquet", columns=["row", *about["scores"]])
        return cls(
            corpus,
            np.arange(len(corpus)),
            kept["row"].to_numpy(),
            kept["weight"].to_numpy(),
            scored["row"].to_numpy(),
            {name: scored[name].to_numpy() for name in about["scores"]},
            about["facts"],
            Origin.from_json(about["origin"]),
            tuple(about["warnings"]),
        )

    def judge(self, data: Corpus, params: Any, ctx: Context) -> Any:
        """Measure it beside the full data and cheap picks; see `worker.kinds.text.judge`."""
        from worker.kinds.text.judge import judge  # learners are slow to import, and reading a summary needs none

        return judge(data, [self], params, ctx)


def adopt(data: Corpus, other: Corpus) -> TextSummary:
    """A dataset version as a summary of `data`: its documents, whatever their split in it.

    Documents whose text `data` holds out are left out with a warning, since who was trained on the answers keeps more
    than the truth. Raises `JobError` `invalid_input` where nothing is left.
    """
    asked = np.isin(other.hash, data.held_out)
    if asked.all():
        raise JobError(
            "invalid_input",
            "The subset holds nothing but held-out documents of the dataset.",
            hint="Make it of training documents.",
            pointer="/inputs/summary",
        )
    said: tuple[str, ...] = ()
    if asked.any():
        said = (
            f"{int(asked.sum()):,} documents of the subset equal held-out documents of the dataset; they were left "
            "out, since nothing may be trained on what it is asked.",
        )
    kept = np.flatnonzero(~asked)
    return TextSummary(
        other,
        kept,
        np.full(len(kept), -1, np.int64),
        np.ones(len(kept), np.float32),
        origin=Origin("uploaded subset"),
        warnings=said,
    )
