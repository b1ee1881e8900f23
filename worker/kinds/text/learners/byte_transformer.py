"""A small decoder over bytes, trained for as many bytes as every other set gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Settings, learner
from worker.kinds.text import byte_decoder
from worker.kinds.text.training_text import TrainingText


@dataclass(frozen=True)
class _Training:
    text: TrainingText

    def fit(self, settings: Settings, ctx: Context) -> byte_decoder.Reading:
        """The network. Raises `JobError` `diverged` where there is no text at all, or its loss is not a number."""
        if not self.text.distinct:
            raise JobError("diverged", "there is no text to read.")
        net = byte_decoder.train(self.text, ctx)
        return byte_decoder.Reading(net, ctx.device, lambda: ctx.progress(1, 1))


@learner(kind="text", name="byte-transformer", label="byte transformer", usual=False, seeds=3)
def byte_transformer(text: TrainingText, params: Any, ctx: Context) -> _Training:
    """Next bytes, from the 256 before; for classification, the mean of its states."""
    return _Training(text)
