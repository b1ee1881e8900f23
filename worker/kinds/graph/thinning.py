"""What all edge sparsifiers share: how many edges are asked for, and the graph of the same nodes that is delivered.

Weights. A graph with a part of its edges is a quieter graph: beside the self-loop that networks add, neighbours count
less than they did. So what is kept is weighted up (`reweight`): sampled edges by the inverse of their probability,
which keeps the expected Laplacian, chosen ones all alike so that the sum of weights stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.contract.budget import resolve
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Term
from worker.kinds.graph import bundle
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.making import condensed, ticks
from worker.kinds.graph.sparsification.edges import Edges
from worker.kinds.graph.summary import CondensedGraph

HALF = 0.5
_SIZE = r"^\s*(\d+(?:\.\d+)?)\s*(%|B|kB|MB|GB)\s*$"
SIZES = ("keep_fraction", "keep_edges", "budget")

# Measured on Cora, PubMed and ca-AstroPh.
COST = Cost(seconds=(Term(0.5), Term(5e-6, {"edges": 1})), memory_mb=(Term(300.0), Term(1e-3, {"edges": 1})))

RESISTANCE_COST = Cost(
    seconds=(Term(0.5), Term(2.2e-7, {"edges": 1, "params.projections": 1})),
    memory_mb=(Term(300.0), Term(2e-3, {"edges": 1}), Term(2e-3, {"nodes": 1})),
)


class ThinningParams(BaseModel):
    """How many edges are kept: half of them when nothing is said."""

    model_config = ConfigDict(extra="forbid")

    keep_fraction: float | None = Field(
        None, gt=0, lt=1, description="Share of the undirected edges to keep; 0.5 when no size is given."
    )
    keep_edges: int | None = Field(None, ge=1, description="Undirected edges to keep.")
    budget: str | None = Field(
        None, pattern=_SIZE, description='A share of the edges ("30%"), or bytes of the delivered graph ("2MB").'
    )
    reweight: bool = Field(True, description="Raise the weights of kept edges for those that are gone.")

    @model_validator(mode="after")
    def _one_size(self) -> ThinningParams:
        given = [name for name in SIZES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of {', '.join(given)}, not several")
        if not given:
            self.keep_fraction = HALF
        return self

    @property
    def size_field(self) -> str:
        """The form in which the size was given."""
        return next(name for name in SIZES if getattr(self, name) is not None)


@dataclass(frozen=True)
class Thinned:
    """The edges that a sparsifier keeps; `weighted`: their weights are already those of an unbiased sample. `settings`:
    what it chose by itself."""

    edges: Edges
    weighted: bool = False
    settings: dict[str, Any] | None = None


Thin = Callable[[Edges, int, np.random.Generator, Callable[[], None]], Thinned]
"""`(edges, how many to keep, rng, tick)` -> those kept."""


def edges_asked(seen: Graph, params: ThinningParams) -> int:
    """The number of undirected edges that a size comes to: from 1 to all but one.

    Raises `JobError` `budget_too_small` or `budget_too_large` that names the field and the bounds.
    """
    total = seen.edges
    if total < 2:
        raise JobError(
            "too_few_rows",
            f"The graph has {total} edges that may be looked at.",
            hint="There is nothing to leave out: take a method that makes fewer nodes, such as k-means-prop.",
        )
    if params.budget is not None:
        bare = bundle.plain_bytes(bundle.arrays(seen.x, None, seen.y))
        each = 2 * (2 * 4 + 4)  # both directions, two ends and a weight
        if not params.budget.rstrip().endswith("B"):
            return resolve(params.budget, total_units=total, bytes_per_unit=each)
        asked = resolve(params.budget, total_units=10**15, bytes_per_unit=1)
        if asked < bare + each:
            raise JobError(
                "budget_too_small",
                f"The budget {params.budget} does not hold the features and labels of {seen.n} nodes ({bare} bytes), "
                "all of which a sparsifier keeps.",
                hint=f'Ask for at least "{bare + each}B", or take a method that keeps fewer nodes.',
                pointer="/params/budget",
            )
        return min((asked - bare) // each, total - 1)
    asked = params.keep_edges if params.keep_edges is not None else round((params.keep_fraction or HALF) * total)
    if 1 <= asked < total:
        return asked
    small = asked < 1
    bound = f"keep_edges={1 if small else total - 1}"
    raise JobError(
        "budget_too_small" if small else "budget_too_large",
        f"{params.size_field} {getattr(params, params.size_field)} comes to {asked} of {total} edges.",
        hint=f"Ask for between 1 and {total - 1} edges, as in {bound}.",
        pointer=f"/params/{params.size_field}",
    )


def need_edges(least: int, asked: int, why: str, params: ThinningParams) -> None:
    """Raise `JobError` `budget_too_small` where a sparsifier cannot do with so few edges."""
    if asked < least:
        raise JobError(
            "budget_too_small",
            f"{asked} edges are fewer than the {least} that {why} takes.",
            hint=f"Ask for at least keep_edges={least}, or take random-edge, which keeps any number.",
            pointer=f"/params/{params.size_field}",
        )


def weighted_up(edges: Edges, kept: Edges) -> Edges:
    """The kept edges with the weight of all of them, shared out in proportion."""
    return Edges(kept.nodes, kept.u, kept.v, kept.weight * (edges.weight.sum() / kept.weight.sum()))


def thinned(data: Graph, params: ThinningParams, method: str, ctx: Context, thin: Thin) -> CondensedGraph:
    """The graph of all nodes that may be looked at with the edges that a sparsifier keeps."""
    seen, tick = data.visible(), ticks(ctx, "sparsify")
    tick()
    asked = edges_asked(seen, params)
    edges = Edges.of(seen.adjacency)
    found = thin(edges, asked, ctx.rng, tick)
    kept = weighted_up(edges, found.edges) if params.reweight and not found.weighted else found.edges
    settings: dict[str, Any] = params.model_dump() | (found.settings or {})
    settings |= {"edges": len(kept), "edges_of": len(edges), "components": [edges.components(), kept.components()]}
    if kept.components() > edges.components():
        ctx.warn(
            f"The graph fell apart: {edges.components()} connected components became {kept.components()}. "
            "spanning-forest and t-spanner keep them."
        )
    tick()
    transductive = data.setting == "transductive"
    return condensed(
        data, seen.x, seen.y, method, settings, ctx, adjacency=kept.adjacency(), whole=True,
        source=None if transductive else data.train, sees="all" if transductive else "train",
    )  # fmt: skip
