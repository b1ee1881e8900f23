"""The other side of `benchmarks.graph_reduction`: networkit, graphslim and scikit-learn in an environment of their own.

Its recipe (graphslim 1.2.1 asks for Python up to 3.11.0 and leaves out of its metadata what it imports):

    python3.11 -m venv peers/graph
    peers/graph/bin/pip install networkit scikit-learn pygsp torch==2.13.0 torch_geometric ogb networkx pandas \
        tqdm click sortedcontainers scikit-fuzzy setuptools wheel
    peers/graph/bin/pip install --no-build-isolation torch-scatter torch-sparse
    peers/graph/bin/pip install --no-deps --ignore-requires-python graphslim==1.2.1 deeprobust==0.2.11

dgl, which graphslim's loader imports for two data sets of fraud, has no build for this torch: an empty module stands in
its place. Called as `python graph_reduction.py sparsifiers|graphslim|kmeans FOLDER`; reads `graph.npz` there, writes
what was made beside it, and prints JSON. Seconds are of CPU on one thread, the least of the repeats.
"""

import json
import signal
import sys
import time
import types
from pathlib import Path

import numpy as np
from scipy import sparse

RATE, KEEP, REPEATS, LIMIT_S = 0.5, 0.5, 3, 30


def read(folder):
    """Adjacency CSR, dense features, labels, and indices of the parts."""
    z = np.load(folder / "graph.npz")
    n = len(z["y"])
    adjacency = sparse.csr_matrix((z["data"], z["indices"], z["indptr"]), shape=(n, n))
    return adjacency, z


def least(work, repeats=REPEATS):
    """Seconds of CPU, the least of the repeats, and what came of the last."""
    found, result = [], None
    for _ in range(repeats):
        started = time.process_time()
        result = work()
        found.append(time.process_time() - started)
    return min(found), result


def sparsifiers(folder):
    """networkit's sparsifiers at half of the edges; the graph and its edge ids are made before the clock starts."""
    import networkit as nk

    nk.setNumberOfThreads(1)
    adjacency, _ = read(folder)
    upper = sparse.triu(adjacency, 1).tocoo()
    graph = nk.GraphFromCoo((np.ones(upper.nnz), (upper.row, upper.col)), n=adjacency.shape[0])
    graph.indexEdges()
    found = {"versions": {"networkit": nk.__version__}}
    named = {
        "random-edge": nk.sparsification.RandomEdgeSparsifier,
        "local-degree": nk.sparsification.LocalDegreeSparsifier,
        "jaccard": nk.sparsification.JaccardSimilaritySparsifier,
        "scan": nk.sparsification.SCANSparsifier,
    }
    for name, kind in named.items():
        seconds, made = least(lambda kind=kind: kind().getSparsifiedGraphOfSize(graph, KEEP))
        found[name] = {"seconds": seconds, "edges": made.numberOfEdges()}
    seconds, made = least(lambda: nk.graph.RandomMaximumSpanningForest(graph).run().getMSF(True))
    found["spanning-forest"] = {"seconds": seconds, "edges": made.numberOfEdges()}
    return found


def kmeans(folder):
    """scikit-learn's KMeans with ten restarts on the rows of every class; `rows.npz` holds them."""
    import sklearn
    from sklearn.cluster import KMeans

    z = np.load(folder / "rows.npz")

    def run():
        fits = [
            KMeans(int(k), n_init=10, random_state=0).fit(z["rows"][z["y"] == c]) for c, k in enumerate(z["counts"])
        ]
        return sum(fit.inertia_ for fit in fits)

    seconds, sse = least(run)
    return {"seconds": seconds, "sse": float(sse), "versions": {"scikit-learn": sklearn.__version__}}


