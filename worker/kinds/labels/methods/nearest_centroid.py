"""Keep, for the labels in turns from the most frequent on, the document of each that is nearest its centroid.

The first turn gives every label a document where the budget allows it. O(pairs x entries of a document).
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.labels.dataset import LabelledDocuments
from worker.kinds.labels.delivery import DocumentsParams, picked, size_of
from worker.kinds.labels.selection import nearest_centroids
from worker.kinds.labels.summary import LabelsSummary


class NearestCentroidParams(DocumentsParams):
    """Parameters of `nearest-centroid`."""


@method(
    kind="labels",
    task="select",
    name="nearest-centroid",
    version=1,
    cost=Cost(seconds=(Term(1.0), Term(5e-6, {"entries": 1}), Term(1.5e-5, {"pairs": 1}))),
)
def nearest_centroid(data: LabelledDocuments, params: NearestCentroidParams, ctx: Context) -> LabelsSummary:
    """Real documents nearest the centroids of their labels."""
    count = size_of(data, params)
    return picked(data, nearest_centroids(data.train, count, ctx), "nearest-centroid", params)
