"""Scaling the MLP blocks of a Vision Transformer down, because the upper ones lose most of what it knows of an image.

ReMem (Dong et al., arXiv:2506.23041): x <- x + Attn(LN x), x <- x + b MLP(LN x), with b < 1 in the upper blocks, from
the start of fine-tuning on. No code of the paper is published; one b for the top m blocks is our reading of it.
"""

from __future__ import annotations

import torch

from worker.kinds.images.networks.vit import ViT


def top_scales(depth: int, top: int, scale: float) -> tuple[float, ...]:
    """b of every block: `scale` in the `top` last ones, 1 below."""
    top = min(top, depth)
    return (1.0,) * (depth - top) + (float(scale),) * top


def usual_top(depth: int) -> int:
    """A quarter of the blocks, one at least."""
    return max(1, depth // 4)


@torch.no_grad()
def fold(network: ViT) -> None:
    """Multiply b into the last layer of every MLP: the same answers, within rounding, from a plain ViT."""
    for block in network.blocks:
        block.mlp.fc2.weight.mul_(block.mlp_scale)
        block.mlp.fc2.bias.mul_(block.mlp_scale)
        block.mlp_scale = 1.0
