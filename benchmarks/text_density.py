"""How fast the density sketch is, and density sampling beside two deduplicators at equal numbers of documents.

    python -m benchmarks.text_density

Speed: 384 numbers a row, 1,000 hash functions of 2 hashes each; rows a second of the pass that counts, of the pass that
looks up, and of both. Peers (`pip install semhash "vicinity[usearch]" datasketch`) are left out where they are not
installed; semhash is given the vectors that density has, so that what is compared is the selection, and what a
deduplicator leaves is drawn from at random down to the same number of documents.
"""

from __future__ import annotations

import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import write
from benchmarks.text_pool import PACKAGES, Pool, pool
from worker.contract.context import Context
from worker.executor.local import Local
from worker.kinds.text.embedding.vectors import EmbedParams, Vectors, embedded
from worker.kinds.text.methods.density import DensityParams, density, estimate
from worker.kinds.text.selection import candidates
from worker.numerics.lsh import Hashes
from worker.numerics.sketch import Sketch

ROWS, DIMENSION = 65_536, 384
SHARE = 0.2
SEEDS = (0, 1, 2)


def speed() -> dict[str, float]:
    x = np.random.default_rng(0).standard_normal((ROWS, DIMENSION), dtype=np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    hashes = Hashes("l2", DIMENSION, 0.5, 2, 1000, 20_000, 0)
    sketch = Sketch(hashes)
    sketch.add(x[:100])
    sketch.densities(x[:100])  # compiled
    found: dict[str, float] = {}
    for name, work in (("count", sketch.add), ("look_up", sketch.densities)):
        start = time.perf_counter()
        work(x)
        found[f"{name}_rows_per_s_one_process"] = round(ROWS / (time.perf_counter() - start))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.f32"
        x.tofile(path)
        for processes in (1, 2):
            ctx = Context(executor=Local(processes))
            vectors = Vectors(path, ROWS, DIMENSION)
            estimate(Vectors(path, 2 * 8192, DIMENSION), hashes, ctx)  # processes are there
            start = time.perf_counter()
            estimate(vectors, hashes, Context(executor=ctx.executor))
            found[f"both_passes_rows_per_s_{processes}_processes"] = round(ROWS / (time.perf_counter() - start))
            ctx.executor.close()
    return found


def by_density(pool: Pool, rows: np.ndarray, k: int, seed: int) -> np.ndarray:
    return np.sort(density(pool.corpus, DensityParams(k=k), Context(seed=seed)).taken)


def by_semhash(pool: Pool, rows: np.ndarray, k: int, seed: int) -> np.ndarray:
    from semhash import SemHash

    with embedded(pool.corpus, rows, EmbedParams(), Context(seed=seed)) as (known, vectors):
        x = vectors.take(np.arange(vectors.count))

    class Given:
        def encode(self, inputs: Any, **_: Any) -> np.ndarray:
            return x[[int(one) for one in inputs]]

    records = [str(number) for number in range(len(known))]
    kept = SemHash.from_records(records, model=Given()).self_deduplicate(threshold=0.9).selected
    return _drawn(known[[int(one) for one in kept]], k, seed)


def by_datasketch(pool: Pool, rows: np.ndarray, k: int, seed: int) -> np.ndarray:
    from datasketch import MinHash, MinHashLSH

    index, kept = MinHashLSH(threshold=0.8, num_perm=128), []
    for row, text in zip(rows.tolist(), pool.corpus.texts(rows), strict=True):
        words = text.lower().split()
        one = MinHash(num_perm=128)
        one.update_batch([" ".join(words[at : at + 5]).encode() for at in range(max(1, len(words) - 4))])
        if not index.query(one):
            index.insert(row, one)
            kept.append(row)
    return _drawn(np.array(kept), k, seed)


def at_random(pool: Pool, rows: np.ndarray, k: int, seed: int) -> np.ndarray:
    return _drawn(rows, k, seed)


def _drawn(rows: np.ndarray, k: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).choice(rows, min(k, len(rows)), replace=False))


def comparison(pool: Pool) -> dict[str, Any]:
    rows = candidates(pool.corpus, DensityParams(), Context())
    k = round(SHARE * len(rows))
    ways = {"random": at_random, "density": by_density}
    ways |= {name: way for name, way in (("semhash", by_semhash), ("datasketch", by_datasketch)) if find_spec(name)}
    picked: dict[str, list[tuple[np.ndarray, float]]] = {}
    for name, way in ways.items():
        for seed in SEEDS:
            start = time.perf_counter()
            kept = way(pool, rows, k, seed)
            picked.setdefault(name, []).append((kept, time.perf_counter() - start))
    budget = min(int(pool.corpus.bytes[kept].sum()) for one in picked.values() for kept, _ in one)
    table: dict[str, Any] = {}
    for name, one in picked.items():
        bits = [pool.bits_per_byte(kept, budget, seed) for seed, (kept, _) in enumerate(one)]
        table[name] = {
            "documents": k,
            "near_copies_kept": round(float(np.mean([pool.copies_kept(kept) for kept, _ in one])), 1),
            "group_entropy_bits": round(float(np.mean([pool.entropy(kept) for kept, _ in one])), 3),
            "documents_per_s": round(len(rows) / float(np.median([seconds for _, seconds in one]))),
            **{f"bits_per_byte_{test}": [round(each[test], 3) for each in bits] for test in pool.tests},
        }
    return {"training_bytes": budget, "selections": table}


def main() -> None:
    fast = speed()
    sys.stderr.write(f"{fast}\n")
    with pool() as corpus:
        write("text_density", {"speed": fast, "equal_k": comparison(corpus)}, PACKAGES)


if __name__ == "__main__":
    main()
