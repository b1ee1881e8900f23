"""Runs in the peer's own environment: facility location by the lazy greedy of `apricot-select`, for `image_parts`.

    python -m benchmarks.peers.facility_location features.npy COUNT chosen.npy

It takes similarities as a matrix: the largest distance less the distance, which are counted to its time. The first call
is left out; since every fit compiles anew, the time of a small one stands beside. apricot 0.6.1 asks for no
scikit-learn, but imports it. The environment:

python -m venv peers && peers/bin/pip install apricot-select==0.6.1 scikit-learn==1.9.1
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import numpy as np
from apricot import FacilityLocationSelection
from sklearn.metrics import pairwise_distances

from benchmarks.peak import Peak


def choose(features: np.ndarray, count: int) -> np.ndarray:
    """Rows in the order chosen."""
    distances = pairwise_distances(features.astype(np.float64))
    found = FacilityLocationSelection(count, metric="precomputed", optimizer="lazy")
    return found.fit(distances.max() - distances).ranking


def seconds(features: np.ndarray, count: int) -> float:
    """CPU seconds of a choice, whose rows are kept."""
    started = time.process_time()
    np.save(sys.argv[3], choose(features, count))
    return time.process_time() - started


features, count = np.load(sys.argv[1]), int(sys.argv[2])
_, small = (seconds(features[:100], 2) for _ in range(2))
peak = Peak()
taken = seconds(features, count)
versions = {name: version(name) for name in ("apricot-select", "numba", "numpy", "scikit-learn")}
print(json.dumps({"cpu_s": taken, "small_cpu_s": small, "peak_mb": peak.mb(), "versions": versions}))
