"""Keep documents that a classifier takes for ones of a target set: the cheap supervised scorer beside every judge.

The classifier is that of `worker.kinds.text.likeness`. GPT-3 (Brown et al., arXiv:2005.14165, appendix A) keeps a
document where Pareto noise exceeds 1 - score; to come to a size, the largest `score + noise` are kept, which is that
rule with its threshold moved. `alpha` 0 keeps the best without noise.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.likeness import quality_scores
from worker.kinds.text.noise import uniform
from worker.kinds.text.selection import SelectParams, candidates, deliver, top
from worker.kinds.text.sizes import size_asked
from worker.kinds.text.summary import TextSummary
from worker.kinds.text.target import TARGET, target_of


class QualityClassifierParams(SelectParams):
    """Parameters of `quality-classifier`."""

    alpha: float = Field(
        9.0, ge=0, le=100, description="Shape of the Pareto noise that lets some documents of low score in; 0: none."
    )


@method(
    kind="text",
    task="select",
    name="quality-classifier",
    version=1,
    paper="arXiv:2005.14165",
    inputs=(TARGET,),
    memory_mb=1536,
    cost=Cost(seconds=(Term(8.0), Term(2e-5, {"documents": 1}), Term(2e-7, {"bytes": 1}))),
)
def quality_classifier(data: Corpus, params: QualityClassifierParams, ctx: Context) -> TextSummary:
    """Documents that look like those of a target set to a linear classifier of their words."""
    target = target_of(data, ctx)
    rows = candidates(data, params, ctx)
    size_asked(data, rows, params)
    scores = quality_scores(data, rows, target, ctx)
    noise = 0.0
    if params.alpha:
        noise = uniform(data.key[rows], ctx.seed, "quality") ** (-1 / params.alpha) - 1
    picked = top(data, rows, scores + noise, params)
    facts = {"mean_score": float(scores.mean()), "mean_score_kept": float(scores[np.isin(rows, picked)].mean())}
    settings = params.model_dump() | {"documents": len(picked)}
    return deliver(
        data, params, picked, {"quality": scores}, rows, Origin("quality-classifier", settings=settings),
        warnings=tuple(ctx.warnings), facts=facts,
    )  # fmt: skip
