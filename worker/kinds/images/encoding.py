"""Between pixels as they are stored and the numbers that networks see: standardised, and perhaps whitened.

Pixels are uint8 (n, h, w, c); networks see float32 (n, c, h, w), (pixel / 255 - mean) / std by channel, and where an
encoding is whitened, the flattened image less its mean times a matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ZCA:
    """An affine map of flattened images, d = c * h * w. `mean`: float32 (d,); `matrix`: float32 (d, d), symmetric;
    `inverse`: of it."""

    mean: np.ndarray
    matrix: np.ndarray
    inverse: np.ndarray

    def whiten(self, x: np.ndarray) -> np.ndarray:
        """Standardised images (n, c, h, w), whitened."""
        return ((x.reshape(len(x), -1) - self.mean) @ self.matrix).reshape(x.shape)

    def colour(self, x: np.ndarray) -> np.ndarray:
        """Whitened images (n, c, h, w) as they were."""
        return (x.reshape(len(x), -1) @ self.inverse + self.mean).reshape(x.shape)


@dataclass(frozen=True)
class Encoding:
    """`mean`, `std`: float32 (c,), of pixels / 255 of the training part. `whitening`: applied after them."""

    mean: np.ndarray
    std: np.ndarray
    whitening: ZCA | None = field(default=None, compare=False)

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (n, h, w, c) as float32 (n, c, h, w)."""
        scaled = (pixels.astype(np.float32) / 255 - self.mean) / self.std
        x = np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
        return x if self.whitening is None else self.whitening.whiten(x)

    def decode(self, x: np.ndarray) -> np.ndarray:
        """float (n, c, h, w) as the nearest uint8 (n, h, w, c); what is beyond black or white is cut off."""
        x = np.asarray(x, np.float32)
        x = x if self.whitening is None else self.whitening.colour(x)
        pixels = (x.transpose(0, 2, 3, 1) * self.std + self.mean) * 255
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)

    def whitened(self, whitening: ZCA) -> Encoding:
        """The same, with whitening after it."""
        return replace(self, whitening=whitening)

    def to_json(self) -> dict[str, Any]:
        """Mean and deviation as JSON."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], whitening: ZCA | None = None) -> Encoding:
        """Back from its JSON."""
        return cls(np.array(stored["mean"], np.float32), np.array(stored["std"], np.float32), whitening)
