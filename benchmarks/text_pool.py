"""The pool of messages and paragraphs that text benchmarks select from, and what a selection of it is measured by.

Training text at equal bytes, documents in a random order; bits per byte of an order-6 byte n-gram on 300,000
characters each of the pool's own test part and of Wikipedia: two thirds of the articles of the test file of WikiText-2.
The other third is the target set of those methods that take one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.record import RESULTS
from worker.contract.context import Context
from worker.kinds.text import byte_ngram, dataset
from worker.kinds.text.dataset import TEST, TRAIN, Corpus
from worker.kinds.text.deduplication import near_copies
from worker.kinds.text.ingest import ingest
from worker.kinds.text.noise import uniform
from worker.kinds.text.training_text import Documents, training_text

SHARED = RESULTS.parents[2] / "shared" / "data"
TEST_CHARS = 300_000
PACKAGES = ("numpy", "scipy", "numba", "pyarrow")


@dataclass(frozen=True)
class Pool:
    """The corpus, the target corpus, the group of near-copies of every training document, and both test sets."""

    corpus: Corpus
    target: Corpus
    group: np.ndarray
    tests: dict[str, Documents]

    def copies_kept(self, picked: np.ndarray) -> int:
        """Documents that are kept beside another one of their group of near-copies."""
        groups = self.group[np.searchsorted(self.corpus.rows(TRAIN), picked)]
        return len(picked) - len(np.unique(groups))

    def entropy(self, picked: np.ndarray) -> float:
        """Of the shares of ham, spam and wiki, in bits; 1.585 at most."""
        shares = np.bincount(self.corpus.source[picked]) / len(picked)
        return float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())

    def bits_per_byte(self, picked: np.ndarray, budget: int, seed: int) -> dict[str, float]:
        """On each test set, of a model that has seen `budget` bytes of the selection."""
        shuffled = picked[np.argsort(uniform(self.corpus.key[picked], seed, "benchmark"), kind="stable")]
        texts = dict(zip(np.sort(picked).tolist(), self.corpus.texts(np.sort(picked)), strict=True))
        model = byte_ngram.train(
            training_text((texts[row].encode() for row in shuffled.tolist()), budget, budget).documents
        )
        return {name: float(model.bits(test).sum() / test.sizes.sum()) for name, test in self.tests.items()}


@contextmanager
def pool() -> Iterator[Pool]:
    """The pool, ingested into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = _ingested(SHARED / "web_quality_pool" / "pool.jsonl.gz", Path(folder) / "pool")
        with gzip.open(SHARED / "wikitext2_small" / "test.jsonl.gz", "rt") as lines:
            articles = [json.loads(line) for line in lines]
        wanted = [one for one in articles if _third(one["article"])]
        file = Path(folder) / "target.jsonl"
        file.write_text("".join(json.dumps({"id": one["id"], "text": one["text"]}) + "\n" for one in wanted))
        target = _ingested(file, Path(folder) / "target")
        group = near_copies([(corpus, corpus.rows(TRAIN))], Context())
        hq = (one["text"] for one in articles if not _third(one["article"]))
        tests = {"pool": _first_of(corpus.texts(corpus.rows(TEST))), "hq": _first_of(hq)}
        yield Pool(corpus, target, group, tests)


def _first_of(texts: Iterable[str]) -> Documents:
    """About 300,000 characters of whole documents."""
    found, total = [], 0
    for text in texts:
        if total >= TEST_CHARS:
            break
        found.append(text)
        total += len(text)
    return Documents.of(found)


def _third(article: str) -> bool:
    return hashlib.sha256(article.encode()).digest()[0] % 3 == 0


def _ingested(file: Path, out: Path) -> Corpus:
    out.mkdir()
    ingest([(file.name, file)], {}, out, Context(), {})
    return dataset.load(out)
