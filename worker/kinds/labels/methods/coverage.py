"""Keep documents such that no label is dropped: first those that together have every label, then by inverse density.

A label that no document of a summary has is never predicted by what is trained on it, and precision weighted by
inverse propensity (PSP) falls with every one. Labels get the documents nearest their centroids, from the most frequent
label on; where that takes more than the budget, the fewest documents that cover all (greedily). Where those are still
too many, the documents nearest the centroids of the most frequent labels are taken, and how many labels are lost is
said, or the job refused. O(pairs x entries of a document).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Term, method
from worker.kinds.labels.dataset import LabelledDocuments
from worker.kinds.labels.delivery import DocumentsParams, picked, size_of
from worker.kinds.labels.selection import by_rarity, densities, fewest_cover, nearest_cover
from worker.kinds.labels.summary import LabelsSummary
from worker.kinds.labels.vectors import Vectoriser, dense

_ROWS = 256


class CoverageParams(DocumentsParams):
    """Parameters of `coverage`."""

    points: int = Field(1, ge=1, le=100, description="Documents that every label gets, or all it has if fewer.")
    lost: Literal["warn", "refuse"] = Field(
        "warn", description="What happens where the budget is too small for that: a warning with the number, or an end."
    )


@method(
    kind="labels",
    task="select",
    name="coverage",
    version=1,
    cost=Cost(seconds=(Term(1.0), Term(1e-4, {"documents": 1}), Term(5e-6, {"entries": 1}))),
)
def coverage(data: LabelledDocuments, params: CoverageParams, ctx: Context) -> LabelsSummary:
    """Real documents that have every label, and rare ones beside them."""
    count, training = size_of(data, params), data.train
    with ctx.part("nearest", 0, 3) as part:
        taken = nearest_cover(training, params.points, part)
    covered_by = "nearest"
    if len(taken) > count:
        with ctx.part("fewest", 1, 3) as part:
            fewest = fewest_cover(training, params.points, part)
        if len(fewest) <= count:
            taken, covered_by = fewest, "fewest"
        elif params.lost == "refuse":
            raise JobError(
                "budget_too_small",
                f"{count:,} documents cannot give every label {params.points} of them.",
                hint=f"Ask for {len(fewest):,} documents, or say lost=warn.",
                pointer="/params/budget",
            )
    taken = taken[:count]
    free = np.ones(len(training), bool)
    free[taken] = False
    if len(taken) < count:
        with ctx.part("density", 2, 3) as part:
            x = dense(Vectoriser.fit(training, part)[1], ctx.seed)
            more = by_rarity(densities(x, _ROWS, part), count - len(taken), part, free)
        taken = np.concatenate([taken, more])
    return picked(data, taken, "coverage", params, documents_that_cover=int((~free).sum()), covered_by=covered_by)
