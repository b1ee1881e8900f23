"""Keep the rounds that carry an importance-weighted estimate, each with the weight that keeps it unbiased. O(n).

Chance in proportion to w |r| is the draw of least variance for the IPS sum of one target (Owen, "Monte Carlo theory,
methods and examples", section 9.1); for several targets their average, and a uniform share for those not named.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from worker.contract.budget import Budget
from worker.contract.context import Context
from worker.contract.method import method
from worker.contract.product import Origin
from worker.kinds.bandit.dataset import training_part
from worker.kinds.bandit.rounds import coresets
from worker.kinds.bandit.structures import Log, decisions
from worker.kinds.bandit.summary import RoundsSummary, rounds_in_budget
from worker.kinds.bandit.targets import named_targets


class ImportanceRoundsParams(BaseModel):
    """Parameters of `importance-rounds`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = "1%"
    targets: list[str] = Field(
        [], max_length=20, description="Target policies whose estimates to keep; empty: every uploaded one, or uniform."
    )


@method(kind="bandit", task="select", name="importance-rounds", version=1)
def importance_rounds(data: Log, params: ImportanceRoundsParams, ctx: Context) -> RoundsSummary:
    """Rounds drawn by what they contribute to the estimates of the target policies."""
    data = decisions(data)
    train = training_part(data)
    targets = named_targets(train, params.targets or [*train.targets] or ["uniform"])
    pick = coresets.importance_rounds(train, targets.values(), rounds_in_budget(train, params.budget), ctx.rng)
    ctx.progress(1, 1, phase="select")
    settings = {"budget": params.budget, "targets": [*targets], "seed": ctx.seed}
    return RoundsSummary.picked(train, pick, Origin("importance-rounds", settings=settings))
