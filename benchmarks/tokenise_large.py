"""A log of 20 million events in tokens: time, and memory above that of the data.

Run: `python -m benchmarks.tokenise_large [--events 20000000] [--items 100000]`. The log is made up: items by a power
law (exponent 1), sequences of 5 to 200 events whose next item is near the last one half of the time. It is held in
memory as a method gets it; the vocabulary is learned with the method's defaults, so from a million of its events.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from benchmarks.record import write
from worker.contract.context import Context
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.methods.actionpiece import ActionPieceParams, actionpiece
from worker.kinds.sequences.rows import Rows, bounds
from worker.kinds.sequences.splits import leave_one_out


def made_up(events: int, items: int, seed: int = 0) -> Sequences:
    """The log."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, 201, events // 100)
    indptr = bounds(lengths)
    total = int(indptr[-1])
    drawn = np.minimum(items ** rng.random(total, dtype=np.float32), items - 1).astype(np.int32)
    near = rng.random(total, dtype=np.float32) < 0.5
    near[indptr[:-1]] = False
    follows = np.flatnonzero(near)
    drawn[follows] = (drawn[follows - 1] + rng.integers(1, 4, len(follows), dtype=np.int32)) % items
    return Sequences.of(Rows(indptr, drawn), items, leave_one_out(indptr), options={"content": "events"})


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    given = parser.parse_args()
    data = made_up(given.events, given.items)
    data.training()
    before, wall, cpu = peak_mb(), time.perf_counter(), time.process_time()
    made = actionpiece(data, ActionPieceParams(), Context())
    figures = {
        "events": len(data.items),
        "sequences": len(data),
        "items": given.items,
        "tokens_of_the_vocabulary": len(made.vocabulary),
        "tokens_written": len(made.written.rows.items),
        "wall_s": round(time.perf_counter() - wall, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "peak_mb_with_the_data_alone": round(before),
        "peak_mb": round(peak_mb()),
    }
    write("tokenise_large", figures, ("numpy", "numba"))


if __name__ == "__main__":
    main()
