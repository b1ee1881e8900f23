"""Keep documents that lie far from the middle of their cluster: what is most typical goes first.

SSL prototypes (Sorscher et al., arXiv:2206.14486, section 6): k-means of vectors, and documents ranked by the distance
to their own centre. On small or noisy corpora the far ones are often the odd ones; the report says what it costs.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.text.clusters import assigned, clusters_for
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.embedding.vectors import aligned, embedded
from worker.kinds.text.methods.semdedup import ClusterParams
from worker.kinds.text.selection import candidates, deliver, top
from worker.kinds.text.sizes import size_asked
from worker.kinds.text.summary import TextSummary


class PrototypesParams(ClusterParams):
    """Parameters of `prototypes`."""


@method(
    kind="text",
    task="select",
    name="prototypes",
    version=1,
    paper="arXiv:2206.14486",
    memory_mb=1536,
    cost=Cost(
        seconds=(Term(4.0), Term(1.5e-4, {"documents": 1}), Term(3e-7, {"bytes": 1})),
        memory_mb=(Term(700), Term(1e-4, {"documents": 1})),
    ),
)
def prototypes(data: Corpus, params: PrototypesParams, ctx: Context) -> TextSummary:
    """Documents farthest from the centre of their cluster: typical ones are left out."""
    rows = candidates(data, params, ctx)
    size_asked(data, rows, params)
    with embedded(data, rows, params, ctx) as (known, vectors), ctx.part("clusters", 1, 2) as part:
        count = min(params.clusters or clusters_for(len(known)), len(known))
        _, typical = assigned(vectors, data.key[known], count, part)
    scores = aligned(rows, known, 1 - typical)
    picked = top(data, rows, scores, params)
    settings = params.model_dump() | {"documents": len(picked)}
    return deliver(
        data, params, picked, {"distance_to_centre": scores}, rows, Origin("prototypes", settings=settings),
        warnings=tuple(ctx.warnings), facts={"clusters": count},
    )  # fmt: skip
