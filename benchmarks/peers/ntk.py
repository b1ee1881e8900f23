"""Runs in the peer's own environment: the NTK of `neural-tangents` for rows saved by a benchmark.

    python benchmarks/peers/ntk.py rows.npy kernel.npy DEPTH [--other other.npy] [--calls 2]

K(rows, rows), or K(rows, other), in the precision of the rows. The environment (a newer tf2jax wants a newer jax):

python -m venv peers && peers/bin/pip install neural-tangents==0.6.5 "jax==0.4.30" "jaxlib==0.4.30" "tf2jax==0.3.6" \
    "numpy<2" scipy
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import jax
import neural_tangents
import numpy as np
from neural_tangents import stax

parser = argparse.ArgumentParser()
parser.add_argument("rows", type=Path)
parser.add_argument("kernel", type=Path)
parser.add_argument("depth", type=int)
parser.add_argument("--other", type=Path)
parser.add_argument("--calls", type=int, default=2, help="timed, after one that compiles")
given = parser.parse_args()
rows = np.load(given.rows)
other = None if given.other is None else np.load(given.other)
jax.config.update("jax_enable_x64", rows.dtype == np.float64)
layers = []
for _ in range(given.depth):
    layers += [stax.Dense(1024, W_std=2**0.5, b_std=0.1), stax.Relu()]
kernel = stax.serial(*layers, stax.Dense(1, W_std=2**0.5, b_std=0.1))[2]
compiled = jax.jit(lambda x, y: kernel(x, y, "ntk"))
seconds, cpu = [], []
for _ in range(1 + given.calls):  # the first includes compilation
    started = time.perf_counter(), time.process_time()
    values = compiled(rows, other).block_until_ready()
    seconds.append(time.perf_counter() - started[0])
    cpu.append(time.process_time() - started[1])
np.save(given.kernel, np.asarray(values))
versions = {"jax": jax.__version__, "neural-tangents": neural_tangents.__version__}
found = {"first_s": seconds[0], "s": min(seconds[1:]), "cpu_s": min(cpu[1:]), "versions": versions}
sys.stdout.write(json.dumps(found) + "\n")
