"""Tables with a column to predict: classes or numbers."""

from __future__ import annotations

from pydantic import BaseModel

from worker.contract.kind import Ingest, Judging, Kind
from worker.contract.method import Cost, Term
from worker.kinds.table import dataset, ingest
from worker.kinds.table.dataset import Table
from worker.kinds.table.needs import TEST_ROWS
from worker.kinds.table.summary import TableSummary, adopt


def _evaluate_params() -> type[BaseModel]:
    from worker.kinds.table.judge import evaluate_params  # learners are slow to import, and loading data needs none

    return evaluate_params()


# A rough guide from one training of every learner on Adult (26,049 training rows, 90 encoded columns) and on 100 rows
# of it, at all settings and seeds, and again for the timings.
_MLP, _FOREST = {"evaluate.learners": "mlp"}, {"evaluate.learners": "random-forest"}
_BOOSTING, _KNN = {"evaluate.learners": "boosting"}, {"evaluate.learners": "knn"}
JUDGING_COST = Cost(
    seconds=(
        Term(5.0),
        Term(1.0, {"evaluate.draws": 1}),
        Term(3e-6, {"rows": 1, "encoded_columns": 1}),
        Term(1.5e-3, {"rows": 1}, _MLP),
        Term(1e-3, {"rows": 1}, _FOREST),
        Term(5e-4, {"rows": 1}, _BOOSTING),
        Term(3e-9, {"rows": 2}, _KNN),
    ),
    memory_mb=(Term(400.0), Term(3e-5, {"rows": 1, "encoded_columns": 1})),
)

KIND: Kind[Table] = Kind(
    name="table",
    unit="row",
    units="rows",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest),
    load=dataset.load,
    describe=dataset.describe,
    products=(TableSummary,),
    adopt=adopt,
    judging=Judging(_evaluate_params, needs=(TEST_ROWS,), cost=JUDGING_COST),
)
