"""Learn rows by kernel inducing points: those from which a ridge regression in the NTK predicts the training part.

K is the neural tangent kernel of a wide fully connected network (`worker.numerics.ntk`); the rows X_S minimise
|| y - K(X_B, X_S) (K(X_S, X_S) + r I)^-1 y_S ||^2 over batches B of real rows (Nguyen et al., arXiv:2011.00050,
algorithm 1), with labels fixed. They begin as medoids and move by Adam. What is delivered are rows of the upload's
columns: every cell is snapped to one that occurs, and of all points passed through, the one is kept whose snapped rows
predict validation rows best, which may be the beginning. O(steps x batch x budget x features).
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from worker.contract.context import Context, seed_of
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.evidence.statistics import value_of
from worker.kinds.table.dataset import VALIDATION, Table
from worker.kinds.table.delivery import RowsParams, counts_of, made
from worker.kinds.table.metrics import measure, metrics_of
from worker.kinds.table.selection import medoids, spread
from worker.kinds.table.snap import snapped
from worker.kinds.table.summary import TableSummary
from worker.numerics.ntk import ntk

EVERY, MOST_VALIDATION = 20, 2_000
_MOMENTS = ("exp_avg", "exp_avg_sq")  # of Adam
_SHARP = 10.0  # turns ridge outputs into probabilities; the order of rows is all that matters


class KipParams(RowsParams):
    """Parameters of `kip-fc`."""

    steps: int = Field(200, ge=0, le=20_000, description="Steps of Adam.")
    batch: int = Field(500, ge=16, le=20_000, description="Real rows that a step is measured on.")
    learning_rate: float = Field(0.02, gt=0, le=10, description="Step size of Adam, in standard deviations.")
    depth: int = Field(1, ge=1, le=4, description="Hidden layers of the network whose kernel it is.")
    ridge: float = Field(1e-2, gt=0, le=100, description="Ridge, as a share of the kernel's mean diagonal.")


def predict(support: Tensor, labels: Tensor, x: Tensor, depth: int, ridge: float) -> Tensor:
    """What kernel ridge regression on rows (s, D) with labels (s, C) says of rows x (n, D): (n, C); differentiable."""
    kernel = ntk(support, depth=depth)
    eye = torch.eye(len(support), dtype=kernel.dtype, device=kernel.device)
    solved = torch.linalg.solve(kernel + ridge * kernel.diagonal().mean() * eye, labels)
    return ntk(x, support, depth=depth) @ solved


def targets(data: Table, y: np.ndarray) -> np.ndarray:
    """What the kernel regresses on, float32: one-hot minus 1/C (n, C), or a standardised number (n, 1)."""
    if data.classification:
        count = len(data.schema.classes)
        return (np.eye(count)[y] - 1 / count).astype(np.float32)
    train = data.train.y
    return ((y - train.mean()) / max(float(train.std()), 1e-12)).astype(np.float32)[:, None]


class _Validation:
    """How well snapped rows predict validation rows: the metric that judging tunes for."""

    def __init__(self, data: Table, params: KipParams, ctx: Context) -> None:
        held = data.part(VALIDATION)
        self._data, self._params, self._device = data, params, ctx.device
        drawn = np.random.default_rng(seed_of(ctx.seed, "validation")).permutation(len(held))
        self._held = held.take(drawn[:MOST_VALIDATION])  # rows may lie sorted by class

    def __call__(self, points: np.ndarray, labels: Tensor) -> float:
        data, params = self._data, self._params
        if not len(self._held) or (data.classification and len(np.unique(self._held.y)) < 2):
            return 0.0
        x = torch.from_numpy(data.encoding.transform(snapped(data, points))).to(self._device)
        with torch.no_grad():
            said = predict(x, labels, torch.from_numpy(self._held.x).to(self._device), params.depth, params.ridge)
        classes = len(data.schema.classes)
        if classes:
            probabilities = torch.softmax(_SHARP * said, 1).cpu().numpy().astype(np.float64)
            return value_of(measure(probabilities, self._held.y, classes)[metrics_of(classes)[0].name])
        train = data.train.y
        return value_of(measure(said[:, 0].cpu().numpy() * train.std() + train.mean(), self._held.y, 0)["r2"])


@method(
    kind="table",
    task="distil",
    name="kip-fc",
    version=1,
    paper="arXiv:2011.00050",
    device="any",
    cost=Cost(seconds=(Term(2.0), Term(2e-4, {"params.steps": 1, "budget": 1}), Term(2e-5, {"rows": 1}))),
)
def kip_fc(data: Table, params: KipParams, ctx: Context) -> TableSummary:
    """Learned rows from which a wide network's kernel predicts the training rows, every cell one that occurs."""
    train, device = data.train, ctx.device
    start = spread(train.x, train.weight, data.strata, counts_of(data, params), medoids, ctx)
    labels = torch.from_numpy(targets(data, train.y[start])).to(device)
    worth = _Validation(data, params, ctx)
    point = ctx.restore()
    first = 0 if point is None else point.step
    stored = {"support": train.x[start], "best": train.x[start]} if point is None else point.arrays
    best = stored["best"].copy()
    curve = [{"step": 0.0, "validation": worth(best, labels)}] if point is None else list(point.state["curve"])
    support = torch.from_numpy(stored["support"].copy()).to(device).requires_grad_(True)
    optimiser = torch.optim.Adam([support], params.learning_rate)
    if point is not None:
        optimiser.state[support] = {
            "step": torch.tensor(float(first)),
            **{name: torch.from_numpy(stored[name].copy()).to(device) for name in _MOMENTS},
        }
    for step in range(first, params.steps):
        ctx.progress(step, params.steps, phase="learn", validation=curve[-1]["validation"])
        rows = np.random.default_rng([ctx.seed, step]).integers(0, len(train), params.batch)
        x, y = (torch.from_numpy(part).to(device) for part in (train.x[rows], targets(data, train.y[rows])))
        loss = (predict(support, labels, x, params.depth, params.ridge) - y).square().sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % EVERY == 0:
            points = support.detach().cpu().numpy().copy()
            curve.append({"step": step + 1.0, "loss": float(loss.detach()), "validation": worth(points, labels)})
            if curve[-1]["validation"] > max(one["validation"] for one in curve[:-1]):
                best = points
            moments = {name: optimiser.state[support][name] for name in _MOMENTS}
            ctx.checkpoint(step + 1, {"support": points, "best": best, **moments}, {"curve": curve})
    at = int(np.argmax([one["validation"] for one in curve]))
    origin = Origin(
        "kip-fc",
        settings=params.model_dump() | {"rows": len(start)},
        curve=tuple(curve),
        best_step=int(curve[at]["step"]),
    )
    return made(data, best, start, data.strata[start], origin)
