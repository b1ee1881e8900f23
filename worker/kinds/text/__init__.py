"""Corpora of text: documents to select from, by quality, coverage or at random."""

from __future__ import annotations

from pydantic import BaseModel

from worker.contract.kind import Ingest, Judging, Kind
from worker.contract.method import Cost, Input, Term
from worker.kinds.text import dataset, ingest
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.description import describe
from worker.kinds.text.needs import TEST_DOCUMENTS
from worker.kinds.text.summary import TextSummary, adopt

HIGH_QUALITY = Input(
    "hq",
    "dataset",
    required=False,
    description="A high-quality set: the verdict then speaks of bits per byte on the documents that it holds out.",
)


def _evaluate_params() -> type[BaseModel]:
    from worker.kinds.text.evaluate_params import evaluate_params  # learners need torch, which loading does not

    return evaluate_params()


# A rough guide, of judging a selection of 1 MB of 8 MB in 7,627 documents; of the transformer, of single steps: some
# 500 a training at 2 MB, of about a second and a half each.
_TRANSFORMER = {"evaluate.learners": "byte-transformer"}
JUDGING_COST = Cost(
    seconds=(
        Term(10.0),
        Term(8.0, {"evaluate.draws": 1}),
        Term(5e-7, {"bytes": 1}),
        Term(2000.0, {"evaluate.draws": 1, "evaluate.seeds": 1}, _TRANSFORMER),
    ),
    memory_mb=(Term(600.0), Term(2e-5, {"documents": 1})),
)

KIND: Kind[Corpus] = Kind(
    name="text",
    unit="document",
    units="documents",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest, version=2),
    load=dataset.load,
    describe=describe,
    products=(TextSummary,),
    adopt=adopt,
    judging=Judging(_evaluate_params, inputs=(HIGH_QUALITY,), needs=(TEST_DOCUMENTS,), cost=JUDGING_COST),
)
