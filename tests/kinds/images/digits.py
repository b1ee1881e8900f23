"""scikit-learn's digits as a dataset of this kind, without an upload."""

from __future__ import annotations

from functools import cache

import numpy as np

from tests.kinds.images.tiny import digits
from worker.kinds.images.dataset import TEST, TRAIN, VALIDATION, Images, Schema, channel_statistics


@cache
def digit_images(classes: int = 10, each: int = 0) -> Images:
    """A fifth to validate on, a fifth to test on."""
    x, y = digits(classes, each)
    order = np.random.default_rng(0).permutation(len(y))
    split = np.full(len(y), TRAIN, np.int8)
    split[order[: len(y) // 5]] = VALIDATION
    split[order[len(y) // 5 : 2 * len(y) // 5]] = TEST
    pixels = np.ascontiguousarray(x[..., None])
    encoding = channel_statistics(pixels, np.flatnonzero(split == TRAIN))
    return Images(pixels, y.astype(np.int64), split, Schema(tuple(map(str, range(classes))), encoding))
