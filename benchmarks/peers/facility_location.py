"""Runs in the peer's own environment: facility location by the lazy greedy of `apricot-select`, for `image_parts`.

    python -m benchmarks.peers.facility_location features.npy COUNT chosen.npy

It takes similarities as a matrix: the largest distance less the distance, which are counted to its time. Its first call
compiles, and is left out. apricot 0.6.1 asks for no scikit-learn, but imports it. The environment:

python -m venv peers && peers/bin/pip install apricot-select==0.6.1 scikit-learn==1.9.0
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


features, count = np.load(sys.argv[1]), int(sys.argv[2])
choose(features[:200], 10)
peak, started = Peak(), time.process_time()
chosen = choose(features, count)
seconds = time.process_time() - started
np.save(sys.argv[3], chosen)
versions = {name: version(name) for name in ("apricot-select", "numba", "numpy", "scikit-learn")}
print(json.dumps({"cpu_s": seconds, "peak_mb": peak.mb(), "versions": versions}))
