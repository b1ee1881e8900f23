"""Farzi at a size that takes moments."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.kinds.sequences.planted import planted
from worker.kinds.sequences.farzi import initial
from worker.kinds.sequences.farzi.meta import Real
from worker.kinds.sequences.farzi.synthetic import Synthetic
from worker.kinds.sequences.forms import TrainingSet

SMALL: dict[str, Any] = {
    "n_sequences": 5, "sequence_length": 4, "latent_dim": 6, "inner_steps": 6, "window": 3, "outer_steps": 3,
    "validate_every": 2, "validate_seeds": 1, "outer_places": 40,
}  # fmt: skip


DATA = planted(60, items=20)


def made(tied: bool, rank: int = 6, seed: int = 0) -> Synthetic:
    rows = initial.inputs_of(DATA.training().rows, DATA.n_items, (5, 4), "bigrams", np.random.default_rng(seed))
    generator = torch.Generator().manual_seed(seed)
    return initial.at_random(rows, DATA.n_items, DATA.max_len, rank, 0.7, tied, generator)


def real(places: int = 60) -> Real:
    return Real(TrainingSet.of(DATA.training().rows, DATA.n_items, DATA.max_len), None, places)
