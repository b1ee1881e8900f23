"""Learners with one hyper-parameter, a ridge: their grid, and what is tried beyond its ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from scipy import sparse
from torch import Tensor

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Further, Settings
from worker.numerics.ridge import NotPositiveDefinite

_LEAST = 1e-5
_BEYOND = 3


class Training(Protocol):
    """What trainings at different ridges share; `cross` as in `EaseGram`."""

    def fit(self, value: float, /) -> Any:
        """The model at a ridge; raises `NotPositiveDefinite`."""
        ...

    def cross(self, inputs: sparse.csr_array, most_bytes: int, /) -> Tensor | None:
        """What scores of these inputs need of any model."""
        ...


@dataclass(frozen=True)
class RidgeTraining:
    """A `Trainable` whose one setting is `parameter`."""

    training: Training
    parameter: str

    def fit(self, settings: Settings, ctx: Context) -> Any:
        """The model at a ridge; `JobError` `diverged` where the kernel is singular."""
        try:
            return self.training.fit(float(settings[self.parameter]))
        except NotPositiveDefinite as singular:
            raise JobError("diverged", str(singular)) from singular

    def cross(self, inputs: sparse.csr_array, most_bytes: int) -> Tensor | None:
        """What the scores of every model need of rows of inputs (q, I), computed once; None when it is larger."""
        return self.training.cross(inputs, most_bytes)


def grid(parameter: str, values: Sequence[float]) -> tuple[Settings, ...]:
    """Increasing ridges as settings."""
    return tuple({parameter: float(value)} for value in values)


def beyond(parameter: str, values: Sequence[float]) -> Further:
    """Go on past an end of the grid by factors of two, three times at most, while the end is the best."""

    def further(tried: Sequence[tuple[Settings, float]]) -> Settings | None:
        scores = {float(settings[parameter]): score for settings, score in reversed(tried)}
        best = max(sorted(scores), key=lambda value: scores[value])
        if scores[best] == -math.inf:  # no ridge was possible
            return None
        if best == max(scores) and best < values[-1] * 2**_BEYOND:
            return {parameter: 2 * best}
        if best == min(scores) and best > max(_LEAST, values[0] / 2**_BEYOND):
            return {parameter: best / 2}
        return None

    return further
