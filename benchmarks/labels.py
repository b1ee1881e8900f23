"""Learners of labels: precision at 1, 3 and 5, plain and weighted by inverse propensity, beside two peers, in one run.

Run: `python -m benchmarks.labels [--peer-python peers/bin/python] [--cells folder] [--only learner]`. The peers need an
environment of their own (recipe in `peers/labels.py`); without it they are left out. Data: `wordnet_lf_gloss` and
`delicious_983`, the test parts as published; nothing is chosen on them. Every cell (data, learner, seed) runs in a
process of its own on one thread: seconds of wall clock and of CPU, and the peak memory of the whole process, libraries
included. With `--cells`, cells that lie in the folder are not run again. The peers see plain tf-idf, as `plt` does.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.record import write
from tests.shared_data import shared
from worker.contract.context import Context
from worker.contract.learner import learners_of
from worker.evidence.measurements import Ratio
from worker.kinds.labels.dataset import LabelSet, asked, csr
from worker.kinds.labels.metrics import inverse_propensities, measure

PEER = Path(__file__).parent / "peers" / "labels.py"
CELLS: tuple[tuple[str, dict[str, Any], tuple[int, ...]], ...] = (
    ("label-mix", {}, (0, 1, 2)),
    ("plt", {}, (0, 1, 2)),
    ("centroid", {}, (0,)),
    ("most-frequent", {}, (0,)),
    ("eclare", {}, (0, 1)),
    ("eclare", {"attention": 0}, (0, 1)),
)
"""Learner, settings and seeds; of each `eclare`, the figures without GAME are of the same training."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--cells", type=Path)
    parser.add_argument(
        "--only", action="append", help="learners to run; others only count where their cells lie there"
    )
    parser.add_argument("--cell", help="used for the child processes: JSON of data, learner, settings and seed")
    given = parser.parse_args()
    if given.cell:
        sys.stdout.write(json.dumps(cell(**json.loads(given.cell))) + "\n")
        return
    with tempfile.TemporaryDirectory() as made:
        folder = given.cells or Path(made)
        folder.mkdir(exist_ok=True)
        figures: dict[str, Any] = {}
        for data in ("wordnet_lf_gloss", "delicious_983"):
            training, test = load(data)
            figures[data] = {
                "train": len(training), "test": len(test), "labels": training.labels,
                "labels_of_fewer_than_5": round(float((training.counts < 5).mean()), 3),
                "learners": {},
            }  # fmt: skip
            for name, settings, seeds in CELLS:
                key = " ".join([name, *(f"{k}={v}" for k, v in settings.items())])
                run = not given.only or name in given.only
                cells = [child(folder, run, data=data, name=name, settings=settings, seed=seed) for seed in seeds]
                if found := [one for one in cells if one is not None]:
                    figures[data]["learners"][key] = together(found)
            figures[data]["peers"] = peers(folder / f"{data}-peers.json", training, test, given.peer_python)
    write("labels", figures, ("torch", "numpy", "scipy", "numba", "scikit-learn"))


def child(folder: Path, run: bool, **named: Any) -> dict[str, Any] | None:
    """A cell, run in a process of its own unless its result lies in the folder; None where it is not to be run."""
    text = json.dumps(named, sort_keys=True)
    kept = folder / ("".join(letter if letter.isalnum() else "-" for letter in text) + ".json")
    if not kept.exists() and not run:
        return None
    if not kept.exists():
        command = [sys.executable, "-m", "benchmarks.labels", "--cell", text]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        kept.write_text(done.stdout.splitlines()[-1])
    return json.loads(kept.read_text())


