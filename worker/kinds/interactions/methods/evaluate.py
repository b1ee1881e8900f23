"""Judge a summary that exists already: one made earlier, or a subset made elsewhere and uploaded.

Nothing is computed here. Every summary that leaves the service is judged on the way out, so handing the given
one on unchanged is the whole method; the protocol is in `worker.kinds.interactions.fidelity`.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.summary import InteractionsSummary
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import method


class NoParams(BaseModel):
    """Parameters of `evaluate`: none; how to judge is said in the job's `evaluate`."""

    model_config = ConfigDict(extra="forbid")


@method(kind="interactions", task="evaluate", name="evaluate", version=1, inputs=("summary",), memory_mb=3072)
def evaluate(data: Interactions, params: NoParams, ctx: Context) -> InteractionsSummary:
    """Measure what an existing summary keeps of the full data.

    The summary comes in memory as `ctx.inputs["summary"]`, on the items of `data`. Raises `JobError`
    `invalid_input` when it is absent or is not on these items.
    """
    summary = ctx.inputs.get("summary")
    if not isinstance(summary, InteractionsSummary):
        raise JobError(
            "invalid_input",
            "No summary was given to judge.",
            hint='Name one as {"inputs": {"summary": "sum_..."}}.',
            pointer="/inputs/summary",
        )
    if summary.rows.shape[1] != data.n_items:
        raise JobError(
            "invalid_input",
            f"The summary is over {summary.rows.shape[1]} items, the dataset over {data.n_items}.",
            hint="Judge a summary against the dataset it was made of.",
            pointer="/inputs/summary",
        )
    return summary
