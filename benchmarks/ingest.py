"""How fast an upload becomes a dataset version, and how much memory that takes: 10 million interactions.

Run: `python -m benchmarks.ingest [--rows 10000000] [--output benchmarks/results/ingest.json]`. The table is made by
code (Zipf-like items, ratings, times, rows in random order: the worst order for numbering ids), each format is read
in a process of its own, and the peak is what the operating system says of that process.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from benchmarks.record import machine

FORMATS = ("csv", "csv.gz", "parquet")
USERS, ITEMS = 500_000, 50_000


def make(rows: int, folder: Path, seed: int = 0) -> None:
    """Write the same table in every format."""
    rng = np.random.default_rng(seed)
    table = pa.table(
        {
            "user_id": rng.integers(0, USERS, rows),
            "item_id": (ITEMS * rng.random(rows) ** 3).astype(np.int64),
            "rating": rng.integers(1, 6, rows).astype(np.float64),
            "timestamp": rng.integers(1_000_000_000, 1_600_000_000, rows),
        }
    )
    pyarrow.csv.write_csv(table, folder / "table.csv")
    with pa.CompressedOutputStream(folder / "table.csv.gz", "gzip") as packed:
        pyarrow.csv.write_csv(table, packed)
    pyarrow.parquet.write_table(table, folder / "table.parquet")


def measure(path: Path) -> dict[str, float]:
    """Ingest one file in this very process; seconds by phase, peak resident memory in MB."""
    from worker.contract.context import Context
    from worker.kinds.interactions.ingest import ingest

    class Clock(Context):
        started: dict[str, float] = {}  # noqa: RUF012
        peaks: dict[str, float] = {}  # noqa: RUF012

        def report_progress(self, step: int, total: int, phase: str, metrics: object, fraction: float) -> None:
            self.started.setdefault(phase, time.perf_counter())
            self.peaks.setdefault(phase, peak_mb())

    before = peak_mb()
    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(dir=path.parent) as out:
        clock = Clock()
        found = ingest([path], {}, Path(out), clock)
        written = sum(file.stat().st_size for file in Path(out).iterdir())
    end = time.perf_counter()
    rows = found["statistics"]["rows"]
    marks = [*list(clock.started.values())[1:], end]
    phases = dict(zip(clock.started, np.diff([start, *marks]), strict=True))
    return {
        "rows": rows,
        "events": found["statistics"]["events"],
        "input_mb": path.stat().st_size / 1e6,
        "canonical_mb": written / 1e6,
        "seconds": end - start,
        "cpu_seconds": time.process_time() - cpu,
        "rows_per_second": rows / (end - start),
        "seconds_by_phase": {phase: round(float(seconds), 2) for phase, seconds in phases.items()},
        "memory_before_mb": before,
        "memory_peak_mb": peak_mb(),
        "memory_peak_when_phase_began_mb": {phase: round(peak) for phase, peak in clock.peaks.items()},
    }


def peak_mb() -> float:
    """Most resident memory of this process so far, MB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024 / 1e6


def main() -> None:
    """Make the table, measure every format in its own process, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "ingest.json")
    parser.add_argument("--measure", type=Path, help="measure one file and print JSON (used for the child processes)")
    given = parser.parse_args()
    if given.measure:
        sys.stdout.write(json.dumps(measure(given.measure)))
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        make(given.rows, Path(folder))
        for suffix in FORMATS:
            command = [sys.executable, "-m", "benchmarks.ingest", "--measure", f"{folder}/table.{suffix}"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results[suffix] = json.loads(done.stdout)
            sys.stdout.write(f"{suffix}: {done.stdout}\n")
    shown = {
        name: {key: round(v, 1) if isinstance(v, float) else v for key, v in r.items()} for name, r in results.items()
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(
        json.dumps({"machine": machine("numpy", "pyarrow", "pydantic"), "results": shown}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
