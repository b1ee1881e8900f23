"""Augmented views of stored images, drawn anew from a seed wherever they are needed, so that they take no bytes.

A label of every view teaches far more than one of the image (arXiv:2406.10485; the relabelling of SRe2L and RDED, which
asks for hundreds of them). The first view is the image; every other is one affine map of it: turned, stretched along
both sides, and shifted, what comes in from outside being 0, the mean pixel. Its numbers are raw draws of PCG64, whose
stream numpy promises never to change.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

DEGREES, STRETCH, SHIFT = 15.0, 1.2, 0.125
"""Most that a view is turned, stretched or shrunk, and shifted, in sides of the image."""


@dataclass(frozen=True)
class Views:
    """`count` views of every image; `seed` of the generator that draws them."""

    count: int = 1
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """All that a loader needs to draw them again."""
        return asdict(self) | {"degrees": DEGREES, "stretch": STRETCH, "shift": SHIFT}

    @classmethod
    def from_json(cls, stored: dict[str, Any] | None) -> Views:
        """Back from its JSON; None stands for the images alone."""
        return cls() if stored is None else cls(stored["count"], stored["seed"])

    def maps(self, images: int) -> np.ndarray:
        """float32 (images, count, 2, 3): where each view looks for its pixels, in coordinates that run from -1 to 1."""
        raw = np.random.PCG64(self.seed).random_raw(images * self.count * 5)
        u = 2.0**-63 * raw.reshape(images, self.count, 5) - 1  # uniform in [-1, 1)
        u[:, 0] = 0
        angle, across, down = np.radians(DEGREES) * u[..., 0], STRETCH ** u[..., 1], STRETCH ** u[..., 2]
        cos, sin = np.cos(angle), np.sin(angle)
        rows = [across * cos, -down * sin, 2 * SHIFT * u[..., 3], across * sin, down * cos, 2 * SHIFT * u[..., 4]]
        return np.stack(rows, -1).reshape(images, self.count, 2, 3).astype(np.float32)

    def of(self, x: np.ndarray) -> np.ndarray:
        """Views float32 (n * count, c, h, w) of images float (n, c, h, w) as networks see them, those of an image one
        after another, itself first; bilinear."""
        if self.count == 1:
            return x
        import torch  # which reading a summary does not need
        from torch.nn import functional

        maps = torch.from_numpy(self.maps(len(x)).reshape(-1, 2, 3))
        every = torch.from_numpy(np.repeat(x.astype(np.float32), self.count, axis=0))
        seen = functional.grid_sample(
            every, functional.affine_grid(maps, list(every.shape), align_corners=False), align_corners=False
        ).numpy()
        seen[:: self.count] = x  # not interpolated
        return seen
