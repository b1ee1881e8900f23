"""What huge pages save where large tensors come and go: the environment of a worker's child against that without them.

Run: `python -m benchmarks.large_tensors [--items 50000]`. Copies of a tensor of 2 and of 64 MB, and logits of 256
places over all items with their softmax and its exponential, twenty times; each on one thread in a process of its own,
three ways in turn: as the C library has it, with torch's huge pages (of every tensor of 2 MB or more, which is given
back at once), and with those of the C library, which keeps smaller blocks. CPU seconds (medians of five), faults of
pages, and the peak of resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.record import write

ROUNDS = 5
WAYS = {
    "usual": {},
    "torch's huge pages": {"THP_MEM_ALLOC_ENABLE": "1"},
    "a worker's": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--cell", action="store_true")
    given = parser.parse_args()
    if given.cell:
        sys.stdout.write(json.dumps(cell(given.items)))
        return
    ours = {name for way in WAYS.values() for name in way}
    plain = {name: value for name, value in os.environ.items() if name not in ours}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, environment in WAYS.items():
            command = [sys.executable, "-m", "benchmarks.large_tensors", "--items", str(given.items), "--cell"]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=plain | environment)
            found[name].append(json.loads(done.stdout))
    figures: dict[str, Any] = {
        name: {key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]}
        for name, rows in found.items()
    }
    figures["a_worker_s_over_usual"] = {
        key: round(value / figures["usual"][key], 2) for key, value in figures["a worker's"].items()
    }
    write("large_tensors", {"items": given.items, **figures}, ("torch",))


def cell(items: int) -> dict[str, float]:
    """One way, in this very process."""
    import torch

    torch.set_num_threads(1)
    states, table = torch.randn(256, 50), torch.randn(50, items)
    small, large = torch.randn(512, 1024), torch.randn(16_384, 1024)
    found = {
        "copies_2_mb_cpu_s": used(lambda: small.clone(), 640),
        "copies_64_mb_cpu_s": used(lambda: large.clone(), 20),
        "logits_cpu_s": used(lambda: torch.log_softmax(states @ table, dim=-1).exp(), 20),
    }
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return found | {"page_faults": usage.ru_minflt, "peak_mb": usage.ru_maxrss / 1024}


def used(work: Callable[[], Any], times: int) -> float:
    """CPU seconds of so many calls."""
    started = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
