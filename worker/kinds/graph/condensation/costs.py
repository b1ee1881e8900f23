"""What all learned condensations take: their start, and the networks that choose among candidates.

Terms were fitted by hand to CPU seconds of one thread on Cora and PubMed at the default size, half of the train nodes.
"""

from __future__ import annotations

from worker.contract.method import Cost, Term

_CHOSEN_AT_MOST = 9  # candidates of a run


def choosing(candidates: float) -> tuple[Term, ...]:
    """Seconds of training networks on some candidates and of predicting the validation nodes on the way."""
    return (
        Term(1.7e-6 * candidates, {"train_nodes": 1, "features": 1}),
        Term(2.2e-6 * candidates, {"nodes": 1, "features": 1, "feature_density": 1}),
        Term(3.6e-5 * candidates, {"nodes": 1}),
    )


LEARNING: tuple[Term, ...] = (Term(0.5), *choosing(0.9 * _CHOSEN_AT_MOST))
MEMORY: tuple[Term, ...] = (Term(420.0), Term(1.2e-5, {"nodes": 1, "features": 1}))
PAIRS: tuple[Term, ...] = (Term(1.2e-3, {"train_nodes": 2}),)
"""Memory of a generator of edges: 4 n² (3 hidden + 2) bytes, thrice for the backward pass, n half of train."""

FOLLOWING = Cost(
    seconds=(
        *LEARNING,
        Term(3.5e-3, {"params.epochs": 1, "params.syn_steps": 1}),
        Term(7.5e-10, {"params.epochs": 1, "params.syn_steps": 1, "train_nodes": 1, "features": 1, "params.hidden": 1}),
        Term(
            2.3e-10,
            {"params.experts": 1, "params.teacher_epochs": 1, "train_nodes": 1, "features": 1, "params.hidden": 1},
        ),
    ),
    memory_mb=(
        *MEMORY,
        Term(1e-4, {"params.syn_steps": 1, "features": 1, "params.hidden": 1}),
    ),
)
"""Of methods that follow networks trained on the whole graph."""
