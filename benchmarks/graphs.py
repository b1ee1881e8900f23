"""Accuracy against seconds of every method of graphs that delivers a condensed graph, on Cora and PubMed.

Run: `python -m benchmarks.graphs [--data cora pubmed] [--only NAME ...] [--seeds 3] [--fresh]`. Every registered method
is run with its defaults at the customary size (Cora 70 nodes, PubMed 30; sparsifiers at their default share of the
edges), in a process of its own, for several seeds; then a GCN is trained on what it delivers by the protocol of GC4NC
(`TRAININGS` times) and tested on the original graph. Seconds are of reduction alone, on one thread, wall clock and CPU;
`peak_mb` is the process's peak; `predicted` what `validate_only` says of both. Results are written after every method,
and one that is there already is kept unless named or `--fresh`. The datasets may not be redistributed: their folder is
`DISTILLERY_SHARED_DATA`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.record import RESULTS, machine

SIZES = {"cora": 70, "pubmed": 30}
TRAININGS = 1
LONGEST_S = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--table", action="store_true", help="print the table of docs/graph_methods.md")
    parser.add_argument("--cell", nargs=2, help="used for the child processes: dataset and method")
    given = parser.parse_args()
    if given.cell:
        sys.stdout.write(json.dumps(cell(*given.cell, given.seeds)) + "\n")
        return
    if given.table:
        sys.stdout.write("\n".join(table()) + "\n")
        return
    file = RESULTS / "graphs.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() and not given.fresh else {}
    for data in given.data:
        if not (shared() / data).is_dir():
            sys.stderr.write(f"left out: {data}, which is not below DISTILLERY_SHARED_DATA\n")
            continue
        rows = found.setdefault(data, {"nodes": SIZES[data], "methods": {}})["methods"]
        for name in ["whole graph", *names()]:
            if (given.only and name not in given.only) or (name in rows and not given.only):
                continue
            rows[name] = child(data, name, given.seeds)
            found["machine"] = machine("numpy", "scipy", "torch", "scikit-learn")
            file.write_text(json.dumps(found, indent=1) + "\n")
            sys.stderr.write(f"{data} {name}: {json.dumps(rows[name])}\n")


def table() -> list[str]:
    """The lines of the table in docs/graph_methods.md: methods by their accuracy on Cora."""
    found = json.loads((RESULTS / "graphs.json").read_text())
    columns = [(data, found[data]["methods"]) for data in SIZES if data in found]
    head = [
        f"{'Cora' if data == 'cora' else 'PubMed'}, {SIZES[data]} nodes: accuracy | CPU seconds | MB"
        for data, _ in columns
    ]
    lines = [f"| method | sees | {' | '.join(head)} |", "|---" * (2 + 3 * len(columns)) + "|"]
    first = columns[0][1]
    for name in sorted(first, key=lambda name: -first[name].get("accuracy", 0.0)):
        cells = [_cells(rows.get(name, {})) for _, rows in columns]
        shown = name if name == "whole graph" else f"`{name}`"
        lines.append(f"| {shown} | {first[name].get('sees', 'all')} | {' | '.join(cells)} |")
    return lines


def _cells(row: dict[str, Any]) -> str:
    if "accuracy" not in row:
        return "- | - | -"
    cost = f"{row['cpu_seconds']:.1f} | {row['peak_mb']}" if "cpu_seconds" in row else "- | -"
    spread = f" ± {row['std']:.1f}" if row["seeds"] > 1 else ""
    return f"{row['accuracy']:.1f}{spread} | {cost}"


def names() -> list[str]:
    """Every method of the kind that delivers a condensed graph."""
    from worker.runtime.registry import discover

    found = (one for one in discover().values() if one.kind == "graph" and one.task in ("distil", "select"))
    return sorted(one.name for one in found if one.name != "auto")


def child(data: str, name: str, seeds: int) -> dict[str, Any]:
    """One cell in a process of its own, on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    words = [sys.executable, "-W", "ignore", "-m", "benchmarks.graphs", "--seeds", str(seeds), "--cell", data, name]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        return {"failed": f"exit {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def cell(data: str, name: str, seeds: int) -> dict[str, Any]:
    """Accuracy, seconds and memory of one method, or why it refuses; of training on the whole graph for that name."""
    from worker.contract.context import Context
    from worker.contract.errors import JobError

    graph = planetoid(shared() / data / f"{data}.npz")
    if name == "whole graph":
        from worker.kinds.graph.training_graph import TrainingGraph

        return accuracy_row([accuracies(graph, TrainingGraph.of(graph), seeds, 10 * k) for k in range(seeds)])
    from worker.runtime.registry import discover

    method = discover()["graph", name]
    sized = {"n_nodes": SIZES[data]} if "n_nodes" in method.params.model_fields else {}
    wall, cpu, scores, made = [], [], [], None
    for seed in range(seeds):
        params = method.params(**sized)
        ctx = Context(seed=seed, deadline=time.monotonic() + LONGEST_S)
        started, used = time.monotonic(), time.process_time()
        try:
            made = method.run(graph, params, ctx)
        except JobError as refused:  # a size that it cannot come to
            return {"failed": str(refused)}
        wall.append(time.monotonic() - started)
        cpu.append(time.process_time() - used)
        if not seed:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        scores.append(accuracies(graph, made.training(), TRAININGS, 10 * seed))
    assert made is not None
    return accuracy_row(scores) | {
        "seconds": round(float(np.mean(wall)), 2),
        "cpu_seconds": round(float(np.mean(cpu)), 2),
        "peak_mb": round(peak),
        "predicted": predicted(graph, method, sized),
        "nodes": len(made),
        "edges": made.edges,
        "sees": made.sees,
    }


def accuracy_row(scores: list[list[float]]) -> dict[str, Any]:
    """Mean over seeds of the method, and the deviation of the seeds' means."""
    means = [float(np.mean(one)) for one in scores]
    return {"accuracy": round(float(np.mean(means)), 2), "std": round(float(np.std(means)), 2), "seeds": len(means)}


def accuracies(graph: Any, training: Any, runs: int, first_seed: int = 0) -> list[float]:
    """Test accuracy in percent of GCNs trained by the protocol of GC4NC on a training graph."""
    from worker.contract.context import Context
    from worker.kinds.graph.dataset import TEST, VALIDATION
    from worker.kinds.graph.held import held_out
    from worker.kinds.graph.networks.fitting import Schedule, fit, seeded
    from worker.kinds.graph.networks.gcn import GCN

    validation, test = (held_out(graph, part, cut_above=0) for part in (VALIDATION, TEST))
    found = []
    for seed in range(first_seed, first_seed + runs):
        with seeded(seed, "cpu"):
            fitted = fit(GCN(graph.d, graph.n_classes), training, Schedule(), validation, Context())
        found.append(100 * float((fitted.predict(test) == test.y).mean()))
    return found


def predicted(graph: Any, method: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Seconds and MB that `validate_only` says."""
    from app.jobs.estimate import estimate
    from worker.kinds.graph.description import statistics

    announced = method.announcement()
    defaults = {key: field.get("default") for key, field in announced["params_schema"]["properties"].items()}
    said = estimate({**announced["cost"], "units": "nodes"}, statistics(graph), defaults | given, {})
    return {"seconds": said["seconds"], "memory_mb": said["memory_mb"]}


def planetoid(file: Path) -> Any:
    """A Planetoid graph (npz with CSR features, both directions of edges and index vectors), features of row sum 1."""
    from worker.kinds.graph.dataset import NONE, TEST, TRAIN, VALIDATION, Graph, symmetric
    from worker.kinds.graph.features import Transform

    stored = np.load(file)
    n = int(stored["x_shape"][0])
    x = sparse.csr_array(
        (stored["x_data"], stored["x_indices"], stored["x_indptr"]), shape=tuple(stored["x_shape"]), dtype=np.float32
    )
    both = stored["edge_index"]
    split = np.full(n, NONE, np.int8)
    for name, part in (("train_idx", TRAIN), ("val_idx", VALIDATION), ("test_idx", TEST)):
        split[stored[name]] = part
    y, transform = stored["y"].astype(np.int64), Transform("row")
    classes = tuple(map(str, range(int(y.max()) + 1)))
    edges = both[:, both[0] < both[1]]
    return Graph(transform(x), symmetric(edges, n), y, split, classes, "transductive", transform)


def shared() -> Path:
    """The folder of datasets that may not be redistributed."""
    return Path(os.environ.get("DISTILLERY_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


if __name__ == "__main__":
    main()
