"""Relays: small models whose gradients on synthetic nodes are to be those on the real ones, class by class.

`LinearRelay` is softmax regression W (d, C) on H = Â^K X, SGC with one map (GCond's relay for Cora, PubMed and Reddit).
The gradient of the mean negative log-likelihood of the nodes of class c has a closed form,

    G_c = H_c^T (softmax(H_c W) - Y_c) / m_c        (d, C)

so matching it takes one backward pass. `GCNRelay` is a GCN of two layers, by automatic differentiation and twice.
Distances compare gradients as a list of stacks (k, a, b), one stack for each weight matrix, of each of k classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from worker.kinds.graph.condensation.experts import RealNodes, Shape, fresh_weight

EPS = 1e-6
CLASS_ROWS = 1024
Stacks = Sequence[Tensor]
Distance = Callable[[Stacks, Stacks], Tensor]


def class_gradients(rows: Sequence[Tensor], classes: Sequence[int], weight: Tensor) -> Tensor:
    """G (len(classes), d, C): of each class's rows (m_c, d) under `weight` (d, C)."""
    found = []
    for one, number in zip(rows, classes, strict=True):
        residual = torch.softmax(one @ weight, dim=1)
        residual = residual - functional.one_hot(torch.tensor(number), weight.shape[1]).to(residual)
        found.append(one.T @ residual / len(one))
    return torch.stack(found)


def mean_gradient(h: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Gradient (d, C) of the mean cross-entropy of all rows h (n, d) to label probabilities `target` (n, C)."""
    return h.T @ (torch.softmax(h @ weight, dim=1) - target) / len(h)


def columns_apart(synthetic: Stacks, real: Stacks) -> Tensor:
    """GCond's distance (arXiv:2110.07580, equation 9) for each class (k,): the sum over matrices and their output
    columns of 1 - cosine, 1e-6 added to the denominator."""
    found = []
    for one, other in zip(synthetic, real, strict=True):
        dot = (one * other).sum(1)
        found.append((1 - dot / (one.norm(dim=1) * other.norm(dim=1) + EPS)).sum(1))
    return torch.stack(found).sum(0)


def squares_apart(synthetic: Stacks, real: Stacks) -> Tensor:
    """Sum of squared differences for each class (k,)."""
    return (_flat(synthetic) - _flat(real)).square().sum(1)


def angle_apart(synthetic: Stacks, real: Stacks) -> Tensor:
    """1 - the one cosine of all matrices together, for each class (k,)."""
    one, other = _flat(synthetic), _flat(real)
    return 1 - (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1) + EPS)


def _flat(stacks: Stacks) -> Tensor:
    """(k, numbers in all matrices)."""
    return torch.cat([one.flatten(1) for one in stacks], dim=1)


DISTANCES: dict[str, Distance] = {"ours": columns_apart, "mse": squares_apart, "cos": angle_apart}


def by_class(y: Tensor, classes: int) -> list[Tensor]:
    """Numbers of the rows of each class."""
    return [(y == c).nonzero()[:, 0] for c in range(classes)]


class LinearRelay:
    """Matches rows `real[k]` (m_k, d) of Â^K X of the train nodes of class k; at most `CLASS_ROWS` of them a match.
    `hops`: K, as often as the synthetic nodes are propagated."""

    def __init__(self, real: list[Tensor], hops: int) -> None:
        self.real, self.hops = real, hops

    def fresh(self, features: int, generator: torch.Generator) -> Tensor:
        """New parameters."""
        return fresh_weight(features, len(self.real), generator)

    def gradients(self, theta: Tensor, classes: Sequence[int], generator: torch.Generator) -> list[Tensor]:
        """Of the real nodes of each class, one stack (k, d, C)."""
        with torch.no_grad():
            return [class_gradients([_some(self.real[k], generator) for k in classes], classes, theta)]

    def synthetic(
        self, theta: Tensor, classes: Sequence[int], x: Tensor, hat: Tensor | None, members: list[Tensor]
    ) -> list[Tensor]:
        """Of the synthetic nodes, differentiable in features x (n, d) and Â' (n, n) or None."""
        h = self._spread(x, hat)
        return [class_gradients([h[members[k]] for k in classes], classes, theta)]

    def training_gradient(self, theta: Tensor, x: Tensor, hat: Tensor | None, target: Tensor) -> Tensor:
        """Gradient of the mean cross-entropy on the synthetic nodes, in the shape of the parameters."""
        return mean_gradient(self._spread(x, hat), target, theta)

    def _spread(self, x: Tensor, hat: Tensor | None) -> Tensor:
        for _ in range(0 if hat is None else self.hops):
            x = hat @ x
        return x


@dataclass(frozen=True)
class GCNRelay:
    """Matches a GCN of two layers: both weight matrices, biases left out as in GCond."""

    real: RealNodes
    shape: Shape

    def fresh(self, features: int, generator: torch.Generator) -> Tensor:
        """New parameters, as one vector."""
        return self.shape.fresh(generator)

    def gradients(self, theta: Tensor, classes: Sequence[int], generator: torch.Generator) -> list[Tensor]:
        """Of the real nodes of each class: stacks (k, d, h) and (k, h, C)."""
        theta = theta.detach().requires_grad_(True)
        logits = self.real.logits(self.shape, theta)
        return self._of(logits, self.real.y, theta, classes, by_class(self.real.y, self.shape.classes), create=False)

    def synthetic(
        self, theta: Tensor, classes: Sequence[int], x: Tensor, hat: Tensor | None, members: list[Tensor]
    ) -> list[Tensor]:
        """Of the synthetic nodes, differentiable in features x (n, d) and Â' (n, n) or None."""
        theta = theta.detach().requires_grad_(True)
        y = torch.empty(len(x), dtype=torch.int64, device=x.device)
        for k, rows in enumerate(members):
            y[rows] = k
        return self._of(self._logits(theta, x, hat), y, theta, classes, members, create=True)

    def training_gradient(self, theta: Tensor, x: Tensor, hat: Tensor | None, target: Tensor) -> Tensor:
        """Gradient of the mean cross-entropy on the synthetic nodes, in the shape of the parameters."""
        with torch.enable_grad():
            theta = theta.detach().requires_grad_(True)
            loss = functional.cross_entropy(self._logits(theta, x, hat), target)
        return torch.autograd.grad(loss, theta)[0]

    def _logits(self, theta: Tensor, x: Tensor, hat: Tensor | None) -> Tensor:
        first, bias, second, last = self.shape.parts(theta)
        x = x / self.real.scale
        hidden = torch.relu((x if hat is None else hat @ x) @ first + bias)
        return (hidden if hat is None else hat @ hidden) @ second + last

    def _of(
        self, logits: Tensor, y: Tensor, theta: Tensor, classes: Sequence[int], members: list[Tensor], *, create: bool
    ) -> list[Tensor]:
        found = []
        for k in classes:
            loss = functional.cross_entropy(logits[members[k]], y[members[k]])
            found.append(torch.autograd.grad(loss, theta, create_graph=create, retain_graph=True)[0])
        parts = [self.shape.parts(one) for one in found]
        return [torch.stack([one[0] for one in parts]), torch.stack([one[2] for one in parts])]


Relay = LinearRelay | GCNRelay


def _some(rows: Tensor, generator: torch.Generator) -> Tensor:
    if len(rows) <= CLASS_ROWS:
        return rows
    return rows[torch.randperm(len(rows), generator=generator)[:CLASS_ROWS].to(rows.device)]
