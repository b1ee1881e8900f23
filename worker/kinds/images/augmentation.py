"""Siamese augmentation: differentiable changes of images, the same ones on two batches (DSA, arXiv:2102.08259).

A `Strategy` is a list of operations, of which each call draws one. `Draw` holds the operation and its random numbers:
applying one `Draw` to a real and to a synthetic batch changes both alike, whatever their sizes; `spread=True` draws
numbers for each image instead, as plain training does. Images are float (n, c, h, w), already normalised.

Departs from the published code: numbers come from a generator that the caller owns (published: torch's own generator
reseeded by the clock at every call, which also fixes the next network), rotations and scales interpolate with
`align_corners=False`, and a strategy drops what makes no sense for one channel (saturation).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

COLOUR = "color_crop_cutout_flip_scale_rotate"
DIGITS = "color_crop_cutout_scale_rotate"
CROPS = "crop_scale_rotate"
"""What evaluation networks of digits are trained with by DC (arXiv:2006.05929)."""

_NUMBERS = 6  # random numbers an operation may use
_BRIGHTNESS, _SATURATION, _CONTRAST = 1.0, 2.0, 0.5
_SHIFT, _CUTOUT, _SCALE, _DEGREES = 0.125, 0.5, 1.2, 15.0


@dataclass(frozen=True)
class Draw:
    """`operation`: one name of the strategy, "" for none; `numbers`: uniform in [0, 1), float32 (1 or n, 6)."""

    operation: str
    numbers: Tensor


def operations(strategy: str) -> tuple[str, ...]:
    """The operations of a strategy written `color_crop_flip`; raises `ValueError` naming an unknown one."""
    names = tuple(name for name in strategy.split("_") if name and name != "none")
    for name in names:
        if name not in _OPERATIONS:
            raise ValueError(f"{name} is not an augmentation; there are {', '.join(_OPERATIONS)}")
    return names


def draw(strategy: str, generator: torch.Generator, images: int = 1) -> Draw:
    """One operation of the strategy and its numbers: one set for all images, or a set for each of `images`."""
    names = operations(strategy)
    if not names:
        return Draw("", torch.zeros(1, _NUMBERS))
    chosen = names[int(torch.randint(len(names), (), generator=generator))]
    return Draw(chosen, torch.rand(images, _NUMBERS, generator=generator))


def apply(drawn: Draw, x: Tensor) -> Tensor:
    """The images (n, c, h, w) under what was drawn; differentiable in them."""
    if not drawn.operation:
        return x
    return _OPERATIONS[drawn.operation](x, drawn.numbers.to(x).expand(len(x), _NUMBERS))


def augment(x: Tensor, strategy: str, generator: torch.Generator) -> Tensor:
    """Plain augmentation of a training batch: one operation a call, numbers for each image."""
    return apply(draw(strategy, generator, len(x)), x)


def _each(numbers: Tensor) -> Tensor:
    return numbers.view(-1, 1, 1, 1)


def _color(x: Tensor, u: Tensor) -> Tensor:
    """Brightness, then saturation, then contrast, around the mean over channels and over the image."""
    x = x + (_each(u[:, 0]) - 0.5) * _BRIGHTNESS
    if x.shape[1] > 1:  # saturation of one channel would only keep it
        grey = x.mean(1, keepdim=True)
        x = (x - grey) * (_each(u[:, 1]) * _SATURATION) + grey
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (_each(u[:, 2]) + _CONTRAST) + mean


def _crop(x: Tensor, u: Tensor) -> Tensor:
    """Shifts by whole pixels of at most an eighth of the side, zeros coming in."""
    n, _, h, w = x.shape
    reach_h, reach_w = int(h * _SHIFT + 0.5), int(w * _SHIFT + 0.5)
    down, right = _whole(u[:, 0], -reach_h, reach_h), _whole(u[:, 1], -reach_w, reach_w)
    rows = torch.arange(h, device=x.device) + down[:, None] + reach_h
    columns = torch.arange(w, device=x.device) + right[:, None] + reach_w
    padded = functional.pad(x, (reach_w, reach_w, reach_h, reach_h))
    at = torch.arange(n, device=x.device)
    return padded.permute(0, 2, 3, 1)[at[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cutout(x: Tensor, u: Tensor) -> Tensor:
    """A square of half the side set to 0, its centre anywhere in the image."""
    h, w = x.shape[2:]
    height, width = int(h * _CUTOUT + 0.5), int(w * _CUTOUT + 0.5)
    top = _whole(u[:, 0], 0, h + (1 - height % 2) - 1) - height // 2
    left = _whole(u[:, 1], 0, w + (1 - width % 2) - 1) - width // 2
    rows, columns = torch.arange(h, device=x.device), torch.arange(w, device=x.device)
    high = (rows >= top[:, None]) & (rows < top[:, None] + height)
    wide = (columns >= left[:, None]) & (columns < left[:, None] + width)
    return x * (~(high[:, :, None] & wide[:, None, :]))[:, None].to(x)


def _flip(x: Tensor, u: Tensor) -> Tensor:
    return torch.where(_each(u[:, 0]) < 0.5, x.flip(3), x)


def _scale(x: Tensor, u: Tensor) -> Tensor:
    """Both sides stretched by factors of their own, each in [1/1.2, 1.2]."""
    across, down = (u[:, :2] * (_SCALE - 1 / _SCALE) + 1 / _SCALE).unbind(1)
    zero = torch.zeros_like(across)
    return _affine(x, across, zero, zero, down)


def _rotate(x: Tensor, u: Tensor) -> Tensor:
    angle = (u[:, 0] - 0.5) * 2 * _DEGREES * math.pi / 180
    return _affine(x, angle.cos(), -angle.sin(), angle.sin(), angle.cos())


def _affine(x: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    zero = torch.zeros_like(a)
    theta = torch.stack([torch.stack([a, b, zero], 1), torch.stack([c, d, zero], 1)], 1)
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)


def _whole(u: Tensor, low: int, high: int) -> Tensor:
    """Whole numbers from low to high, both included, of uniform ones in [0, 1)."""
    return (u * (high - low + 1)).floor().long().clamp(max=high - low) + low


_OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "color": _color, "crop": _crop, "cutout": _cutout, "flip": _flip, "scale": _scale, "rotate": _rotate,
}  # fmt: skip
