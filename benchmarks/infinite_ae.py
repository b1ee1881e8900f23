"""Infinite-AE on ML-1M: fit and predict beside EASE, and its kernel beside the one of `neural-tangents`.

Run: `python -m benchmarks.infinite_ae [--peer-python peers/bin/python] [--users 6040]`. The peer needs an environment
of its own (recipe in `peers/ntk.py`); without it that part is left out and the result says so. All in one run, float32,
the same threads; the peer's time is the better of two calls after compilation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import write
from tests.official_splits import official
from worker.kinds.interactions.learners.ease import Ease
from worker.kinds.interactions.learners.infinite_ae import InfiniteAE
from worker.numerics.gram import gram, squared_norms
from worker.numerics.ntk import ntk_from_gram

PEER = Path(__file__).parent / "peers" / "ntk.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--users", type=int, default=6040)
    given = parser.parse_args()
    data = official("ml-1m")
    rows = data.train[: given.users]
    inputs = data.queries("test").inputs[: given.users]
    figures: dict[str, Any] = {"users": rows.shape[0], "items": rows.shape[1], "threads": torch.get_num_threads()}
    figures["learners"] = {
        "infinite-ae": fit_and_predict(InfiniteAE(lam=5.0), rows, inputs),
        "ease": fit_and_predict(Ease(ridge=1000.0), rows, inputs),
    }
    both = {name: times["fit_s"] + times["predict_s"] for name, times in figures["learners"].items()}
    figures["infinite_ae_over_ease"] = round(both["infinite-ae"] / both["ease"], 2)
    figures["kernel"] = kernel_beside_peer(rows, given.peer_python)
    write("infinite_ae", figures, ("torch", "numpy", "scipy"))


def fit_and_predict(learner: Any, rows: Any, inputs: Any) -> dict[str, float]:
    """Seconds of one training and of scoring everybody, best of two."""
    fits, predictions = [], []
    for _ in range(2):
        model, seconds = timed(lambda: learner.fit(rows))
        fits.append(seconds)
        predictions.append(timed(lambda model=model: model.scores(inputs))[1])
    return {"fit_s": round(min(fits), 3), "predict_s": round(min(predictions), 3)}


def kernel(rows: Any) -> torch.Tensor:
    """K(rows, rows) as the learner computes it, from sparse rows."""
    device, dtype = torch.device("cpu"), torch.float32
    squares = squared_norms(rows, device=device, dtype=dtype)
    product = gram(rows, device=device, dtype=dtype)
    return ntk_from_gram(product, squares, squares, dim=rows.shape[1], symmetric=True, overwrite=True)


def kernel_beside_peer(rows: Any, python: Path | None) -> dict[str, Any]:
    """Our kernel and the peer's on the same rows: largest relative difference, and seconds as a ratio."""
    kernel(rows)
    ours, seconds = timed(lambda: kernel(rows))
    if python is None:
        return {"ours_s": round(seconds, 3), "peer": "left out: no --peer-python"}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "rows.npy", Path(folder) / "kernel.npy"
        np.save(source, rows.toarray().astype(np.float32))
        command = [python, PEER, source, target, "1"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True)
        peer = json.loads(done.stdout.splitlines()[-1])
        theirs = np.load(target)
    difference = np.abs(ours.numpy() - theirs) / np.abs(theirs)
    # Their diagonal goes through arccos(1 - 1e-8) in float32, ours is in closed form: compared apart.
    off = difference[~np.eye(rows.shape[0], dtype=bool)]
    return {
        "ours_s": round(seconds, 3),
        "peer_s": round(peer["s"], 3),
        "peer_with_compilation_s": round(peer["first_s"], 3),
        "peer_over_ours": round(peer["s"] / seconds, 2),
        "largest_relative_difference": float(off.max()),
        "largest_relative_difference_diagonal": float(np.diag(difference).max()),
        "peer_versions": peer["versions"],
    }


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result and the seconds it took."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


if __name__ == "__main__":
    main()
