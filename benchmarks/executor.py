"""What a pass over shards costs on each executor, and how long density sampling takes on one, two and Ray's processes.

Run: `python -m benchmarks.executor [--documents 65536] [--rows 256]`. Vectors are made by code (a mixture of clusters,
64 numbers each); both passes of density sampling run over them, and the densities of all executors are compared bit by
bit. Each executor runs in a process of its own, which starts with nothing imported.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import write

DIMENSION, SHARDS = 64, 200
EXECUTORS = {"here": ("local", 1), "local, 2 processes": ("local", 2), "ray, 2 processes": ("ray", 2)}


def make(documents: int, file: Path) -> None:
    """Write the vectors."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((200, DIMENSION), dtype=np.float32)
    found = centres[rng.integers(200, size=documents)] + 0.3 * rng.standard_normal((documents, DIMENSION), np.float32)
    (found / np.linalg.norm(found, axis=1, keepdims=True)).tofile(file)


def measure(name: str, file: Path, documents: int, rows: int) -> dict[str, Any]:
    """One executor, in this very process: seconds."""
    from worker.contract.context import Context
    from worker.executor.choice import open_executor
    from worker.executor.passes import map_shards
    from worker.kinds.text.embedding.vectors import Vectors
    from worker.kinds.text.methods.density import estimate
    from worker.numerics.lsh import Hashes

    kind, processes = EXECUTORS[name]
    ctx = Context(executor=open_executor(kind, processes, threads=processes))
    seconds: dict[str, Any] = {}

    def timed(what: str, work: Any) -> Any:
        begun = time.perf_counter()
        found = work()
        seconds[what] = round(time.perf_counter() - begun, 3)
        return found

    timed("first pass of 2 empty shards", lambda: list(map_shards(abs, range(2), ctx, name="first", keep=False)))
    timed("next pass of 2 empty shards", lambda: list(map_shards(abs, range(2), ctx, name="next", keep=False)))
    timed(
        f"pass of {SHARDS} empty shards",
        lambda: list(map_shards(abs, range(SHARDS), ctx, name="many", keep=False)),
    )
    hashes = Hashes("l2", DIMENSION, 0.5, 2, rows, 20_000, 0)
    found = timed("density, both passes", lambda: estimate(Vectors(file, documents, DIMENSION), hashes, ctx))
    timed("close", ctx.executor.close)
    return {"seconds": seconds, "densities_sha256": hashlib.sha256(found.tobytes()).hexdigest()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=65_536)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--one", nargs=2)
    asked = parser.parse_args()
    if asked.one:
        found = measure(asked.one[0], Path(asked.one[1]), asked.documents, asked.rows)
        sys.stdout.write(json.dumps(found))
        return
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.f32"
        make(asked.documents, file)
        for name, (kind, _) in EXECUTORS.items():
            if kind == "ray" and find_spec("ray") is None:
                continue
            sizes = ["--documents", str(asked.documents), "--rows", str(asked.rows)]
            command = [sys.executable, "-m", "benchmarks.executor", *sizes, "--one", name, str(file)]
            figures[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    hashes = {one["densities_sha256"] for one in figures.values()}
    write(
        "executor",
        {"documents": asked.documents, "rows": asked.rows, "same_bits": len(hashes) == 1, "executors": figures},
        ["numpy", "torch", *(["ray"] if find_spec("ray") else [])],
    )


if __name__ == "__main__":
    main()
