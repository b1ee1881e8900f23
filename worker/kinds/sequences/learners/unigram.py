"""Unigram: tokens by how often they occur. The floor of text."""

from __future__ import annotations

from typing import Any

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.sequences.counting import predicted
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.learners.popularity import Popularity


@learner(kind="sequences", name="unigram", label="unigram", floor=True, note="tokens by how often they occur")
def unigram(data: TrainingSet, params: Any, ctx: Context) -> Popularity:
    """Every token has half an occurrence more than was counted."""
    ctx.progress(0, 1)
    return Popularity(predicted(data))
