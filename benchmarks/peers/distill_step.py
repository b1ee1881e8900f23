"""Runs in the peer's own environment: a step of the official Distill-CF code on rows of `benchmarks.distill_step`.

Arguments: folder of a clone of noveens/distill_cf, rows.npy (users, items), budget, draws, steps. The clone's
`model.py` is used as it is; only `scipy.linalg.solve`'s argument `sym_pos`, which newer JAX no longer knows, is
translated. Environment as in `ntk.py`.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import jax
import numpy as np
from jax import scipy as jax_scipy

clone, rows_file, budget, draws, steps = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
solve = jax_scipy.linalg.solve
jax_scipy.linalg.solve = lambda a, b, sym_pos=False, **given: solve(a, b, assume_a="pos" if sym_pos else "gen", **given)
sys.path.insert(0, clone)
from model import make_loss_fn  # noqa: E402

rows = np.load(rows_file)
parameters = {
    "depth": 1,
    "num_items": rows.shape[1],
    "num_users": rows.shape[0],
    "num_interactions": float(rows.sum()),
    "gumbel_tau": 10.0,
    "num_per_user": draws,
    "cardinality_reg": 1e-3,
}
loss = make_loss_fn(parameters)[0]
gradient = jax.jit(jax.grad(lambda x, target, key: loss(x, target, key, reg=1e-3), has_aux=True))
start = jax.numpy.asarray(rows[np.random.default_rng(0).choice(len(rows), budget, replace=False)])
target, key, times = jax.numpy.asarray(rows), jax.random.PRNGKey(0), []
for _ in range(steps + 1):  # the first includes compilation
    began = time.perf_counter()
    gradient(start, target, key)[0].block_until_ready()
    times.append(time.perf_counter() - began)
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
sys.stdout.write(json.dumps({"step_s": min(times[1:]), "peak_mb": peak_mb, "jax": jax.__version__}) + "\n")
