"""What learners keep of tables that a few rows stand for: every method of the kind beside two peers, in one run.

Run: `OMP_NUM_THREADS=1 python -m benchmarks.tables [--peer-python peers/bin/python] [--cells folder] [--data adult]
[--only METHOD ...] [--seeds 5]`. Adult (`DISTILLERY_SHARED_DATA`) with its own test part, and tables that scikit-learn
ships, split anew by every seed. All learners are tuned alike on the validation rows of each set, as the judge does it,
and tested once; rows count alike. Kept is the mean test metric as a percentage of the mean on all training rows, ahead
the difference to random rows of the same seed in the same unit, with the 95 % interval of Student's t over seeds. CPU
seconds are of the method alone, on encoded rows, in a process that has run others before; a teacher is timed once more
alone. The peers need an environment of their own (recipe in `peers/tables.py`); without it they are left out. With
`--cells`, cells that lie in the folder are not run again. `--table` prints the tables of docs/tables.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from threadpoolctl import threadpool_limits

from benchmarks.record import RESULTS, write
from tests.kinds.table.real_data import adult
from tests.kinds.table.uploaded import bundled
from worker.contract.context import Context
from worker.evidence.measurements import TrainingSet
from worker.evidence.statistics import value_of
from worker.evidence.training import Contender, train_all
from worker.kinds.table.dataset import TEST, VALIDATION, Rows, Table
from worker.kinds.table.delivery import RowsParams, counts_of
from worker.kinds.table.joint import boosted
from worker.kinds.table.judge import evaluate_params, plan_of
from worker.kinds.table.metrics import metrics_of
from worker.kinds.table.predictor import TrainingRows
from worker.runtime.registry import discover

BUDGETS = {"adult": 100, "breast_cancer": 40, "wine": 30, "digits": 100, "diabetes": 60}
FULL, RANDOM = "all training rows", "random"
METHODS = (
    "evolved-rows", "joint-herding", "k-medoids", "herding", "k-center", "k-means", "kip-fc", "latent-k-means",
)  # fmt: skip
TEACHERS = {"evolved-rows", "joint-herding"}
PEER = Path(__file__).parent / "peers" / "tables.py"
PEERS = ("scikit-learn KMeans, nearest rows", "imbalanced-learn ClusterCentroids")
LEARNERS = {
    "linear": "linear", "knn": "neighbours", "random-forest": "forest", "boosting": "boosting", "mlp": "MLP",
}  # fmt: skip
FLOOR = "majority"
AIMS = {
    "evolved-rows": {"linear": 97.8, "knn": 96.5, "random-forest": 96.5, "boosting": 95.8, "mlp": 96.3},
    "joint-herding": {"linear": 97.5, "knn": 95.5, "random-forest": 95.5, "boosting": 94.5, "mlp": 96.0},
}
SECONDS = {"evolved-rows": 30.0, "joint-herding": 2.0}
"""Aimed at on Adult: percent of the full AUC, and CPU seconds, for joint herding beside its teacher's."""
CHANCE = 25.0
"""A learner has fallen to chance that is less than this share (%) of the way from the floor to all training rows."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--cells", type=Path)
    parser.add_argument("--data", nargs="+", default=list(BUDGETS), choices=BUDGETS)
    parser.add_argument("--only", nargs="+", default=[FULL, RANDOM, *METHODS, *PEERS])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        found = json.loads((RESULTS / "tables.json").read_text())
        sys.stdout.write("\n\n".join("\n".join(table(found, data)) for data in found["tables"]) + "\n")
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made, threadpool_limits(1):
        cells = Cells(given.cells or Path(made), given.peer_python)
        for data in given.data:
            for seed in range(given.seeds):
                for name in given.only:
                    cells.run(data, name, seed)
        tables = {data: found for data in BUDGETS if (found := of_table(cells.of(data)))}
    write("tables", {"tables": tables, "aims": aims(tables)}, ("torch", "numpy", "scipy", "scikit-learn"))


class Cells:
    """Results of (table, method, seed), a file each in a folder; one that lies there is not run again."""

    def __init__(self, folder: Path, peer_python: Path | None) -> None:
        self.folder, self.peer_python = folder, peer_python
        self.loaded: dict[tuple[str, int], Table] = {}

    def run(self, data: str, name: str, seed: int) -> None:
        """Run a cell, unless it lies there, is a peer's that cannot, or all of Adult once more."""
        file = self.folder / data / f"{name.replace(' ', '_')}-{seed}.json"
        classes_alone = "ClusterCentroids" in name and data == "diabetes"
        again = name == FULL and data == "adult" and seed > 0
        if file.exists() or classes_alone or again or (name in PEERS and self.peer_python is None):
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        table = self.table(data, seed)
        rows, cost = made(table, name, RowsParams(budget=BUDGETS[data]), seed, self.peer_python)
        metric = metrics_of(len(table.schema.classes))[0]
        found = {"method": name, "seed": seed, "rows": len(rows), "metric": metric.label, **cost}
        found["learners"] = measured(table, rows, metric.name, seed)
        file.write_text(json.dumps(found, indent=1) + "\n")
        sys.stderr.write(f"{data} {json.dumps(found)}\n")

    def of(self, data: str) -> list[dict[str, Any]]:
        """All cells of a table."""
        return [json.loads(file.read_text()) for file in sorted((self.folder / data).glob("*.json"))]

    def table(self, data: str, seed: int) -> Table:
        """A table, encoded: Adult is the same for all seeds, others are split by it."""
        split = 0 if data == "adult" else seed
        if (data, split) not in self.loaded:
            with tempfile.TemporaryDirectory() as folder:
                table = adult(Path(folder)) if data == "adult" else bundled(Path(folder), data, seed=split)
            counts_of(table, RowsParams(budget=BUDGETS[data]))  # encodes the training part
            self.loaded = {(data, split): table}
        return self.loaded[data, split]


