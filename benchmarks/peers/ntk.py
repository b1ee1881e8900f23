"""Runs in the peer's own environment: the NTK of `neural-tangents` for rows saved by `benchmarks.infinite_ae`.

python -m venv peers && peers/bin/pip install neural-tangents==0.6.5 "jax==0.4.30" "jaxlib==0.4.30" "numpy<2" scipy
"""

from __future__ import annotations

import json
import sys
import time

import jax
import neural_tangents
import numpy as np
from neural_tangents import stax

rows_file, kernel_file, depth = sys.argv[1], sys.argv[2], int(sys.argv[3])
rows = np.load(rows_file)
layers = []
for _ in range(depth):
    layers += [stax.Dense(1024, W_std=2**0.5, b_std=0.1), stax.Relu()]
kernel = stax.serial(*layers, stax.Dense(1, W_std=2**0.5, b_std=0.1))[2]
compiled = jax.jit(lambda x: kernel(x, None, "ntk"))
times = []
for _ in range(3):  # the first includes compilation
    started = time.perf_counter()
    values = compiled(rows).block_until_ready()
    times.append(time.perf_counter() - started)
np.save(kernel_file, np.asarray(values))
versions = {"jax": jax.__version__, "neural-tangents": neural_tangents.__version__}
sys.stdout.write(json.dumps({"first_s": times[0], "s": min(times[1:]), "versions": versions}) + "\n")
