"""Who did what in which order: sequences of events, and text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker.contract.kind import Ingest, Judging, Kind
from worker.contract.method import Cost, Term
from worker.kinds.sequences import dataset, ingest
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.needs import TEST_EVENTS
from worker.kinds.sequences.summary import SequenceSummary, adopt
from worker.kinds.sequences.tokeniser import Tokeniser


def describe(folder: Path) -> dict[str, Any]:
    """Statistics and preview of canonical files."""
    return {"statistics": dataset.statistics(folder), "preview": dataset.preview(folder), "warnings": []}


def _evaluate_params() -> type[BaseModel]:
    from worker.kinds.sequences.evaluate_params import evaluate_params  # learners need torch, which loading does not

    return evaluate_params()


# Of judging a pick with default settings on made up and real sets (300 to 2,825 sequences), in CPU seconds, by hand: a
# training costs its steps times rows of a batch times items, an evaluation cases times items; a default search has
# about 12 sets, 3 seeds each, 30 settings. A rough guide, within a factor of 3.
_NEURAL = ("sasrec", "gru4rec")
_CASES = {"sequences_with_test": 1, "items": 1}
JUDGING_COST = Cost(
    seconds=(
        Term(10.0),
        Term(100.0, {"evaluate.seeds": 1}),
        Term(5e-5, {**_CASES, "evaluate.seeds": 1}),
        *(Term(0.1, {"items": 1, "evaluate.seeds": 1}, {"evaluate.learners": name}) for name in _NEURAL),
    ),
    memory_mb=(Term(500.0), Term(2e-2, {"items": 1}), Term(2e-4, {"events": 1})),
)

KIND: Kind[Sequences] = Kind(
    name="sequences",
    unit="sequence",
    units="sequences",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest),
    load=dataset.load,
    describe=describe,
    products=(SequenceSummary, Tokeniser),
    adopt=adopt,
    judging=Judging(_evaluate_params, needs=(TEST_EVENTS,), cost=JUDGING_COST),
)
