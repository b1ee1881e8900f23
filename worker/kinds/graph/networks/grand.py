"""GRAND (arXiv:2005.11079): random propagation and consistency, a network that learns much from few labels.

Logits = relu(P X W1 + b1) W2 + b2 with P = mean over k = 0..K of Â^k. X W1 is taken first, so that `hidden` columns are
propagated and not all features. In training, features are dropped, whole rows are dropped (DropNode) `MASKS` times, and
the predictions of the masks are drawn to their sharpened mean on all nodes, labelled or not:

    loss = mean_s NLL(train) + lambda_t mean_{s,i} |p_si - sharp(mean_s p_si)|²,  sharp(p) = p^(1/tau) / sum
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.contract.context import Context
from worker.kinds.graph.dataset import TRAIN, Graph
from worker.kinds.graph.held import Held
from worker.kinds.graph.networks.fitting import seeded
from worker.kinds.graph.networks.products import Sparse
from worker.kinds.graph.networks.thinned import Thinned

MASKS, DROP, WARM_UP = 2, 0.5, 50
LOOK = 4  # epochs between two looks at validation


@dataclass(frozen=True)
class Recipe:
    """`hops`: K; `temperature`: tau; `rate` and `weight_decay` of Adam; `epochs` at most; `hidden` columns."""

    hops: int = 8
    temperature: float = 0.5
    rate: float = 0.01
    epochs: int = 300
    hidden: int = 32
    weight_decay: float = 5e-4


Parameters = dict[str, np.ndarray]
"""`first` (d, h), `first_bias` (h,), `second` (h, C), `second_bias` (C,) float32, `hops` int64 ()."""


def train(seen: Graph, validation: Held | None, recipe: Recipe, ctx: Context) -> Parameters:
    """The parameters that are best on validation, ties to the lower loss there; the last ones without validation.

    `seen`: a visible graph; labels of its TRAIN nodes are used and no others.
    """
    device = ctx.device
    with seeded(ctx.seed, device):
        weights = _fresh(seen, recipe, device)
        x = Thinned.of(seen.x, device)
        operator = Sparse.of(seen.operator, device, symmetric=True)
        nodes = np.flatnonzero(seen.split == TRAIN)
        labelled, y = torch.from_numpy(nodes).to(device), torch.from_numpy(seen.y[nodes]).to(device)
        optimiser = torch.optim.Adam(list(weights.values()), lr=recipe.rate, weight_decay=recipe.weight_decay)
        best, kept = (-1.0, -np.inf), copy.deepcopy(weights)
        for epoch in range(recipe.epochs):
            if epoch % LOOK == 0:
                ctx.progress(epoch, recipe.epochs)
            optimiser.zero_grad(set_to_none=True)
            logits = _masked(x, operator, weights, recipe, seen.n)
            loss = _loss(logits, labelled, y, recipe, epoch)
            loss.backward()
            optimiser.step()
            if validation is not None and len(validation) and epoch % LOOK == LOOK - 1:
                worth = _worth(_numpy(weights, recipe), validation)
                if worth > best:
                    best, kept = worth, copy.deepcopy(weights)
    return _numpy(kept if best[0] >= 0 else weights, recipe)


def probabilities(parameters: Parameters, x: np.ndarray | sparse.csr_array, operator: sparse.csr_array) -> np.ndarray:
    """Clean predictions float32 (N, C), rows summing to 1: no dropout."""
    block = np.asarray(x @ parameters["first"], dtype=np.float32)
    total = block.copy()
    hops = int(parameters["hops"])
    for _ in range(hops):
        block = operator @ block
        total += block
    h = np.maximum(total / (hops + 1) + parameters["first_bias"], 0)
    logits = h @ parameters["second"] + parameters["second_bias"]
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    return logits / logits.sum(axis=1, keepdims=True)


def several(
    teachers: dict[str, np.ndarray], x: np.ndarray | sparse.csr_array, operator: sparse.csr_array
) -> np.ndarray:
    """The mean prediction (N, C) of teachers whose parameters are called "<number>/<name>"."""
    numbers = sorted({name.partition("/")[0] for name in teachers})
    total: np.ndarray | None = None
    for number in numbers:
        one = {name.partition("/")[2]: value for name, value in teachers.items() if name.startswith(f"{number}/")}
        found = probabilities(one, x, operator)
        total = found if total is None else total + found
    assert total is not None  # noqa: S101 - there is at least one teacher
    return total / len(numbers)


def _worth(parameters: Parameters, held: Held) -> tuple[float, float]:
    """Right predictions of held-out nodes, and minus their loss."""
    p = probabilities(parameters, held.x, held.operator)[held.nodes]
    right = float((p.argmax(axis=1) == held.y).sum())
    return right, float(np.log(np.maximum(p[np.arange(len(p)), held.y], 1e-12)).mean())


def _fresh(seen: Graph, recipe: Recipe, device: str) -> dict[str, Tensor]:
    first = torch.nn.init.xavier_uniform_(torch.empty(seen.d, recipe.hidden))
    second = torch.nn.init.xavier_uniform_(torch.empty(recipe.hidden, seen.n_classes))
    found = {
        "first": first,
        "first_bias": torch.zeros(recipe.hidden),
        "second": second,
        "second_bias": torch.zeros(seen.n_classes),
    }
    return {name: value.to(device).requires_grad_() for name, value in found.items()}


def _numpy(weights: dict[str, Tensor], recipe: Recipe) -> Parameters:
    found = {name: value.detach().cpu().numpy().copy() for name, value in weights.items()}
    return found | {"hops": np.array(recipe.hops, np.int64)}


def _masked(x: Thinned, operator: Sparse, weights: dict[str, Tensor], recipe: Recipe, n: int) -> Tensor:
    """Logits (MASKS, N, C), one for each mask of rows."""
    block = x.thinned(DROP) @ weights["first"]
    kept = (torch.rand(n, MASKS, device=block.device) >= DROP).float() / (1 - DROP)
    block = (kept[:, :, None] * block[:, None, :]).reshape(n, -1)
    total = block
    for _ in range(recipe.hops):
        block = operator @ block
        total = total + block
    h = (total / (recipe.hops + 1)).reshape(n, MASKS, recipe.hidden).transpose(0, 1)
    h = torch.nn.functional.dropout(torch.relu(h + weights["first_bias"]), DROP)
    return h @ weights["second"] + weights["second_bias"]


def _loss(logits: Tensor, labelled: Tensor, y: Tensor, recipe: Recipe, epoch: int) -> Tensor:
    logs = torch.log_softmax(logits, dim=2)
    supervised = -logs[:, labelled].gather(2, y.expand(MASKS, -1)[:, :, None]).mean()
    p = logs.exp()
    sharp = p.detach().mean(dim=0) ** (1 / recipe.temperature)
    sharp = sharp / sharp.sum(dim=1, keepdim=True)
    consistency = (p - sharp).square().sum(dim=2).mean()
    return supervised + min(1.0, (epoch + 1) / WARM_UP) * consistency