METHODS = {
    "random": ("sparsification", "Random", ["--agg"]),
    "herding": ("sparsification", "HerdingAgg", ["--agg"]),
    "k-center": ("sparsification", "KCenterAgg", ["--agg"]),
    "degree": ("sparsification", "CentD", ["--agg"]),
    "pagerank": ("sparsification", "CentP", ["--agg"]),
    "averaging": ("coarsening", "Average", []),
    "clustering_agg": ("coarsening", "ClusterAgg", []),
    "gecc": ("condensation", "GECC", []),
    "vng": ("coarsening", "VNG", ["--condense_model", "GCN"]),  # with its own default, SGC, it fails
    "variation-neighborhoods": ("coarsening", "VariationNeighborhoods", []),
    "variation-edges": ("coarsening", "VariationEdges", []),
    "heavy-edge": ("coarsening", "HeavyEdge", []),
    "algebraic-jc": ("coarsening", "AlgebraicJc", []),
    "affinity-gs": ("coarsening", "AffinityGs", []),
}


def graphslim(folder):
    """graphslim's methods with its own settings at half of the train nodes: seconds of `reduce`, or why it fails."""
    import torch

    torch.set_num_threads(1)
    for name in ("dgl", "dgl.data"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["dgl.data"].FraudDataset = sys.modules["dgl"].data = sys.modules["dgl.data"]
    name = json.loads((folder / "name.json").read_text())
    found = {"versions": {"torch": torch.__version__, "graphslim": "1.2.1"}}
    for method, (module, kind, options) in METHODS.items():
        signal.signal(signal.SIGPROF, _over)
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
        try:
            found[method] = _one(folder, name, method, module, kind, options)
        except BaseException as error:
            found[method] = {
                "fails": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]
            }
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stderr.write(f"{method} {found[method]}\n")
    return found


def _over(*_):
    raise TimeoutError(f"not done after {LIMIT_S} s of CPU")


def _one(folder, name, method, module, kind, options):
    import importlib

    import torch
    from graphslim.config import cli
    from graphslim.dataset.loader import TransAndInd
    from torch_geometric.data import Data

    run = getattr(importlib.import_module(f"graphslim.{module}"), kind)
    asked = ["-D", name, "-M", method.replace("-", "_"), "-G", "-1", "-R", str(RATE), "--save_path", str(folder)]
    args = cli([*asked, *options], standalone_mode=False)
    args.device = "cpu"

    def fresh():
        adjacency, z = read(folder)
        x = sparse.csr_matrix((z["x_data"], z["x_indices"], z["x_indptr"]), shape=tuple(z["x_shape"])).toarray()
        pairs = adjacency.tocoo()
        given = Data(
            x=torch.from_numpy(x).float(),
            y=torch.from_numpy(z["y"]),
            edge_index=torch.from_numpy(np.stack([pairs.row, pairs.col]).astype(np.int64)),
        )
        for part in ("train", "val", "test"):
            mask = torch.zeros(len(z["y"]), dtype=torch.bool)
            mask[z[part]] = True
            given[f"{part}_mask"] = mask
            setattr(given, f"idx_{part}", z[part])
        data = TransAndInd(given, name, True)
        data.nclass = int(z["y"].max()) + 1
        return data

    seconds = []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)
        data = fresh()
        started = time.process_time()
        made = run(setting="trans", data=data, args=args).reduce(data, verbose=False)
        seconds.append(time.process_time() - started)
    adjacency = made.adj_syn
    adjacency = adjacency.to_dense() if hasattr(adjacency, "to_dense") else torch.as_tensor(np.asarray(adjacency))
    arrays = (made.feat_syn, made.labels_syn, adjacency)
    x, y, adjacency = (np.asarray(a.detach() if hasattr(a, "detach") else a) for a in arrays)
    np.savez(folder / f"{method}.npz", x=x, y=y, adjacency=adjacency)
    return {"seconds": min(seconds), "nodes": len(y)}


if __name__ == "__main__":
    work = {"sparsifiers": sparsifiers, "graphslim": graphslim, "kmeans": kmeans}[sys.argv[1]]
    print(json.dumps(work(Path(sys.argv[2]))))
