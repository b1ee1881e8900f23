"""Does condensing undo corruption? The graph is corrupted, condensed anew by the same method, and networks are trained.

Where the setting is inductive only the train part is corrupted and the test part is clean; in a transductive one there
is one graph, so networks predict on the corrupted one. The whole corrupted graph stands beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from worker.contract.context import Context
from worker.contract.method import METHODS
from worker.evidence.table import Cell, Column, Table
from worker.kinds.graph import large
from worker.kinds.graph.axes.corruption import corrupted
from worker.kinds.graph.axes.training import accuracy
from worker.kinds.graph.dataset import TEST, VALIDATION, Graph
from worker.kinds.graph.summary import CondensedGraph


def again(data: Graph, summary: CondensedGraph, ctx: Context) -> CondensedGraph | None:
    """A condensed graph of as many nodes, made of other data by the method of this one; None for unknown methods."""
    method = METHODS.get(("graph", summary.origin.method))
    if method is None or summary.whole:
        return None
    fields = method.params.model_fields
    size = {"budget", "reduction_rate", "rate_of_all", "n_nodes"}
    given = {key: value for key, value in summary.origin.settings.items() if key in fields and key not in size}
    return method.run(data, method.params(**given, n_nodes=len(summary)), ctx)


def table(
    data: Graph, summary: CondensedGraph, kinds: Sequence[str], rates: Sequence[float], epochs: int, ctx: Context
) -> Table:
    """Accuracy of GCN on the test nodes by corruption and by what it was trained on, and the drop against clean."""
    clean = _measured(data, data, summary, epochs, ctx, "clean")
    rows: list[dict[str, Cell]] = [{"corruption": "none", "rate": None, **clean}]
    for kind in kinds:
        for rate in rates:
            name = f"{kind} {rate:g}"
            with ctx.part(name, len(rows), len(kinds) * len(rates) + 1) as part:
                point = part.restore()
                if point is not None and point.done:
                    rows.append(point.state)
                    continue
                spoilt = _spoilt(data, kind, rate, ctx.seed)
                tested = spoilt if data.setting == "transductive" else data
                with part.part("condense", 0, 2) as inner:
                    made = again(spoilt, summary, inner)
                found = _measured(spoilt, tested, made, epochs, part, "train")
                for key in ("whole", "summary"):
                    before, after = clean[key], found[key]
                    found[f"{key}_drop"] = (
                        before - after if isinstance(before, float) and isinstance(after, float) else None
                    )
                rows.append({"corruption": kind, "rate": rate, **found})
                part.finish({}, dict(rows[-1]))
    where = "the corrupted graph" if data.setting == "transductive" else "the clean test part"
    return Table(
        "denoising",
        f"Accuracy of GCN on test nodes of {where}, trained on the corrupted graph and on what is condensed from it",
        (
            Column("corruption", "Corruption", "text"),
            Column("rate", "Rate", decimals=2),
            Column("whole", "Whole graph", unit="points"),
            Column("whole_drop", "Drop", unit="points"),
            Column("summary", summary.origin.method or "this summary", unit="points"),
            Column("summary_drop", "Drop of it", unit="points"),
        ),
        tuple(rows),
        note="features: a share of all entries takes the value of another node. edges: random edges are added, a share "
        "of those there are. adversarial: edges within classes are removed and edges between classes are added, by "
        "somebody who knows all labels. One training each; a summary that was uploaded cannot be made anew.",
        heading="Denoising",
    )


def _spoilt(data: Graph, kind: str, rate: float, seed: int) -> Graph:
    """The graph corrupted; in an inductive setting its train part alone."""
    if data.setting == "transductive":
        return corrupted(data, kind, rate, seed)
    part = corrupted(data.induced(data.train), kind, rate, seed)
    x = data.x.copy()
    x[data.train] = part.x
    lifted = part.adjacency.tocoo()
    inside = np.zeros(data.n, bool)
    inside[data.train] = True
    rest = data.adjacency.tocoo()
    kept = ~(inside[rest.row] & inside[rest.col])
    pairs = (np.concatenate([rest.row[kept], data.train[lifted.row]]),
             np.concatenate([rest.col[kept], data.train[lifted.col]]))  # fmt: skip
    values = np.concatenate([rest.data[kept], lifted.data])
    return replace(data, x=x, adjacency=type(data.adjacency)((values, pairs), shape=(data.n, data.n)))


def _measured(
    data: Graph,
    tested: Graph,
    made: CondensedGraph | None,
    epochs: int,
    ctx: Context,
    name: str,
) -> dict[str, Cell]:
    validation, test = (large.held(tested, part, 0, ctx.seed) for part in (VALIDATION, TEST))
    found: dict[str, Cell] = {"whole": None, "summary": None}
    for key, graph in (
        ("whole", large.trained_on(data, ctx.seed)),
        ("summary", None if made is None else made.training()),
    ):
        if graph is not None:
            with ctx.part(f"{name} {key}", seed=ctx.seed) as part:
                found[key] = 100 * accuracy(graph, validation, test, epochs, part)
    return found
