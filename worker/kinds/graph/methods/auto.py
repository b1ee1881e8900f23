"""The method a user gets who names none: what the evidence favours for such a graph in the time there is.

Where the setting is transductive and a minute is allowed, `teacher-k-means`; else `k-means-prop`, in seconds. The
figures behind it stand in docs/graphs.md.
"""

from __future__ import annotations

import time
from dataclasses import replace

from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.budget import FORMS, SizeParams
from worker.kinds.graph.dataset import VALIDATION, Graph
from worker.kinds.graph.methods.k_means_prop import KMeansPropParams, k_means_prop
from worker.kinds.graph.methods.teacher_k_means import COST, TeacherKMeansParams, teacher_k_means
from worker.kinds.graph.summary import CondensedGraph


class AutoParams(SizeParams):
    """Parameters of `auto`."""

    seconds: int = Field(60, ge=1, le=86_400, description="How long condensing may take.")


def expected_seconds(data: Graph) -> float:
    """What `teacher-k-means` takes for this graph on an ordinary worker."""
    known = {"nodes": data.n, "edges": data.edges, "features": data.d}
    found = 0.0
    for term in COST.seconds:
        value = term.value
        for name, power in term.powers.items():
            value *= known[name] ** power
        found += value
    return found


@method(kind="graph", task="distil", name="auto", version=1, device="any", memory_mb=2048, cost=COST)
def auto(data: Graph, params: AutoParams, ctx: Context) -> CondensedGraph:
    """A teacher's clusters where a minute is allowed and all nodes may be seen, else k-means; the report says why."""
    size = {name: getattr(params, name) for name in FORMS}
    allowed = float(params.seconds)
    if ctx.deadline is not None:
        allowed = min(allowed, ctx.deadline - time.monotonic())
    needed = expected_seconds(data)
    if data.setting == "transductive" and needed <= allowed and len(data.nodes(VALIDATION)):
        summary = teacher_k_means(data, TeacherKMeansParams(**size), ctx)
        reason = (
            f"The setting is transductive and {allowed:.0f} s are allowed, of which a teacher takes about "
            f"{needed:.0f}: `auto` chose teacher-k-means."
        )
    else:
        summary = k_means_prop(data, KMeansPropParams(**size), ctx)
        why = (
            "The setting is inductive, where held-out nodes may not be looked at"
            if data.setting != "transductive"
            else f"A teacher takes about {needed:.0f} s, and {allowed:.0f} are allowed"
            if needed > allowed
            else "There are no validation nodes to stop a teacher by"
        )
        reason = f"{why}: `auto` chose k-means-prop."
    return replace(summary, origin=replace(summary.origin, reason=reason))
