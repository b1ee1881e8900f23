"""Labels that a probe gives to nodes without one, so that clusters are made of more than the train nodes.

DeepCGC's published code does this for Cora and Citeseer alone. A result that used it knows more (guessed) labels than a
result that did not, so it is off unless asked for, and the two never share a table. Validation and test nodes are never
among them.
"""

from __future__ import annotations

import numpy as np

from worker.contract.errors import JobError
from worker.kinds.graph.clustering.cgc import least_squares
from worker.kinds.graph.dataset import NONE, Graph
from worker.kinds.graph.propagation import combined

MEAN_OF_HOPS = [1 / 3, 1 / 3, 1 / 3]


def with_pseudo_labels(seen: Graph, times: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes int64 (m,) to cluster and their classes: the train nodes, then the `times` |train| nodes outside all parts
    of which a least-squares probe of mean(H_0, H_1, H_2) is surest (the margin between its two largest outputs).

    `seen`: the visible graph. Raises `JobError` where the setting is inductive or every node is in a part.
    """
    train = seen.train
    if not times:
        return train, seen.y[train]
    free = seen.nodes(NONE)
    if seen.setting == "inductive" or not len(free):
        why = "an inductive graph shows" if seen.setting == "inductive" else "this graph has"
        raise JobError(
            "invalid_input",
            f"pseudo_label needs nodes outside train, validation and test, and {why} none.",
            hint="Set pseudo_label to 0.",
            pointer="/params/pseudo_label",
        )
    probe = least_squares(combined(seen.operator, seen.x, MEAN_OF_HOPS, train), seen.y[train], seen.n_classes)
    output = combined(seen.operator, seen.x, MEAN_OF_HOPS, free) @ probe
    ordered = np.sort(output, axis=1)
    margin = ordered[:, -1] - ordered[:, -2] if output.shape[1] > 1 else ordered[:, -1]
    surest = np.sort(np.argsort(-margin, kind="stable")[: int(times * len(train) + 1e-9)])
    return np.concatenate([train, free[surest]]), np.concatenate([seen.y[train], output[surest].argmax(axis=1)])
