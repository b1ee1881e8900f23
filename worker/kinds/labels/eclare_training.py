"""How the network of ECLARE is trained: on all labels of a document, or on a shortlist of them."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from torch import Tensor
from torch.nn import functional

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.labels.networks.eclare import EclareNetwork
from worker.kinds.labels.ranking import CELLS

EPOCHS, RATE, BATCH = 8, 5e-3, 255


def train(
    net: EclareNetwork,
    rows: sparse.csr_matrix,
    targets: sparse.csr_matrix,
    weights: np.ndarray,
    ctx: Context,
    shortlist: sparse.csr_matrix | None = None,
) -> None:
    """Binary cross-entropy, Adam, the rate halved half way; documents (n, v) count by their weights (n,).

    `shortlist`: (n, L), nonzero for the labels that a document is trained on, its own among them; None: all. Raises
    `JobError` `diverged` when the loss is not a number.
    """
    rng, device, count = np.random.default_rng(ctx.seed), net.table.device, rows.shape[0]
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=RATE)
    size = min(BATCH, max(1, CELLS // (2 * targets.shape[1])))
    steps, step, loss = EPOCHS * -(-count // size), 0, torch.zeros(())
    net.train()
    for epoch in range(EPOCHS):
        if epoch == EPOCHS // 2:
            optimiser.param_groups[0]["lr"] /= 2
        order = rng.permutation(count)
        for start in range(0, count, size):
            ctx.progress(step, steps)
            chosen = order[start : start + size]
            logits, wanted, asked = _batch(net, rows[chosen], targets[chosen], shortlist, chosen)
            each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
            each = (each if asked is None else each * asked).sum(dim=1)
            weight = torch.from_numpy(weights[chosen]).float().to(device)
            loss = (each * weight).sum() / weight.sum().clamp_min(1e-12)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            step += 1
    if not bool(torch.isfinite(loss)):
        raise JobError("diverged", "The network's loss is not a number.")


def _batch(
    net: EclareNetwork, rows: sparse.csr_matrix, targets: sparse.csr_matrix, shortlist: sparse.csr_matrix | None,
    chosen: np.ndarray,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    """Logits and targets (b, c) of a batch, and which of them count; None: all."""
    device = net.table.device
    if shortlist is None:
        return net(rows), torch.from_numpy(targets.toarray()).to(device), None
    short = shortlist[chosen]
    labels = np.unique(short.indices)  # those of any document of the batch
    asked = torch.from_numpy((short[:, labels].toarray() != 0).astype(np.float32)).to(device)
    wanted = torch.from_numpy(targets[:, labels].toarray()).to(device)
    return net(rows, torch.from_numpy(labels.astype(np.int64)).to(device)), wanted, asked


@torch.no_grad()
def own_vectors(net: EclareNetwork, rows: sparse.csr_matrix, targets: sparse.csr_matrix, weights: np.ndarray) -> Tensor:
    """Where z3 starts: the sum of a label's documents, of length 1; of a label without any, its vector: (L, d).

    Published: G Z E, the texts of the labels it is met with. Documents are what it has to be near to.
    """
    net.eval()
    total = np.zeros((targets.shape[1], net.table.shape[1]), np.float32)
    for start in range(0, rows.shape[0], 4096):
        batch = slice(start, start + 4096)
        x = net.documents(rows[batch]).cpu().numpy() * weights[batch, None]
        total += targets[batch].T @ x.astype(np.float32)
    found = functional.normalize(torch.from_numpy(total).to(net.table.device), dim=1)
    return torch.where(found.abs().sum(dim=1, keepdim=True) > 0, found, net.labels())


def word_vectors(rows: sparse.csr_matrix, width: int, seed: int) -> np.ndarray:
    """The first right singular vectors of rows (n, v), scaled so that a word's vector has length 1 on average."""
    rank = max(1, min(width, min(rows.shape) - 1))
    _, _, directions = randomized_svd(rows, rank, random_state=seed % 2**32)
    table = np.zeros((rows.shape[1], width), np.float32)
    table[:, :rank] = directions.T
    return table * np.float32((len(table) / max(float((table**2).sum()), 1e-12)) ** 0.5)
