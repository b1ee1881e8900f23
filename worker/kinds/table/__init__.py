"""Tables with a column to predict: classes or numbers."""

from __future__ import annotations

from pydantic import BaseModel

from worker.contract.kind import Ingest, Judging, Kind
from worker.contract.method import Cost, Term
from worker.kinds.table import dataset, ingest
from worker.kinds.table.dataset import Table
from worker.kinds.table.summary import TableSummary, adopt


def _evaluate_params() -> type[BaseModel]:
    from worker.kinds.table.judge import evaluate_params  # learners are slow to import, and loading data needs none

    return evaluate_params()


KIND: Kind[Table] = Kind(
    name="table",
    unit="row",
    units="rows",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest),
    load=dataset.load,
    describe=dataset.describe,
    products=(TableSummary,),
    adopt=adopt,
    judging=Judging(_evaluate_params, cost=Cost(seconds=(Term(5.0),))),
)
