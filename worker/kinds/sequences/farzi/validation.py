"""How good a summary is on validation data, as whoever trains on it finds: the learner's own recipe, fresh seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.sequences.dataset import Cases, Sequences
from worker.kinds.sequences.fitting import Fitting, NeuralModel, Recipe
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.ranking import Ranking
from worker.kinds.sequences.rows import Rows
from worker.numerics.seeds import mix

MOST_CASES, MOST_WINDOWS = 2000, 100


@dataclass(frozen=True)
class Validation:
    """`best`: the metric, more is better, after the number of training `steps` at which it is best; `scores`: of every
    number of steps, by name."""

    best: float
    steps: int
    scores: dict[str, float]


@dataclass(frozen=True)
class Validate:
    """Trains `seeds` networks by a recipe, up to the last of `steps`, and measures each after every number of them.

    Events: mean nDCG@10 in per cent; text: minus the perplexity. Scores that are not finite count as the worst there
    is, since a comparison with NaN would rank every target first.
    """

    recipe: Recipe
    cases: Cases | None
    windows: Rows | None
    items: int
    steps: tuple[int, ...]
    seeds: int
    seed: int
    device: str

    @classmethod
    def of(
        cls, data: Sequences, recipe: Recipe, steps: Sequence[int], seeds: int, seed: int, device: str
    ) -> Validate | None:
        """None where nothing is held out for validation."""
        cases = windows = None
        if data.is_text:
            held = data.held("validation")
            windows = held.take(np.arange(min(MOST_WINDOWS, len(held))))
        else:
            cases = data.cases("validation").some(MOST_CASES, seed)
        if not len(windows if cases is None else cases):
            return None
        return cls(recipe, cases, windows, data.n_items, tuple(steps), seeds, seed, device)

    def __call__(self, made: TrainingSet, tick: Callable[[], None]) -> Validation:
        """Train and measure."""
        found = np.zeros((self.seeds, len(self.steps)))
        for number in range(self.seeds):
            fitting = Fitting(self.recipe, made, mix(self.seed, number, 6) % 2**32, self.device)
            for column, steps in enumerate(self.steps):
                try:
                    found[number, column] = self.measure(fitting.fit({"steps": steps}, _Ticking.of(tick)))
                except JobError:
                    found[number, column] = -np.inf
        means = found.mean(axis=0)
        best = int(np.argmax(means))
        metric = "validation_ndcg@10" if self.windows is None else "minus_validation_perplexity"
        named = {
            f"{metric}_after_{steps}_training_steps": float(value)
            for steps, value in zip(self.steps, means, strict=True)
            if np.isfinite(value)
        }
        return Validation(float(means[best]), self.steps[best], named)

    def measure(self, model: NeuralModel) -> float:
        """How good a trained network is; minus infinity where its scores are not finite."""
        if self.cases is not None:
            return 100 * float(Ranking(self.cases, (10,), self.items)(model)["ndcg@10"].mean())
        assert self.windows is not None  # noqa: S101 - one of the two is there
        missed = float(model.surprise(self.windows).sum() / (self.windows.lengths - 1).sum())
        return -float(np.exp(min(missed, 50.0))) if np.isfinite(missed) else -np.inf


@dataclass
class _Ticking(Context):
    """A context whose progress only calls back: training here is a part of an outer step."""

    tick: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, tick: Callable[[], None]) -> _Ticking:
        return cls(tick=tick)

    def progress(self, step: int, total: int, *, phase: str = "", **metrics: float) -> None:
        """Call back."""
        self.tick()
