"""The linear relay: softmax regression on propagated features, whose gradient has a closed form.

With one linear map W (d, C) on H = Â^K X the gradient of the mean negative log-likelihood of the nodes of class c is

    G_c = H_c^T (softmax(H_c W) - Y_c) / m_c        (d, C)

so matching gradients needs one backward pass instead of a double one (GCond's relay for Cora, PubMed and Reddit is this
very model: SGC with one map). Distances compare the gradients of two graphs, class by class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

EPS = 1e-6
Distance = Callable[[Tensor, Tensor], Tensor]


def class_gradients(rows: Sequence[Tensor], classes: Sequence[int], weight: Tensor) -> Tensor:
    """G (len(classes), d, C): of each class's rows (m_c, d) under `weight` (d, C)."""
    found = []
    for one, number in zip(rows, classes, strict=True):
        residual = torch.softmax(one @ weight, dim=1)
        residual = residual - torch.nn.functional.one_hot(torch.tensor(number), weight.shape[1]).to(residual)
        found.append(one.T @ residual / len(one))
    return torch.stack(found)


def mean_gradient(h: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Gradient (d, C) of the mean cross-entropy of all rows h (n, d) to label probabilities `target` (n, C)."""
    return h.T @ (torch.softmax(h @ weight, dim=1) - target) / len(h)


def columns_apart(synthetic: Tensor, real: Tensor) -> Tensor:
    """GCond's distance (arXiv:2110.07580, equation 9) for each class (k,) of gradients (k, d, C): the sum over output
    columns of 1 - cosine, 1e-6 added to the denominator."""
    dot = (synthetic * real).sum(1)
    return (1 - dot / (synthetic.norm(dim=1) * real.norm(dim=1) + EPS)).sum(1)


def squares_apart(synthetic: Tensor, real: Tensor) -> Tensor:
    """Sum of squared differences for each class (k,)."""
    return (synthetic - real).square().sum((1, 2))


def angle_apart(synthetic: Tensor, real: Tensor) -> Tensor:
    """1 - cosine of the whole gradients for each class (k,)."""
    dot = (synthetic * real).sum((1, 2))
    return 1 - dot / (synthetic.flatten(1).norm(dim=1) * real.flatten(1).norm(dim=1) + EPS)


DISTANCES: dict[str, Distance] = {"ours": columns_apart, "mse": squares_apart, "cos": angle_apart}


def fresh_weight(features: int, classes: int, generator: torch.Generator) -> Tensor:
    """A new relay (d, C), uniform in ±sqrt(6 / (d + C)) (Glorot)."""
    bound = (6 / (features + classes)) ** 0.5
    return (torch.rand(features, classes, generator=generator) * 2 - 1) * bound
