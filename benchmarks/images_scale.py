"""A million images of 32 x 32 pixels: ingest and selection within 4 GB of memory, on generated images.

    python -m benchmarks.images_scale --images 1000000

The images come as CIFAR's binary files (3 GB); each class is noise around a pattern of its own. The process may not
take more than 4 GB of private memory; what it took and how long is printed.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import write as record
from worker.contract.context import Context
from worker.kinds.images import KIND
from worker.runtime import limits
from worker.runtime.registry import discover

_BATCH = 10_000


def files_of(folder: Path, images: int) -> list[tuple[str, Path]]:
    """Files of ten classes, one of them for testing."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(40, 216, (10, 3072))
    files: list[tuple[str, Path]] = []
    for name, count in (("data_batch_1.bin", images), ("test_batch.bin", max(1000, images // 100))):
        with (folder / name).open("wb") as file:
            for start in range(0, count, _BATCH):
                label = np.arange(start, min(start + _BATCH, count)) % 10
                noise = rng.integers(-40, 40, (len(label), 3072), dtype=np.int16)
                pixels = (patterns[label] + noise).astype(np.uint8)
                file.write(np.concatenate([label[:, None].astype(np.uint8), pixels], axis=1).tobytes())
        files.append((name, folder / name))
    return files


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=1_000_000)
    options.add_argument("--ipc", type=int, default=10)
    options.add_argument("--memory-mb", type=int, default=4096)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = files_of(folder, given.images)
        limits.apply(given.memory_mb, cuda=False)
        steps = [_timed("ingest", lambda: KIND.ingest.run(files, {}, folder / "canonical", Context(), {}))]
        for _, path in files:
            path.unlink()
        data = KIND.load(folder / "canonical")
        for method in ("k-center", "k-means"):
            chosen = discover()["images", method]
            run = partial(chosen.run, data, chosen.params(ipc=given.ipc), Context(seed=1))
            steps.append(_timed(method, run))
        about = {"images": given.images, "images_per_class": given.ipc, "private_memory_limit_mb": given.memory_mb}
        record("images_scale", {**about, "steps": steps}, ("numpy", "scikit-learn"))


def _timed(what: str, work: Callable[[], Any]) -> dict[str, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # pages of mapped pixels included
    took = {"cpu_s": round(time.process_time() - cpu, 1), "wall_s": round(time.perf_counter() - wall, 1)}
    return {"step": what, "peak_resident_mb": round(peak)} | took


if __name__ == "__main__":
    main()
