"""The floor: how often each byte occurs, whatever stands before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.text.training_text import Documents, TrainingText


@dataclass(frozen=True)
class Shares:
    """`bits_of` float64 (256,): -log2 of the share of every byte, each counted once more than it occurs."""

    bits_of: np.ndarray

    def bits(self, documents: Documents) -> np.ndarray:
        """Bits of every document."""
        return documents.sums(self.bits_of[documents.buffer])

    def features(self, documents: Documents) -> None:
        """It makes nothing of documents."""


@dataclass(frozen=True)
class _Counting:
    text: TrainingText

    def fit(self, settings: Settings, ctx: Context) -> Shares:
        """The shares."""
        counts = np.bincount(self.text.documents.buffer, minlength=256) + 1.0
        return Shares(-np.log2(counts / counts.sum()))


@learner(kind="text", name="unigram", label="single bytes", floor=True)
def unigram(text: TrainingText, params: Any, ctx: Context) -> _Counting:
    """Shares of bytes."""
    return _Counting(text)
