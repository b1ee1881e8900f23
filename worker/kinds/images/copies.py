"""Equal images, by a hash of their pixels."""

from __future__ import annotations

import hashlib

import numpy as np

from worker.kinds.images.dataset import TRAIN, Images


def hash_of(pixels: np.ndarray) -> bytes:
    """The same for the same image uint8 (h, w, c); of images of one size no others are likely to share it."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=12).digest()


def also_in_training(data: Images, rows: np.ndarray) -> int:
    """How many of these images (n,), by their numbers, equal a training image."""
    asked = [hash_of(data.pixels[row]) for row in rows]
    known = set(asked)
    found = {one for row in np.flatnonzero(data.split == TRAIN) if (one := hash_of(data.pixels[row])) in known}
    return sum(one in found for one in asked)
