"""Kernel ridge regression with a structure-based neural tangent kernel (GCSNTK, Wang et al., WWW 2024).

The kernel between nodes of two graphs: Sigma = Theta = features' inner products; `hops` times both are averaged over
neighbours on either side (E = D^-1 (A + I)), and `layers` times

    c = Sigma / (a_i b_j),  Sigma = k1(c) a_i b_j,  Theta = Theta k0(c) + Sigma

with a², b² the diagonals of the averaged self-kernels and k1, k0 the arc-cosine kernels. Averaging is two sparse
products; synthetic nodes have no edges. The published code evaluates k0 at the updated value k1(c), clips c to ±.9999
and forms E as a Kronecker product of both graphs; `official=True` repeats the first two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.kinds.graph.condensation.adam import Adam
from worker.kinds.graph.condensation.candidate import Candidate
from worker.kinds.graph.features import Features, dense
from worker.kinds.graph.networks.products import Sparse
from worker.numerics.ntk import arc_cosines, full_precision
from worker.numerics.ridge import ridge_solve

CLIP = 0.9999
HUB = 1024  # neighbours of one node whose kernel rows are held at once


def averaging(adjacency: sparse.csr_array) -> sparse.csr_array:
    """E = D^-1 (A + I) (N, N) float32."""
    looped = sparse.csr_array(adjacency + sparse.eye_array(adjacency.shape[0], dtype=np.float32, format="csr"))
    rows = np.asarray(looped.sum(axis=1)).ravel()
    return sparse.csr_array(sparse.diags_array(1 / rows) @ looped, dtype=np.float32)


def turn(sigma: Tensor, theta: Tensor, norms: Tensor, layers: int, official: bool) -> tuple[Tensor, Tensor]:
    """(Sigma, Theta) (m, n) after some layers; `norms` (m, n) are the products a_i b_j."""
    for _ in range(layers):
        edge = CLIP if official else 1.0
        k1, k0 = arc_cosines((sigma / norms).clamp(-edge, edge))
        if official:
            k0 = arc_cosines(k1.clamp(-edge, edge))[1]
        sigma = k1 * norms
        theta = theta * k0 + sigma
    return sigma, theta


@dataclass(frozen=True)
class RealSide:
    """What the kernel needs of the train nodes, made once.

    `inner` (r, d): averaged features of the train nodes (one hop) or of them and their neighbours (two); `norms`: a
    (r,) of the first averaging. `second`: E (m, r) from those to the train nodes and `second_norms` a (m,) after it,
    None for one hop. `layers`, `official`: of the kernel.
    """

    inner: Tensor
    norms: Tensor
    second: Sparse | None
    second_norms: Tensor | None
    layers: int
    official: bool

    @classmethod
    def of(
        cls,
        x: Features,
        adjacency: sparse.csr_array,
        nodes: np.ndarray,
        *,
        hops: int,
        layers: int,
        device: str,
        official: bool = False,
        tick: Callable[[], None] = lambda: None,
    ) -> RealSide:
        """Of some nodes of a graph, `hops` 1 or 2. Self-kernels after two hops need one block of a node's neighbours at
        a time, and a part of them where they are many, never a kernel of all nodes."""
        around = averaging(adjacency)
        inner_nodes = nodes if hops == 1 else np.unique(around[nodes].indices)
        inner = torch.from_numpy(dense(around[inner_nodes] @ x))
        norms = inner.norm(dim=1).clamp_min(1e-12)
        if hops == 1:
            return cls(inner.to(device), norms.to(device), None, None, layers, official)
        second = sparse.csr_array(around[nodes][:, inner_nodes])
        squares = np.empty(len(nodes))
        for row in range(len(nodes)):
            if row % 256 == 0:
                tick()
            part = slice(second.indptr[row], second.indptr[row + 1])
            at, share = second.indices[part], torch.from_numpy(second.data[part])
            near, lengths = inner[at], norms[at]
            total = 0.0
            for start in range(0, len(at), HUB):
                some = slice(start, start + HUB)
                sigma = near[some] @ near.T
                sigma, _ = turn(sigma, sigma, torch.outer(lengths[some], lengths), layers, official)
                total += float(share[some] @ sigma @ share)
            squares[row] = total
        lengths = torch.from_numpy(np.sqrt(np.maximum(squares, 1e-24)).astype(np.float32))
        return cls(inner.to(device), norms.to(device), Sparse.of(second, device), lengths.to(device), layers, official)

    def kernel(self, x: Tensor) -> Tensor:
        """Theta (m, n) between these nodes and synthetic nodes x (n, d), differentiable in x."""
        lengths = x.norm(dim=1).clamp_min(1e-12)
        sigma = self.inner @ x.T
        sigma, theta = turn(sigma, sigma, torch.outer(self.norms, lengths), self.layers, self.official)
        if self.second is None or self.second_norms is None:
            return theta
        norms = torch.outer(self.second_norms, lengths)
        return turn(self.second @ sigma, self.second @ theta, norms, self.layers, self.official)[1]

    def self_kernel(self, x: Tensor) -> Tensor:
        """Theta (n, n) of synthetic nodes x (n, d) with themselves; they have no edges to average over."""
        lengths = x.norm(dim=1).clamp_min(1e-12)
        norms = torch.outer(lengths, lengths)
        sigma = theta = x @ x.T
        for _ in range(1 if self.second is None else 2):
            sigma, theta = turn(sigma, theta, norms, self.layers, self.official)
        return theta


def predict(cross: Tensor, own: Tensor, labels: Tensor, ridge: float) -> Tensor:
    """Logits (m, C) = K_ts (K_ss + ridge tr(K_ss)/n I)^-1 Y' by a Cholesky factor in float64."""
    with full_precision():
        return cross @ ridge_solve(own, labels, ridge)


class KernelCondensation:
    """The problem for `learn`: features x (n, d) and labels (n, C) by which kernel regression predicts the train
    nodes; mean squared error of the softmax of its outputs to one-hot classes."""

    def __init__(
        self, real: RealSide, y_real: Tensor, x: Tensor, y: Tensor, classes: int, *, ridge: float, lr_feat: float,
        lr_label: float, steps: int,
    ) -> None:  # fmt: skip
        self.real, self.y, self.ridge, self.steps = real, y, ridge, steps
        self.wanted = torch.nn.functional.one_hot(y_real, classes).to(x)
        self.x = x.clone().requires_grad_(True)
        first = float(np.log(9 * max(classes - 1, 1)))  # its softmax gives 0.9 to the class
        self.labels = (first * torch.nn.functional.one_hot(y, classes).to(x)).requires_grad_(True)
        self.adam = Adam({"x": self.x, "labels": self.labels}, {"x": lr_feat, "labels": lr_label})

    def tensors(self) -> dict[str, Tensor]:
        """Features, labels and their optimiser."""
        return self.adam.tensors("nodes")

    def candidate(self) -> Candidate:
        """The features with soft labels."""
        return Candidate(self.x.detach().clone(), self.y, None, torch.softmax(self.labels.detach(), 1))

    def loss(self) -> Tensor:
        """Mean squared error on the train nodes."""
        output = predict(self.real.kernel(self.x), self.real.self_kernel(self.x), self.labels, self.ridge)
        return (torch.softmax(output, 1) - self.wanted).square().mean()

    def step(self, number: int, tick: Callable[[], None]) -> float:
        """Some steps on all train nodes."""
        total = 0.0
        for _ in range(self.steps):
            tick()
            loss = self.loss()
            self.adam.step(torch.autograd.grad(loss, [self.x, self.labels]))
            total += float(loss.detach())
        return total / self.steps
