"""Points in the plane, each with a label that is to be predicted from where it lies."""

from __future__ import annotations

from pydantic import BaseModel

from worker.contract.kind import Ingest, Judging, Kind
from worker.contract.method import Cost, Term
from worker.kinds.points import dataset
from worker.kinds.points.dataset import Points
from worker.kinds.points.ingest import IngestOptions, ingest
from worker.kinds.points.summary import PointsSummary, adopt

# Seconds, measured: each draw is a training, and each resample of the intervals looks at every point.
JUDGING = Cost(seconds=(Term(0.5), Term(1e-7, {"points": 1, "evaluate.draws": 1, "evaluate.bootstrap": 1})))


def _evaluate_params() -> type[BaseModel]:
    from worker.kinds.points.judge import evaluate_params  # who only loads data needs no learners

    return evaluate_params()


KIND: Kind[Points] = Kind(
    name="points",
    unit="point",
    units="points",
    ingest=Ingest(IngestOptions, ingest),
    load=dataset.load,
    describe=dataset.describe,
    products=(PointsSummary,),
    adopt=adopt,
    judging=Judging(_evaluate_params, cost=JUDGING),
)
