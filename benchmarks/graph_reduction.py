"""Reductions of graphs beside their peers: sparsifiers beside networkit, coresets and clusters beside graphslim,
k-means beside scikit-learn.

Run: `python -m benchmarks.graph_reduction [--peer-python peers/graph/bin/python] [--only
sparsifiers|graphslim|kmeans]`. The peers need an environment of their own (recipe in `peers/graph_reduction.py`);
without it our side alone is measured. Cora and PubMed with the public split, for sparsifiers ca-AstroPh, too. Seconds
are of CPU on one thread, the least of three (graphslim: of two), machine code compiled before. Sparsifiers keep half of
the edges; the others have half as many nodes as there are train nodes, with propagated features and no edges where a
method offers that. What graphslim makes is trained and tested in our harness as what ours make: GCN, 300 epochs, the
mean and deviation of three trainings.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

from benchmarks.record import write
from tests.shared_data import shared
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Method
from worker.kinds.graph.clustering.kmeans import best_of
from worker.kinds.graph.clustering.propagated_means import mixed
from worker.kinds.graph.dataset import TEST, TRAIN, VALIDATION, Graph, symmetric
from worker.kinds.graph.features import Transform
from worker.kinds.graph.held import Held, held_out
from worker.kinds.graph.networks.fitting import Schedule, fit, seeded
from worker.kinds.graph.networks.gcn import GCN
from worker.kinds.graph.sparsification.edges import Edges, highest, random_edges
from worker.kinds.graph.sparsification.forests import spanning_forests
from worker.kinds.graph.sparsification.local_degree import local_exponents
from worker.kinds.graph.sparsification.rank_degree import rank_degree_walk
from worker.kinds.graph.sparsification.resistance import resistance_sample, resistances
from worker.kinds.graph.sparsification.similarity import jaccard_index, structural_similarity
from worker.kinds.graph.sparsification.spanner import spanner
from worker.kinds.graph.training_graph import TrainingGraph
from worker.runtime.registry import discover

PEER = Path(__file__).parent / "peers" / "graph_reduction.py"
RATE, KEEP, REPEATS = 0.5, 0.5, 3
SPARSIFIERS: dict[str, Callable[[Edges, int, np.random.Generator], Any]] = {
    "random-edge": lambda e, k, rng: e.keep(random_edges(len(e), k, rng)),
    "local-degree": lambda e, k, rng: e.keep(highest(-local_exponents(e), k, rng)),
    "jaccard": lambda e, k, rng: e.keep(highest(jaccard_index(e), k, rng)),
    "scan": lambda e, k, rng: e.keep(highest(structural_similarity(e), k, rng)),
    "spanning-forest": lambda e, k, rng: e.keep(spanning_forests(e, e.nodes - e.components(), rng)),
    "rank-degree": lambda e, k, rng: e.keep(rank_degree_walk(e, k, 0.1, 10, rng)),
    "t-spanner": lambda e, k, rng: e.keep(spanner(e, 3.0, rng)),
    "effective-resistance": lambda e, k, rng: resistance_sample(e, resistances(e, 128, rng), k, rng),
}
OURS = {  # graphslim's method: ours
    "random": "random", "herding": "herding", "k-center": "k-center", "degree": "degree", "pagerank": "pagerank",
    "averaging": "averaging", "clustering_agg": "k-means-prop", "gecc": "k-means-prop", "vng": "vng",
    "variation-neighborhoods": "variation-neighborhoods", "variation-edges": "variation-edges",
    "heavy-edge": "heavy-edge", "algebraic-jc": "algebraic-jc", "affinity-gs": "affinity-gs",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--only", choices=("sparsifiers", "graphslim", "kmeans"))
    parser.add_argument("--data", nargs="+", default=["cora", "pubmed"], help="for the comparison with graphslim")
    parser.add_argument("--runs", type=int, default=3, help="trainings behind an accuracy; 0 measures seconds alone")
    given = parser.parse_args()
    torch.set_num_threads(1)
    parts = {
        "sparsifiers": sparsifiers,
        "kmeans": kmeans,
        "graphslim": partial(graphslim, names=given.data, runs=given.runs),
    }
    figures = {name: work(given.peer_python) for name, work in parts.items() if given.only in (None, name)}
    name = f"graph_reduction_{given.only}" if given.only else "graph_reduction"
    write(name, {"rate": RATE, "keep": KEEP, "threads": 1, **figures}, ("numpy", "scipy", "numba", "torch"))


def planetoid(name: str) -> Graph:
    """Cora or PubMed with its public split, rows scaled to sum 1."""
    z = np.load(shared(name) / f"{name}.npz")
    x = sparse.csr_array((z["x_data"].astype(np.float32), z["x_indices"], z["x_indptr"]), shape=tuple(z["x_shape"]))
    n = len(z["y"])
    split = np.full(n, -1, np.int8)
    for part, code in (("train", TRAIN), ("val", VALIDATION), ("test", TEST)):
        split[z[f"{part}_idx"]] = code
    transform = Transform.fitted("row", x, np.flatnonzero(split == TRAIN))
    edges = np.unique(np.sort(z["edge_index"], axis=0), axis=1)
    names = tuple(map(str, range(int(z["y"].max()) + 1)))
    return Graph(transform(x), symmetric(edges, n), z["y"].astype(np.int64), split, names, "transductive", transform)


def adjacency_of(name: str) -> sparse.csr_array:
    if name != "ca-astroph":
        return planetoid(name).adjacency
    rows = np.loadtxt(shared(name) / "ca-AstroPh.txt.gz", comments="#", dtype=int)
    known, ends = np.unique(rows, return_inverse=True)
    ends = np.sort(ends.reshape(rows.shape), axis=1)
    return symmetric(np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0).T, len(known))


def least(work: Callable[[], Any], repeats: int = REPEATS) -> tuple[float, Any]:
    """Seconds of CPU, the least of the repeats, and what came of the last; once before, so that code is compiled."""
    made = work()
    found = []
    for _ in range(repeats):
        gc.collect()
        started = time.process_time()
        made = work()
        found.append(time.process_time() - started)
    return min(found), made


def peer(python: Path | None, part: str, folder: Path) -> dict[str, Any]:
    if python is None:
        return {}
    done = subprocess.run([python, PEER, part, folder], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def sparsifiers(python: Path | None) -> dict[str, Any]:
    """From a list of edges to the graph of those kept; the neighbourhoods of all nodes are made within the time."""
    found: dict[str, Any] = {}
    for name in ("cora", "pubmed", "ca-astroph"):
        adjacency = adjacency_of(name)
        edges = Edges.of(adjacency)
        with tempfile.TemporaryDirectory() as folder:
            np.savez(
                Path(folder) / "graph.npz", data=adjacency.data, indices=adjacency.indices, indptr=adjacency.indptr,
                y=np.zeros(adjacency.shape[0]),
            )  # fmt: skip
            theirs = peer(python, "sparsifiers", Path(folder))
        rows = {}
        for method, thin in SPARSIFIERS.items():
            seconds, made = least(partial(_thinned, edges, thin))
            rows[method] = {"seconds": round(seconds, 4), "edges": made.nnz // 2}
            if method in theirs:
                other = theirs[method]
                rows[method] |= {"networkit_seconds": round(other["seconds"], 4), "networkit_edges": other["edges"]}
                rows[method]["ours_over_networkit"] = round(seconds / max(other["seconds"], 1e-6), 2)
        found[name] = {"nodes": edges.nodes, "edges": len(edges), **theirs.get("versions", {}), "methods": rows}
    return found


def _thinned(edges: Edges, thin: Callable[..., Any]) -> sparse.csr_array:
    fresh = Edges(edges.nodes, edges.u, edges.v, edges.weight)
    return thin(fresh, round(KEEP * len(edges)), np.random.default_rng(0)).adjacency()


def kmeans(python: Path | None) -> dict[str, Any]:
    """Ten restarts for every class on the train rows of Cora, and on 9,858 labelled rows of PubMed with 99 clusters."""
    found: dict[str, Any] = {}
    for name, share, clusters in (("cora", "train", 70), ("pubmed", "half", 99)):
        graph = planetoid(name)
        nodes = graph.train if share == "train" else np.random.default_rng(0).permutation(graph.n)[: graph.n // 2]
        rows, y = mixed(graph, [0, 0, 1], nodes, lambda: None), graph.y[nodes]
        counts = np.full(graph.n_classes, clusters // graph.n_classes)
        with tempfile.TemporaryDirectory() as folder:
            np.savez(Path(folder) / "rows.npz", rows=rows, y=y, counts=counts)
            theirs = peer(python, "kmeans", Path(folder))

        def once(rows: np.ndarray = rows, y: np.ndarray = y, counts: np.ndarray = counts) -> float:
            rng = np.random.default_rng(0)
            return sum(best_of(rows[y == c], int(k), rng, restarts=10).sse for c, k in enumerate(counts))

        seconds, sse = least(once)
        one = {"rows": len(rows), "features": rows.shape[1], "clusters": int(counts.sum())}
        found[name] = {**one, "seconds": round(seconds, 3), "sse": float(f"{sse:.5g}")}
        if theirs:
            found[name] |= {
                "sklearn_seconds": round(theirs["seconds"], 3),
                "sklearn_sse": float(f"{theirs['sse']:.5g}"),
            }
            found[name] |= theirs["versions"]
    return found


def graphslim(python: Path | None, names: Sequence[str], runs: int) -> dict[str, Any]:
    """Seconds and accuracy of ours and of graphslim's at half of the train nodes."""
    found: dict[str, Any] = {}
    for name in names:
        graph = planetoid(name)
        rows: dict[str, Any] = {}
        validation, test = held_out(graph, VALIDATION), held_out(graph, TEST)
        whole = accuracy(TrainingGraph.of(graph), validation, test, runs)
        ours: dict[str, dict[str, Any]] = {}
        for method in dict.fromkeys(OURS.values()):
            one = discover()["graph", method]
            repeats = 1 if method == "vng" else REPEATS
            try:
                seconds, made = least(partial(_made, one, graph), repeats)
            except JobError as refused:  # a size that it cannot come to
                ours[method] = {"fails": str(refused)}
                continue
            scores = [accuracy(_made(one, graph, seed).training(), validation, test, 1) for seed in range(runs)]
            ours[method] = {"seconds": round(seconds, 4), "nodes": len(made), **_points(np.array(scores))}
        with tempfile.TemporaryDirectory() as folder:
            _hand_over(graph, name, Path(folder))
            theirs = peer(python, "graphslim", Path(folder))
            for method, mine in OURS.items():
                rows[method] = {"ours": mine, **ours[mine]}
                other = theirs.get(method)
                if other is None:
                    continue
                if "fails" in other:
                    rows[method]["graphslim_fails"] = other["fails"]
                    continue
                made = _given_back(Path(folder) / f"{method}.npz", graph)
                rows[method] |= {"graphslim_seconds": round(other["seconds"], 4), "graphslim_nodes": other["nodes"]}
                scores = accuracy(made, validation, test, runs)
                rows[method] |= {f"graphslim_{key}": value for key, value in _points(scores).items()}
                if "seconds" in ours[mine]:
                    rows[method]["graphslim_over_ours"] = round(other["seconds"] / ours[mine]["seconds"], 1)
        found[name] = {"whole": _points(whole), **theirs.get("versions", {}), "methods": rows}
    return found


