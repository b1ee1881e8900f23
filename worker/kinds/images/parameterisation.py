"""How learned images are stored: as pixels, as canvases of several images, or as sums of shared bases.

A `Form` turns what is stored, named tensors, into images for training, and autograd goes through it. Only what is
stored counts as the size of a summary: a canvas with four images in it is one.

`multiform` (IDC, arXiv:2205.14959, section 4): a canvas is cut into factor x factor tiles, each enlarged to a whole
image; where the side does not divide, the canvas is padded with 0, the mean pixel. `basis` (arXiv:2206.02916): images
are linear combinations of bases that all classes share, on a grid `shrink` times as coarse. Departs from the published
code in the start: the best such combination for real images (singular vectors) instead of random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

Stored = Mapping[str, Tensor]


class Form(Protocol):
    """A parameterisation."""

    @property
    def copies(self) -> int:
        """Images for training that each stored item gives."""
        ...

    def images(self, stored: Stored) -> Tensor:
        """Images for training (S * copies, c, h, w): those of one item follow one another."""
        ...

    def start(self, real: Tensor) -> dict[str, Tensor]:
        """What to store for real images (S * copies, c, h, w), as near to them as the form allows."""
        ...


@dataclass(frozen=True)
class Pixels:
    """Images as they are, `x` (S, c, h, w)."""

    copies: int = 1

    def images(self, stored: Stored) -> Tensor:
        """`x` itself."""
        return stored["x"]

    def start(self, real: Tensor) -> dict[str, Tensor]:
        """The real images."""
        return {"x": real.clone()}


@dataclass(frozen=True)
class Multiform:
    """Canvases `x` (S, c, h, w), each of factor x factor images."""

    factor: int

    @property
    def copies(self) -> int:
        """Tiles of a canvas."""
        return self.factor**2

    def images(self, stored: Stored) -> Tensor:
        """Tiles row by row, enlarged (bilinear) to the size of the canvas."""
        x = stored["x"]
        f = self.factor
        if f == 1:
            return x
        n, c, h, w = x.shape
        high, wide = math.ceil(h / f), math.ceil(w / f)
        padded = functional.pad(x, (0, wide * f - w, 0, high * f - h))
        tiles = padded.view(n, c, f, high, f, wide).permute(0, 2, 4, 1, 3, 5).reshape(n * f * f, c, high, wide)
        return functional.interpolate(tiles, size=(h, w), mode="bilinear", align_corners=False)

    def start(self, real: Tensor) -> dict[str, Tensor]:
        """Canvases of shrunk real images; what falls into the padding is cut off."""
        f = self.factor
        if f == 1:
            return {"x": real.clone()}
        total, c, h, w = real.shape
        high, wide = math.ceil(h / f), math.ceil(w / f)
        tiles = functional.interpolate(real, size=(high, wide), mode="bilinear", align_corners=False, antialias=True)
        canvas = tiles.view(total // (f * f), f, f, c, high, wide).permute(0, 3, 1, 4, 2, 5)
        return {"x": canvas.reshape(total // (f * f), c, f * high, f * wide)[:, :, :h, :w].contiguous()}


@dataclass(frozen=True)
class Basis:
    """`bases` (K, c, h / shrink, w / shrink) and `coefficients` (S, K); the sum, enlarged to (h, w), is an image."""

    count: int
    size: tuple[int, int]
    shrink: int = 1
    copies: int = 1

    def images(self, stored: Stored) -> Tensor:
        """Combinations of the bases."""
        bases = stored["bases"]
        flat = stored["coefficients"] @ bases.flatten(1)
        return self._enlarged(flat.view(-1, *bases.shape[1:]))

    def start(self, real: Tensor) -> dict[str, Tensor]:
        """The K leading singular vectors of the images, shrunk; scales shared evenly between bases and coefficients."""
        small = self._shrunk(real)
        left, scales, right = torch.linalg.svd(small.flatten(1).double(), full_matrices=False)
        k = min(self.count, len(scales))
        root = scales[:k].sqrt()
        coefficients = torch.zeros(len(real), self.count, dtype=real.dtype, device=real.device)
        bases = torch.zeros(self.count, math.prod(small.shape[1:]), dtype=real.dtype, device=real.device)
        coefficients[:, :k] = (left[:, :k] * root).to(real)
        bases[:k] = (root[:, None] * right[:k]).to(real)
        if k < self.count:  # bases beyond the rank: neither side may stay at 0, or nothing would move them
            generator = torch.Generator().manual_seed(0)
            bound = float(root[-1]) / math.sqrt(small[0].numel())
            spare = torch.randn(self.count - k, bases.shape[1], generator=generator) * bound
            bases[k:] = spare.to(bases)
        return {"bases": bases.view(self.count, *small.shape[1:]), "coefficients": coefficients}

    def _enlarged(self, x: Tensor) -> Tensor:
        if self.shrink == 1:
            return x
        return functional.interpolate(x, size=self.size, mode="bilinear", align_corners=False)

    def _shrunk(self, x: Tensor) -> Tensor:
        if self.shrink == 1:
            return x
        size = tuple(math.ceil(side / self.shrink) for side in self.size)
        return functional.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)
