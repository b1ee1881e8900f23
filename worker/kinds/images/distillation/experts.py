"""Experts of trajectory matching: networks trained on the real images, whose parameters are kept after each epoch.

Plain gradient descent with augmentation (MTT's buffers: SGD 0.01, no momentum, batch 256), so that a student can
follow. `flatness` > 0: sharpness-aware steps of that radius, towards flat minima (FTD, arXiv:2211.11004; DATM starts
from such experts). One file an expert in the job's durable files; within an expert an epoch is a resume point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from worker.contract.context import Context
from worker.kinds.images.augmentation import augment
from worker.kinds.images.distillation.real import RealImages
from worker.kinds.images.networks import Network
from worker.numerics.adam import Layout
from worker.numerics.seeds import mix


@dataclass(frozen=True)
class ExpertTraining:
    """How an expert is trained. `strategy`: of augmentation, drawn for each image."""

    epochs: int
    rate: float = 0.01
    batch: int = 256
    strategy: str = "none"
    flatness: float = 0.0
    momentum: float = 0.0


def train_expert(network: Network, real: RealImages, training: ExpertTraining, seed: int, ctx: Context) -> np.ndarray:
    """Parameters float32 (1 + epochs, P): before any step, and after each epoch."""
    layout = Layout.of(network)
    path = torch.empty(training.epochs + 1, layout.size)
    path[0] = layout.vector(network)
    point = ctx.restore()
    done = 0 if point is None else point.step
    if point is not None:
        path[: done + 1] = torch.from_numpy(point.arrays["path"])
    theta = path[done].to(real.device)
    velocity = torch.zeros_like(theta) if point is None else torch.from_numpy(point.arrays["velocity"]).to(real.device)
    for epoch in range(done, training.epochs):
        generator = torch.Generator().manual_seed(mix(seed, epoch))
        order = torch.randperm(len(real), generator=generator).numpy()
        for begin in range(0, len(order), training.batch):
            ctx.progress(epoch * len(order) + begin, training.epochs * len(order), phase="experts")
            rows = order[begin : begin + training.batch]
            x = augment(real.batch(rows), training.strategy, generator)
            y = real.y[torch.from_numpy(rows).to(real.device)]
            gradient = _gradient(network, layout, theta, x, y, training.flatness)
            velocity = training.momentum * velocity + gradient
            theta = theta - training.rate * velocity
        path[epoch + 1] = theta.cpu()
        ctx.checkpoint(epoch + 1, {"path": path[: epoch + 2], "velocity": velocity}, {})
    return path.numpy()


def _gradient(network: Network, layout: Layout, theta: Tensor, x: Tensor, y: Tensor, flatness: float) -> Tensor:
    gradient = _plain(network, layout, theta, x, y)
    if not flatness:
        return gradient
    return _plain(network, layout, theta + flatness * gradient / gradient.norm().clamp_min(1e-12), x, y)


def _plain(network: Network, layout: Layout, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    leaf = theta.detach().requires_grad_(True)
    logits = torch.func.functional_call(network, layout.named(leaf), (x,))
    return torch.autograd.grad(functional.cross_entropy(logits, y), leaf)[0]


def experts(
    network: Callable[[int], Network],
    real: RealImages,
    training: ExpertTraining,
    count: int,
    share: int,
    ctx: Context,
) -> list[np.ndarray]:
    """The paths of `count` experts, each from a start of its own; those of an earlier attempt are found again.

    `share`: the steps that the whole work has, of which each expert is one.
    """
    kept = ctx.keep("experts")
    for number in range(len(kept), count):
        if number and ctx.out_of_time():
            ctx.warn(f"The time limit ended the training of experts: there are {number} of {count}.")
            break
        with ctx.part(f"expert {number}", number, share, label="train experts") as part:
            seed = mix(ctx.seed, 3, number)
            kept.append({"theta": train_expert(network(mix(seed, 0)), real, training, mix(seed, 1), part)})
    return [one["theta"] for one in kept]


def with_weights(network: Network, theta: Tensor) -> Network:
    """The network, with its parameters set to a vector (P,)."""
    named = dict(network.named_parameters())
    with torch.no_grad():
        for name, one in Layout.of(network).named(theta).items():
            named[name].copy_(one)
    return network
