"""VGG-11 with instance norm: eight convolutions and one linear layer."""

from __future__ import annotations

from typing import Any

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.predictor import RECIPES, NetworkFit, network


@learner(kind="images", name="vgg11", label="VGG-11", usual=False, seeds=3, settings=RECIPES)
def vgg11(images: ImageSet, params: Any, ctx: Context) -> NetworkFit:
    """VGG-11, its first convolution half as wide as the ConvNet."""
    return network("vgg11", images, params, ctx, width=params.training.width_on(ctx.device) // 2)
