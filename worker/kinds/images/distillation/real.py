"""Real training images on the device, and draws from them that follow from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from worker.kinds.images.image_set import ImageSet

HELD = 1 << 31
"""Bytes of encoded images that are held on the device; larger sets are read and encoded batch by batch."""
_BLOCK = 4096


class RealImages:
    """Images as networks see them. `y`: int64 (n,) on the device; `by_class`: row numbers of each class."""

    def __init__(self, images: ImageSet, device: str, tick: Callable[[], None] = lambda: None) -> None:
        self.source, self.device, self.classes = images, device, images.classes
        self.y = torch.from_numpy(images.y.astype(np.int64)).to(device)
        self.by_class = [np.flatnonzero(images.y == number) for number in range(images.classes)]
        self._held: Tensor | None = None
        if len(images) * int(np.prod(images.shape)) * 4 <= HELD:
            blocks = [np.arange(start, min(start + _BLOCK, len(images))) for start in range(0, len(images), _BLOCK)]
            parts: list[Tensor] = []
            for block in blocks:
                tick()
                parts.append(torch.from_numpy(images.batch(block)))
            self._held = torch.cat(parts).to(device) if parts else None

    def __len__(self) -> int:
        return len(self.source)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, h, w) of an image."""
        return self.source.shape

    def batch(self, rows: np.ndarray) -> Tensor:
        """Images by their numbers: float32 (b, c, h, w)."""
        if self._held is not None:
            return self._held[torch.from_numpy(rows).to(self.device)]
        return torch.from_numpy(self.source.batch(rows)).to(self.device)

    def draw(self, count: int, seed: int | Sequence[int]) -> tuple[Tensor, Tensor]:
        """`count` images of any class without repetition, all of them where there are fewer: x and y."""
        rows = np.random.default_rng(seed).permutation(len(self))[:count]
        return self.batch(rows), self.y[torch.from_numpy(rows).to(self.device)]

    def draw_class(self, number: int, count: int, seed: int | Sequence[int]) -> Tensor:
        """`count` images of one class without repetition, all of them where there are fewer."""
        rows = self.by_class[number]
        chosen = np.random.default_rng(seed).permutation(len(rows))[:count]
        return self.batch(rows[chosen])
