"""Keep the documents whose running mean stays nearest the mean of all (herding, in the main directions of the
documents' vectors). O(documents x 64 x budget).
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.labels.dataset import LabelledDocuments
from worker.kinds.labels.delivery import DocumentsParams, picked, size_of
from worker.kinds.labels.selection import herding
from worker.kinds.labels.summary import LabelsSummary
from worker.kinds.labels.vectors import Vectoriser, dense


class HerdingParams(DocumentsParams):
    """Parameters of `herding`."""


@method(
    kind="labels",
    task="select",
    name="herding",
    version=1,
    paper="Welling, ICML 2009",
    cost=Cost(seconds=(Term(1.0), Term(3e-6, {"entries": 1}), Term(2e-8, {"documents": 1, "budget": 1}))),
)
def herding_documents(data: LabelledDocuments, params: HerdingParams, ctx: Context) -> LabelsSummary:
    """Real documents whose mean is that of all."""
    count = size_of(data, params)
    x = dense(Vectoriser.fit(data.train, ctx)[1], ctx.seed)
    return picked(data, herding(x, count, ctx), "herding", params)
