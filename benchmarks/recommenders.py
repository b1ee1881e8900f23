"""Learners beside peers: iALS and ItemKNN beside `implicit`, and an epoch of SVAE beside one user at a time.

Run: `python -m benchmarks.recommenders [--peer-python peers/bin/python] [--users 6040] [--sequences 200]`. The peer
needs an environment of its own (recipe in `peers/recommenders.py`); without it that part is left out. MovieLens-1M, one
thread, all in one run. One user at a time is the batching of SVAE's published code: a dense table of targets, a softmax
over all items, an update for each user; the network is the same.
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
from worker.contract.context import Context
from worker.kinds.interactions.learners.ials import FACTORS, IALS, STEPS
from worker.kinds.interactions.learners.item_knn import Cooccurrences
from worker.kinds.interactions.learners.svae import NEXT, SVAE, Network
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.sequence import batches, places

PEER = Path(__file__).parent / "peers" / "recommenders.py"
NEIGHBOURS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--users", type=int, default=6040)
    parser.add_argument("--sequences", type=int, default=200)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = official("ml-1m")
    rows = UserRows(data.train).take(np.arange(given.users)).filled()
    ours = {
        "ials": best(lambda: IALS.of(rows).fit({"unobserved": 0.3, "reg": 0.01}, Context())),
        "item-knn": best(lambda: Cooccurrences.of(rows).fit({"neighbours": NEIGHBOURS, "shrink": 0}, Context())),
    }
    figures: dict[str, Any] = {"users": len(rows), "items": rows.items, "events": rows.matrix.nnz, "threads": 1}
    figures["settings"] = {"factors": FACTORS, "steps": STEPS, "neighbours": NEIGHBOURS}
    figures["seconds"] = {name: round(seconds, 2) for name, seconds in ours.items()}
    if given.peer_python is None:
        figures["peer"] = "left out: no --peer-python"
    else:
        peer = of_peer(rows, given.peer_python)
        figures["peer"] = {k: round(v, 2) if isinstance(v, float) else v for k, v in peer.items()}
        figures["peer_over_ours"] = {
            name: round(seconds / ours[name.partition(",")[0]], 2)
            for name, seconds in peer.items()
            if name != "versions"
        }
    figures["svae"] = svae(rows, given.sequences)
    write("recommenders", figures, ("torch", "numpy", "scipy"))


def best(work: Callable[[], Any]) -> float:
    """Seconds, the better of two."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def of_peer(rows: UserRows, python: Path) -> dict[str, Any]:
    """Seconds of the peer's trainings on the same rows."""
    with tempfile.TemporaryDirectory() as folder:
        file, matrix = Path(folder) / "rows.npz", rows.matrix
        np.savez(file, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr, shape=matrix.shape)
        command = [python, PEER, file, *map(str, (FACTORS, STEPS, NEIGHBOURS))]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def svae(rows: UserRows, count: int) -> dict[str, Any]:
    """Seconds an event of one epoch of each batching, over users drawn at random; any order takes as long."""
    chosen = rows.take(np.sort(np.random.default_rng(0).choice(len(rows), count, replace=False)))
    user = np.repeat(np.arange(len(chosen)), np.diff(chosen.matrix.indptr))
    shape = len(chosen), chosen.items
    order = places(user, chosen.matrix.indices, np.arange(len(user)), shape)
    training = SVAE.of(UserRows(chosen.matrix, None, order))
    events = int(training.sequences.lengths.sum())
    whole = training.sampled, 0
    seconds = {
        "batches, sampled softmax": epoch(training, whole[0]),
        "batches, whole softmax": epoch(training, whole[1]),
        "one user at a time": one_at_a_time(training),
    }
    alone = seconds["one user at a time"]
    return {
        "sequences": count,
        "events": events,
        "batch": training.batch,
        "microseconds_an_event": {name: round(1e6 * value / events, 1) for name, value in seconds.items()},
        "one_at_a_time_over_batches": round(alone / seconds["batches, sampled softmax"], 2),
        "one_at_a_time_over_batches_with_the_whole_softmax": round(alone / seconds["batches, whole softmax"], 2),
    }


def epoch(training: SVAE, sampled: int) -> float:
    """Seconds of an epoch as the learner trains."""
    net, optimiser = _fresh(training.items)
    started = time.perf_counter()
    for chosen in batches(training.sequences.lengths, training.batch, np.random.default_rng(0)):
        loss = training.loss(net, chosen, 0.1, sampled)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return time.perf_counter() - started


def one_at_a_time(training: SVAE) -> float:
    """Seconds of an epoch with an update for each user and a dense table of targets."""
    net, optimiser = _fresh(training.items)
    started = time.perf_counter()
    for one in range(len(training.sequences)):
        items = torch.from_numpy(training.sequences.padded(np.array([one]), training.items))
        targets = torch.zeros(items.shape[1] - 1, training.items)
        for step in range(len(targets)):
            targets[step, items[0, step + 1 : step + 1 + NEXT]] = 1
        mean, v = net.latent(net.read(items[:, :-1])[0])
        logits = net.logits(mean + (0.5 * v).exp() * torch.randn_like(mean))
        missed = -(targets * torch.log_softmax(logits, dim=1)).sum() / NEXT
        kl = (0.5 * (v.exp() + mean.square() - 1 - v)).sum(dim=1).mean()
        optimiser.zero_grad()
        (missed + 0.1 * kl).backward()
        optimiser.step()
    return time.perf_counter() - started


def _fresh(items: int) -> tuple[Network, torch.optim.Adam]:
    torch.manual_seed(0)
    net = Network(items)
    return net, torch.optim.Adam(net.parameters(), lr=1e-3)


if __name__ == "__main__":
    main()
