"""Deduplicate thrice: near-copies by MinHash, semantic duplicates, then what is most typical.

D4 (Tirumala et al., arXiv:2308.12284): SemDeDup on what MinHash leaves, then clusters anew, so that dense groups of
duplicates no longer make centres, and the documents farthest from their centre. `first` is the paper's R_dedup.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.text.clusters import assigned, clusters_for
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.embedding.vectors import aligned, embedded
from worker.kinds.text.methods.semdedup import ClusterParams, semantic_nearness
from worker.kinds.text.selection import candidates, deliver, top
from worker.kinds.text.sizes import size_asked
from worker.kinds.text.summary import TextSummary


class D4Params(ClusterParams):
    """Parameters of `d4`."""

    dedup: Literal["none", "exact", "minhash"] = Field(
        "minhash",
        description="Duplicates left out first: none, exact copies, or also near-copies (MinHash of word 5-grams).",
    )
    first: float = Field(0.75, gt=0, le=1, description="Share that semantic deduplication leaves.")


@method(
    kind="text",
    task="select",
    name="d4",
    version=1,
    paper="arXiv:2308.12284",
    memory_mb=1536,
    cost=Cost(
        seconds=(Term(6.0), Term(4e-4, {"documents": 1}), Term(6e-7, {"bytes": 1})),
        memory_mb=(Term(700), Term(1e-4, {"documents": 1})),
    ),
)
def d4(data: Corpus, params: D4Params, ctx: Context) -> TextSummary:
    """Documents that are neither near-copies, nor semantic duplicates, nor typical of their cluster."""
    rows = candidates(data, params, ctx)
    size_asked(data, rows, params)
    with embedded(data, rows, params, ctx) as (known, vectors), ctx.part("clusters", 1, 2) as part:
        with part.part("duplicates", 0, 2) as half:
            nearness, _ = semantic_nearness(data, known, vectors, params.clusters, half)
        order = np.lexsort((data.key[known], nearness))
        left = np.sort(order[: max(1, round(params.first * len(order)))])
        count = min(params.clusters or clusters_for(len(left)), len(left))
        with part.part("prototypes", 1, 2) as half, vectors.kept(left) as fewer:
            _, typical = assigned(fewer, data.key[known[left]], count, half)
    scores = aligned(rows, known[left], 1 - typical)
    picked = top(data, rows, scores, params)
    facts = {"clusters": count, "epsilon": float(1 - nearness[left].max())}
    settings = params.model_dump() | {"documents": len(picked)}
    named = {"distance_to_centre": scores, "novelty": aligned(rows, known, -nearness)}
    return deliver(
        data, params, picked, named, rows, Origin("d4", settings=settings), warnings=tuple(ctx.warnings), facts=facts
    )
