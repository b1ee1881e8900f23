"""How large a condensed graph may be, in every customary form, and what it comes to in all of them.

Published code counts a rate of the TRAIN nodes, published tables one of ALL nodes, and both call it r. So a size may be
given as either, or as nodes or bytes, and every result states all four.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.contract.budget import OR_NONE, Budget, resolve
from worker.contract.errors import JobError
from worker.kinds.graph.dataset import Graph

FORMS = ("budget", "reduction_rate", "rate_of_all", "n_nodes")
DEFAULT_RATE = 0.5


class SizeParams(BaseModel):
    """The size of a condensed graph: one of four forms, half of the train nodes when none is given."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget | None = Field(
        None,
        description='Nodes (70), a share of ALL nodes ("1%") or bytes ("150kB").',
        json_schema_extra=OR_NONE,
    )
    reduction_rate: float | None = Field(
        None, gt=0, le=1, description="Share of the TRAIN nodes, as in published code; 0.5 when no size is given."
    )
    rate_of_all: float | None = Field(
        None, gt=0, lt=1, description="Share of ALL nodes, as in published tables of transductive graphs."
    )
    n_nodes: int | None = Field(None, ge=1, description="Number of condensed nodes.")

    @model_validator(mode="after")
    def _one_size(self) -> SizeParams:
        given = [name for name in FORMS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of {', '.join(given)}, not several")
        if not given:
            self.reduction_rate = DEFAULT_RATE
        return self


@dataclass(frozen=True)
class Size:
    """A size in all its forms: condensed nodes, as a share of the train nodes and of all nodes, and the bytes of the
    plain arrays."""

    nodes: int
    reduction_rate: float
    rate_of_all: float
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """For the settings of an origin."""
        return asdict(self)


def nodes_asked(graph: Graph, params: SizeParams, *, bytes_per_node: float, most: int | None = None) -> int:
    """The number of condensed nodes that a size comes to for this graph, the whole one.

    `bytes_per_node`: what one takes as plain arrays. `most`: as many as the method can make; the train nodes unless
    said. Raises `JobError` `budget_too_small` or `budget_too_large` that names the field and the bounds.
    """
    train, classes = len(graph.train), graph.n_classes
    most = train if most is None else most
    field = next(name for name in FORMS if getattr(params, name) is not None)
    if field == "budget":
        assert params.budget is not None  # noqa: S101 - the validator saw to it
        return resolve(params.budget, total_units=graph.n, bytes_per_unit=bytes_per_node, lowest=classes, highest=most)
    if field == "n_nodes":
        nodes = int(params.n_nodes or 0)
    else:
        total = train if field == "reduction_rate" else graph.n
        nodes = int(Fraction(str(getattr(params, field))) * total)
    if classes <= nodes <= most:
        return nodes
    small = nodes < classes
    reached = f"{classes} nodes, one a class" if small else f"{most} nodes"
    raise JobError(
        "budget_too_small" if small else "budget_too_large",
        f"{field} {getattr(params, field)} comes to {nodes} nodes; the {'least' if small else 'most'} is {reached}.",
        hint=f"Ask for between {classes} and {most} nodes, as in n_nodes={classes if small else most}.",
        pointer=f"/params/{field}",
    )


def size_of(graph: Graph, nodes: int, plain_bytes: int) -> Size:
    """What a number of nodes of this graph, the whole one, is in every form."""
    return Size(nodes, nodes / max(1, len(graph.train)), nodes / max(1, graph.n), plain_bytes)
