"""The method a user gets who names none: of the cheap selections and merged documents, the one that keeps most.

Each candidate is made, label centroids are trained on it, and measured on up to 2,000 validation documents; the largest
sum of what it keeps of the full data's P@1 and PSP@1 is taken, so that neither frequent nor rare labels are given up.
Without validation documents it is `nearest-centroid`, which kept most where methods were compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.evidence.statistics import value_of
from worker.kinds.labels.dataset import VALIDATION, LabelledDocuments, LabelSet
from worker.kinds.labels.delivery import DocumentsParams
from worker.kinds.labels.learners.centroid import centroid
from worker.kinds.labels.methods.coverage import CoverageParams, coverage
from worker.kinds.labels.methods.density import DensityParams, density
from worker.kinds.labels.methods.merged_documents import MergedDocumentsParams, merged_documents
from worker.kinds.labels.methods.nearest_centroid import NearestCentroidParams, nearest_centroid
from worker.kinds.labels.metrics import inverse_propensities, measure
from worker.kinds.labels.ranking import permitted
from worker.kinds.labels.summary import LabelsSummary

_ASKED = 2_000
_CANDIDATES: dict[str, tuple[type[DocumentsParams], Callable[[LabelledDocuments, Any, Context], LabelsSummary]]] = {
    "nearest-centroid": (NearestCentroidParams, nearest_centroid),
    "merged-documents": (MergedDocumentsParams, merged_documents),
    "coverage": (CoverageParams, coverage),
    "density": (DensityParams, density),
}


class AutoParams(DocumentsParams):
    """Parameters of `auto`."""


@method(
    kind="labels",
    task="distil",
    name="auto",
    version=1,
    cost=Cost(seconds=(Term(3.0), Term(5e-4, {"documents": 1}), Term(1.5e-5, {"entries": 1}))),
)
def auto(data: LabelledDocuments, params: AutoParams, ctx: Context) -> LabelsSummary:
    """What keeps most of P@1 and PSP@1 on validation documents; the report says what each kept."""
    asked = data.part(VALIDATION)
    if not len(asked):
        summary = nearest_centroid(data, NearestCentroidParams(**params.model_dump()), ctx)
        reason = "There are no validation documents to compare methods on, so `auto` chose nearest-centroid."
        return replace(summary, origin=replace(summary.origin, reason=reason))
    chosen = np.sort(np.random.default_rng([ctx.seed, 4]).permutation(len(asked))[:_ASKED])
    asked = asked.take(chosen)
    steps = 1 + len(_CANDIDATES)
    with ctx.part("full", 0, steps, seed=ctx.seed) as part:
        full = _kept(data, data.train, asked, part)
    found: dict[str, tuple[LabelsSummary, tuple[float, float]]] = {}
    before = list(ctx.warnings)
    heard: dict[str, list[str]] = {}  # what a method warns of speaks of its own choice
    for number, (name, (model, run)) in enumerate(_CANDIDATES.items(), 1):
        with ctx.part(name, number, steps, seed=ctx.seed) as part:
            summary = run(data, model(**params.model_dump()), part)
            own = _kept(data, summary.documents, asked, part)
        heard[name], ctx.warnings[:] = [text for text in ctx.warnings if text not in before], before
        found[name] = summary, (own[0] / max(full[0], 1e-9), own[1] / max(full[1], 1e-9))
    best = max(found, key=lambda name: sum(found[name][1]))
    said = ", ".join(f"{name} {100 * p:.0f} % and {100 * psp:.0f} %" for name, (_, (p, psp)) in found.items())
    reason = (
        f"Of P@1 and PSP@1 of label centroids on {len(asked):,} validation documents it keeps most together: {said}; "
        f"so `auto` chose {best}."
    )
    for text in heard[best]:
        ctx.warn(text)
    summary = found[best][0]
    return replace(summary, origin=replace(summary.origin, reason=reason))


def _kept(data: LabelledDocuments, training: LabelSet, asked: LabelSet, ctx: Context) -> tuple[float, float]:
    """P@1 and PSP@1 of label centroids of a training set on validation documents."""
    model = centroid(training, None, ctx).fit({}, ctx)
    inverse = inverse_propensities(data.train.counts, len(data.train), data.about.a, data.about.b)
    scores = measure(permitted(model, asked, 5, ctx), asked.targets, inverse)
    return value_of(scores["p1"]), value_of(scores["psp1"])
