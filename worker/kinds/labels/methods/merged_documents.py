"""Make pseudo-documents: each stands for documents of one label that are alike, says the words (or has the features)
that weigh most in them, has the labels that most of them have, and counts as many times as they are.

Documents are grouped by their rarest label that is frequent enough for the budget, and groups split by spherical
k-means: the centroids that a label's documents have are what is kept. Labels that end up on no pseudo-document are
counted and said. O(entries + documents x 64 x pseudo-documents of a group).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.labels.dataset import TRAIN, LabelledDocuments, csr
from worker.kinds.labels.delivery import DocumentsParams, size_of, with_losses
from worker.kinds.labels.merging import (
    common_labels,
    folded,
    group_labels,
    heaviest,
    membership,
    merged_text,
    split_groups,
)
from worker.kinds.labels.summary import LabelsSummary, ids_of_made, made
from worker.kinds.labels.vectors import Vectoriser, dense


class MergedDocumentsParams(DocumentsParams):
    """Parameters of `merged-documents`."""

    length: float = Field(
        1.0, ge=0.25, le=10, description="Words or features of a pseudo-document, in times of a document's on average."
    )
    label_share: float = Field(
        0.5, gt=0, le=1, description="Share of its documents that have a label for the pseudo-document to have it."
    )


@method(
    kind="labels",
    task="distil",
    name="merged-documents",
    version=1,
    cost=Cost(seconds=(Term(1.0), Term(4e-6, {"entries": 1}), Term(5e-5, {"documents": 1}))),
)
def merged_documents(data: LabelledDocuments, params: MergedDocumentsParams, ctx: Context) -> LabelsSummary:
    """Made documents, each the words and labels that documents of one label share."""
    count, training = size_of(data, params), data.train
    x = dense(Vectoriser.fit(training, ctx)[1], ctx.seed)
    groups = folded(x, group_labels(training, count), count)
    own = split_groups(x, groups, count, ctx)
    shares = membership(own)
    features = None
    if training.features is not None:
        mean = csr(shares @ training.features)
        features = heaviest(mean, max(1, round(params.length * training.features.nnz / len(training))))
    version = LabelledDocuments(
        ids_of_made(shares.shape[0]),
        np.full(shares.shape[0], TRAIN, np.int8),
        common_labels(training.targets, shares, params.label_share),
        features,
        merged_text(training.titles, shares, params.length),
        merged_text(training.bodies, shares, params.length),
        weights=np.bincount(own, training.weights).astype(np.float32),
    )
    settings = params.model_dump() | {"documents": len(version), "groups": len(np.unique(groups))}
    summary = made(data, version, Origin("merged-documents", settings=settings))
    return with_losses(data, replace(summary, warnings=tuple(ctx.warnings)))
