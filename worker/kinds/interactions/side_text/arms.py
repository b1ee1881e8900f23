"""The models that are compared: without text, with text, and with the same texts at other reviews.

Every arm with text contains the factorisation without it as one of its settings (NARRE-lite: the biases), and settings
are chosen on validation events: an arm that finds nothing in the texts is the factorisation, and differs from it by 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from worker.contract.context import Context
from worker.kinds.interactions.side_text import attention
from worker.kinds.interactions.side_text.documents import Documents, features, means
from worker.kinds.interactions.side_text.factorised import BIAS_RIDGES, FACTOR_RIDGES, Biases, Described, Factors
from worker.kinds.interactions.side_text.reviews import Part, Reviews

TextArm = Literal["mf-text", "narre-lite", "hft-lite"]
LABELS = {
    "bias": "biases",
    "mf": "factorisation",
    "mf-text": "factorisation + text features",
    "narre-lite": "NARRE-lite (attention over reviews)",
    "hft-lite": "HFT-lite (text draws item factors)",
}
TEXT_RIDGES = (np.inf, 3000.0, 300.0, 30.0)
STRENGTHS = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Predictions:
    """Ratings of validation and test pairs (e,), within the range of training ratings; how they were chosen."""

    validation: np.ndarray
    test: np.ndarray
    settings: dict[str, float]


@dataclass(frozen=True)
class Without:
    """The models without text: the biases, their factors, and the ridges that were best for them."""

    reviews: Reviews
    biases: Biases
    bias_ridge: float
    ridge: float
    seed: int
    bias: Predictions
    mf: Predictions

    @property
    def left(self) -> np.ndarray:
        """What the biases leave of the training ratings (e,)."""
        return self.reviews.train.rating - self.biases.predict(self.reviews.train)

    @classmethod
    def fit(cls, reviews: Reviews, seed: int, ctx: Context) -> Without:
        """Both, tuned on validation events."""
        train = reviews.train
        fits = {ridge: Biases.fit(train, reviews.users, reviews.items, ridge) for ridge in BIAS_RIDGES}
        bias_ridge, bias = _best(reviews, {ridge: one.predict for ridge, one in fits.items()}, "ridge")
        biases = fits[bias_ridge]
        left = train.rating - biases.predict(train)
        found: dict[float, Callable[[Part], np.ndarray]] = {}
        for number, value in enumerate(FACTOR_RIDGES):
            ctx.progress(number, len(FACTOR_RIDGES))
            found[value] = _sum(biases, Factors.fit(reviews, left, value, seed))
        best, mf = _best(reviews, found, "ridge")
        return cls(reviews, biases, bias_ridge, best, seed, bias, mf)


def _best(
    reviews: Reviews, models: dict[float, Callable[[Part], np.ndarray]], setting: str
) -> tuple[float, Predictions]:
    """The setting that predicts validation ratings best, the first of equal ones, and what it predicts."""
    found: list[tuple[float, float, Predictions]] = []
    for value, predict in models.items():
        one = _predictions(reviews, predict(reviews.validation), predict(reviews.test), {setting: value})
        found.append((mse(one.validation, reviews.validation.rating), value, one))
    _, value, best = min(found, key=lambda one: one[0])
    return value, best


def _predictions(reviews: Reviews, validation: np.ndarray, test: np.ndarray, settings: dict[str, float]) -> Predictions:
    low, high = float(reviews.train.rating.min()), float(reviews.train.rating.max())
    return Predictions(np.clip(validation, low, high), np.clip(test, low, high), settings)


def mse(predicted: np.ndarray, rating: np.ndarray) -> float:
    """Mean squared error."""
    return float(np.square(predicted - rating).mean())


def _sum(
    biases: Biases, factors: Factors, text: Callable[[Part], np.ndarray] | None = None
) -> Callable[[Part], np.ndarray]:
    def predict(part: Part) -> np.ndarray:
        return biases.predict(part) + factors.predict(part) + (0.0 if text is None else text(part))

    return predict


def fit_text(arm: TextArm, base: Without, documents: Documents, ctx: Context) -> Predictions:
    """An arm with text, tuned on validation events beside the factorisation's own settings."""
    return {"mf-text": _mf_text, "narre-lite": _narre, "hft-lite": _hft}[arm](base, documents, ctx)


def _mf_text(base: Without, documents: Documents, ctx: Context) -> Predictions:
    """A ridge regression on what user and item have said and heard, then factors of what it leaves."""
    reviews = base.reviews
    parts = {id(part): features(reviews, documents, part) for part in (reviews.train, reviews.validation, reviews.test)}
    scale = parts[id(reviews.train)].std(axis=0)
    scale[scale == 0] = 1
    x = parts[id(reviews.train)] / scale
    gram, mixed = x.T @ x, x.T @ base.left
    found: dict[float, Callable[[Part], np.ndarray]] = {}
    for number, ridge in enumerate(TEXT_RIDGES):
        ctx.progress(number, len(TEXT_RIDGES))
        endless = np.isinf(ridge)
        weights = np.zeros(len(mixed)) if endless else np.linalg.solve(gram + ridge * np.eye(len(gram)), mixed)
        factors = Factors.fit(reviews, base.left - x @ weights, base.ridge, base.seed)
        found[ridge] = _sum(base.biases, factors, lambda part, w=weights: (parts[id(part)] / scale) @ w)
    return _best(reviews, found, "text_ridge")[1]


def _hft(base: Without, documents: Documents, ctx: Context) -> Predictions:
    """Ridges draw item biases and factors to a linear image of the item's mean text, where the factorisation's draw
    them to 0 (after McAuley and Leskovec, RecSys 2013): text is a regulariser here, and no model reads it."""
    reviews = base.reviews
    texts = means(documents, reviews.train.item, reviews.items, np.arange(reviews.items), None)
    found: dict[float, Callable[[Part], np.ndarray]] = {}
    for number, strength in enumerate(STRENGTHS):
        ctx.progress(number, len(STRENGTHS))
        described = Described(texts, strength)
        biases = Biases.fit(reviews.train, reviews.users, reviews.items, base.bias_ridge, described)
        left = reviews.train.rating - biases.predict(reviews.train)
        found[strength] = _sum(biases, Factors.fit(reviews, left, base.ridge, base.seed, described))
    return _best(reviews, found, "strength")[1]


def _narre(base: Without, documents: Documents, ctx: Context) -> Predictions:
    reviews = base.reviews
    parts = reviews.validation, reviews.test
    validation, test = attention.fit(reviews, documents, base.biases.predict, parts, base.seed, ctx)
    return _predictions(reviews, validation, test, {})
