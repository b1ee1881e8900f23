"""Runs in the peer's own environment: iALS and neighbours of `implicit` on rows saved by `benchmarks.recommenders`.

python -m venv peers && peers/bin/pip install implicit==0.7.3 scipy
"""

from __future__ import annotations

import json
import sys
import time

import implicit
import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from scipy import sparse

file, factors, steps, neighbours = sys.argv[1], *map(int, sys.argv[2:5])
with np.load(file) as saved:
    parts = saved["data"], saved["indices"], saved["indptr"]
    rows = sparse.csr_matrix(parts, shape=tuple(saved["shape"])).astype(np.float32)
found = {"versions": {"implicit": implicit.__version__}}
for name, model in {
    "ials": AlternatingLeastSquares(factors, iterations=steps, num_threads=1, use_cg=False, random_state=0),
    "ials, conjugate gradients": AlternatingLeastSquares(factors, iterations=steps, num_threads=1, random_state=0),
    "item-knn": CosineRecommender(K=neighbours, num_threads=1),
}.items():
    times = []
    for _ in range(2):
        started = time.perf_counter()
        model.fit(rows, show_progress=False)
        times.append(time.perf_counter() - started)
    found[name] = min(times)
sys.stdout.write(json.dumps(found) + "\n")
