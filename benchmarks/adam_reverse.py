"""The exact reverse pass of Adam beside `higher` and `torchopt`, which unroll it: seconds and peak memory against T.

Run: `python -m benchmarks.adam_reverse [--peer-python peers/bin/python] [--steps 10 20 50 100 200]`. The peers need an
environment of their own (recipe in `peers/adam_reverse.py`); without it they are left out and the result says so. A
SASRec of one block over Magazine's 1,299 items learns 25 sequences of 20 events with soft targets; the gradient is that
of the targets. One thread, every cell in a process of its own, cells in turn; seconds are the best of three, memory is
what the process grew by. `apart`: relative distance of the gradient to ours. It is large for `higher`, whose Adam is
the older form, with eps added before the correction of the second moment; `torchopt` gives NaN in float32, where a
parameter has no gradient at all, and the same as ours to 1e-15 in float64.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import write

CELL = Path(__file__).parent / "peers" / "adam_reverse.py"
OURS, PEERS = ("store", "checkpoint"), ("higher", "torchopt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 20, 50, 100, 200])
    given = parser.parse_args()
    figures: dict[str, Any] = {"steps": {}}
    if given.peer_python is None:
        figures["peers"] = "left out: no --peer-python"
    for steps in given.steps:
        with tempfile.TemporaryDirectory() as folder:
            found = {name: cell(sys.executable, name, steps, Path(folder)) for name in OURS}
            if given.peer_python is not None:
                found |= {name: cell(given.peer_python, name, steps, Path(folder)) for name in PEERS}
            figures["steps"][str(steps)] = found | {"over_peers": over_peers(found)}
    write("adam_reverse", figures, ("torch", "numpy"))


def cell(python: Any, name: str, steps: int, folder: Path) -> dict[str, Any]:
    target = folder / f"{name}.pt"
    around = {**os.environ, "PYTHONPATH": str(CELL.parents[2]), "OMP_NUM_THREADS": "1"}
    command = [str(python), str(CELL), name, str(steps), str(target)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=around)
    found = json.loads(done.stdout.splitlines()[-1])
    theirs, ours = (torch.cat([one.reshape(-1) for one in torch.load(folder / f"{n}.pt")]) for n in (name, "store"))
    apart = float((theirs - ours).norm() / ours.norm())
    return {
        "seconds": round(found["seconds"], 3),
        "peak_mb": round(found["peak_mb"], 1),
        "apart": float(f"{apart:.1e}"),
        "torch": found["torch"],
    }


def over_peers(found: dict[str, Any]) -> dict[str, Any]:
    """Our stored trajectory over each peer: time and memory."""
    ours = found["store"]
    return {
        name: {key: round(ours[key] / found[name][key], 3) for key in ("seconds", "peak_mb")}
        for name in PEERS
        if name in found
    }


if __name__ == "__main__":
    main()
