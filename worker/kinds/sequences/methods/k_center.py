"""Sequences that lie nearest to all others: greedy k-centre on the mean of their items' vectors.

Gonzalez (1985): each time the sequence farthest from all that are taken; vectors as in `embedding`. O(n k dim).
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
    name="k-center",
    version=1,
    memory_mb=2560,
    cost=Cost(
        seconds=(Term(0.5), Term(1e-6, {"events": 1}), Term(2e-8, {"sequences": 1, "budget": 1})),
        memory_mb=(Term(300.0), Term(2e-4, {"events": 1}), Term(4e-4, {"sequences": 1})),
    ),
)
def k_center(data: Sequences, params: SelectParams, ctx: Context) -> SequenceSummary:
    """Sequences that lie nearest to all others: greedy k-centre on the mean of their items' vectors."""
    return selected(data, params, "k-center", picks.k_center, ctx)
