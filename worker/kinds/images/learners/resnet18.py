"""ResNet-18 with instance norm, for small images with a stem of 3 x 3 and without the first pool."""

from __future__ import annotations

from typing import Any

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.predictor import RECIPES, NetworkFit, network


@learner(kind="images", name="resnet18", label="ResNet-18", usual=False, seeds=3, settings=RECIPES)
def resnet18(images: ImageSet, params: Any, ctx: Context) -> NetworkFit:
    """ResNet-18, its first stage half as wide as the ConvNet."""
    return network("resnet18", images, params, ctx, width=params.training.width_on(ctx.device) // 2)
