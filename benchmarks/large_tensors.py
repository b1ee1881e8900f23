"""What huge pages save where large tensors come and go: the environment of a worker's child against that without them.

Run: `python -m benchmarks.large_tensors [--items 50000]`. Logits of 256 places over all items, their softmax and its
exponential, twenty times, in a process of its own on one thread, the two environments in turn: CPU seconds (medians of
five), faults of pages, and the peak of resident memory.
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
from typing import Any

from benchmarks.record import write

PAGES, ROUNDS = "THP_MEM_ALLOC_ENABLE", 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--cell", action="store_true")
    given = parser.parse_args()
    if given.cell:
        sys.stdout.write(json.dumps(cell(given.items)))
        return
    plain = {name: value for name, value in os.environ.items() if name != PAGES} | {"OMP_NUM_THREADS": "1"}
    kinds = {"usual pages": plain, "huge pages": plain | {PAGES: "1"}}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, environment in kinds.items():
            command = [sys.executable, "-m", "benchmarks.large_tensors", "--items", str(given.items), "--cell"]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
            found[name].append(json.loads(done.stdout))
    figures: dict[str, Any] = {
        name: {key: round(statistics.median(row[key] for row in rows), 2) for key in rows[0]}
        for name, rows in found.items()
    }
    figures["huge_over_usual"] = round(figures["huge pages"]["cpu_s"] / figures["usual pages"]["cpu_s"], 2)
    write("large_tensors", {"items": given.items, **figures}, ("torch",))


def cell(items: int) -> dict[str, float]:
    """One environment, in this very process."""
    import torch

    torch.set_num_threads(1)
    states, table = torch.randn(256, 50), torch.randn(50, items)
    used = time.process_time()
    for _ in range(20):
        torch.log_softmax(states @ table, dim=-1).exp()
    used = time.process_time() - used
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_s": used, "page_faults": usage.ru_minflt, "peak_mb": usage.ru_maxrss / 1024}


if __name__ == "__main__":
    main()
