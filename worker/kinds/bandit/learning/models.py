"""The policies that are learnt: softmax of the product of a context's and an action's vector.

Every model is pi(a|x) = softmax(h(x) . v_a + b_a). `linear`: h(x) = x and v_a free. `mlp`: h a ReLU network. Above
5,000 actions `two-tower`: v_a is a linear image of the action's features (free without features), so that actions share
what is learnt. One form for all of them means one export, one numpy predictor, and a `ScorerTable` for evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worker.numerics.seeds import mix

TWO_TOWERS_FROM = 5_000
WIDTH = 32  # length of the vectors of two towers
HIDDEN = 64  # width of the hidden layer


@dataclass(frozen=True)
class Shape:
    """What a model is made from: `kind` linear | mlp | two-tower-linear | two-tower-mlp; d, A; d_e of features or 0."""

    kind: str
    d: int
    n_actions: int
    d_action: int = 0

    @classmethod
    def choose(cls, model: str, d: int, n_actions: int, d_action: int) -> Shape:
        """`linear` or `mlp`, with two towers above 5,000 actions; without context features only a bias an action."""
        if not d:
            return cls("linear", 0, n_actions)
        if n_actions > TWO_TOWERS_FROM:
            return cls(f"two-tower-{model}", d, n_actions, d_action)
        return cls(model, d, n_actions)


class PolicyModel(nn.Module):
    """pi(a|x) = softmax(h(x) . v_a + b_a). Inputs (m, d); scores (m, A)."""

    def __init__(self, shape: Shape, features: Tensor | None = None) -> None:
        super().__init__()
        self.shape = shape
        towers = shape.kind.startswith("two-tower")
        width = WIDTH if towers else HIDDEN if shape.kind == "mlp" else shape.d
        sizes = [shape.d]
        if shape.kind.endswith("mlp"):
            sizes.append(HIDDEN)
        if towers:
            sizes.append(WIDTH)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.relu = [not (towers and number == len(self.layers) - 1) for number in range(len(self.layers))]
        self.register_buffer("features", features, persistent=False)
        self.map = nn.Parameter(torch.zeros(shape.d_action if features is not None else shape.n_actions, width))
        self.bias = nn.Parameter(torch.zeros(shape.n_actions))

    def represent(self, x: Tensor) -> Tensor:
        """Vectors h(x) (m, h) of contexts (m, d)."""
        for layer, relu in zip(self.layers, self.relu, strict=True):
            x = layer(x).relu() if relu else layer(x)
        return x

    def vectors(self) -> Tensor:
        """Vectors v (A, h) of the actions."""
        features = self.features
        return features @ self.map if isinstance(features, Tensor) else self.map

    def forward(self, x: Tensor) -> Tensor:
        """Scores (m, A)."""
        return self.represent(x) @ self.vectors().T + self.bias

    def score(self, x: Tensor, actions: Tensor) -> Tensor:
        """Scores (m, C) of some actions (m, C) in every context."""
        chosen = self.vectors()[actions]
        return torch.einsum("mh,mch->mc", self.represent(x), chosen) + self.bias[actions]

    @torch.no_grad()
    def sharpen(self, factor: float) -> None:
        """Multiply all scores by a factor: above 1 the policy commits itself more."""
        self.map.mul_(factor)
        self.bias.mul_(factor)

    def export(self) -> dict[str, NDArray[np.float32]]:
        """Weights for prediction: `layer<i>.weight` (out, in), `layer<i>.bias`, `actions` (A, h), `bias` (A,)."""
        out = {"actions": self.vectors(), "bias": self.bias}
        for number, layer in enumerate(self.layers):
            out |= {f"layer{number}.{name}": value for name, value in layer.named_parameters()}
        return {name: value.detach().cpu().numpy().astype(np.float32) for name, value in out.items()}


def build(
    shape: Shape,
    *,
    features: NDArray[np.floating] | None = None,
    seed: int = 0,
    noise: bool = False,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> PolicyModel:
    """A fresh model, the same for the same seed on every device.

    A linear policy starts as the uniform one, or with `noise` from small random weights; networks must start at random.
    """
    given = None if features is None or not shape.d_action else torch.from_numpy(np.array(features)).to(device, dtype)
    model = PolicyModel(shape, given).to(device, dtype)
    rng = np.random.default_rng(mix(seed, 11))
    with torch.no_grad():
        for name, value in sorted(model.named_parameters()):
            if name.endswith("bias"):
                value.zero_()
            elif name == "map" and not noise and shape.kind in ("linear", "mlp"):
                value.zero_()  # the network below is random, so its gradient does not vanish
            else:
                spread = 0.1 if name == "map" else float(np.sqrt(2.0 / max(value.shape[1], 1)))
                value.copy_(torch.from_numpy(rng.normal(0.0, spread, value.shape)))
    return model
