"""Keep one document of each group of copies, and nothing more: what any cleverer selection should be compared with.

All that is left where no size is given; of less, documents are drawn at random. See `worker.kinds.text.deduplication`.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.noise import uniform
from worker.kinds.text.selection import SelectParams, candidates, deliver, top
from worker.kinds.text.summary import TextSummary


class DedupOnlyParams(SelectParams):
    """Parameters of `dedup-only`; without a size, everything that is left is kept."""


@method(
    kind="text",
    task="select",
    name="dedup-only",
    version=1,
    paper="Broder, 1997",
    memory_mb=1536,
    cost=Cost(
        seconds=(Term(1.0), Term(1e-5, {"documents": 1}), Term(1.6e-7, {"bytes": 1}, {"params.dedup": "minhash"})),
    ),
)
def dedup_only(data: Corpus, params: DedupOnlyParams, ctx: Context) -> TextSummary:
    """Everything but copies, or documents at random of what is left."""
    rows = candidates(data, params, ctx)
    scores = uniform(data.key[rows], ctx.seed, "dedup-only")
    sized = params if params.is_sized else params.model_copy(update={"rate": 1.0})
    picked = top(data, rows, scores, sized)
    settings = sized.model_dump() | {"documents": len(picked)}
    origin = Origin("dedup-only", settings=settings)
    return deliver(data, params, picked, {"random": scores}, rows, origin, warnings=tuple(ctx.warnings))
