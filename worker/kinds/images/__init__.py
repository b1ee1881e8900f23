"""Images with classes."""

from __future__ import annotations

from pydantic import BaseModel

from worker.contract.kind import Ingest, Judging, Kind
from worker.contract.method import Cost, Term
from worker.kinds.images import dataset, ingest
from worker.kinds.images.adoption import adopt
from worker.kinds.images.dataset import Images
from worker.kinds.images.description import describe
from worker.kinds.images.needs import TEST_IMAGES
from worker.kinds.images.summary import ImagesSummary


def _evaluate_params() -> type[BaseModel]:
    from worker.kinds.images.judge import evaluate_params  # learners need torch, and loading data needs none

    return evaluate_params()


JUDGING_COST = Cost(seconds=(Term(10.0),), memory_mb=(Term(700.0),))

KIND: Kind[Images] = Kind(
    name="images",
    unit="image",
    units="images",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest),
    load=dataset.load,
    describe=describe,
    products=(ImagesSummary,),
    adopt=adopt,
    judging=Judging(_evaluate_params, needs=(TEST_IMAGES,), cost=JUDGING_COST),
)
