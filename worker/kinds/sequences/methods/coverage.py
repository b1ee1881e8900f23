"""Sequences that cover the most frequent transitions per event: greedy weighted coverage.

Of pairs (item, next item), weighted by how often they occur, each counts once; lazy greedy, which is within 1 - 1/e of
the best for a given number of events.
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
    name="coverage",
    version=1,
    memory_mb=2560,
    cost=Cost(
        seconds=(Term(0.5), Term(1e-6, {"events": 1}), Term(2e-8, {"sequences": 1, "budget": 1})),
        memory_mb=(Term(300.0), Term(2e-4, {"events": 1}), Term(4e-4, {"sequences": 1})),
    ),
)
def coverage(data: Sequences, params: SelectParams, ctx: Context) -> SequenceSummary:
    """Sequences that cover the most frequent transitions per event: greedy weighted coverage."""
    return selected(data, params, "coverage", picks.coverage, ctx)
