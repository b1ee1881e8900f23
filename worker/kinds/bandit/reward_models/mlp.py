"""A neural reward model of two towers: q(x, a) = b + f(x) + g(a) + u(x) . v(a), squared loss.

The towers are small networks on x and on the action's embedding (a learned vector where none was uploaded). The inner
product makes the mean under a policy one product of its rows with (A, width + 1), so the sum over actions costs what
a linear model's does, which a network on [x, e] would not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from worker.contract.context import Context
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.expectation import Integers
from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.reward_models.fitted import Bilinear

_CHUNK = 65_536


def fit(log: BanditLog, rounds: Integers, *, weight: Floats | None = None, ctx: Context | None = None) -> Bilinear:
    """Two towers with the default sizes."""
    return TwoTowers().fit(log, rounds, weight=weight, ctx=ctx)


@dataclass(frozen=True)
class TwoTowers:
    """Sizes and training of the model. `lipschitz`: spectrally normalised action tower (near e, near rewards)."""

    width: int = 16
    hidden: int = 64
    epochs: int = 30
    batch: int = 1024
    rate: float = 3e-3
    decay: float = 1e-4
    lipschitz: bool = False

    def fit(
        self, log: BanditLog, rounds: Integers, *, weight: Floats | None = None, ctx: Context | None = None
    ) -> Bilinear:
        """Train on rounds (m,) of a log with sample weights (m,); deterministic on a CPU for a seed."""
        ctx = Context() if ctx is None else ctx
        weights = log.round_weight[rounds] if weight is None else weight
        reward = log.reward[rounds]
        mean = float(weights @ reward / weights.sum())
        spread = float(np.sqrt(weights @ (reward - mean) ** 2 / weights.sum())) or 1.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(ctx.seed % 2**63)
            model = self._train(log, rounds, weights / weights.mean(), (reward - mean) / spread, ctx)
        left, constant = model.contexts()
        right = model.actions()
        left = np.column_stack([left, np.ones(len(left))])
        return Bilinear(log.rows, mean + spread * constant, left, spread * right)

    def _train(self, log: BanditLog, rounds: Integers, weight: Floats, reward: Floats, ctx: Context) -> _Model:
        device = torch.device(ctx.device)
        model = _Model(log, self).to(device)
        optimiser = torch.optim.AdamW(model.parameters(), lr=self.rate, weight_decay=self.decay)
        rows, actions = (torch.as_tensor(v[rounds].astype(np.int64), device=device) for v in (log.rows, log.action))
        weights, rewards = (torch.as_tensor(v, dtype=torch.float32, device=device) for v in (weight, reward))
        batch = min(self.batch, max(1, len(rounds) // (4 << ctx.degrade)))
        batches = -(-len(rounds) // batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.epochs * batches)
        for epoch in range(self.epochs):
            for i, part in enumerate(torch.randperm(len(rounds)).to(device).split(batch)):
                error = model(rows[part], actions[part]) - rewards[part]
                loss = (weights[part] * error.square()).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                if i % 50 == 0:
                    ctx.progress(epoch * batches + i, self.epochs * batches, phase="reward model")
        return model.eval()


class _Model(nn.Module):
    def __init__(self, log: BanditLog, sizes: TwoTowers) -> None:
        super().__init__()
        self.x = nn.Buffer(_scaled(log.contexts))
        if log.embeddings is None:
            self.e: Tensor = nn.Parameter(torch.randn(log.n_actions, sizes.width) * 0.1)
        else:
            self.e = nn.Buffer(_scaled(log.embeddings))
        self.of_context = _tower(self.x.shape[1], sizes.hidden, sizes.width + 1)
        self.of_action = _tower(self.e.shape[1], sizes.hidden, sizes.width + 1)
        if sizes.lipschitz:
            for layer in self.of_action:
                if isinstance(layer, nn.Linear):
                    spectral_norm(layer)

    def forward(self, rows: Tensor, actions: Tensor) -> Tensor:
        u, v = self.of_context(self.x[rows]), self.of_action(self.e[actions])
        return u[:, -1] + v[:, -1] + (u[:, :-1] * v[:, :-1]).sum(dim=1)

    def contexts(self) -> tuple[Floats, Floats]:
        u = self._all(self.of_context, self.x)
        return u[:, :-1], u[:, -1]

    def actions(self) -> Floats:
        return self._all(self.of_action, self.e)

    def _all(self, tower: nn.Module, features: Tensor) -> Floats:
        with torch.no_grad():
            parts = [tower(part).double().cpu().numpy() for part in features.split(_CHUNK)]
        return np.concatenate(parts)


def _tower(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ELU(), nn.Linear(hidden, hidden), nn.ELU(), nn.Linear(hidden, outputs)
    )


def _scaled(features: np.ndarray) -> Tensor:
    if features.shape[1] == 0:  # a log without context: a tower needs an input
        return torch.zeros(len(features), 1)
    wide = features.astype(np.float64)
    spread = wide.std(axis=0)
    scaled = (wide - wide.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return torch.as_tensor(scaled, dtype=torch.float32)
