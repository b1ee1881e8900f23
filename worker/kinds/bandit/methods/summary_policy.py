"""Judge rounds that stand for a log: chosen earlier by a `select` method, or chosen elsewhere and uploaded.

Every summary that leaves the service is judged on the way out, by this same protocol (`worker.kinds.bandit.judge`): a
policy learnt on the kept rounds against one learnt on all, on held-out rounds, with the same estimator and a paired
interval.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import NoParams
from worker.contract.method import Input, method
from worker.evidence.findings import Findings
from worker.kinds.bandit.structures import Log, decisions
from worker.kinds.bandit.summary import RoundsSummary


@method(
    kind="bandit",
    task="evaluate",
    name="summary-policy",
    version=2,
    inputs=(Input("summary", description="Rounds to judge: picked by an earlier job, or uploaded as a dataset."),),
    memory_mb=3072,
)
def summary_policy(data: Log, params: NoParams, ctx: Context) -> Findings:
    """Whether a policy learnt on a summary of the log earns as much as one learnt on all of it."""
    data = decisions(data)
    summary = ctx.inputs.get("summary")
    if not isinstance(summary, RoundsSummary):
        raise JobError(
            "invalid_input",
            "The input `summary` is no summary of a log.",
            hint="Name rounds chosen by a select method, or a dataset version of kind bandit.",
            pointer="/inputs/summary",
        )
    return summary.judge(data, ctx.evaluate, ctx)
