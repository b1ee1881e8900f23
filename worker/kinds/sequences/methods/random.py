"""Sequences drawn at random: the baseline that every summary must beat.

Sequences with two events or more are drawn first, without replacement; O(n).
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.sequences import picks
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.selection import SelectParams, selected
from worker.kinds.sequences.summary import SequenceSummary


@method(
    kind="sequences",
    task="select",
    name="random",
    version=1,
    memory_mb=1536,
    cost=Cost(seconds=(Term(0.2), Term(1e-7, {"events": 1})), memory_mb=(Term(150.0), Term(1e-4, {"events": 1}))),
)
def random_sequences(data: Sequences, params: SelectParams, ctx: Context) -> SequenceSummary:
    """Sequences drawn at random: the baseline that every summary must beat."""
    return selected(data, params, "random", picks.random, ctx)
