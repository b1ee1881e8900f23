"""All arms on all versions of the texts, and what differs between them on the same test ratings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.contract.context import Context
from worker.kinds.interactions.side_text.arms import Predictions, TextArm, Without, fit_text, mse
from worker.kinds.interactions.side_text.documents import Documents
from worker.kinds.interactions.side_text.reviews import Reviews

BUCKETS = ((0, 0), (1, 2), (3, 5), (6, 10), (11, None))
OWN, SHUFFLED = "own", "shuffled"


@dataclass(frozen=True)
class Difference:
    """A difference of mean squared errors with the ends of its 95 % interval, over `n` ratings; NaN without any."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Audit:
    """What was measured. `found`: predictions by arm and texts (`own`, `shuffled`, or the per cent that was kept; ""
    for arms without text). `arm`: the arm with text that predicts validation ratings best, which the verdict is on."""

    reviews: Reviews
    with_text: int
    found: dict[tuple[str, str], Predictions]
    arm: TextArm
    bootstrap: int
    seed: int

    def errors(self, arm: str, texts: str = "") -> np.ndarray:
        """Squared errors on test ratings (e,)."""
        return np.square(self.found[arm, texts].test - self.reviews.test.rating)

    def validation_mse(self, arm: str, texts: str = "") -> float:
        """On validation ratings."""
        return mse(self.found[arm, texts].validation, self.reviews.validation.rating)

    def difference(self, one: tuple[str, str], other: tuple[str, str], rows: np.ndarray | None = None) -> Difference:
        """Mean squared error of `one` less that of `other`, on some test ratings: a paired bootstrap over ratings."""
        each = self.errors(*one) - self.errors(*other)
        return bootstrapped(each if rows is None else each[rows], self.bootstrap, self.seed)


def bootstrapped(values: np.ndarray, resamples: int, seed: int) -> Difference:
    """The mean of values (n,) with a 95 % percentile interval; each resample takes the next n numbers of
    `default_rng([seed, 4])`."""
    if not len(values):
        return Difference(np.nan, np.nan, np.nan, 0)
    rng = np.random.default_rng([seed, 4])
    means = np.array([values[rng.integers(0, len(values), len(values))].mean() for _ in range(resamples)])
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(float(values.mean()), float(low), float(high), len(values))


def run(
    reviews: Reviews, arms: Sequence[TextArm], mask: Sequence[int], bootstrap: int, seed: int, ctx: Context
) -> Audit:
    """Every arm on its own texts, on shuffled ones, and with only `mask` per cent of them."""
    ctx.progress(0, 1, phase="read")
    documents = Documents.of(reviews.texts, seed)
    variants = {OWN: documents, SHUFFLED: documents.shuffled(np.random.default_rng([seed, 5]))}
    for percent in mask:
        if percent < 100:
            variants[f"{percent} %"] = documents.masked(percent / 100, np.random.default_rng([seed, 6]))
    jobs = [(arm, texts) for arm in arms for texts in variants]
    with ctx.part("without text", 0, len(jobs) + 1) as part:
        base = Without.fit(reviews, seed, part)
    found = {("bias", ""): base.bias, ("mf", ""): base.mf}
    for number, (arm, texts) in enumerate(jobs, 1):
        with ctx.part(f"{arm} on {texts} texts", number, len(jobs) + 1) as part:
            found[arm, texts] = _once(arm, base, variants[texts], part)
    best = min(arms, key=lambda arm: mse(found[arm, OWN].validation, reviews.validation.rating))
    return Audit(reviews, int(documents.there.sum()), found, best, bootstrap, seed)


def _once(arm: TextArm, base: Without, documents: Documents, ctx: Context) -> Predictions:
    """The predictions of an earlier attempt, or of a training now."""
    if (point := ctx.restore()) is not None and point.done:
        return Predictions(point.arrays["validation"], point.arrays["test"], dict(point.state))
    found = fit_text(arm, base, documents, ctx)
    settings = {name: "none" if np.isinf(value) else value for name, value in found.settings.items()}
    ctx.finish({"validation": found.validation, "test": found.test}, settings)
    return Predictions(found.validation, found.test, settings)


def bucket(support: np.ndarray, low: int, high: int | None) -> np.ndarray:
    """Which events (e,) have between `low` and `high` training events, both included."""
    return (support >= low) & (support <= (np.inf if high is None else high))
