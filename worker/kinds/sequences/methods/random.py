"""Sequences drawn at random: the baseline that every summary must beat.

Sequences with two events or more are drawn first, without replacement; O(n).
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.sequences import picks
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.selection import SelectParams, selected
from worker.kinds.sequences.summary import SequenceSummary


@method(kind="sequences", task="select", name="random", version=1)
def random_sequences(data: Sequences, params: SelectParams, ctx: Context) -> SequenceSummary:
    """Sequences drawn at random: the baseline that every summary must beat."""
    return selected(data, params, "random", picks.random, ctx)
