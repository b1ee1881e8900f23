"""What distillers take: size, effort, network, start, form and augmentation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.kinds.images.budget import SizeParams
from worker.kinds.images.selection.proxies import Preset


class DistilParams(SizeParams):
    """What every distiller takes."""

    preset: Preset = Field("quick", description="Effort: minutes on two CPU cores, an hour or so, or as published.")
    iterations: int | None = Field(None, ge=1, le=1_000_000, description="Steps on the images; null: by the preset.")
    batch_real: int | None = Field(
        None, ge=4, le=16_384, description="Real images of a step, of a class where those are matched; null: by preset."
    )
    init: Literal["real", "noise", "k-means"] = Field(
        "real", description="Where images start: real ones of their class, noise, or centres of clusters of the class."
    )
    zca: bool = Field(
        False,
        description="Learn in whitened space (ZCA), of colour images the usual one; the matrix is delivered, too.",
    )
    looks: int = Field(
        4, ge=1, le=1000, description="Looks at validation images in a run; the best state is delivered."
    )
    patience: int = Field(
        0, ge=0, le=1000, description="Looks in turn without a better one before stopping; 0: to the end."
    )


class FormParams(DistilParams):
    """What distillers take whose images may be stored otherwise than as pixels."""

    parameterisation: Literal["pixels", "multiform", "basis"] = Field(
        "pixels",
        description="How images are stored: as pixels; multiform: canvases of factor x factor images each; basis: sums "
        "of bases that all classes share. The budget is that of what is stored.",
    )
    factor: int = Field(
        2, ge=1, le=4, description="Tiles along a side of a canvas; of a basis, by how much it is enlarged."
    )
    basis_images: int = Field(
        4, ge=1, le=64, description="Of a basis: images made for each that the same bytes of pixels would hold."
    )


class NetworkParams(FormParams):
    """What distillers take whose loss has a network in it."""

    network: Literal["convnet", "mlp", "lenet", "alexnet", "vgg11", "resnet18"] = Field(
        "convnet", description="Network in the loss."
    )
    width: int | None = Field(
        None, ge=4, le=512, multiple_of=2, description="Channels of its convolutions; null: 128 on a GPU, 32 without."
    )
    depth: int | None = Field(
        None, ge=1, le=6, description="Blocks of a ConvNet; null: 3 for 28 to 32 pixels, one more for each doubling."
    )


DSA_FIELD: str = Field(
    "auto",
    pattern="^(auto|none|(color|crop|cutout|flip|scale|rotate)(_(color|crop|cutout|flip|scale|rotate))*)$",
    description="Siamese augmentation: auto (all; of grey images without mirroring), none, or names joined by _.",
)


class AugmentedParams(NetworkParams):
    """What distillers take whose images are augmented in the loss."""

    dsa: str = DSA_FIELD
