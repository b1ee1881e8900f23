"""Experts for trajectory matching: networks trained on the real graph, whose parameters are kept on the way.

A GCN of two layers, relu(ÂX W1 + b1), then Â of that times W2, + b2, on the train nodes alone; what it needs of the
graph are the rows of ÂX at the train nodes and their neighbours. Plain gradient descent, so that a student can follow.
Features are divided by their mean norm: rows of sum 1 would need a step size hundreds of times as large for W1.

GEOM's curriculum (arXiv:2402.05011, section 4.1): nodes are sorted by the entropy of the classes around them, and an
epoch trains on the first share of them, which grows to all. Classes of neighbours outside train are those that a probe
guesses: the true ones are not to be looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.contract.context import Context
from worker.kinds.graph.clustering.cgc import least_squares
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import compact
from worker.kinds.graph.networks.products import Factor, Sparse, factor
from worker.kinds.graph.propagation import combined
from worker.numerics.seeds import mix

CURRICULA: dict[str, Callable[[float, float], float]] = {
    "linear": lambda start, t: start + (1 - start) * t,
    "root": lambda start, t: math.sqrt(start**2 + (1 - start**2) * t),
    "geom": lambda start, t: 2 ** (math.log2(start) * (1 - t)),
}


def fresh_weight(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A new weight matrix, uniform in ±sqrt(6 / (rows + columns)) (Glorot)."""
    bound = (6 / (rows + columns)) ** 0.5
    return (torch.rand(rows, columns, generator=generator) * 2 - 1) * bound


@dataclass(frozen=True)
class Shape:
    """Sizes of the network: features d, hidden h, classes C. Its parameters are one vector: W1, b1, W2, b2."""

    features: int
    hidden: int
    classes: int

    @property
    def size(self) -> int:
        """Numbers in the vector."""
        return (self.features + 1) * self.hidden + (self.hidden + 1) * self.classes

    def parts(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """W1 (d, h), b1 (h,), W2 (h, C), b2 (C,): views of the vector (P,)."""
        d, h, c = self.features, self.hidden, self.classes
        first, bias, second, last = theta.split([d * h, h, h * c, c])
        return first.view(d, h), bias, second.view(h, c), last

    def fresh(self, generator: torch.Generator) -> Tensor:
        """A new vector: Glorot weights, biases 0."""
        first = fresh_weight(self.features, self.hidden, generator)
        second = fresh_weight(self.hidden, self.classes, generator)
        return torch.cat([first.flatten(), torch.zeros(self.hidden), second.flatten(), torch.zeros(self.classes)])


@dataclass(frozen=True)
class RealNodes:
    """`inner` (r, d): rows of ÂX, over `scale`, at train nodes and neighbours; `outer` (m, r): Â from those to the
    train nodes; `y` int64 (m,); `order` int64 (m,): train nodes from easy to hard; `scale`: mean norm of rows of ÂX."""

    inner: Factor
    outer: Sparse
    y: Tensor
    order: Tensor
    scale: float

    @classmethod
    def of(cls, seen: Graph, device: str) -> RealNodes:
        """Of a visible graph."""
        train = seen.train
        around = sparse.csr_array(seen.operator[train])
        inner = np.unique(around.indices)
        rows = compact(seen.operator[inner] @ seen.x)
        norms = np.sqrt(np.asarray((rows * rows).sum(axis=1)).ravel())
        scale = float(max(norms.mean(), 1e-12))
        order = np.argsort(difficulty(seen, around), kind="stable")
        labels = torch.from_numpy(seen.y[train]).to(device)
        there = torch.from_numpy(order).to(device)
        return cls(factor(rows / np.float32(scale), device), Sparse.of(around[:, inner], device), labels, there, scale)

    def logits(self, shape: Shape, theta: Tensor) -> Tensor:
        """Logits (m, C) of the train nodes."""
        first, bias, second, last = shape.parts(theta)
        return (self.outer @ torch.relu(self.inner @ first + bias)) @ second + last


def difficulty(seen: Graph, around: sparse.csr_array) -> np.ndarray:
    """Entropy float64 (m,) of the classes of each train node and its neighbours; `around`: their rows of Â."""
    train, y = seen.train, seen.y.copy()
    mean = [0.5, 0.5]
    probe = least_squares(combined(seen.operator, seen.x, mean, train), y[train], seen.n_classes)
    near = np.unique(around.indices)
    unknown = near[y[near] < 0]
    if len(unknown):
        y[unknown] = (combined(seen.operator, seen.x, mean, unknown) @ probe).argmax(axis=1)
    owner = np.repeat(np.arange(len(train)), np.diff(around.indptr))
    counts = np.zeros((len(train), seen.n_classes))
    np.add.at(counts, (owner, y[around.indices]), 1)
    share = counts / counts.sum(axis=1, keepdims=True)
    return -(share * np.log(np.where(share > 0, share, 1))).sum(axis=1)


@dataclass(frozen=True)
class Training:
    """How an expert is trained: `epochs` steps of size `lr`, a snapshot every `every`; `curriculum` "" for none, which
    starts at the share `start` and reaches all nodes half way."""

    epochs: int
    lr: float
    every: int
    curriculum: str = ""
    start: float = 1.0


def train_expert(real: RealNodes, shape: Shape, training: Training, seed: int, ctx: Context) -> np.ndarray:
    """Snapshots float32 (1 + epochs // every, P) of one expert, copies of its parameters, the first one before any
    step."""
    theta = shape.fresh(torch.Generator().manual_seed(seed)).to(real.y.device).requires_grad_(True)
    kept = [theta.detach().cpu().numpy().copy()]
    for epoch in range(training.epochs):
        if epoch % 10 == 0:
            ctx.progress(epoch, training.epochs, phase="experts")
        chosen = real.order
        if training.curriculum:
            t = min(1.0, 2 * epoch / training.epochs)
            share = min(1.0, CURRICULA[training.curriculum](training.start, t))
            chosen = chosen[: max(1, math.ceil(share * len(chosen) - 1e-9))]
        loss = torch.nn.functional.cross_entropy(real.logits(shape, theta)[chosen], real.y[chosen])
        (gradient,) = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            theta -= training.lr * gradient
        if (epoch + 1) % training.every == 0:
            kept.append(theta.detach().cpu().numpy().copy())
    return np.stack(kept)


def experts(real: RealNodes, shape: Shape, training: Training, count: int, ctx: Context) -> list[np.ndarray]:
    """Snapshots of `count` experts, each from a start of its own; those of an earlier attempt are found again."""
    kept = ctx.keep("experts")
    for number in range(len(kept), count):
        if number and ctx.out_of_time():
            ctx.warn(f"The time limit ended the training of experts: there are {number} of {count}.")
            break
        with ctx.part(f"expert {number}", number, 2 * count, label="train experts") as part:
            kept.append({"theta": train_expert(real, shape, training, mix(ctx.seed, 3, number), part)})
    return [one["theta"] for one in kept]
