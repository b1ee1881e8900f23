"""Keep documents such that no label is dropped: first those that together have every label, then by inverse density.

A label that no document of a summary has is never predicted by what is trained on it, and precision weighted by
inverse propensity (PSP) falls with every one. Where the budget cannot cover all, the documents that cover most labels
are taken, and how many are lost is said, or the job refused. O(pairs log documents).
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
from worker.kinds.labels.selection import by_rarity, cover, densities
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
    cost=Cost(seconds=(Term(1.0), Term(4e-4, {"documents": 1}), Term(1e-5, {"entries": 1}), Term(1e-5, {"pairs": 1}))),
)
def coverage(data: LabelledDocuments, params: CoverageParams, ctx: Context) -> LabelsSummary:
    """Real documents that have every label, and rare ones beside them."""
    count, training = size_of(data, params), data.train
    with ctx.part("cover", 0, 2) as part:
        taken = cover(training, params.points, count if params.lost == "warn" else len(training), part)
    if len(taken) > count:
        raise JobError(
            "budget_too_small",
            f"{count:,} documents cannot give every label {params.points} of them.",
            hint=f"Ask for {len(taken):,} documents, or say lost=warn.",
            pointer="/params/budget",
        )
    free = np.ones(len(training), bool)
    free[taken] = False
    if len(taken) < count:
        with ctx.part("density", 1, 2) as part:
            x = dense(Vectoriser.fit(training).transform(training), ctx.seed)
            more = by_rarity(densities(x, _ROWS, part), count - len(taken), part, free)
        taken = np.concatenate([taken, more])
    return picked(data, taken, "coverage", params, documents_that_cover=int((~free).sum()))
