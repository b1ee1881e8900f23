"""One step of Distill-CF: seconds and peak memory against the number of draws, beside the official code's step.

Run: `python -m benchmarks.distill_step [--official CLONE --peer-python peers/bin/python]`, with a clone of
noveens/distill_cf and the environment of `peers/ntk.py`; without them the peer is left out and the result says so.
Magazine, 50 rows, all users as targets; every cell in a process of its own; seconds are the best of three steps.
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

PEER = Path(__file__).parent / "peers" / "distill_step.py"
DRAWS = (0, 1, 50, 200, 500)
BUDGET, STEPS = 50, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--official", type=Path)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--cell", nargs=2, help="used for the child processes: rows file and draws")
    given = parser.parse_args()
    if given.cell:
        sys.stdout.write(json.dumps(cell(np.load(given.cell[0]), int(given.cell[1]))) + "\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = compare(Path(folder) / "rows.npy", given.official, given.peer_python)
    write("distill_step", {"dataset": "amazon-magazine", "budget": BUDGET, **figures}, ("torch", "numpy"))


def compare(rows_file: Path, official_code: Path | None, python: Path | None) -> dict[str, Any]:
    """Every number of draws, ours and theirs."""
    from tests.official_splits import official

    rows = official("amazon-magazine").training_rows().toarray().astype(np.float32)
    np.save(rows_file, rows)
    table: dict[str, Any] = {}
    for draws in DRAWS:
        ours = child([sys.executable, "-m", "benchmarks.distill_step", "--cell", str(rows_file), str(draws)])
        table[str(draws)] = {"ours": ours}
        if official_code and python and draws > 1:  # their scan needs at least two
            theirs = child([python, PEER, official_code, rows_file, BUDGET, draws, STEPS])
            table[str(draws)] |= {"official": theirs, "official_over_ours": ratio(theirs, ours)}
    peer = "compared" if official_code and python else "left out: no --official and --peer-python"
    return {"rows": rows.shape[0], "items": rows.shape[1], "peer": peer, "draws": table}


def ratio(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, float]:
    """How many times more the other one takes."""
    return {name: round(theirs[name] / ours[name], 2) for name in ("step_s", "peak_mb")}


def child(command: list[Any]) -> dict[str, Any]:
    """Run one cell in a process of its own and read its JSON."""
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def cell(rows: np.ndarray, draws: int) -> dict[str, float]:
    """Our step: rows of the summary, loss, gradient. The same loss and targets as the official code."""
    import torch
    from scipy import sparse

    from worker.kinds.interactions import distillation as cf
    from worker.kinds.interactions.distil_loop import gradient
    from worker.kinds.interactions.methods.distill_cf import DistillCFParams, choose_recipe

    targets = cf.merge_equal_rows(sparse.csr_array(rows))
    params = DistillCFParams(budget=BUDGET, draws=draws, tau=10.0, row_mass=200, batch_users=0)
    recipe = choose_recipe(params, users=BUDGET, items=rows.shape[1], mean_events=targets.mean_events)
    logits = torch.from_numpy(cf.initial_logits(sparse.csr_array(rows), BUDGET, start="users", noise=0.1, seed=0))
    times = []
    for _ in range(STEPS):
        started = time.perf_counter()
        gradient(logits, targets, recipe, seed=0, step=1, block=10_000)
        times.append(time.perf_counter() - started)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"step_s": round(min(times), 4), "peak_mb": round(peak_mb, 1)}


if __name__ == "__main__":
    main()
