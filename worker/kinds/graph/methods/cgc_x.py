"""CGC-X: nodes without edges by clustering propagated features, weighted by how surely they are known (WWW 2025).

Gao et al., arXiv:2405.13707. A least-squares probe on mean(H_0, H_1, H_2), H_k = Â^k X, says how surely each train node
belongs to its class; classes it knows badly are augmented with one-hop rows; each class is parted by a spectral method,
and a part becomes the mean of its two-hop rows, weighted by softmax(confidence / tau). Seconds, no training. Time O(E d
+ sum over classes of m_c² d), the eigenvectors of a class included.

Departures from the published code: class sizes are exact (theirs is wrong for labels that are not 0..C-1 and crashes
for rates it does not list); k-means above 60 parts a class, where the spectral map would have thousands of columns;
features are on the scale of the dataset's transform. Augmentation is off unless asked for: at its published share of
0.5 validation accuracy on Cora was lower (78.0 against 78.7, five seeds). The authors tune the evaluation network for
each rate; here it is the same for every method.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.graph.budget import nodes_asked
from worker.kinds.graph.clustering.surest_means import CGCParams, surest_means
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.making import condensed, ticks
from worker.kinds.graph.selection import bytes_per_node
from worker.kinds.graph.summary import CondensedGraph


class CGCXParams(CGCParams):
    """Parameters of `cgc-x`."""


COST = Cost(
    seconds=(
        Term(0.1),
        Term(4e-9, {"edges": 1, "features": 1}),
        Term(2.5e-8, {"nodes": 1, "features": 1}),
    ),
    memory_mb=(
        Term(350.0),
        Term(1.2e-5, {"nodes": 1, "features": 1}),
    ),
)


@method(kind="graph", task="distil", name="cgc-x", version=1, paper="arXiv:2405.13707", cost=COST)
def cgc_x(data: Graph, params: CGCXParams, ctx: Context) -> CondensedGraph:
    """Confidence-weighted means of parts of each class, without edges, in seconds."""
    n = nodes_asked(data, params, bytes_per_node=bytes_per_node(data, filled=True))
    seen, tick = data.visible(), ticks(ctx, "cluster")
    tick()
    means = surest_means(seen, n, params, ctx.rng, tick)
    sees = "unlabelled" if params.pseudo_label else "train"
    return condensed(data, means.x, means.y, "cgc-x", params.model_dump(), ctx, sees=sees)
