"""The method a user gets who names none: what the evidence favours for such data.

Text and very small budgets keep real sequences. docs/sequences.md has the figures that the rule follows.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from worker.contract.budget import Budget
from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.methods.coverage import coverage
from worker.kinds.sequences.methods.random import random_sequences
from worker.kinds.sequences.selection import SelectParams
from worker.kinds.sequences.summary import SequenceSummary


class AutoParams(BaseModel):
    """Parameters of `auto`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = Field("1%", description='Size: sequences (25), a share of them ("1%") or bytes ("150kB").')


@method(
    kind="sequences",
    task="select",
    name="auto",
    version=1,
    memory_mb=2560,
    cost=Cost(
        seconds=(Term(0.5), Term(2e-6, {"events": 1})),
        memory_mb=(Term(300.0), Term(2e-4, {"events": 1})),
    ),
)
def auto(data: Sequences, params: AutoParams, ctx: Context) -> SequenceSummary:
    """Sequences that cover the most frequent transitions, or windows of a text at random; the report says why."""
    given = SelectParams(budget=params.budget)
    if data.is_text:
        summary = random_sequences(data, given, ctx)
        reason = "Windows of a text are much alike in length and content, so `auto` chose random ones."
    else:
        summary = coverage(data, given, ctx)
        reason = (
            "Of real sequences those that cover the most frequent transitions kept most on the log that was measured "
            "(docs/sequences.md), so `auto` chose coverage."
        )
    return replace(summary, origin=replace(summary.origin, reason=reason))
