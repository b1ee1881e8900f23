"""A byte n-gram of order 6: trains in a second or two, with nothing random and nothing to tune."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Settings, learner
from worker.kinds.text import byte_ngram, word_space
from worker.kinds.text.training_text import Documents, TrainingText


@dataclass(frozen=True)
class NGramModel:
    """Its counts, and the space of documents that is learned from the same text when it is asked for."""

    counted: byte_ngram.ByteNGram
    text: Documents
    ctx: Context

    def bits(self, documents: Documents) -> np.ndarray:
        """Bits of every document."""
        return self.counted.bits(documents, lambda: self.ctx.progress(1, 1))

    def features(self, documents: Documents) -> np.ndarray:
        """Where every document lies in the space."""
        self.ctx.progress(1, 1)
        return self.space(documents)

    @cached_property
    def space(self) -> word_space.WordSpace:
        """The space of documents."""
        return word_space.learn(self.text, self.ctx.seed)


@dataclass(frozen=True)
class _Counting:
    text: TrainingText

    def fit(self, settings: Settings, ctx: Context) -> NGramModel:
        """The counts. Raises `JobError` `diverged` where there is no text at all."""
        if not self.text.distinct:
            raise JobError("diverged", "there is no text to count.")

        counted = byte_ngram.train(self.text.documents, lambda: ctx.progress(0, 1))
        return NGramModel(counted, self.text.documents, ctx)


@learner(
    kind="text",
    name="ngram",
    label="n-gram",
    note="A document that is read again is counted once: a second reading would only make it surer of itself.",
)
def ngram(text: TrainingText, params: Any, ctx: Context) -> _Counting:
    """Witten-Bell interpolation over bytes; for classification, latent semantic analysis of the same documents."""
    return _Counting(text)
