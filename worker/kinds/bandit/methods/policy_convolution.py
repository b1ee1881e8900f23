"""What would another policy have earned? Estimated from logs by policy convolution and by plain estimators.

Policy convolution smooths the logging and the target policy over similar actions and weighs rounds by their ratio
(Sachdeva, Wang, Liang, Kallus, McAuley, "Off-policy evaluation for large action spaces via policy convolution", WWW
2024, arXiv:2310.15433): more smoothing, less variance, more bias. How much is decided by policy ESS, a quantity of the
two policies alone, so that the choice looks at no reward (`selection.default`). Without a whole logging policy or
any similarity of actions nothing can be smoothed; the plain estimators remain, and the report says what is missing.

Cost: one pass over each policy's stored probabilities a target; nothing forms rounds x actions for sparse policies.
"""

from __future__ import annotations

from dataclasses import replace

from worker.contract.context import Context
from worker.contract.method import method
from worker.evidence.findings import Findings
from worker.kinds.bandit.estimation import evidence
from worker.kinds.bandit.estimation.estimate import TargetEstimate, estimate_target
from worker.kinds.bandit.estimation.monitoring import check_anytime
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.prepare import prepare, rounds_to_use
from worker.kinds.bandit.estimation.restricted import Changed, with_restricted
from worker.kinds.bandit.estimation.segments import check_segments
from worker.kinds.bandit.structures import Log, decisions
from worker.kinds.bandit.targets import (
    LEARNT,
    POLICY,
    TARGETS,
    default_names,
    learnt_policy,
    named_targets,
    with_uploaded,
)


@method(
    kind="bandit",
    task="estimate",
    name="policy-convolution",
    version=1,
    paper="arXiv:2310.15433",
    inputs=(POLICY, TARGETS),
    memory_mb=3072,
)
def policy_convolution(data: Log, params: EstimateParams, ctx: Context) -> Findings:
    """What target policies would have earned, with intervals, diagnostics, and an honest "cannot tell"."""
    data, learnt = with_uploaded(decisions(data), ctx), learnt_policy(ctx)
    names = params.targets or default_names(data, learnt)
    log = rounds_to_use(data, params, learnt=LEARNT in names, ctx=ctx)
    targets, changed = named_targets(log, names, learnt), dict[str, Changed]()
    check_segments(log, params.segments)
    if params.unsupported == "restrict":
        targets, changed = with_restricted(log, targets)
    with ctx.part("prepare", 0, 2, seed=ctx.seed) as part:
        prepared = prepare(log, targets, params, part)
    if params.interval == "anytime":
        check_anytime(prepared)
    found: list[TargetEstimate] = []
    for number, (name, target) in enumerate(targets.items()):
        with ctx.part(name, len(targets) + number, 2 * len(targets), label="estimate", seed=ctx.seed) as part:
            found.append(replace(estimate_target(prepared, name, target, params, part), changed=changed.get(name)))
    return evidence.findings(prepared, found, params, [*data.warnings, *ctx.warnings])
