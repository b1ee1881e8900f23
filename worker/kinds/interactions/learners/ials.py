"""iALS: matrix factorisation of implicit feedback by alternating least squares (Hu, Koren, Volinsky 2008).

    sum_observed x_ui (1 - <p_u, q_i>)^2 + a sum_all <p_u, q_i>^2 + reg (sum_u n_u |p_u|^2 + sum_i n_i |q_i|^2)

with n_u = |row u| + a I and n_i alike, the scaling with which tuned iALS is a strong baseline (Rendle et al. 2021,
arXiv:2110.14037). Users come first, so a training row is nothing but its history: real users are folded in by the same
solve that training does, and a row of weight w acts as w equal rows. Every half step costs events k^2 + rows k^3.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.interactions.learners.half_step import HalfStep, solve
from worker.kinds.interactions.rows import UserRows

FACTORS, STEPS = 64, 12
UNOBSERVED = (0.1, 0.3, 1.0)
REGULARISATIONS = (0.002, 0.01, 0.03)
_SCALE = 0.1  # of the initial factors, over the root of their number


@dataclass(frozen=True)
class IALS:
    """Trainings on rows: both sides of the table in blocks of like length."""

    rows: UserRows
    seed: int
    device: str
    by_user: HalfStep
    by_item: HalfStep

    @classmethod
    def of(cls, rows: UserRows, seed: int = 0, device: str = "cpu") -> IALS:
        """On rows (n, I), empty ones left out."""
        rows = rows.filled()
        mass = rows.mass
        weighted = sparse.csr_array(sparse.diags_array(mass) @ rows.matrix, dtype=np.float32)
        return cls(rows, seed, device, HalfStep.of(rows.matrix, device), HalfStep.of(weighted.T.tocsr(), device))

    def fit(self, settings: Settings, ctx: Context) -> IALSModel:
        """`STEPS` alternations at weight `unobserved` of what was not seen, and `reg`."""
        unobserved, reg = float(settings["unobserved"]), float(settings["reg"])
        width = self.rows.items
        start = np.random.default_rng(self.seed).standard_normal((width, FACTORS)) * _SCALE / FACTORS**0.5
        items = torch.from_numpy(start).to(torch.float32).to(self.device)
        mass = torch.from_numpy(self.rows.mass).to(items)
        for step in range(STEPS):
            ctx.progress(step, STEPS)
            users = solve(self.by_user, items, items.T @ items, unobserved, reg, width, ctx)
            gram = (users * mass[:, None]).T @ users
            items = solve(self.by_item, users, gram, unobserved, reg, float(mass.sum()), ctx)
        return IALSModel(items, unobserved, reg)


@dataclass(frozen=True)
class IALSModel:
    """Item factors (I, k), and what a fold-in needs beside them."""

    items: Tensor
    unobserved: float
    reg: float

    def scores(self, inputs: sparse.csr_array) -> np.ndarray:
        """<p, q_i> (q, I) float32 with p the best factors for a row of inputs (q, I); 0 for a row without events."""
        side = HalfStep.of(inputs, self.items.device)
        gram = self.items.T @ self.items
        users = solve(side, self.items, gram, self.unobserved, self.reg, inputs.shape[1], Context())
        return (users @ self.items.T).cpu().numpy()


@learner(
    kind="interactions",
    name="ials",
    label="iALS",
    usual=False,
    seeds=2,
    settings=tuple({"unobserved": a, "reg": reg} for a, reg in product(UNOBSERVED, REGULARISATIONS)),
)
def ials(rows: UserRows, params: Any, ctx: Context) -> IALS:
    """iALS on rows (n, I), tuned over the weight of the unobserved and the regularisation."""
    return IALS.of(rows, ctx.seed, ctx.device)
