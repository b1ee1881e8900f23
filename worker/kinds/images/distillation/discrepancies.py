"""How far two samples of features are from each other: means, kernels, characteristic functions.

* `mean_discrepancy` (DM, arXiv:2110.04181, equation 5): squared distance of the means.
* `mmd` (M3D, arXiv:2312.15927): mean over Gaussian kernels of E k(r, r') + E k(s, s') - 2 E k(r, s), which sees all
  moments; never negative, as it is taken over all pairs.
* `cf_discrepancy` (NCFM, arXiv:2502.20653, section 3.2): characteristic functions at random frequencies, amplitude and
  phase weighed apart.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the Gaussian kernels, over the median squared distance."""
CF_SCALE = 300.0  # NCFM's code: brings the loss to the size its step sizes were chosen for
_TINY = 1e-12


def mean_discrepancy(real: Tensor, syn: Tensor) -> Tensor:
    """||mean of real (b, F) - mean of syn (m, F)||^2."""
    return (real.mean(0) - syn.mean(0)).square().sum()


def mmd(real: Tensor, syn: Tensor) -> Tensor:
    """Maximum mean discrepancy of real (b, F) and syn (m, F), mean over `WIDTHS`."""
    rows = torch.cat([real, syn])
    squared = _squared_distances(rows)
    away = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    median = squared.detach()[away].median().clamp_min(_TINY)
    b = len(real)
    total = squared.new_zeros(())
    for width in WIDTHS:
        kernel = torch.exp(-squared / (width * median))
        total = total + kernel[:b, :b].mean() + kernel[b:, b:].mean() - 2 * kernel[:b, b:].mean()
    return total / len(WIDTHS)


def _squared_distances(rows: Tensor) -> Tensor:
    """(n, n), by the Gram matrix: differentiable where rows coincide."""
    gram = rows @ rows.T
    norms = gram.diagonal()
    return (norms[:, None] + norms[None, :] - 2 * gram).clamp_min(0)


def amplitude_and_phase(real: Tensor, syn: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Squared differences (T,) of two empirical characteristic functions at frequencies (T, F): of the amplitudes, and
    what the phases add; their sum is |phi_r - phi_s|^2."""
    real_part, real_other, real_size = _characteristic(real @ frequencies.T)
    syn_part, syn_other, syn_size = _characteristic(syn @ frequencies.T)
    amplitude = (real_size - syn_size).square()
    phase = 2 * (real_size * syn_size - real_part * syn_part - real_other * syn_other)
    return amplitude, phase.clamp_min(0)


def _characteristic(at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean cosine, mean sine and the length of both (T,) of projections (n, T)."""
    part, other = at.cos().mean(0), at.sin().mean(0)
    return part, other, (part.square() + other.square()).clamp_min(_TINY).sqrt()


def cf_discrepancy(real: Tensor, syn: Tensor, frequencies: Tensor, amplitude: float = 0.5) -> Tensor:
    """300 times the mean over frequencies (T, F) of sqrt(amplitude * A + (1 - amplitude) * P), for features scaled to
    length 1."""
    a, p = amplitude_and_phase(functional.normalize(real), functional.normalize(syn), frequencies)
    return CF_SCALE * (amplitude * a + (1 - amplitude) * p).clamp_min(_TINY).sqrt().mean()
