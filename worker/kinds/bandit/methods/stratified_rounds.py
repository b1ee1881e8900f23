"""Keep rounds of every action in proportion to how often it was taken, so that rare actions stay. O(n log n)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from worker.contract.budget import Budget
from worker.contract.context import Context
from worker.contract.method import method
from worker.contract.product import Origin
from worker.kinds.bandit.dataset import training_part
from worker.kinds.bandit.rounds import coresets
from worker.kinds.bandit.structures import Log, decisions
from worker.kinds.bandit.summary import RoundsSummary, rounds_in_budget


class StratifiedRoundsParams(BaseModel):
    """Parameters of `stratified-rounds`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = "1%"


@method(kind="bandit", task="select", name="stratified-rounds", version=1)
def stratified_rounds(data: Log, params: StratifiedRoundsParams, ctx: Context) -> RoundsSummary:
    """Rounds drawn within each action; every logged action keeps one while the budget allows."""
    data = decisions(data)
    train = training_part(data)
    pick = coresets.stratified_rounds(train.action, rounds_in_budget(train, params.budget), ctx.rng)
    ctx.progress(1, 1, phase="select")
    settings = {"budget": params.budget, "seed": ctx.seed}
    return RoundsSummary.picked(train, pick, Origin("stratified-rounds", settings=settings))
