"""Mult-VAE: a variational auto-encoder of user rows, with a multinomial likelihood (arXiv:1802.05814).

A row, scaled to norm 1 and thinned by dropout, is encoded to a Gaussian over 200 numbers; a draw of it is decoded to a
distribution over all items:  -sum_i x_i log softmax(f(z))_i + beta KL(N(mu, sigma^2) || N(0, I)), beta rising linearly
over the first half of the training. Scores are the decoded mean. Rows enter the loss by what they weigh.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Settings, learner
from worker.kinds.interactions.rows import UserRows
from worker.numerics.gram import densify

HIDDEN, LATENT = 600, 200
EPOCHS, BETAS = (20, 60), (0.1, 0.4)
_BATCH, _LEAST_STEPS, _DROPOUT, _RATE = 128, 200, 0.5, 1e-3
_SCORED = 2048


class Network(nn.Module):
    """I -> 600 -> 200 -> 600 -> I with tanh, in the half of the encoder that gives mu and log sigma^2."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(items, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, items))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.normal_(layer.bias, std=0.001)

    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log sigma^2 (b, 200) of rows (b, I)."""
        mean, log_variance = self.encoder(nn.functional.normalize(rows)).chunk(2, dim=1)
        return mean, log_variance


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, I)) of each row (..., d), summed over d."""
    return 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(dim=-1)


@dataclass(frozen=True)
class MultVAE:
    """Trainings on rows."""

    rows: UserRows
    seed: int
    device: str

    def fit(self, settings: Settings, ctx: Context) -> MultVAEModel:
        """`epochs` passes (at least 200 steps) with Adam, at the last `beta`."""
        count, rng = len(self.rows), np.random.default_rng(self.seed)
        weights = torch.from_numpy(self.rows.mass / self.rows.mass.mean()).to(self.device, torch.float32)
        with torch.random.fork_rng(devices=_devices(self.device)):
            torch.manual_seed(self.seed)
            net = Network(self.rows.items).to(self.device)
            optimiser = torch.optim.Adam(net.parameters(), lr=_RATE)
            size = min(_BATCH, count)
            steps = max(_LEAST_STEPS, int(settings["epochs"]) * -(-count // size))
            order = rng.permutation(count)
            for step in range(steps):
                if step % 5 == 0:
                    ctx.progress(step, steps)
                if len(order) < size:
                    order = np.concatenate([order, rng.permutation(count)])
                chosen, order = order[:size], order[size:]
                x = densify(self.rows.matrix[chosen], device=self.device)
                beta = float(settings["beta"]) * min(1.0, 2 * step / steps)
                loss = (weights[chosen] * _loss(net, x, beta)).mean()
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
        if not bool(torch.isfinite(loss)):
            raise JobError("diverged", "The loss of Mult-VAE is not a number.")
        return MultVAEModel(net.eval())


def _loss(net: Network, x: Tensor, beta: float) -> Tensor:
    mean, log_variance = net.encode(nn.functional.dropout(x, _DROPOUT))
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    return beta * kl(mean, log_variance) - (x * torch.log_softmax(net.decoder(z), dim=1)).sum(dim=1)


def _devices(device: str) -> list[torch.device]:
    """The accelerators whose random streams a training draws from."""
    return [] if device == "cpu" else [torch.device(device)]


@dataclass(frozen=True)
class MultVAEModel:
    """A trained network."""

    net: Network

    @torch.no_grad()
    def scores(self, inputs: sparse.csr_array) -> np.ndarray:
        """Decoded means (q, I) float32 of rows of inputs (q, I)."""
        out = np.empty(inputs.shape, np.float32)
        for start in range(0, inputs.shape[0], _SCORED):
            part = slice(start, start + _SCORED)
            x = densify(inputs[part], device=next(self.net.parameters()).device)
            out[part] = self.net.decoder(self.net.encode(x)[0]).cpu().numpy()
        return out


@learner(
    kind="interactions",
    name="mult-vae",
    label="Mult-VAE",
    usual=False,
    seeds=2,
    settings=tuple({"epochs": epochs, "beta": beta} for epochs, beta in product(EPOCHS, BETAS)),
)
def mult_vae(rows: UserRows, params: Any, ctx: Context) -> MultVAE:
    """Mult-VAE on rows (n, I), tuned over epochs and beta."""
    return MultVAE(rows.filled(), ctx.seed, ctx.device)
