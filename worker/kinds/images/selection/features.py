"""Where images lie: their pixels, the principal components of these, or the features of a small trained network."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term
from worker.kinds.images.budget import SizeParams
from worker.kinds.images.dataset import Images
from worker.kinds.images.fitting import Recipe, train
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.networks import build
from worker.kinds.images.selection.pickers import Features, pixel_features

Space = Literal["pixels", "pca", "network"]
_COMPONENTS, _FITTED_ON, _WIDTH, _EPOCHS, _AHEAD = 50, 5_000, 32, 10, 512

COST = Cost(
    seconds=(
        Term(1.0),
        Term(5e-9, {"images": 1, "values": 1}),
        Term(1e-9, {"images_train": 1, "values": 1, "budget": 1, "classes": -1}),
        Term(3e-6, {"images_train": 1, "values": 1}, {"params.features": "network"}),
    ),
    memory_mb=(Term(400.0),),
)
"""What picking in such a space takes on an ordinary core."""


class SpaceParams(SizeParams):
    """What methods take that compare images by where they lie."""

    features: Space = Field(
        "pixels",
        description="Where images are compared: pixels, pca (50 components of them), or network (the last layer of a "
        "ConvNet of width 32 trained for 10 epochs).",
    )


def features_of(data: Images, space: Space, ctx: Context) -> Features:
    """The points of training images in a space; what it takes to make them is a part of the work."""
    if space == "pixels":
        return pixel_features(data.train)
    with ctx.part("features") as part:
        return _components(data.train, part) if space == "pca" else _trained(data.train, part)


def _components(images: ImageSet, ctx: Context) -> Features:
    """Principal components of the pixels, fitted on up to 5,000 images."""
    pixels = pixel_features(images)
    rows = np.sort(ctx.rng.permutation(len(images))[:_FITTED_ON])
    x = pixels(rows)
    mean = x.mean(axis=0)
    components = np.linalg.svd(x - mean, full_matrices=False)[2][:_COMPONENTS]
    return lambda numbers: (pixels(numbers) - mean) @ components.T


def _trained(images: ImageSet, ctx: Context) -> Features:
    channels, height, width = images.shape
    network = build(
        "convnet", channels, (height, width), images.classes, seed=ctx.seed, device=ctx.device, width=_WIDTH
    )
    point = ctx.restore()
    if point is not None and point.done:
        network.load_state_dict({name: torch.from_numpy(value) for name, value in point.arrays.items()})
    else:
        train(network, images, Recipe(steps=1, epochs=_EPOCHS, rate=0.05, batch=128), ctx)
        ctx.finish(dict(network.state_dict()), {})
    network.eval()

    @torch.no_grad()
    def points(numbers: np.ndarray) -> np.ndarray:
        found = [
            network.features(torch.from_numpy(images.batch(part)).to(ctx.device)).float().cpu().numpy()
            for part in np.split(numbers, range(_AHEAD, len(numbers), _AHEAD))
        ]
        return np.concatenate(found)

    return points
