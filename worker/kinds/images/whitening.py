"""ZCA whitening with a ridge, and its inverse (KIP arXiv:2011.00050; form of FRePo arXiv:2206.00719 and RFAD).

Rows x are images flattened to d = c h w numbers. With mean m, Cov = X^T X / N of centred rows, reg = lambda tr(Cov) / d
and Cov + reg I = U S U^T: W = U S^-1/2 U^T, W^-1 = U S^1/2 U^T. The whitened covariance has eigenvalues s / (s + reg).
Pixels learned in whitened space mean nothing without m and W^-1: a summary carries them.

Where there are fewer rows than numbers, directions beyond the rows keep their scale (as FRePo): their eigenvalue is
taken as 1 instead of reg.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from worker.kinds.images.encoding import ZCA
from worker.kinds.images.image_set import ImageSet

LAMBDA = 0.1
LARGEST = 12_288
"""Most numbers in an image: beyond, the matrix has more than 150 million."""
_ROWS = 4096


def whitening(images: ImageSet, tick: Callable[[], None] = lambda: None, ridge: float = LAMBDA) -> ZCA:
    """The whitening of standardised images, computed in float64. `tick` is called for every few thousand images.

    Raises `ValueError` for images of more than `LARGEST` numbers.
    """
    d = math.prod(images.shape)
    if d > LARGEST:
        raise ValueError(f"whitening of images of {d:,} numbers needs a matrix of {d * d:,}; at most {LARGEST:,}")
    n = len(images)
    blocks = [np.arange(start, min(start + _ROWS, n)) for start in range(0, n, _ROWS)]
    total = np.zeros(d)
    for block in blocks:
        tick()
        total += images.batch(block).reshape(len(block), d).sum(0, dtype=np.float64)
    mean = total / n
    covariance = np.zeros((d, d))
    for block in blocks:
        tick()
        rows = images.batch(block).reshape(len(block), d) - mean
        covariance += rows.T @ rows
    covariance /= n
    values, vectors = np.linalg.eigh(covariance)
    scales = np.maximum(values, 0) + ridge * covariance.trace() / d
    if n <= d:
        scales[: d - n + 1] = 1.0  # eigh sorts upwards: directions that no centred row spans come first
    root = np.sqrt(np.maximum(scales, 1e-12))  # of constant images nothing is left
    matrix, inverse = (vectors / root) @ vectors.T, (vectors * root) @ vectors.T
    return ZCA(mean.astype(np.float32), matrix.astype(np.float32), inverse.astype(np.float32))
