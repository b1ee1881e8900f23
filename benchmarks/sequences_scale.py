"""A log of 20 million events ingested and summarised by selection, and how much memory that takes.

Run: `python -m benchmarks.sequences_scale [--events 20000000]`. The log is made by code (popularity of items and
lengths of sequences follow power laws, rows in random order of users as a stream of events has them). Ingest and every
selection run in a process of their own; the peak is what the operating system says of that process.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from benchmarks.record import write

ITEMS = 100_000
METHODS = ("random", "longest", "coverage", "k-center", "herding")
BUDGET = "0.1%"


def make(events: int, file: Path, seed: int = 0) -> None:
    """Write the log: user, item, time."""
    rng = np.random.default_rng(seed)
    users = max(100, events // 20)
    lengths = np.maximum(5, (8 * (1 - rng.random(users)) ** -0.6).astype(np.int64))
    owner = np.repeat(np.arange(users), lengths)[:events]
    owner = owner if len(owner) == events else np.concatenate((owner, rng.integers(0, users, events - len(owner))))
    place = rng.permutation(events)
    table = pa.table(
        {
            "user_id": owner[place],
            "item_id": (ITEMS * rng.random(events) ** 3).astype(np.int64),
            "timestamp": 1_500_000_000 + np.arange(events) // 4,
        }
    )
    pyarrow.parquet.write_table(table, file)


def part(step: str, folder: Path) -> dict[str, float]:
    """One step in this very process."""
    from worker.contract.context import Context
    from worker.contract.method import METHODS
    from worker.kinds.sequences import KIND

    started = time.perf_counter()
    if step == "ingest":
        (folder / "canonical").mkdir()
        said = KIND.ingest.run([("log.parquet", folder / "log.parquet")], {}, folder / "canonical", Context(), {})
        found = {name: said["statistics"][name] for name in ("events", "sequences", "items")}
    else:
        importlib.import_module(f"worker.kinds.sequences.methods.{step.replace('-', '_')}")
        method = METHODS["sequences", step]
        data = KIND.load(folder / "canonical")
        loaded = time.perf_counter()
        summary = method.run(data, method.params(budget=BUDGET), Context())
        found = {"sequences": summary.n_rows, "load_s": round(loaded - started, 1)}
        (folder / step).mkdir()
        summary.write(folder / step, data)
    seconds = round(time.perf_counter() - started, 1)
    # not ru_maxrss: a child inherits that of the process that started it
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return found | {"seconds": seconds, "peak_mb": round(int(status["VmHWM"].split()[0]) / 1024)}


def main() -> None:
    """Make the log, run every step apart, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--step", default="")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.step:
        sys.stdout.write(json.dumps(part(given.step, given.folder)))
        return
    figures: dict[str, object] = {"budget": BUDGET}
    with tempfile.TemporaryDirectory() as folder:
        make(given.events, Path(folder) / "log.parquet")
        for step in ("ingest", *METHODS):
            command = [sys.executable, "-m", "benchmarks.sequences_scale", "--step", step, "--folder", folder]
            figures[step] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            sys.stderr.write(f"{step}: {figures[step]}\n")
    write("sequences_scale", figures, ["numpy", "pyarrow", "scipy", "scikit-learn"])


if __name__ == "__main__":
    main()
