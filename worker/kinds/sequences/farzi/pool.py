"""Omega: parameters along ordinary trainings on the full data, from which inner trainings may start.

A summary that is only ever met by fresh networks need not serve one that is nearly done; the paper therefore starts
from such a pool. Trajectories are kept, so a resumed job trains none twice.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worker.contract.context import Context
from worker.kinds.sequences.fitting import Fitting, Recipe
from worker.kinds.sequences.forms import TrainingSet
from worker.numerics.adam import Layout
from worker.numerics.seeds import mix

LAST = 240  # training steps of a trajectory: about where validation is best


def omega(full: TrainingSet, recipe: Recipe, name: str, trajectories: int, each: int, ctx: Context) -> Tensor | None:
    """Parameters float32 (trajectories * each, P), evenly spaced along trainings of different seeds; None for none."""
    if not trajectories:
        return None
    kept = ctx.keep(f"omega-{name}")
    for number in range(len(kept), trajectories):
        with ctx.part(f"omega {name} {number}", number, trajectories) as part:
            fitting = Fitting(recipe, full, mix(ctx.seed, number, 7) % 2**32, ctx.device)
            points: list[np.ndarray] = []
            for point in range(1, each + 1):
                network = fitting.fit({"steps": max(1, LAST * point // each)}, part).net
                points.append(Layout.of(network).vector(network).cpu().numpy())
            kept.append({"theta": np.stack(points)})
    return torch.from_numpy(np.concatenate([entry["theta"] for entry in kept][:trajectories]))
