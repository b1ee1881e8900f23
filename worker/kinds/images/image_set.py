"""Images to be trained on, or to be asked about: all that learners and methods see of a dataset or a summary."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from worker.kinds.images.encoding import Encoding
from worker.kinds.images.views import viewed

Loss = Literal["cross-entropy", "mse", "logits"]
"""`mse` of the scores of centred classes, `logits`: squared error, too, of a teacher's centred logits."""
_BLOCK = 2048
_LEAST = 1e-6


@dataclass(frozen=True)
class ImageSet:
    """`x`: uint8 (N, h, w, c), perhaps mapped, or float (N, c, h, w) as networks see it under `encoding`. `rows`: int64
    (n,), which of them, None for all. `y`: int64 (n,) classes below `classes`.

    `soft`: float32 (n, classes), what is to be learned instead of `y`: probabilities, or scores where the loss is not
    cross-entropy. `maps`: float32 (n, 2, 3), which view of an image each is (`views`), None where they are the images
    themselves. `weights`: float32 (n,), None where all count alike. `rate`: the step size that the images were made
    for.
    """

    x: np.ndarray
    y: np.ndarray
    encoding: Encoding
    classes: int
    rows: np.ndarray | None = None
    soft: np.ndarray | None = None
    weights: np.ndarray | None = None
    loss: Loss = "cross-entropy"
    rate: float | None = None
    maps: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, h, w) of an image."""
        if self.x.dtype == np.uint8:
            h, w, c = self.x.shape[1:]
            return c, h, w
        c, h, w = self.x.shape[1:]
        return c, h, w

    def stored(self, numbers: np.ndarray) -> np.ndarray:
        """Images by their numbers in this set, as they are stored."""
        return self.x[numbers if self.rows is None else self.rows[numbers]]

    def batch(self, numbers: np.ndarray) -> np.ndarray:
        """Images by their numbers in this set: float32 (b, c, h, w), as networks see them."""
        x = self.stored(numbers)
        x = self.encoding.encode(x) if x.dtype == np.uint8 else x.astype(np.float32)
        return x if self.maps is None else viewed(x, self.maps[numbers])

    def all(self) -> np.ndarray:
        """All images: float32 (n, c, h, w)."""
        return self.batch(np.arange(len(self)))

    def pixels(self, numbers: np.ndarray) -> np.ndarray:
        """Images by their numbers: uint8 (b, h, w, c)."""
        x = self.stored(numbers) if self.maps is None else self.batch(numbers)
        return x if x.dtype == np.uint8 else self.encoding.decode(x)

    def take(self, numbers: np.ndarray) -> ImageSet:
        """Some of them."""
        return replace(
            self,
            rows=numbers if self.rows is None else self.rows[numbers],
            y=self.y[numbers],
            soft=None if self.soft is None else self.soft[numbers],
            weights=None if self.weights is None else self.weights[numbers],
            maps=None if self.maps is None else self.maps[numbers],
        )

    @cached_property
    def digest(self) -> str:
        """A hash of all of it."""
        found = hashlib.sha256(repr((self.x.dtype.str, self.shape, self.classes, self.loss, self.rate)).encode())
        for start in range(0, len(self), _BLOCK):
            found.update(np.ascontiguousarray(self.stored(np.arange(start, min(start + _BLOCK, len(self))))).tobytes())
        zca = self.encoding.whitening
        arrays = (self.y, self.soft, self.weights, self.maps, self.encoding.mean, self.encoding.std, zca and zca.matrix)
        for array in arrays:
            found.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def under(self, encoding: Encoding) -> ImageSet:
        """The same stored pixels, as networks see them under another encoding."""
        if self.x.dtype != np.uint8:
            raise ValueError("only stored pixels can be encoded anew")
        return replace(self, encoding=encoding)

    def targets(self) -> np.ndarray:
        """What is to be learned: `soft`, or the classes as float32 (n, classes)."""
        return np.eye(self.classes, dtype=np.float32)[self.y] if self.soft is None else self.soft


def as_probabilities(scores: np.ndarray, loss: Loss) -> np.ndarray:
    """Probabilities (n, C) of what was learned by a loss: the softmax of logits; of scores that were learned by squared
    error from centred classes, what lies above 0 after centring is undone."""
    if loss == "mse":
        powers = np.maximum(scores + 1 / scores.shape[1], _LEAST)
    else:
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
