"""Keep documents drawn at random, all alike: the baseline that every summary must beat."""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.labels.dataset import LabelledDocuments
from worker.kinds.labels.delivery import DocumentsParams, picked, size_of
from worker.kinds.labels.summary import LabelsSummary


class RandomParams(DocumentsParams):
    """Parameters of `random`."""


@method(
    kind="labels", task="select", name="random", version=1, cost=Cost(seconds=(Term(1.0), Term(1e-5, {"documents": 1})))
)
def random_documents(data: LabelledDocuments, params: RandomParams, ctx: Context) -> LabelsSummary:
    """Real documents at random."""
    ctx.progress(0, 1, phase="select")
    rows = ctx.rng.permutation(len(data.train))[: size_of(data, params)]
    return picked(data, rows, "random", params)
