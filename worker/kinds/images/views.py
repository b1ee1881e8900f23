"""Augmented views of stored images, drawn anew from a seed wherever they are needed, so that they take no bytes.

A label of every view teaches far more than one of the image (arXiv:2406.10485; the relabelling of SRe2L and RDED, which
asks for hundreds of them). The first view is the image; every other is one affine map of it: turned, stretched along
both sides, and shifted, what comes in from outside being 0, the mean pixel. Its numbers are raw draws of PCG64, whose
stream numpy promises never to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

_BLOCK = 1024  # views made at once
_ITSELF = np.eye(2, 3, dtype=np.float32)


@dataclass(frozen=True)
class Views:
    """`count` views of every image; `seed` of the generator that draws them.

    `degrees`, `stretch`, `shift`: most that a view is turned, stretched or shrunk, and shifted, in sides of the image.
    """

    count: int = 1
    seed: int = 0
    degrees: float = 15.0
    stretch: float = 1.2
    shift: float = 0.125

    def to_json(self) -> dict[str, Any]:
        """All that a loader needs to draw them again."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Views:
        """Back from its JSON; None stands for the images alone."""
        return cls(**stored or {})

    def maps(self, images: int) -> np.ndarray:
        """float32 (images * count, 2, 3), those of an image one after another: where each view looks for its pixels, in
        coordinates that run from -1 to 1."""
        raw = np.random.PCG64(self.seed).random_raw(images * self.count * 5)
        u = raw.reshape(images, self.count, 5) * 2.0**-63 - 1  # uniform in [-1, 1)
        u[:, 0] = 0
        angle, across, down = np.radians(self.degrees) * u[..., 0], self.stretch ** u[..., 1], self.stretch ** u[..., 2]
        cos, sin, shifts = np.cos(angle), np.sin(angle), 2 * self.shift * u[..., 3:]
        rows = [across * cos, -down * sin, shifts[..., 0], across * sin, down * cos, shifts[..., 1]]
        return np.stack(rows, -1).reshape(-1, 2, 3).astype(np.float32)


def viewed(x: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """What maps (n, 2, 3) see of images float (n, c, h, w) as networks see them: float32, bilinear. An image that its
    map leaves alone is itself, to the bit."""
    import torch  # which reading a summary does not need
    from torch.nn import functional

    seen = x.astype(np.float32)
    moved = np.flatnonzero((maps != _ITSELF).any(axis=(1, 2)))
    for start in range(0, len(moved), _BLOCK):
        rows = moved[start : start + _BLOCK]
        grid = functional.affine_grid(torch.from_numpy(maps[rows]), [len(rows), *x.shape[1:]], align_corners=False)
        seen[rows] = functional.grid_sample(torch.from_numpy(seen[rows]), grid, align_corners=False).numpy()
    return seen
