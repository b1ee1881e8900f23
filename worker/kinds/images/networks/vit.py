"""A Vision Transformer (Dosovitskiy et al., arXiv:2010.11929, section 3.1) of any size, plain as timm's.

    z = [class token; E p_1; ...; E p_n] + position,   z <- z + Attn(LN z),   z <- z + b MLP(LN z),   W LN(z[0])

Parameters are named and shaped as in timm's `vision_transformer`, so that a state dict of it loads as it stands
(`worker.kinds.images.teachers.checkpoint`). b is 1 but for the MLP blocks that ReMem scales down
(`worker.kinds.images.remem.reweighting`); it is no parameter, and 1 leaves every bit as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from worker.contract.errors import JobError

_EPS = 1e-6  # of the layer norms, as in timm


@dataclass(frozen=True)
class ViTShape:
    """Sizes of the network: images (channels, side, side) in patches of `patch` pixels, `depth` blocks of `width` with
    `heads` heads and an MLP of `hidden` units, `classes` logits. `biased`: whether queries, keys and values have
    a bias. Raises `JobError` `invalid_input` where patches or heads do not fit.
    """

    channels: int
    side: int
    classes: int
    patch: int = 4
    width: int = 64
    depth: int = 4
    heads: int = 4
    hidden: int = 256
    biased: bool = True

    def __post_init__(self) -> None:
        if self.side % self.patch or self.width % self.heads:
            raise JobError(
                "invalid_input",
                f"A ViT cannot cut {self.side} pixels into patches of {self.patch}, or {self.width} numbers into "
                f"{self.heads} heads.",
                hint="Choose a patch that divides the side of the images, and heads that divide the width.",
                pointer="/params/patch",
            )

    @property
    def tokens(self) -> int:
        """Patches of an image, and the class token."""
        return (self.side // self.patch) ** 2 + 1

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class _Patches(nn.Module):
    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.proj = nn.Conv2d(shape.channels, shape.width, shape.patch, stride=shape.patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)  # (n, patches, width)


class _Attention(nn.Module):
    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=shape.biased)
        self.proj = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(n, tokens, width))


class _MLP(nn.Module):
    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.fc1 = nn.Linear(shape.width, shape.hidden)
        self.fc2 = nn.Linear(shape.hidden, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """A block; `mlp_scale` is b, what its MLP counts."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, eps=_EPS)
        self.attn = _Attention(shape)
        self.norm2 = nn.LayerNorm(shape.width, eps=_EPS)
        self.mlp = _MLP(shape)
        self.mlp_scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (n, t, width) to the same."""
        x = x + self.attn(self.norm1(x))
        if self.mlp_scale == 0:
            return x
        added = self.mlp(self.norm2(x))
        return x + (added if self.mlp_scale == 1 else self.mlp_scale * added)


class ViT(nn.Module):
    """The network: images float32 (n, channels, side, side) to logits (n, classes)."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.shape = shape
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, shape.tokens, shape.width))
        self.patch_embed = _Patches(shape)
        self.blocks = nn.ModuleList([Block(shape) for _ in range(shape.depth)])
        self.norm = nn.LayerNorm(shape.width, eps=_EPS)
        self.head = nn.Linear(shape.width, shape.classes)

    def features(self, x: Tensor) -> Tensor:
        """What the head reads: the class token after the last norm, (n, width)."""
        patches = self.patch_embed(x)
        z = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], dim=1) + self.pos_embed
        for block in self.blocks:
            z = block(z)
        return self.norm(z[:, 0])

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes)."""
        return self.head(self.features(x))

    @property
    def mlp_scales(self) -> tuple[float, ...]:
        """b of every block, from the first to the last."""
        return tuple(block.mlp_scale for block in self.blocks)

    def scale_mlps(self, scales: Sequence[float]) -> None:
        """Set b of every block."""
        for block, scale in zip(self.blocks, scales, strict=True):
            block.mlp_scale = float(scale)


@torch.no_grad()
def fresh_vit(shape: ViTShape, seed: int) -> ViT:
    """A new network: weights normal with deviation 0.02 cut at 2 (as ViT's), biases 0."""
    generator = torch.Generator().manual_seed(seed)
    network = ViT(shape)
    for name, parameter in network.named_parameters():
        if parameter.dim() == 1:
            parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        else:
            nn.init.trunc_normal_(parameter, std=0.02, a=-0.04, b=0.04, generator=generator)
    # A patch has few numbers, so that 0.02 would drown it in the position: as a linear layer, deviation 1/sqrt(inputs).
    projection = network.patch_embed.proj.weight
    inputs = projection[0].numel()
    nn.init.trunc_normal_(projection, std=inputs**-0.5, a=-2 * inputs**-0.5, b=2 * inputs**-0.5, generator=generator)
    return network