def _made(method: Method, graph: Graph, seed: int = 0) -> Any:
    return method.run(graph, method.params(), Context(seed=seed))


def accuracy(graph: TrainingGraph, validation: Held, test: Held, runs: int) -> np.ndarray:
    """Test accuracy of trainings of a GCN under the protocol gc4nc, (runs,)."""
    found = []
    for seed in range(runs):
        with seeded(seed, "cpu"):
            network = GCN(int(graph.x.shape[1]), graph.n_classes, 256, 0.0)
            model = fit(network, graph, Schedule(), validation, Context(seed=seed))
        found.append(float((model.predict(test) == test.y).mean()))
    return np.array(found)


def _points(scores: np.ndarray) -> dict[str, float]:
    if not scores.size:
        return {}
    return {"accuracy": round(100 * float(scores.mean()), 1), "deviation": round(100 * float(scores.std()), 1)}


def _hand_over(graph: Graph, name: str, folder: Path) -> None:
    adjacency, x = graph.adjacency, graph.x
    parts = {part: graph.nodes(code) for part, code in (("train", TRAIN), ("val", VALIDATION), ("test", TEST))}
    np.savez(
        folder / "graph.npz", data=adjacency.data, indices=adjacency.indices, indptr=adjacency.indptr, y=graph.y,
        x_data=x.data, x_indices=x.indices, x_indptr=x.indptr, x_shape=np.array(x.shape), **parts,
    )  # fmt: skip
    (folder / "name.json").write_text(json.dumps(name))


def _given_back(file: Path, graph: Graph) -> TrainingGraph:
    """What graphslim made, without its self-loops: an identity is no edges."""
    z = np.load(file)
    weights = np.asarray(z["adjacency"], np.float32)
    weights = np.maximum((weights + weights.T) / 2, 0)
    np.fill_diagonal(weights, 0)
    adjacency = sparse.csr_array(weights)
    x, y = np.ascontiguousarray(z["x"], np.float32), z["y"].astype(np.int64).ravel()
    return TrainingGraph(x, adjacency if adjacency.nnz else None, np.arange(len(y)), graph.n_classes, y=y)


if __name__ == "__main__":
    main()
