"""Who did what in which order: sequences of events, and text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker.contract.kind import Ingest, Judging, Kind
from worker.kinds.sequences import dataset, ingest
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.summary import SequenceSummary, adopt


def describe(folder: Path) -> dict[str, Any]:
    """Statistics and preview of canonical files."""
    return {"statistics": dataset.statistics(folder), "preview": dataset.preview(folder), "warnings": []}


def _evaluate_params() -> type[BaseModel]:
    from worker.kinds.sequences.evaluate_params import evaluate_params  # learners need torch, which loading does not

    return evaluate_params()


KIND: Kind[Sequences] = Kind(
    name="sequences",
    unit="sequence",
    units="sequences",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest),
    load=dataset.load,
    describe=describe,
    products=(SequenceSummary,),
    adopt=adopt,
    judging=Judging(_evaluate_params),
)
