"""A summary of a log: some of its rounds, each with the number of rounds it stands for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from worker.kinds.bandit.dataset import TRAIN, BanditLog
from worker.kinds.bandit.rounds.coresets import Floats, Pick
from worker.contract.budget import resolve
from worker.contract.context import Context

BYTES_A_ROUND = 28  # action, reward, propensity, weight; the context comes on top


@dataclass(frozen=True)
class RoundsSummary:
    """The kept rounds as a log of their own, `log.weight` set; `settings`: how they were picked."""

    log: BanditLog
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    warnings: tuple[str, ...] = ()

    @property
    def weight(self) -> Floats:
        """How many rounds each kept one stands for (m,)."""
        return self.log.round_weight


def training_part(data: BanditLog) -> BanditLog:
    """The rounds a summary may be made of; all of them where the log was never split."""
    return data if data.split is None else data.take(np.flatnonzero(data.split == TRAIN))


def rounds_in_budget(train: BanditLog, budget: int | str) -> int:
    """A budget as a number of rounds."""
    return resolve(budget, total_units=train.n, bytes_per_unit=BYTES_A_ROUND + 4 * train.contexts.shape[1])


def summary_of_rounds(train: BanditLog, pick: Pick, settings: dict[str, Any], ctx: Context) -> RoundsSummary:
    """The summary made of a pick among the training rounds; weights of rounds that stood for several multiply."""
    rounds, omega = pick
    kept = train.take(rounds)
    kept = replace(kept, weight=omega * kept.round_weight, split=np.zeros(len(rounds), np.int8))
    counted = {"rounds": len(rounds), "of": train.n, "seed": ctx.seed, "weight_sum": float(kept.round_weight.sum())}
    return RoundsSummary(kept, settings | counted, tuple(ctx.warnings))
