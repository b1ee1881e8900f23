"""Keep the real rows nearest the centres of k-means in the latent space of a small supervised autoencoder.

The autoencoder (encoded features -> 64 -> 16 and back) must both give the features back and tell the label, so that
rows are near in the latent space that are alike in what matters (after Kang et al., arXiv:2501.13905, which decodes
the centres; real rows are kept here, since decoded ones are no rows). One training on the training part.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from worker.contract.context import Context, seed_of
from worker.contract.method import Cost, Term, method
from worker.kinds.table.dataset import Table
from worker.kinds.table.delivery import RowsParams, pick_by
from worker.kinds.table.selection import medoids
from worker.kinds.table.summary import TableSummary

WIDTH, LATENT, BATCH = 64, 16, 256


class LatentKMeansParams(RowsParams):
    """Parameters of `latent-k-means`."""

    steps: int = Field(1_000, ge=50, le=50_000, description="Training steps of the autoencoder, 256 rows each.")


class Autoencoder(nn.Module):
    """`forward(x)` (n, D) -> latent (n, 16), features (n, D), label (n, C), or (n, 1) of a number."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(features, WIDTH), nn.ReLU(), nn.Linear(WIDTH, LATENT))
        self.decode = nn.Sequential(nn.ReLU(), nn.Linear(LATENT, WIDTH), nn.ReLU(), nn.Linear(WIDTH, features))
        self.label = nn.Sequential(nn.ReLU(), nn.Linear(LATENT, outputs))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The latent, and what is made of it."""
        latent = self.encode(x)
        return latent, self.decode(latent), self.label(latent)


def latent_points(data: Table, steps: int, ctx: Context) -> np.ndarray:
    """The training rows (t, 16) in the latent space, each dimension at unit variance."""
    train, classes = data.train, len(data.schema.classes)
    rng = np.random.default_rng(seed_of(ctx.seed, "batches"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(ctx.seed, "autoencoder"))
        model = Autoencoder(train.x.shape[1], classes or 1).to(ctx.device)
    target = train.y if classes else (train.y - train.y.mean()) / max(float(train.y.std()), 1e-12)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    order = np.empty(0, np.int64)
    for step in range(steps):
        ctx.progress(step, steps, phase="autoencoder")
        if len(order) < BATCH:
            order = rng.permutation(len(train))
        rows, order = order[:BATCH], order[BATCH:]
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * 0.5 * (1 + math.cos(math.pi * step / steps))
        x = torch.from_numpy(train.x[rows]).to(ctx.device)
        _, features, label = model(x)
        if classes:
            told = nn.functional.cross_entropy(label, torch.from_numpy(target[rows]).to(ctx.device))
        else:
            told = (label[:, 0] - torch.from_numpy(target[rows].astype(np.float32)).to(ctx.device)).square().mean()
        loss = (features - x).square().sum(1).mean() / x.shape[1] + told
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        latent = model(torch.from_numpy(train.x).to(ctx.device))[0].cpu().numpy()
    return ((latent - latent.mean(axis=0)) / np.maximum(latent.std(axis=0), 1e-6)).astype(np.float32)


@method(
    kind="table",
    task="select",
    name="latent-k-means",
    version=1,
    paper="arXiv:2501.13905",
    device="any",
    cost=Cost(seconds=(Term(1.0), Term(2e-3, {"params.steps": 1}), Term(2e-5, {"rows": 1}))),
)
def latent_k_means(data: Table, params: LatentKMeansParams, ctx: Context) -> TableSummary:
    """Real rows at the centres of clusters in the latent space of a supervised autoencoder."""
    return pick_by(data, latent_points(data, params.steps, ctx), medoids, "latent-k-means", params, ctx)
