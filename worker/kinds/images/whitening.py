"""ZCA whitening with a ridge, and its inverse (KIP arXiv:2011.00050; form of FRePo arXiv:2206.00719 and RFAD).

Rows x are images flattened to d = c h w numbers. With mean m, Cov = X^T X / N of centred rows, reg = lambda tr(Cov) / d
and Cov + reg I = U S U^T: W = U S^-1/2 U^T, W^-1 = U S^1/2 U^T. The whitened covariance has eigenvalues s / (s + reg).
Pixels learned in whitened space mean nothing without m and W^-1: a summary carries them.

Where there are fewer rows than numbers, directions beyond the rows keep their scale (as FRePo): their eigenvalue is
taken as 1 instead of reg.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LAMBDA = 0.1
LARGEST = 12_288
"""Most numbers in an image: beyond, the matrix has more than 150 million."""
_ROWS = 4096


@dataclass(frozen=True)
class Whitening:
    """`mean` (d,), `matrix` and `inverse` (d, d), float32."""

    mean: Tensor
    matrix: Tensor
    inverse: Tensor

    def whiten(self, x: Tensor) -> Tensor:
        """Images (n, c, h, w) in whitened space, of the same shape."""
        return ((x.flatten(1) - self.mean.to(x)) @ self.matrix.to(x)).view_as(x)

    def restore(self, z: Tensor) -> Tensor:
        """Images (n, c, h, w) of whitened ones."""
        return (z.flatten(1) @ self.inverse.to(z) + self.mean.to(z)).view_as(z)


def whitening(x: Tensor, ridge: float = LAMBDA) -> Whitening:
    """The whitening of images (n, c, h, w), computed in float64.

    Raises `ValueError` for images of more than `LARGEST` numbers.
    """
    d = math.prod(x.shape[1:])
    if d > LARGEST:
        raise ValueError(f"whitening of images of {d:,} numbers needs a matrix of {d * d:,}; at most {LARGEST:,}")
    rows = x.flatten(1)
    n = len(rows)
    mean = rows.mean(0, dtype=torch.float64)
    covariance = torch.zeros(d, d, dtype=torch.float64, device=x.device)
    for start in range(0, n, _ROWS):  # all rows in float64 would be a second copy of the data
        part = rows[start : start + _ROWS].double() - mean
        covariance.addmm_(part.T, part)
    covariance /= n
    reg = float(ridge * covariance.trace() / d)
    values, vectors = torch.linalg.eigh(covariance)
    scales = values.clamp_min(0) + reg
    if n <= d:
        scales[: d - n + 1] = 1.0  # eigh sorts upwards: directions that no centred row spans come first
    if not float(scales.min()) > 0:  # constant images
        scales.clamp_min_(1e-12)
    root = scales.sqrt()
    matrix, inverse = (vectors / root) @ vectors.T, (vectors * root) @ vectors.T
    return Whitening(mean.float(), matrix.float(), inverse.float())
