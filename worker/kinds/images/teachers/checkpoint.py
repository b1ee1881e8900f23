"""Vision Transformers from files: timm's state dicts as safetensors, and our own.

A state dict of timm's `VisionTransformer` (with a class token, no registers, a plain head) loads by its own names; its
sizes are read from the shapes. The number of heads is in no shape: timm's models have 64 numbers a head, which is what
is assumed unless it is said. Positions are resampled bicubically where images have another side than the checkpoint's
(as timm does), and the head is made anew where the classes are others. Nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from worker.contract.errors import JobError
from worker.kinds.images.networks.vit import ViT, ViTShape, fresh_vit

_USUAL_HEAD = 64
_POINTER = "/inputs/teacher"


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in float32. Raises `JobError` `invalid_input` where it is none."""
    try:
        return {name: value.float() for name, value in load_file(path).items()}
    except (SafetensorError, OSError, ValueError) as unfit:
        raise _refused(f"it is not a safetensors file ({unfit})") from unfit


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes in a safetensors file. Raises `JobError` `invalid_input` where it is none."""
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as unfit:
        raise _refused(f"it is not a safetensors file ({unfit})", "/files") from unfit


def shape_of(shapes: Mapping[str, tuple[int, ...]], heads: int | None = None, *, pointer: str = _POINTER) -> ViTShape:
    """The sizes of a timm ViT by the shapes of its state dict; `classes` is 0 without a head.

    Raises `JobError` `invalid_input` where it is another network.
    """
    needed = (
        "cls_token",
        "pos_embed",
        "patch_embed.proj.weight",
        "blocks.0.attn.qkv.weight",
        "blocks.0.mlp.fc1.weight",
    )
    missing = [name for name in needed if name not in shapes]
    if missing:
        raise _refused(f"{missing[0]} is missing: it is no plain ViT of timm", pointer)
    if len(shapes["patch_embed.proj.weight"]) != 4 or len(shapes["pos_embed"]) != 3:
        raise _refused("its patches or positions have shapes of another network", pointer)
    width, channels, patch, wide = shapes["patch_embed.proj.weight"]
    side = round((shapes["pos_embed"][1] - 1) ** 0.5)
    if patch != wide or side * side + 1 != shapes["pos_embed"][1]:
        raise _refused("its patches or its grid of positions are not square", pointer)
    depth = len({name.split(".")[1] for name in shapes if name.startswith("blocks.")})
    heads = heads or (width // _USUAL_HEAD if width % _USUAL_HEAD == 0 else 1)
    classes = shapes["head.weight"][0] if "head.weight" in shapes else 0
    biased = "blocks.0.attn.qkv.bias" in shapes
    hidden = shapes["blocks.0.mlp.fc1.weight"][0]
    return ViTShape(channels, side * patch, classes, patch, width, depth, heads, hidden, biased)


def vit_of(
    state: Mapping[str, Tensor], *, side: int, classes: int, channels: int, seed: int, heads: int | None = None
) -> ViT:
    """A network with the weights of a state dict, for images (channels, side, side) of `classes` classes.

    A checkpoint of three channels reads one channel by the sum of its filters, as if the image were grey. The head is
    new where it has another number of classes. Raises `JobError` `invalid_input` where the weights do not fit.
    """
    there = shape_of({name: tuple(value.shape) for name, value in state.items()}, heads)
    if side % there.patch:
        raise _refused(f"its patches of {there.patch} pixels do not divide images of {side}; resize them at upload")
    if channels not in (there.channels, 1):
        raise _refused(f"it reads {there.channels} channels, the images have {channels}")
    shape = ViTShape(
        channels, side, classes, there.patch, there.width, there.depth, there.heads, there.hidden, there.biased
    )
    network = fresh_vit(shape, seed)
    given = dict(state)
    if channels != there.channels:
        given["patch_embed.proj.weight"] = given["patch_embed.proj.weight"].sum(dim=1, keepdim=True)
    given["pos_embed"] = resampled(given["pos_embed"], side // there.patch)
    if there.classes != classes:
        fresh = network.state_dict()
        given |= {name: fresh[name] for name in ("head.weight", "head.bias")}
    own = network.state_dict()
    for name, value in own.items():
        if name not in given or given[name].shape != value.shape:
            raise _refused(f"{name} is missing or has another shape than in a plain ViT of timm")
        if not bool(torch.isfinite(given[name]).all()):
            raise _refused(f"{name} holds numbers that are not finite")
    surplus = sorted(set(given) - set(own))
    if surplus:
        raise _refused(f"{surplus[0]} is unknown to a plain ViT of timm, whose answers would be others")
    network.load_state_dict({name: given[name] for name in own})
    return network


def resampled(positions: Tensor, grid: int) -> Tensor:
    """Positions (1, 1 + g g, d), class token first, for a grid of `grid` x `grid` patches: bicubic, antialiased."""
    first, rest = positions[:, :1], positions[:, 1:]
    old = round(rest.shape[1] ** 0.5)
    if old == grid:
        return positions
    plane = rest.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    plane = torch.nn.functional.interpolate(plane, (grid, grid), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([first, plane.permute(0, 2, 3, 1).reshape(1, grid * grid, -1)], dim=1)


def arrays_of(network: ViT) -> dict[str, np.ndarray]:
    """Its state dict, float32, by timm's names; scaled MLPs are folded in, so that a plain ViT answers the same."""
    found = {name: value.detach().cpu().numpy().astype(np.float32) for name, value in network.state_dict().items()}
    for number, scale in enumerate(network.mlp_scales):
        for part in ("weight", "bias"):
            found[f"blocks.{number}.mlp.fc2.{part}"] *= np.float32(scale)
    return found


def _refused(reason: str, pointer: str = _POINTER) -> JobError:
    return JobError(
        "invalid_input",
        f"The checkpoint of the teacher cannot be used: {reason}.",
        hint="Give a state dict of timm's VisionTransformer as safetensors, or leave the teacher out.",
        pointer=pointer,
    )