def made(
    table: Table, name: str, params: RowsParams, seed: int, peer_python: Path | None
) -> tuple[Rows, dict[str, Any]]:
    """The rows of a method, and what they cost."""
    if name == FULL:
        return table.train, {}
    if name in PEERS:
        assert peer_python is not None
        return of_peer(table, name, counts_of(table, params), seed, peer_python)
    method = discover()["table", name]
    wall, cpu = time.perf_counter(), time.process_time()
    rows = method.run(table, method.params(budget=params.budget), Context(seed=seed)).encoded
    cost = {
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }
    if name in TEACHERS:
        cpu = time.process_time()
        boosted(table.train, table.classification, Context(seed=seed))
        cost["teacher_cpu_seconds"] = round(time.process_time() - cpu, 2)
    return rows, cost


def of_peer(table: Table, name: str, counts: np.ndarray, seed: int, python: Path) -> tuple[Rows, dict[str, Any]]:
    """The rows of a peer, which sees what our methods see, and what they cost."""
    with tempfile.TemporaryDirectory() as folder:
        for key, array in (("x", table.train.x), ("strata", table.strata), ("counts", counts)):
            np.save(Path(folder) / f"{key}.npy", array)
        one = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")}
        done = subprocess.run([python, PEER, folder, name, str(seed)], stdout=subprocess.PIPE, check=True, env=one)
        kept = np.load(Path(folder) / "made.npz")
        x, y = kept["x"].astype(np.float32), table.train.y[kept["rows"]] if "rows" in kept else kept["strata"]
    return Rows(x, y, np.ones(len(y))), json.loads(done.stdout.splitlines()[-1])


def measured(table: Table, rows: Rows, metric: str, seed: int) -> dict[str, dict[str, float]]:
    """The primary metric of every learner trained on some rows, of one weight each; mean of its own seeds."""
    classes = len(table.schema.classes)
    given = TrainingRows(Rows(rows.x, rows.y, np.ones(len(rows))), classes)
    contender = Contender(TrainingSet("rows", "rows", "baseline", len(rows), float(len(rows)), 0), (given,))
    ctx = Context(seed=seed)
    held = table.part(VALIDATION), table.part(TEST)
    results = train_all(plan_of(table, [contender], *held, evaluate_params()(), ctx), ctx).results
    found: dict[str, dict[str, float]] = {}
    for name in (*LEARNERS, FLOOR):
        own = [one for one in results if one.learner == name]
        found[name] = {
            "test": round(float(np.mean([value_of(one.scores["test"][metric]) for one in own])), 5),
            "validation": round(float(np.mean([one.validation for one in own if one.validation is not None])), 5),
        }
    return found


