"""Rows for a table as users of scikit-learn and of imbalanced-learn make them, one thread. An environment of its own:

    python3 -m venv peers && peers/bin/pip install imbalanced-learn==0.14.0 "scikit-learn<1.8"

Run by `benchmarks/tables.py` with a folder, a peer and a seed. The folder holds x (n, D), encoded rows; strata (n,),
the class or bin of each; counts (k,), rows to keep of each. Leaves x and strata of what is kept, and the numbers of
real rows.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from imblearn.under_sampling import ClusterCentroids
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin


def nearest_rows(x, strata, counts, seed):
    """Of every class, the rows nearest the centres of k-means; a row that is nearest to two stands there twice."""
    found = []
    for stratum, count in enumerate(counts):
        rows = np.flatnonzero(strata == stratum)
        centres = KMeans(count, random_state=seed).fit(x[rows]).cluster_centers_
        found.append(rows[pairwise_distances_argmin(centres, x[rows])])
    numbers = np.concatenate(found)
    return {"x": x[numbers], "strata": strata[numbers], "rows": numbers}


def cluster_centroids(x, strata, counts, seed):
    """imbalanced-learn's under-sampler of every class, as it comes: centres. With `voting="hard"` it takes the rows
    nearest them, which are those of `nearest_rows`."""
    wanted = {stratum: int(count) for stratum, count in enumerate(counts)}
    kept, of = ClusterCentroids(sampling_strategy=wanted, random_state=seed).fit_resample(x, strata)
    return {"x": kept, "strata": of}


PEERS = {
    "scikit-learn KMeans, nearest rows": nearest_rows,
    "imbalanced-learn ClusterCentroids": cluster_centroids,
}


def main(folder, peer, seed):
    x, strata, counts = (np.load(folder / f"{name}.npy") for name in ("x", "strata", "counts"))
    wall, cpu = time.perf_counter(), time.process_time()
    made = PEERS[peer](x, strata, counts, int(seed))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    np.savez(folder / "made.npz", **made)
    versions = {name: version(name) for name in ("imbalanced-learn", "scikit-learn", "numpy")}
    print(json.dumps({"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2), "versions": versions}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
