"""A network by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from worker.kinds.images.networks.alexnet import alexnet
from worker.kinds.images.networks.convnet import convnet
from worker.kinds.images.networks.layers import Network
from worker.kinds.images.networks.lenet import lenet
from worker.kinds.images.networks.mlp import mlp
from worker.kinds.images.networks.resnet import resnet18
from worker.kinds.images.networks.vgg import vgg11

_BUILDERS: dict[str, Callable[..., Network]] = {
    "convnet": convnet, "mlp": mlp, "lenet": lenet, "alexnet": alexnet, "vgg11": vgg11, "resnet18": resnet18,
}  # fmt: skip
NAMES = tuple(_BUILDERS)


def build(
    name: str,
    channels: int,
    side: int | tuple[int, int],
    classes: int,
    *,
    seed: int,
    device: str = "cpu",
    **choices: Any,
) -> Network:
    """A new network for images of `channels` and `side` (or height and width), in torch's default initialisation.

    `seed` alone decides the weights: they are drawn on the CPU, whatever the device, and torch's own generator stays
    where it was. `choices`: what the network takes, such as `width`, `depth`, `norm`. Raises `KeyError` for a name that
    is not in `NAMES`.
    """
    size = (side, side) if isinstance(side, int) else side
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _BUILDERS[name](channels, size, classes, **choices)
    return network.to(device)