def of_table(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was found on a table, by method and learner; nothing before two seeds of random rows are there."""
    by_name = {name: {one["seed"]: one for one in cells if one["method"] == name} for name in (FULL, RANDOM)}
    full, drawn = by_name[FULL], by_name[RANDOM]
    if not full or len(drawn) < 2:
        return {}
    methods: dict[str, Any] = {}
    for name in (RANDOM, *METHODS, *PEERS):
        own = {one["seed"]: one for one in cells if one["method"] == name}
        if own:
            learners = {learner: _kept(own, full, drawn if name != RANDOM else {}, learner) for learner in LEARNERS}
            methods[name] = {"seeds": sorted(own), **_costs(list(own.values())), "learners": learners}
    rows, of = next(iter(drawn.values())), next(iter(full.values()))
    return {
        "rows": rows["rows"], "of": of["rows"], "metric": rows["metric"], "full_seeds": sorted(full),
        "full": {learner: round(_mean(full, learner), 4) for learner in LEARNERS}, "methods": methods,
    }  # fmt: skip


Seeds = Mapping[int, Mapping[str, Any]]
"""Cells of a method by seed."""


def _kept(own: Seeds, full: Seeds, drawn: Seeds, learner: str) -> dict[str, Any]:
    """What a learner keeps with a method's rows, of all rows on the same splits where there are such trainings."""
    whole = {seed: full[seed] for seed in own if seed in full}
    whole = whole if len(whole) == len(own) else full
    top, floor = _mean(whole, learner), _mean(whole, FLOOR)
    tested = {seed: one["learners"][learner]["test"] for seed, one in own.items()}
    kept = [100 * value / top for value in tested.values()]
    found: dict[str, Any] = {
        "kept": round(float(np.mean(kept)), 2),
        "least_above_floor": round(100 * (min(tested.values()) - floor) / (top - floor), 1),
    }
    if len(kept) > 1:
        found["std"] = round(float(np.std(kept, ddof=1)), 2)
    pairs = [100 * (value - drawn[seed]["learners"][learner]["test"]) / top
             for seed, value in tested.items() if seed in drawn]  # fmt: skip
    if len(pairs) > 1:
        mean, error = float(np.mean(pairs)), float(np.std(pairs, ddof=1) / np.sqrt(len(pairs)))
        half = float(stats.t.ppf(0.975, len(pairs) - 1)) * error
        found["ahead"] = [round(value, 2) for value in (mean, mean - half, mean + half)]
    return found


def _mean(cells: Seeds, learner: str) -> float:
    return float(np.mean([one["learners"][learner]["test"] for one in cells.values()]))


def _costs(cells: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    names = ("seconds", "cpu_seconds", "teacher_cpu_seconds")
    return {name: round(float(np.mean([one[name] for one in cells])), 2) for name in names if name in cells[0]}


def aims(tables: Mapping[str, Any]) -> dict[str, Any]:
    """What was aimed at, and whether it was reached."""
    found: dict[str, Any] = {}
    for name, wanted in AIMS.items():
        for data, one in tables.items():
            row = one["methods"].get(name)
            if row is None or len(row["seeds"]) < 2:
                continue
            learners = row["learners"]
            said = {
                "never below random by more than noise": all(each["ahead"][2] >= 0 for each in learners.values()),
                "no learner falls to chance": all(each["least_above_floor"] > CHANCE for each in learners.values()),
            }
            if data == "adult":
                cpu = row["cpu_seconds"] - (row["teacher_cpu_seconds"] if name == "joint-herding" else 0)
                said |= {f"{key} at least {aim}": learners[key]["kept"] >= aim for key, aim in wanted.items()}
                said["ahead of random on all five"] = all(each["ahead"][1] > 0 for each in learners.values())
                said[f"under {SECONDS[name]:g} s"] = cpu < SECONDS[name]
            found[f"{name}, {data}"] = said
    return found


def table(found: Mapping[str, Any], data: str) -> list[str]:
    """The lines of a table in docs/tables.md: percent kept, ± its deviation over seeds; bold is ahead of
    random rows, italic below them, by more than noise."""
    shown = found["tables"][data]
    head = f"| {data.replace('_', ' ')}, {shown['rows']} of {shown['of']:,} rows | {' | '.join(LEARNERS.values())} |"
    lines = [f"{head} seeds | CPU s |", "|---" * (3 + len(LEARNERS)) + "|"]
    for name, row in shown["methods"].items():
        cells = " | ".join(_cell(row["learners"][learner]) for learner in LEARNERS)
        label = name if name in PEERS else f"`{name}`"
        lines.append(f"| {label} | {cells} | {len(row['seeds'])} | {row['cpu_seconds']:.1f} |")
    return lines


def _cell(one: Mapping[str, Any]) -> str:
    text = f"{one['kept']:.1f} ± {one['std']:.1f}" if "std" in one else f"{one['kept']:.1f}"
    _, low, high = one.get("ahead", (0, 0, 0))
    return f"**{text}**" if low > 0 else f"*{text}*" if high < 0 else text


if __name__ == "__main__":
    main()
