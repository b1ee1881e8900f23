"""A network on sparse rows: the sum of the vectors of a document's features, weighted, and a linear layer to labels.

Without activation it is a linear model of low rank, which suits short texts of many words; with ReLU and dropout it is
a network with one hidden layer, for documents of few features and many labels. A step moves the vectors of the
features that its documents hold, and costs accordingly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.labels.networks.row_adam import RowAdam


@dataclass(frozen=True)
class Recipe:
    """How the network is built and trained.

    `softmax`: the loss is cross-entropy with a distribution over labels, for documents of few labels; else binary
    cross-entropy of every label, the output bias starting at `bias`. `feature_dropout`: the share of features that are
    left out of a document in a step. Adam's rate falls from `rate` to 0.
    """

    width: int = 128
    hidden: bool = False
    softmax: bool = True
    dropout: float = 0.0
    feature_dropout: float = 0.2
    bias: float = 0.0
    rate: float = 1e-2
    batch: int = 256
    epochs: int = 4


class BagNetwork(nn.Module):
    """Rows (b, v) to logits (b, L). `vectors`: (v, d), moved by the rows that a step reads, not by `parameters()`."""

    vectors: Tensor

    def __init__(self, features: int, labels: int, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.register_buffer("vectors", torch.randn(features, recipe.width) * recipe.width**-0.5)
        self.out = nn.Linear(recipe.width, labels)
        self.shift = nn.Parameter(torch.zeros(recipe.width if recipe.hidden else 0))
        nn.init.normal_(self.out.weight, std=recipe.width**-0.5)
        nn.init.constant_(self.out.bias, recipe.bias)

    def forward(self, rows: sparse.csr_matrix, vectors: Tensor) -> Tensor:
        """Logits (b, L) of rows (b, u) over vectors (u, d)."""
        device = vectors.device
        terms, values, starts = (
            torch.from_numpy(rows.indices.astype(np.int64)).to(device),
            torch.from_numpy(rows.data.astype(np.float32)).to(device),
            torch.from_numpy(rows.indptr[:-1].astype(np.int64)).to(device),
        )
        vector = functional.embedding_bag(terms, vectors, starts, mode="sum", per_sample_weights=values)
        if self.recipe.hidden:
            vector = functional.dropout(functional.relu(vector + self.shift), self.recipe.dropout, self.training)
        return self.out(vector)

    @torch.no_grad()
    def probabilities(self, rows: sparse.csr_matrix) -> np.ndarray:
        """Of rows (b, v), float32 (b, L): over labels, summing to 1, or of each label alone."""
        self.eval()
        logits = self(rows, self.vectors)
        found = torch.softmax(logits, dim=1) if self.recipe.softmax else torch.sigmoid(logits)
        return found.cpu().numpy()


def train(
    rows: sparse.csr_matrix, targets: sparse.csr_matrix, weights: np.ndarray, recipe: Recipe, ctx: Context
) -> BagNetwork:
    """The network trained on rows (n, v) and targets (n, L), each row counting by its weight (n,).

    Targets are distributions with `softmax` and 0 to 1 else. Random numbers come from `ctx.seed`. Raises `JobError`
    `diverged` when the loss is not a number.
    """
    rng, device = np.random.default_rng(ctx.seed), torch.device(ctx.device)
    count = rows.shape[0]
    steps, step, loss = recipe.epochs * -(-count // recipe.batch), 0, torch.zeros(())
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        torch.manual_seed(ctx.seed)
        net = BagNetwork(rows.shape[1], targets.shape[1], recipe).to(device).train()
        of_vectors, of_others = RowAdam(net.vectors), torch.optim.Adam(net.parameters())
        for _ in range(recipe.epochs):
            order = rng.permutation(count)
            for start in range(0, count, recipe.batch):
                ctx.progress(step, steps, phase="network")
                chosen = order[start : start + recipe.batch]
                read, local = _local(_thinned(rows[chosen], recipe.feature_dropout, rng))
                terms = torch.from_numpy(read).to(device)
                vectors = net.vectors[terms].requires_grad_()
                wanted = torch.from_numpy(targets[chosen].toarray().astype(np.float32)).to(device)
                weight = torch.from_numpy(weights[chosen]).float().to(device)
                loss = _loss(net(local, vectors), wanted, weight, recipe)
                of_others.zero_grad(set_to_none=True)
                loss.backward()
                rate = recipe.rate * (1 - step / steps)
                of_others.param_groups[0]["lr"] = rate
                of_others.step()
                if vectors.grad is not None:
                    of_vectors.step(terms, vectors.grad, rate)
                step += 1
    if not bool(torch.isfinite(loss)):
        raise JobError("diverged", "The network's loss is not a number.")
    return net.eval()


def _loss(logits: Tensor, wanted: Tensor, weights: Tensor, recipe: Recipe) -> Tensor:
    if recipe.softmax:
        each = functional.cross_entropy(logits, wanted, reduction="none")
    else:
        each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(dim=1)
    return (each * weights).sum() / weights.sum().clamp_min(1e-12)


def _local(rows: sparse.csr_matrix) -> tuple[np.ndarray, sparse.csr_matrix]:
    """The columns int64 (u,) that rows have, and the rows over these alone (b, u)."""
    read, indices = np.unique(rows.indices, return_inverse=True)
    return read.astype(np.int64), sparse.csr_matrix((rows.data, indices, rows.indptr), (rows.shape[0], len(read)))


def _thinned(rows: sparse.csr_matrix, share: float, rng: np.random.Generator) -> sparse.csr_matrix:
    """Rows without a random share of their entries, the others scaled up for it."""
    if share == 0:
        return rows
    kept = rng.random(len(rows.data)) >= share
    indptr = np.concatenate([[0], np.cumsum(kept)])[rows.indptr]
    return sparse.csr_matrix((rows.data[kept] / (1 - share), rows.indices[kept], indptr), rows.shape)
