"""A byte n-gram of order 6: trains in a second or two, with nothing random and nothing to tune."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Settings, learner
from worker.kinds.text import byte_ngram, word_space
from worker.kinds.text.training_text import Documents, TrainingText


@dataclass(frozen=True)
class NGramModel:
    """Its counts, and the space of documents learned from the same text."""

    counted: byte_ngram.ByteNGram
    space: word_space.WordSpace
    heartbeat: Callable[[], None]

    def bits(self, documents: Documents) -> np.ndarray:
        """Bits of every document."""
        return self.counted.bits(documents, self.heartbeat)

    def features(self, documents: Documents) -> np.ndarray:
        """Where every document lies in the space."""
        self.heartbeat()
        return self.space(documents)


@dataclass(frozen=True)
class _Counting:
    text: TrainingText

    def fit(self, settings: Settings, ctx: Context) -> NGramModel:
        """The counts. Raises `JobError` `diverged` where there is no text at all."""
        if not self.text.distinct:
            raise JobError("diverged", "there is no text to count.")

        def heartbeat() -> None:
            ctx.progress(0, 1)

        counted = byte_ngram.train(self.text.documents, heartbeat)
        return NGramModel(counted, word_space.learn(self.text.documents, ctx.seed), heartbeat)


@learner(
    kind="text",
    name="ngram",
    label="n-gram",
    note="A document that is read again is counted once: a second reading would only make it surer of itself.",
)
def ngram(text: TrainingText, params: Any, ctx: Context) -> _Counting:
    """Witten-Bell interpolation over bytes; for classification, latent semantic analysis of the same documents."""
    return _Counting(text)
