"""Make an image of every centre of k-means within each class, weighted by how many images are nearest to it.

Means of images are blurred: at a few images a class they stand for more than any image does, at many they lose to
random ones. O(images x values x budget) a step.
"""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context, seed_of
from worker.contract.method import method
from worker.contract.product import Origin
from worker.kinds.images.budget import SizeParams, counts_of, image_bytes
from worker.kinds.images.dataset import Images
from worker.kinds.images.selection.features import COST
from worker.kinds.images.selection.pickers import candidates, clusters
from worker.kinds.images.summary import ImagesSummary, made


class KMeansParams(SizeParams):
    """Parameters of `k-means`."""


@method(kind="images", task="distil", name="k-means", version=1, paper="MacQueen, 1967", memory_mb=3072, cost=COST)
def k_means(data: Images, params: KMeansParams, ctx: Context) -> ImagesSummary:
    """Made images: the centres of clusters of their class, with weights."""
    counts, train = counts_of(data, params, bytes_each=image_bytes(data, made=True)), data.train
    x: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for one in np.flatnonzero(counts):
        ctx.progress(int(one), len(counts), phase="cluster")
        rng = np.random.default_rng(seed_of(ctx.seed, f"class {one}"))
        rows = candidates(train.y, int(one), int(counts[one]), rng)
        centres, sizes = clusters(train.batch(rows).reshape(len(rows), -1), int(counts[one]), rng)
        x.append(centres.reshape(len(centres), *data.shape))
        weights.append(sizes / max(sizes.sum(), 1) * len(centres))
    y = np.repeat(np.arange(len(counts)), counts)
    origin = Origin("k-means", settings=params.model_dump() | {"images": len(y)})
    return made(data, np.concatenate(x), y, origin, weights=np.concatenate(weights))
