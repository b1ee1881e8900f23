"""Keep documents that say what no other one of their cluster says.

SemDeDup (Abbas et al., arXiv:2303.09540): k-means of vectors; within a cluster documents are gone through from the
least typical on, and the larger the cosine of one to any before it, the sooner it is dropped. The paper turns a
threshold until the wanted share is left, which is the same as ranking by that cosine; the threshold is in the report.
O(N sqrt(N) d) with the usual number of clusters.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.text.clusters import MOST_CLUSTERS, assigned, closest_before, clusters_for
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.embedding.vectors import EmbedParams, Vectors, aligned, embedded
from worker.kinds.text.selection import candidates, deliver, top
from worker.kinds.text.sizes import size_asked
from worker.kinds.text.summary import TextSummary


class ClusterParams(EmbedParams):
    """What every selection by clusters takes."""

    clusters: int | None = Field(
        None, ge=1, le=MOST_CLUSTERS, description="Clusters; unset: the root of the number of documents."
    )


class SemDedupParams(ClusterParams):
    """Parameters of `semdedup`."""


@method(
    kind="text",
    task="select",
    name="semdedup",
    version=1,
    paper="arXiv:2303.09540",
    memory_mb=1536,
    cost=Cost(
        seconds=(Term(4.0), Term(2e-4, {"documents": 1}), Term(3e-7, {"bytes": 1})),
        memory_mb=(Term(700), Term(1e-4, {"documents": 1})),
    ),
)
def semdedup(data: Corpus, params: SemDedupParams, ctx: Context) -> TextSummary:
    """Documents that are least like another one of their cluster: semantic duplicates go first."""
    rows = candidates(data, params, ctx)
    size_asked(data, rows, params)
    with embedded(data, rows, params, ctx) as (known, vectors), ctx.part("clusters", 1, 2) as part:
        nearness, clusters = semantic_nearness(data, known, vectors, params.clusters, part)
    scores = aligned(rows, known, -nearness)
    picked = top(data, rows, scores, params)
    closest = float(nearness[np.isin(known, picked)].max())
    facts = {"clusters": clusters, "epsilon": 1 - closest}
    settings = params.model_dump() | {"documents": len(picked)}
    return deliver(
        data, params, picked, {"novelty": scores}, rows, Origin("semdedup", settings=settings),
        warnings=tuple(ctx.warnings), facts=facts,
    )  # fmt: skip


def semantic_nearness(
    data: Corpus, known: np.ndarray, vectors: Vectors, clusters: int | None, ctx: Context
) -> tuple[np.ndarray, int]:
    """The largest cosine of each document to a less typical one of its cluster, float32 (n,), -1 where there is none;
    and how many clusters there are."""
    count = min(clusters or clusters_for(len(known)), len(known))
    which, typical = assigned(vectors, data.key[known], count, ctx)
    return closest_before(vectors, which, -typical, data.key[known], ctx), count
