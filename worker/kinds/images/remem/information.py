"""How much a teacher's answers say of the image: estimates of the mutual information I(X; F), F the logits (n, C).

* InfoNCE (van den Oord et al., arXiv:1807.03748, section 2.3): I >= log B - L, L the cross-entropy of finding, among B
  images, the one that a row of logits belongs to. A lower bound, and never above log B.
* Reconstruction: pixels from logits by ridge regression on random features; what share of the pixels' variance is
  explained on images that were not fitted. Only comparisons mean anything.
* Proxies: variance of logits within classes over that between them, effective rank of centred logits
  exp(H(eigenvalues / their sum)) (Roy and Vetterli 2007), mean entropy of the answers.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from worker.contract.context import Context
from worker.kinds.images.networks import build
from worker.kinds.images.teachers.soft_labels import entropy
from worker.kinds.images.teachers.training import Recipe, train

BATCH = 256
"""Images among which one is found; log 256 = 5.55 nats is the most that the bound can say."""
_DIMENSIONS, _FEATURES, _RIDGE = 32, 256, 1e-2
_CRITIC = Recipe(epochs=8, batch=BATCH, rate=2e-3, optimiser="adamw", decay=1e-4, warmup=0.1)


@dataclass(frozen=True)
class Information:
    """Estimates for one teacher: `infonce` in nats, at most log of `among`; `explained` share of the pixels' variance;
    `within` variance within classes over between; `rank` effective rank; `entropy` in nats."""

    infonce: float
    among: int
    explained: float
    within: float
    rank: float
    entropy: float

    def to_json(self) -> dict[str, float]:
        """As JSON numbers."""
        return asdict(self)


def estimate(x: Tensor, logits: np.ndarray, y: np.ndarray, held: int, ctx: Context) -> Information:
    """Estimates from images x (n, c, h, w) and the teacher's logits (n, C) of them, classes y (n,).

    The last `held` rows are for measuring; of the others critic and decoder learn.
    """
    fitted = len(y) - held
    bound, among = infonce(x, logits, held, ctx)
    flat = x.flatten(1).cpu().numpy()
    explained = reconstruction(logits[:fitted], flat[:fitted], logits[fitted:], flat[fitted:], ctx.seed)
    told = logits[fitted:].astype(np.float64)
    shifted = np.exp(told - told.max(axis=1, keepdims=True))
    q = shifted / shifted.sum(axis=1, keepdims=True)
    return Information(
        bound, among, explained, within_between(told, y[fitted:]), effective_rank(told), float(entropy(q).mean())
    )


class Critic(nn.Module):
    """Score of an image with a row of logits: <e(x), W f> / t, e a small ConvNet, both sides of length 1."""

    def __init__(self, image: tuple[int, int, int], classes: int, seed: int) -> None:
        super().__init__()
        channels, height, width = image
        self.encoder = build("convnet", channels, (height, width), _DIMENSIONS, seed=seed, width=16)
        generator = torch.Generator().manual_seed(seed)
        self.project = nn.Parameter(torch.randn(classes, _DIMENSIONS, generator=generator) / classes**0.5)
        self.log_scale = nn.Parameter(torch.tensor(math.log(5.0)))

    def forward(self, x: Tensor) -> Tensor:
        """e(x), (n, 32)."""
        return nn.functional.normalize(self.encoder(x), dim=1)

    def scores(self, encoded: Tensor, f: Tensor) -> Tensor:
        """(B, B): row i are the scores of logits i with every image."""
        return self.log_scale.exp() * nn.functional.normalize(f @ self.project, dim=1) @ encoded.T


def infonce_bound(scores: Tensor) -> Tensor:
    """log B - L of scores (B, B) whose diagonal are the true pairs; a scalar, at most log B."""
    right = torch.arange(len(scores), device=scores.device)
    return math.log(len(scores)) - nn.functional.cross_entropy(scores, right)


def infonce(x: Tensor, logits: np.ndarray, held: int, ctx: Context) -> tuple[float, int]:
    """The bound in nats and B; a critic learns on all but the last `held` rows, and is measured on those."""
    fitted = len(x) - held
    among = min(BATCH, held, fitted)
    mean, spread = logits[:fitted].mean(axis=0), logits[:fitted].std(axis=0) + 1e-6
    f = torch.from_numpy(((logits - mean) / spread).astype(np.float32)).to(ctx.device)
    critic = Critic(tuple(x.shape[1:]), f.shape[1], ctx.seed)

    def batch(rows: np.ndarray, _: torch.Generator) -> tuple[Tensor, Tensor]:
        there = torch.from_numpy(rows).to(x.device)
        return x[there], f[there]

    def bound(first: int, last: int) -> float:
        """Mean over whole batches of rows [first, last), weighted alike."""
        starts = range(first, last - among + 1, among)
        with torch.no_grad():
            found = [critic.scores(critic(x[at : at + among]), f[at : at + among]) for at in starts]
        return float(torch.stack([infonce_bound(one) for one in found]).mean())

    recipe = Recipe(_CRITIC.epochs, min(among, 128), _CRITIC.rate, "adamw", _CRITIC.decay, _CRITIC.warmup)
    train(critic, fitted, batch, lambda e, g: -infonce_bound(critic.scores(e, g)), recipe, None, ctx)
    return bound(fitted, len(x)), among


def reconstruction(f: np.ndarray, pixels: np.ndarray, f_held: np.ndarray, pixels_held: np.ndarray, seed: int) -> float:
    """Share of the variance of held-out pixels (m, D) that ridge regression explains from logits (m, C), fitted on
    (n, C) and (n, D). Features are the logits, standardised, and random ReLUs of them; below 0 where it only overfits.
    """
    mean, spread = f.mean(axis=0), f.std(axis=0) + 1e-6
    rng = np.random.default_rng([seed, 41])
    weights = rng.standard_normal((f.shape[1], _FEATURES)) / f.shape[1] ** 0.5
    shift = rng.standard_normal(_FEATURES)

    def features(raw: np.ndarray) -> np.ndarray:
        z = (raw.astype(np.float64) - mean) / spread
        return np.concatenate([z, np.maximum(z @ weights + shift, 0)], axis=1)

    a, centre = features(f), pixels.mean(axis=0, dtype=np.float64)
    middle = a.mean(axis=0)
    a = a - middle
    gram = a.T @ a
    gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram) / len(gram)
    solved = np.linalg.solve(gram, a.T @ (pixels - centre))
    left = pixels_held - centre - (features(f_held) - middle) @ solved
    return float(1 - np.square(left).sum() / np.square(pixels_held - centre).sum())


def within_between(f: np.ndarray, y: np.ndarray) -> float:
    """Mean squared distance of logits (n, C) to the mean of their class, over that of those means to the mean of all;
    infinite where classes have one mean."""
    mean = f.mean(axis=0)
    within = between = 0.0
    for c in np.unique(y):
        of_class = f[y == c]
        middle = of_class.mean(axis=0)
        within += np.square(of_class - middle).sum()
        between += len(of_class) * np.square(middle - mean).sum()
    return float(within / between) if between > 0 else math.inf


def effective_rank(f: np.ndarray) -> float:
    """exp of the entropy of the eigenvalues of the covariance of f (n, C), as shares; 0 where nothing varies."""
    values = np.clip(np.linalg.eigvalsh(np.cov(f.T.astype(np.float64))), 0, None)
    if values.sum() <= 0:
        return 0.0
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(np.where(shares > 0, shares, 1))).sum()))
