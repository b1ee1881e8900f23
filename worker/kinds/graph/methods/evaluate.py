"""Judge condensed graphs that exist already, on any of the axes of GC4NC (NeurIPS 2025 Datasets & Benchmarks).

`performance` is what every summary is judged by on its way out, and is always there. `transfer` trains further
architectures. `efficiency` shows bytes and seconds of training. `privacy` attacks the membership of train nodes.
`denoise` corrupts the graph and condenses it anew. `nas` searches an architecture on both. `properties` compares the
graphs themselves. All but the first two look at the first summary.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Input, Term, method
from worker.evidence.measurements import Measurements
from worker.kinds.graph import large
from worker.kinds.graph.dataset import TEST, VALIDATION, Graph
from worker.kinds.graph.leaks import held_out_sources
from worker.kinds.graph.summary import CondensedGraph

Axis = Literal["performance", "transfer", "efficiency", "privacy", "denoise", "nas", "properties"]
Architecture = Literal["gcn", "sgc", "appnp", "cheby", "graphsage", "gat"]
Corruption = Literal["features", "edges", "adversarial"]


class EvaluateParams(BaseModel):
    """Parameters of `evaluate`."""

    model_config = ConfigDict(extra="forbid")

    axes: list[Axis] = Field(["performance", "properties"], min_length=1, description="What is looked at.")
    architectures: list[Architecture] = Field(
        ["gcn", "sgc", "appnp", "cheby", "graphsage", "gat"],
        min_length=1,
        description="What transfer trains, beside the learners of the job.",
    )
    corruptions: list[Corruption] = Field(
        ["features", "edges", "adversarial"], min_length=1, description="What denoise does to the graph."
    )
    rates: list[float] = Field(
        [0.25, 0.5], min_length=1, max_length=5, description="Shares of features or edges that denoise corrupts."
    )


_TRANSFER, _DENOISE, _NAS = ({"params.axes": name} for name in ("transfer", "denoise", "nas"))


@method(
    kind="graph",
    task="evaluate",
    name="evaluate",
    version=2,
    inputs=(Input("summary", many=True, description="Condensed graphs, or dataset versions that are subsets."),),
    device="any",
    memory_mb=2048,
    cost=Cost(
        seconds=(
            Term(1.0),
            Term(60.0, only=_TRANSFER),
            Term(0.02, {"nodes": 1}, _TRANSFER),
            Term(40.0, only=_DENOISE),
            Term(0.02, {"nodes": 1}, _DENOISE),
            Term(40.0, only=_NAS),
            Term(0.03, {"nodes": 1}, _NAS),
        ),
    ),
)
def evaluate(data: Graph, params: EvaluateParams, ctx: Context) -> Measurements:
    """Measure what existing condensed graphs keep, on any of seven axes.

    Raises `JobError` `invalid_input` when one is no condensed graph over these features.
    """
    from worker.kinds.graph.judge import judge  # learners need torch, which reading summaries does not

    summaries = ctx.inputs["summary"]
    for summary in summaries:
        if not isinstance(summary, CondensedGraph) or summary.x.shape[1] != data.d:
            raise JobError(
                "invalid_input",
                f"A summary is not over the {data.d} features of the dataset.",
                hint="Judge a condensed graph against the dataset it was made of.",
                pointer="/inputs/summary",
            )
        source = np.arange(len(summary)) if summary.whole else summary.source
        foreign = 0 if source is None else held_out_sources(data, source, summary.y)
        if foreign:
            raise JobError(
                "invalid_input",
                f"{foreign:,} labelled nodes of a summary are held out in this version of the dataset: it was made of "
                "another.",
                hint="Judge a summary against the version it was made of.",
                pointer="/inputs/summary",
            )
    asked = ctx.evaluate
    if "transfer" in params.axes:
        asked = asked.model_copy(update={"learners": list(dict.fromkeys([*asked.learners, *params.architectures]))})
    with ctx.part("performance", 0, 2, seed=ctx.seed) as part:
        measured = judge(data, summaries, asked, part)
    with ctx.part("axes", 1, 2, seed=ctx.seed) as part:
        return _with_axes(data, summaries[0], measured, params, asked.epochs, part)


def _with_axes(
    data: Graph, summary: CondensedGraph, measured: Measurements, params: EvaluateParams, epochs: int, ctx: Context
) -> Measurements:
    """The measurements with what the axes add."""
    from worker.kinds.graph.axes import architecture_search, denoising, efficiency, privacy, properties, transfer
    from worker.kinds.graph.axes.training import trained

    tables, plots, warnings, rows = [], [], list(measured.warnings), measured.privacy
    validation, test = (large.held(data, part, 0, ctx.seed) for part in (VALIDATION, TEST))
    whole = large.trained_on(data, ctx.seed)
    if "properties" in params.axes:
        ctx.progress(0, 10, phase="properties")
        tables.append(properties.table(data, summary, ctx.seed))
    if "efficiency" in params.axes:
        tables.append(efficiency.table(measured))
    if "transfer" in params.axes:
        plots.append(transfer.heat_map(measured))
    if "privacy" in params.axes:
        models = []
        for label, graph in ((large.label(data, whole), whole), ("this summary", summary.training())):
            with ctx.part(f"privacy {label}", 1, 10, seed=ctx.seed) as part:
                models.append((label, trained(graph, validation, epochs, part)))
        rows = (*rows, *privacy.rows(data, models, test, ctx.seed))
        warnings += privacy.warnings(data, summary)
    if "denoise" in params.axes:
        with ctx.part("denoise", 2, 10, seed=ctx.seed) as part:
            tables.append(denoising.table(data, summary, params.corruptions, params.rates, epochs, part))
    if "nas" in params.axes:
        grid, found = architecture_search.GRID, []
        steps = max(architecture_search.STEPS)
        far = [large.held(data, part, 0, ctx.seed, steps) for part in (VALIDATION, TEST)]
        for number, (name, graph) in enumerate((("whole", whole), ("summary", summary.training()))):
            with ctx.part(f"search {name}", 6 + 2 * number, 10, seed=ctx.seed) as part:
                found.append(architecture_search.search(graph, grid, *far, epochs, part))
        tables.append(architecture_search.table(grid, *found))
    return replace(
        measured,
        tables=(*measured.tables, *tables),
        plots=(*measured.plots, *plots),
        privacy=rows,
        warnings=tuple(dict.fromkeys([*warnings, *ctx.warnings])),
    )
