"""Documents, each of which has some of thousands of labels."""

from __future__ import annotations

from pydantic import BaseModel

from worker.contract.kind import Ingest, Judging, Kind
from worker.contract.method import Cost, Term
from worker.kinds.labels import dataset, ingest
from worker.kinds.labels.dataset import LabelledDocuments
from worker.kinds.labels.description import describe
from worker.kinds.labels.needs import TEST_DOCUMENTS
from worker.kinds.labels.summary import LabelsSummary, adopt


def _evaluate_params() -> type[BaseModel]:
    from worker.kinds.labels.judge import evaluate_params  # learners are slow to import, and loading data needs none

    return evaluate_params()


_LABEL_MIX, _ECLARE, _PLT = ({"evaluate.learners": name} for name in ("label-mix", "eclare", "plt"))

JUDGING_COST = Cost(
    seconds=(
        Term(5.0),
        Term(1e-3, {"documents": 1}),
        Term(2e-4, {"documents": 1, "evaluate.draws": 1}),
        Term(10.0, only=_LABEL_MIX),
        Term(8e-7, {"documents": 1, "labels": 1}, only=_LABEL_MIX),
        Term(20.0, only=_ECLARE),
        Term(1.6e-6, {"documents": 1, "labels": 1}, only=_ECLARE),
        Term(2e-3, {"documents": 1}, only=_PLT),
    ),
    memory_mb=(
        Term(400.0),
        Term(3e-3, {"documents": 1}),
        Term(1e-2, {"documents": 1}, only=_LABEL_MIX),
        Term(1.2e-2, {"labels": 1}, only=_LABEL_MIX),  # measured on text: 5.5e-3; features have a wider layer
    ),
)

KIND: Kind[LabelledDocuments] = Kind(
    name="labels",
    unit="document",
    units="documents",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest),
    load=dataset.load,
    describe=describe,
    products=(LabelsSummary,),
    adopt=adopt,
    judging=Judging(_evaluate_params, needs=(TEST_DOCUMENTS,), cost=JUDGING_COST),
)
