"""Who used what: users x items, for recommenders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker.contract.kind import Ingest, Judging, Kind
from worker.kinds.interactions import dataset, ingest
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.summary import InteractionsSummary, adopt


def describe(folder: Path) -> dict[str, Any]:
    """Statistics and preview of canonical files."""
    return {"statistics": dataset.statistics(folder), "preview": dataset.preview(folder), "warnings": []}


def _evaluate_params() -> type[BaseModel]:
    from worker.kinds.interactions.judge import evaluate_params  # learners need torch, which loading data does not

    return evaluate_params()


KIND: Kind[Interactions] = Kind(
    name="interactions",
    unit="user",
    units="users",
    ingest=Ingest(ingest.IngestOptions, ingest.run),
    load=dataset.load,
    describe=describe,
    products=(InteractionsSummary,),
    adopt=adopt,
    judging=Judging(_evaluate_params),
)
