"""What a condensed graph is compared with: the whole graph, and cheap reductions of equal size.

Random and herded train nodes and k-means of propagated features are measured with as many nodes, all with the
propagated features of their nodes and no edges, which is the stronger form of a selection for few nodes. Random train
nodes with raw features and the edges between them are measured with as many bytes, too. Beside a sparsifier, which
keeps all nodes, stand as many random edges, and the same nodes without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from scipy import sparse

from worker.evidence.measurements import Role, TrainingSet
from worker.evidence.training import Contender
from worker.kinds.graph import bundle, large
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import rows_of
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.selection import HOPS, chosen_nodes
from worker.kinds.graph.sparsification.edges import Edges, random_edges
from worker.kinds.graph.start import Start, start_nodes
from worker.kinds.graph.summary import CondensedGraph
from worker.kinds.graph.training_graph import TrainingGraph

PICKS: dict[Start, str] = {
    "random": "random train nodes",
    "herding": "herded train nodes",
    "k-means-prop": "k-means of propagated nodes",
}


def contenders(
    data: Graph, summaries: Sequence[CondensedGraph], picks: Sequence[Start], *, draws: int, seed: int
) -> list[Contender]:
    """Everything a learner is trained on. A random pick is drawn `draws` times, k-means run as often."""
    reference, seen = large.trained_on(data, seed), data.visible()
    whole = _contender("full", large.label(data, reference), "full", [TrainingGraph.of(data)])
    found = [replace(whole, draws=(reference,))]
    cheap = _Cheap(seen, propagated(seen.operator, seen.x, HOPS, seen.train))
    for number, summary in enumerate(summaries):
        name = "summary" if not number else f"summary-{number + 1}"
        made = summary.origin.method or "given"
        label = "this summary" if len(summaries) == 1 else f"summary {number + 1}: {made}"
        mark = f"transductive: {summary.mark}" if summary.sees == "all" else summary.mark
        label = f"{label} ({mark})" if mark else label
        found.append(_contender(name, label, "summary", [summary.training()], summary.origin.method, mark=summary.mark))
        beside = "" if len(summaries) == 1 else f" (as summary {number + 1})"
        suffix = "" if not number else f"-{number + 1}"
        if summary.whole:
            several = draws if "random" in picks else 0
            found.extend(_beside_sparsified(seen, summary, several, seed, beside, suffix))
            continue
        n = min(len(summary), len(seen.train))
        if n < data.n_classes:
            continue
        for pick in picks:
            several = 1 if pick == "herding" else draws
            drawn = [cheap.of(pick, n, seed, draw) for draw in range(several)]
            found.append(_contender(f"{pick}{suffix}", f"{PICKS[pick]}{beside}", "baseline", drawn, pick))
        if "random" in picks:
            room = plain(summary.training())
            drawn = [cheap.within(room, seed, draw) for draw in range(draws)]
            if all(one is not None for one in drawn):
                sets = [one for one in drawn if one is not None]
                sets = sets[:1] if len(sets[0]) == len(seen.train) else sets
                label = f"random train nodes of equal bytes, raw, with their edges{beside}"
                found.append(_contender(f"random-bytes{suffix}", label, "baseline", sets, "random", equal="bytes"))
    return found


def _beside_sparsified(
    seen: Graph, summary: CondensedGraph, draws: int, seed: int, beside: str, suffix: str
) -> list[Contender]:
    """As many random edges, weighted as `random-edge` weights them, and no edges at all; both of the nodes that the
    summary has, so with its mark."""
    edges, made, mark = Edges.of(seen.adjacency), summary.training(), summary.mark
    bare = replace(made, adjacency=None)
    label = f"the same nodes without edges{beside}"
    found = [_contender(f"no-edges{suffix}", label, "baseline", [bare], mark=mark)]
    up = len(edges) / max(1, summary.edges) if summary.origin.settings.get("reweight", True) else 1.0
    drawn = []
    for draw in range(draws if summary.edges else 0):
        rng = np.random.default_rng([seed, draw, 13])
        kept = edges.keep(random_edges(len(edges), summary.edges, rng), edges.weight * up)
        drawn.append(replace(made, adjacency=kept.adjacency()))
    if drawn:
        label = f"as many random edges{beside}"
        name = f"random-edge{suffix}"
        found.append(_contender(name, label, "baseline", drawn, "random-edge", equal="events", mark=mark))
    return found


class _Cheap:
    """Cheap reductions of a visible graph, by name and size."""

    def __init__(self, seen: Graph, rows: np.ndarray) -> None:
        self.seen, self.rows = seen, rows

    def of(self, pick: Start, n: int, seed: int, draw: int) -> TrainingGraph:
        """As many nodes, with propagated features and no edges."""
        rng = np.random.default_rng([seed, draw, 11])
        x, y = start_nodes(self.seen, self.rows, n, pick, rng, lambda: None)
        return TrainingGraph(x, None, np.arange(n), self.seen.n_classes, y=y)

    def within(self, room: int, seed: int, draw: int) -> TrainingGraph | None:
        """As many random train nodes with raw features and the edges between them as fit into bytes; None where not
        one of each class does."""
        low, high = self.seen.n_classes, len(self.seen.train)
        if plain(self._induced(low, seed, draw)) > room:
            return None
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if plain(self._induced(middle, seed, draw)) <= room else (low, middle - 1)
        return self._induced(low, seed, draw)

    def _induced(self, n: int, seed: int, draw: int) -> TrainingGraph:
        seen, rng = self.seen, np.random.default_rng([seed, draw, 12])
        order = {c: rng.permutation(seen.train[seen.y[seen.train] == c]) for c in range(seen.n_classes)}
        nodes = chosen_nodes(seen, n, lambda c, _, k: order[c][:k])
        adjacency = sparse.csr_array(seen.adjacency[nodes][:, nodes])
        x = rows_of(seen.x, nodes)
        return TrainingGraph(x, adjacency, np.arange(n), seen.n_classes, y=seen.y[nodes])


def plain(graph: TrainingGraph) -> int:
    """Bytes of the plain arrays of a training graph, as a user would download them."""
    return bundle.plain_bytes(arrays_of(graph))


def arrays_of(graph: TrainingGraph) -> dict[str, np.ndarray]:
    """The arrays of a training graph as they would be delivered."""
    y = np.full(len(graph), -1, np.int64)
    targets = graph.targets()
    y[graph.labelled] = targets.argmax(axis=1)
    soft, weight = graph.soft, None
    if soft is not None and len(soft) != len(graph):
        spread = np.zeros((len(graph), graph.n_classes), np.float32)
        spread[graph.labelled] = soft
        soft = spread
    if graph.weight is not None:
        weight = np.zeros(len(graph), np.float32)
        weight[graph.labelled] = graph.weight
    return bundle.arrays(graph.x, graph.adjacency, y, soft=soft, weight=weight)


def _contender(
    name: str,
    label: str,
    role: Role,
    draws: Sequence[TrainingGraph],
    method: str = "",
    equal: Literal["rows", "bytes", "events"] = "rows",
    mark: str = "",
) -> Contender:
    arrays = [arrays_of(one) for one in draws]
    record = TrainingSet(
        name=name,
        label=label,
        role=role,
        rows=round(float(np.mean([len(one) for one in draws]))),
        events=float(np.mean([one.edges for one in draws])),
        bytes=max(bundle.plain_bytes(one) for one in arrays),
        compressed=max(bundle.compressed_bytes(one) for one in arrays),
        encoding="float32 features (dense or CSR, whichever is smaller), int32 edges in both directions, int32 labels",
        method=method,
        equal=equal,
        mark=mark,
    )
    return Contender(record, tuple(draws))
