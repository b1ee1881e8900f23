"""Keep rounds drawn at random: the baseline that every other pick must beat. O(n)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from worker.contract.budget import Budget
from worker.contract.context import Context
from worker.contract.method import method
from worker.contract.product import Origin
from worker.kinds.bandit.dataset import training_part
from worker.kinds.bandit.rounds.coresets import uniform_rounds
from worker.kinds.bandit.structures import Log, decisions
from worker.kinds.bandit.summary import RoundsSummary, rounds_in_budget


class RandomRoundsParams(BaseModel):
    """Parameters of `random-rounds`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = "1%"


@method(kind="bandit", task="select", name="random-rounds", version=1)
def random_rounds(data: Log, params: RandomRoundsParams, ctx: Context) -> RoundsSummary:
    """Rounds drawn at random, each standing for as many."""
    data = decisions(data)
    train = training_part(data)
    pick = uniform_rounds(train.n, rounds_in_budget(train, params.budget), ctx.rng)
    ctx.progress(1, 1, phase="select")
    settings = {"budget": params.budget, "seed": ctx.seed}
    return RoundsSummary.picked(train, pick, Origin("random-rounds", settings=settings))
