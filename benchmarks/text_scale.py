"""Millions of short documents through density selection, and how much memory that takes.

    python -m benchmarks.text_scale [--documents 5000000] [--rows 1000]

Documents of 8 to 20 made-up words, 200 topics of uneven size, a tenth of them near-copies of others, are written as
Parquet, ingested, and a tenth is selected; all in one process, whose peak of resident memory is written down. Time goes
with `--rows`, hash functions of the sketch; memory hardly, since each takes 80 kB.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from benchmarks.record import write
from benchmarks.text_pool import PACKAGES
from worker.contract.context import Context
from worker.kinds.text import dataset
from worker.kinds.text.ingest import ingest
from worker.kinds.text.methods.density import DensityParams, density

AT_ONCE, TOPICS, VOCABULARY = 100_000, 200, 50_000


def generate(path: Path, documents: int) -> None:
    """Write them, 100,000 at a time."""
    rng = np.random.default_rng(0)
    letters = list("abcdefghijklmnoprstuvwz")
    words = np.array(["".join(rng.choice(letters, rng.integers(3, 9))) for _ in range(VOCABULARY)])
    shares = rng.dirichlet(np.full(TOPICS, 0.5))
    schema = pa.schema([("id", pa.string()), ("text", pa.string())])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, documents, AT_ONCE):
            count = min(AT_ONCE, documents - start)
            topic = rng.choice(TOPICS, count, p=shares)
            length = rng.integers(8, 21, count)
            rank = np.minimum(rng.zipf(1.3, int(length.sum())), 500)
            which = (np.repeat(topic, length) * 241 + rank) % VOCABULARY
            parts = np.split(words[which], np.cumsum(length)[:-1])
            texts = [" ".join(part) for part in parts]
            for at in np.flatnonzero(rng.random(count) < 0.1)[1:]:
                texts[at] = f"{texts[at - 1]} again"
            ids = [str(number) for number in range(start, start + count)]
            writer.write_table(pa.table({"id": ids, "text": texts}, schema))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=5_000_000)
    parser.add_argument("--rows", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "documents.parquet", Path(folder) / "corpus"
        out.mkdir()
        generate(path, given.documents)
        figures: dict[str, object] = {
            "documents": given.documents,
            "rows": given.rows,
            "file_mb": round(path.stat().st_size / 1e6, 1),
        }
        start = time.perf_counter()
        ingest([(path.name, path)], {}, out, Context(), {})
        figures |= {"ingest_s": round(time.perf_counter() - start, 1), "peak_mb_after_ingest": round(peak_mb())}
        sys.stderr.write(f"{figures}\n")
        start = time.perf_counter()
        made = density(dataset.load(out), DensityParams(rate=0.1, rows=given.rows), Context(seed=0))
        taken = time.perf_counter() - start
        figures |= {"select_s": round(taken, 1), "documents_per_s": round(len(made.candidates) / taken)}
        figures |= {"kept": len(made), "peak_mb": round(peak_mb()), "facts": dict(made.facts)}
    write("text_scale", figures, PACKAGES)


if __name__ == "__main__":
    main()
