"""Samplers of interactions: time and memory on 20 million events, and speed beside straightforward code.

Run: `python -m benchmarks.sampling [--events 20e6]`. `large`: made-up events with a power law, about 138,000 users and
27,000 items (the size of MovieLens-20M), 20 % kept; every sampler in a process of its own; `peak_mb` is what it takes
beside the events. SVP-CF's proxy runs one of its 50 epochs. `beside`: 100,000 events, our time and that of
`peers/sampling.py` (the same algorithm, one event or node at a time; one epoch of SVP-CF) taken in turn, in one run.
Seconds are of CPU on one thread, so that what else the machine does hardly counts.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import write

NAMES = (
    "random-interactions", "stratified", "temporal", "random-users", "head-users", "random-items", "head-items",
    "pagerank", "random-walk", "forest-fire", "svp-cf-mf-interaction",
)  # fmt: skip
KEEP, EPOCHS = 0.2, 1
SMALL = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=float, default=20e6)
    parser.add_argument("--cell", nargs=2, help="used for the child processes: folder of columns and sampler")
    parser.add_argument("--make", nargs=2, help="used for a child process: folder and events")
    parser.add_argument("--columns", type=Path, help="a folder that --make has filled")
    given = parser.parse_args()
    if given.cell:
        sys.stdout.write(json.dumps(cell(Path(given.cell[0]), given.cell[1])) + "\n")
        return
    if given.make:
        make(Path(given.make[0]), int(given.make[1]))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = str(given.columns or made)
        if not given.columns:
            child("--make", folder, str(int(given.events)))
        large = {name: json.loads(child("--cell", folder, name)) for name in NAMES}
        size = {name: int(np.load(Path(folder) / f"{name}.npy", mmap_mode="r").max()) + 1 for name in ("user", "item")}
        events = len(np.load(Path(folder) / "user.npy", mmap_mode="r"))
    figures = {
        "large": {"events": events, "users": size["user"], "items": size["item"], "keep": KEEP, "samplers": large},
        "beside": beside(),
    }
    write("sampling", figures, ("numpy", "scipy", "torch", "networkx"))


def child(*arguments: str) -> str:
    """Run a part of this benchmark in a process of its own; returns the last line that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sampling", *arguments], stdout=subprocess.PIPE, check=True, text=True
    )
    return (done.stdout.splitlines() or [""])[-1]


def make(folder: Path, events: int) -> None:
    """Columns of a power law of this many events."""
    from tests.kinds.interactions.power_law import World

    scale = (events / 20e6) ** 0.5
    world = World(int(138_000 * scale), int(27_000 * scale), 1.6 * events / (138_000 * scale), 1.2, 0.9)
    user, item, when = world.columns(0)
    kept = np.sort(np.random.default_rng(0).permutation(len(user))[:events])
    for name, column in (("user", user), ("item", item), ("when", when)):
        np.save(folder / f"{name}.npy", column[kept])


def cell(folder: Path, name: str) -> dict[str, float]:
    """One sampler: seconds, peak memory above what the events take, and the share that it kept."""
    from worker.contract.context import Context
    from worker.kinds.interactions.sampling.samplers import orders

    events = load(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    ((_, order),) = orders(events, [name], Context(seed=0), most=round(KEEP * len(events)), epochs=EPOCHS)
    mask = order.events(round(KEEP * len(events)))
    seconds = time.process_time() - started
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    return {"seconds": round(seconds, 2), "peak_mb": round(peak, 1), "kept": round(float(mask.mean()), 5)}


def load(folder: Path) -> Any:
    """The columns as training events."""
    from worker.kinds.interactions.sampling.order import TrainEvents

    user, item, when = (np.load(folder / f"{name}.npy") for name in ("user", "item", "when"))
    return TrainEvents(user, item, np.arange(user.max() + 1), np.arange(item.max() + 1), timestamp=when)


def beside() -> dict[str, Any]:
    """Our seconds, theirs, and their ratio."""
    import torch

    from benchmarks.peers.sampling import PEERS, columns
    from worker.contract.context import Context
    from worker.kinds.interactions.sampling.samplers import orders

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), SMALL)
        events = load(Path(folder))
    triples = columns(events.user, events.item, events.timestamp)
    found = {}
    for name, peer in PEERS.items():
        times: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(2):
            started = time.process_time()
            ((_, order),) = orders(events, [name], Context(seed=0), most=round(KEEP * len(events)), epochs=EPOCHS)
            order.events(round(KEEP * len(events)))
            times["ours"].append(time.process_time() - started)
            started = time.process_time()
            peer(triples, KEEP, 0)
            times["theirs"].append(time.process_time() - started)
        ours, theirs = min(times["ours"]), min(times["theirs"])
        found[name] = {"ours_s": round(ours, 3), "peer_s": round(theirs, 3), "peer_over_ours": round(theirs / ours, 1)}
    return {"events": len(events), "samplers": found}


if __name__ == "__main__":
    main()
