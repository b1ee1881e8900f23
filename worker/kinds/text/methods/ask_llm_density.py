"""Keep documents that are both useful, by a language model's word, and unlike others.

Ask-LLM alone keeps many documents of one sort where it likes that sort; density alone keeps rubbish, since rubbish is
rare. Here documents are ranked by a product: the share of candidates that the model thinks no better of (so any
monotone change of its scores changes nothing), times the inverse of the density, and the best are kept. The product is
ours; both factors are those of arXiv:2402.09668 (see `ask-llm` and `density`).
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy.stats import rankdata

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.embedding.vectors import EmbedParams, aligned, embedded
from worker.kinds.text.methods.density import DensityParams, estimate, hash_functions, median_distance
from worker.kinds.text.opinion import OpinionParams, open_asker
from worker.kinds.text.selection import candidates, deliver, top
from worker.kinds.text.sizes import size_asked
from worker.kinds.text.summary import TextSummary
from worker.numerics.inclusion import clipped


class AskLLMDensityParams(OpinionParams, EmbedParams):
    """Parameters of `ask-llm-density`."""

    clip: float = Field(1e4, ge=1, le=1e12, description="Most that the inverse densities of two documents may differ.")


@method(
    kind="text",
    task="select",
    name="ask-llm-density",
    version=1,
    paper="arXiv:2402.09668",
    device="any",
    memory_mb=2560,
    needs=("llm",),
    cost=Cost(
        seconds=(Term(14.0), Term(0.0204, {"documents": 1}), Term(3e-7, {"bytes": 1})),
        memory_mb=(Term(1200.0), Term(1.1e-3, {"documents": 1})),
    ),
)
def ask_llm_density(data: Corpus, params: AskLLMDensityParams, ctx: Context) -> TextSummary:
    """Documents that a language model says are useful, and that are unlike the others kept."""
    rows = candidates(data, params, ctx)
    size_asked(data, rows, params)  # what cannot be kept is said before anything is asked
    asker = open_asker(data, params, ctx)
    try:
        asker.expect(rows, ctx)
        with ctx.part("density", 0, 2) as part:
            densities = _densities(data, rows, params, part)
        with ctx.part("ask", 1, 2) as part:
            found = asker.opinions(rows, part)
    finally:
        asker.close()
    asker.warn(found, ctx)
    scores = product(found.score, densities, params.clip)
    picked = top(data, rows, scores, params)
    origin = Origin("ask-llm-density", settings=params.model_dump() | {"documents": len(picked)})
    columns = {"ask-llm-density": scores, "ask-llm": found.score, "density": densities} | found.columns()
    facts = asker.facts(found) | {"candidates": len(rows)}
    return deliver(data, params, picked, columns, rows, origin, warnings=tuple(ctx.warnings), facts=facts)


def product(quality: np.ndarray, density: np.ndarray, clip: float) -> np.ndarray:
    """Logarithm of the share of candidates of no higher quality times the inverse density, float64 (n,); NaN where
    either is. `clip`: what the largest inverse density may be of the smallest."""
    found = np.full(len(quality), np.nan)
    known = np.isfinite(quality) & np.isfinite(density)
    if known.any():
        share = rankdata(quality[known], method="average") / known.sum()
        found[known] = np.log(share) + np.log(clipped(1 / density[known].astype(np.float64), clip))
    return found


def _densities(data: Corpus, rows: np.ndarray, params: AskLLMDensityParams, ctx: Context) -> np.ndarray:
    """As `density` estimates them with its defaults; float32 (n,), NaN for documents without a vector."""
    chosen = DensityParams.model_validate({"embedder": params.embedder, "dimension": params.dimension})
    with embedded(data, rows, chosen, ctx) as (known, vectors), ctx.part("densities", 1, 2) as part:
        median = median_distance(vectors, data.key[known], chosen.kernel, ctx.seed)
        return aligned(rows, known, estimate(vectors, hash_functions(chosen, vectors, median, ctx.seed), part))