def cell(data: str, name: str, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """One training on the full data; settings that are not given are chosen on a tenth of it by P@1."""
    import torch

    torch.set_num_threads(1)
    training, test = load(data)
    known = learners_of("labels")[name]
    prepare = known.prepare
    assert prepare is not None
    chosen = dict(known.settings[0]) | settings
    if len(known.settings) > 1:
        chosen = tuned(training, known, seed)
    wall, cpu = time.perf_counter(), time.process_time()
    model = prepare(training, None, Context(seed=seed)).fit(chosen, Context(seed=seed))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    before = time.process_time()
    top = model.top(test, 5)[0]
    each = (time.process_time() - before) / len(test)
    extra = of_eclare(model, training, test) if name == "eclare" else {}
    if name == "label-mix":
        extra = {"alpha": model.alpha, "reranker": model.reranker is not None}
    return {
        **scored(top, test, training),
        "fit_s": round(wall, 1),
        "fit_cpu_s": round(cpu, 1),
        "predict_cpu_ms": round(1000 * each, 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
        "settings": chosen,
        **extra,
    }


def of_eclare(model: Any, training: LabelSet, test: LabelSet) -> dict[str, Any]:
    """The same network without GAME, and the mean share that attention gives to text, graph and own vector."""
    from worker.kinds.labels.learners.eclare import sources_used

    alone = scored(replace(model, lend=False).top(test, 5)[0], test, training)
    found: dict[str, Any] = {f"{name}_without_game": value for name, value in alone.items()}
    if model.net.shape.attention:
        found["attention"] = dict(zip(("text", "graph", "own"), map(_rounded, sources_used(model)), strict=True))
    return found


def _rounded(share: float) -> float:
    return round(share, 3)


def tuned(training: LabelSet, known: Any, seed: int) -> dict[str, Any]:
    """The settings with the best P@1 on a tenth of the training documents."""
    order = np.random.default_rng(seed).permutation(len(training))
    cut = len(order) // 10
    rest = training.take(np.sort(order[cut:]))
    held = asked(training.take(np.sort(order[:cut])), rest.counts)
    trainable = known.prepare(rest, None, Context(seed=seed))
    worth = [
        scored(trainable.fit(settings, Context(seed=seed)).top(held, 5)[0], held, rest)["p1"]
        for settings in known.settings
    ]
    return dict(known.settings[int(np.argmax(worth))])


def scored(top: np.ndarray, test: LabelSet, training: LabelSet) -> dict[str, float]:
    """P and PSP at 1, 3 and 5, in percent."""
    scores = measure(top, test.targets, inverse_propensities(training.counts, len(training)))
    found = {}
    for name in ("p1", "p3", "p5", "psp1", "psp3", "psp5"):
        one = scores[name]
        value = one.numerator.sum() / one.denominator.sum() if isinstance(one, Ratio) else np.mean(one)
        found[name] = round(100 * float(value), 2)
    return found


def together(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and each seed."""
    numbers = [key for key, value in found[0].items() if isinstance(value, int | float)]
    return {
        "mean": {key: round(float(np.mean([one[key] for one in found])), 3) for key in numbers},
        "seeds": found,
    }


def load(data: str) -> tuple[LabelSet, LabelSet]:
    """Training and test part as published."""
    return of_json(shared(data)) if data == "wordnet_lf_gloss" else of_text(shared(data))


def of_json(folder: Path) -> tuple[LabelSet, LabelSet]:
    """Titles, contents and label texts."""

    def lines(name: str) -> list[dict[str, Any]]:
        with gzip.open(folder / f"{name}.json.gz", "rt") as file:
            return [json.loads(line) for line in file]

    names = lines("lbl")
    texts = [one["title"] for one in names], [one["content"] for one in names]

    def part(name: str) -> LabelSet:
        found = lines(name)
        lengths = [len(one["target_ind"]) for one in found]
        flat = np.concatenate([one["target_ind"] for one in found])
        ends = np.concatenate([[0], np.cumsum(lengths)])
        targets = csr(sparse.csr_matrix((np.ones(len(flat)), flat, ends), (len(found), len(names))))
        titles, bodies = [one["title"] for one in found], [one["content"] for one in found]
        return LabelSet(None, titles, bodies, targets, *texts, np.ones(len(found)), np.ones(len(names), bool))

    return part("trn"), part("tst")


def of_text(folder: Path) -> tuple[LabelSet, LabelSet]:
    """Features and targets."""

    def matrix(name: str) -> Any:
        with gzip.open(folder / f"{name}.txt.gz", "rt") as file:
            shape = tuple(int(size) for size in file.readline().split())
            rows = [[pair.split(":") for pair in line.split()] for line in file]
        flat = np.array([pair for row in rows for pair in row], float)
        ends = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        return csr(sparse.csr_matrix((flat[:, 1], flat[:, 0].astype(int), ends), shape))

    def part(name: str) -> LabelSet:
        features, targets = matrix(f"{name}_X_Xf"), matrix(f"{name}_X_Y")
        ones = np.ones(targets.shape[0]), np.ones(targets.shape[1], bool)
        return LabelSet(features, None, None, targets, None, None, *ones)

    return part("trn"), part("tst")


def peers(kept: Path, training: LabelSet, test: LabelSet, python: Path | None) -> dict[str, Any]:
    """Figures of the peers, run unless they were kept."""
    if not kept.exists():
        if python is None:
            return {"left out": "no --peer-python"}
        kept.write_text(json.dumps(of_peers(training, test, python)))
    return json.loads(kept.read_text())


def of_peers(training: LabelSet, test: LabelSet, python: Path) -> dict[str, Any]:
    """Each peer's rankings of the test documents, measured by our metrics, with its seconds."""
    from worker.kinds.labels.encoding import encode
    from worker.kinds.labels.text_features import plain

    encoded = encode(training, plain, Context())
    weighting = encoded.encoder.weighting(encoded.documents, 1)
    rows = weighting.of_rows(encoded.documents), weighting.of_rows(encoded.encoder.rows(test, Context()))
    with tempfile.TemporaryDirectory() as folder:
        for name, matrix in (("train_x", rows[0]), ("test_x", rows[1]), ("train_y", training.targets)):
            sparse.save_npz(Path(folder) / f"{name}.npz", sparse.csr_matrix(matrix))
        done = subprocess.run([python, PEER, folder], capture_output=True, text=True)
        if done.returncode:
            return {"left out": done.stderr.splitlines()[-1]}
        found = json.loads(done.stdout.splitlines()[-1])
        for name in [name for name in found if name != "versions"]:
            found[name] |= scored(np.load(Path(folder) / f"{name}.npy"), test, training)
    return found


if __name__ == "__main__":
    main()
