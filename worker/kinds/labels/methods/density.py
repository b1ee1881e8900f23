"""Keep documents in inverse proportion to how many are like them: crowds are thinned out, rare topics stay.

Sachdeva et al., "How to Train Data-Efficient LLMs" (2024), section 3.3, on the main directions of the documents'
vectors. Their algorithm 2 says p proportional to the density in its last line; the text and the theorem need its
inverse, which is drawn here. O(documents x rows x 64).
"""

from __future__ import annotations

from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.labels.dataset import LabelledDocuments
from worker.kinds.labels.delivery import DocumentsParams, picked, size_of
from worker.kinds.labels.selection import by_rarity, densities
from worker.kinds.labels.summary import LabelsSummary
from worker.kinds.labels.vectors import Vectoriser, dense

ALMOST_UNIFORM = 0.1


class DensityParams(DocumentsParams):
    """Parameters of `density`."""

    sketch_rows: int = Field(
        256, ge=32, le=4096, description="Rows of the sketch that estimates densities; the error falls as their root."
    )


@method(
    kind="labels",
    task="select",
    name="density",
    version=1,
    paper="arXiv:2402.09668",
    cost=Cost(seconds=(Term(1.0), Term(3e-7, {"documents": 1, "params.sketch_rows": 1}), Term(3e-6, {"entries": 1}))),
)
def density(data: LabelledDocuments, params: DensityParams, ctx: Context) -> LabelsSummary:
    """Real documents drawn by the inverse of the density around them."""
    count = size_of(data, params)
    x = dense(Vectoriser.fit(data.train, ctx)[1], ctx.seed)
    crowd = densities(x, params.sketch_rows, ctx)
    spread = float(crowd.std() / crowd.mean())
    if spread < ALMOST_UNIFORM:
        ctx.warn(f"Densities hardly differ (coefficient of variation {spread:.2g}): the choice is almost at random.")
    return picked(data, by_rarity(crowd, count, ctx), "density", params, density_variation=round(spread, 4))
