"""Keep images whose gradients are near those of all others: facility location, with weights (CRAIG).

The gradient of an image is that of the logits of a small network, p - onehot(y), as in section 3.4 of the paper; the
weight of an image is how many of its class it stands for. It departs from the paper in choosing once, not anew for
every epoch of the training, since a summary is delivered once.
"""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context, seed_of
from worker.contract.method import method
from worker.kinds.images.budget import counts_of
from worker.kinds.images.dataset import Images
from worker.kinds.images.selection.delivery import picked
from worker.kinds.images.selection.facility_location import facility_location
from worker.kinds.images.selection.pickers import candidates
from worker.kinds.images.selection.proxies import COST, ProxyParams, errors, said_by_proxies
from worker.kinds.images.summary import ImagesSummary


class CraigParams(ProxyParams):
    """Parameters of `craig`."""


@method(
    kind="images",
    task="select",
    name="craig",
    version=1,
    paper="arXiv:1906.01827",
    device="any",
    memory_mb=3072,
    cost=COST,
)
def craig(data: Images, params: CraigParams, ctx: Context) -> ImagesSummary:
    """Real images whose gradients stand for those of all, with weights."""
    counts, y = counts_of(data, params), data.train.y
    with ctx.part("networks", 0, 2) as part:
        said = said_by_proxies(data, params, part)
    gradients = np.concatenate([errors(one, y) for one in said], axis=1)
    chosen: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for one in np.flatnonzero(counts):
        with ctx.part(f"class {one}", len(counts) + int(one), 2 * len(counts)) as part:
            rng = np.random.default_rng(seed_of(ctx.seed, f"class {one}"))
            rows = candidates(y, int(one), int(counts[one]), rng)
            found, sizes = facility_location(gradients[rows], int(counts[one]), lambda part=part: part.progress(0, 1))
        chosen.append(rows[found])
        weights.append(sizes / len(rows) * int(counts[one]))
    return picked(data, np.concatenate(chosen), "craig", params, weights=np.concatenate(weights))
