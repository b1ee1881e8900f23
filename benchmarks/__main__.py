"""Run every benchmark in turn: `python -m benchmarks`. Those that need a peer say so and are left out without it."""

from __future__ import annotations

import subprocess
import sys

ALL = (
    "embedded_startup",
    "memory",
    "api",
    "claims",
    "job_layer",
    "ingest",
    "infinite_ae",
    "distill_step",
    "distill_cf_figures",
)

if __name__ == "__main__":
    failed = [name for name in ALL if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
