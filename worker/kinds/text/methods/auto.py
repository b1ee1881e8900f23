"""Choose how to select: by a classifier where it is known what is wanted, else by density.

A target set says what is wanted, and a linear classifier of n-grams finds more of it in two passes; no language model,
which costs far more, is asked unbidden. Without a target nothing says which documents are
good, and what can be had is coverage: density drops what is said many times over and keeps rare topics.
"""

from __future__ import annotations

from dataclasses import replace

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.methods.density import DensityParams, density
from worker.kinds.text.methods.quality_classifier import QualityClassifierParams, quality_classifier
from worker.kinds.text.selection import SelectParams
from worker.kinds.text.summary import TextSummary
from worker.kinds.text.target import TARGET


class AutoParams(SelectParams):
    """Parameters of `auto`."""


@method(
    kind="text",
    task="select",
    name="auto",
    version=1,
    inputs=(replace(TARGET, required=False),),
    memory_mb=1536,
    cost=Cost(seconds=(Term(8.0), Term(1e-4, {"documents": 1}), Term(2e-7, {"bytes": 1}))),
)
def auto(data: Corpus, params: AutoParams, ctx: Context) -> TextSummary:
    """By resemblance to a target set where one is given, else by density; the report says why."""
    if ctx.inputs.get("target") is not None:
        summary = quality_classifier(data, QualityClassifierParams(**params.model_dump()), ctx)
        reason = (
            "A target set says what is wanted, and a classifier of n-grams finds documents like it at the cost of one "
            "pass, so `auto` chose quality-classifier."
        )
    else:
        summary = density(data, DensityParams(**params.model_dump()), ctx)
        reason = (
            "No target set says which documents are good; what can be had is coverage without copies, so `auto` chose "
            "density."
        )
    return replace(summary, origin=replace(summary.origin, reason=reason))
