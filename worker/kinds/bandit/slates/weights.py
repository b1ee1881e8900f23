"""Importance weights of slates, by what users may look at.

`slate`: the ratio of both policies' probabilities of the whole slate; right whatever users do (SIPS). `prefix`: of the
items from the top down to a position; right where a reward depends on nothing below it, the cascade (RIPS: McInerney et
al. 2020). `item`: of the item at its position alone; right where a reward depends on nothing else (IIPS).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import Floats, Policy
from worker.kinds.bandit.stepwise.importance import up_to_each
from worker.kinds.bandit.stepwise.target import named
from worker.kinds.bandit.structures.slates import SlateLog


@dataclass(frozen=True)
class SlateWeights:
    """(m, L) each, 1 at positions that a slate does not have; None where the propensities do not give it."""

    slate: Floats | None
    prefix: Floats | None
    item: Floats | None


def weights_of(data: SlateLog, chance: Floats) -> SlateWeights:
    """Weights of a target whose probability of each row (n,) is `chance`, of the same event as the propensities."""
    layout = data.layout
    ratio = layout.spread(chance / data.log.propensity, 1.0)
    match data.propensity_of:
        case "marginal":
            return SlateWeights(None, None, ratio)
        case "slate":
            return SlateWeights(np.where(layout.present, ratio[:, :1], 1.0), None, None)
        case "prefix":
            prefix, item = ratio, None
        case _:
            prefix, item = up_to_each(ratio), ratio if data.propensity_of == "item_alone" else None
    last = layout.present.sum(axis=1) - 1
    whole = np.take_along_axis(prefix, last[:, None], axis=1)
    return SlateWeights(
        np.where(layout.present, whole, 1.0), np.where(layout.present, prefix, 1.0), ratio if item is not None else None
    )


def chances(data: SlateLog, names: list[str]) -> dict[str, tuple[Floats, Policy | None]]:
    """By target: its probability (n,) of what the propensities speak of, and the policy where it was uploaded whole.

    A whole policy says how probable each item is at its position, given those above. Raises `JobError`
    target_policy_required for a name that is not known, or where there is no target.
    """
    known = [*data.log.targets, *data.chances]
    wanted = named(names, known, "a column target_probability_NAME, or a policy as target_policies/NAME.npz")
    return {name: (data.chances[name], None) if name in data.chances else _whole(data, name) for name in wanted}


def _whole(data: SlateLog, name: str) -> tuple[Floats, Policy]:
    log: BanditLog = data.log
    policy, layout = log.targets[name], data.layout
    chance = policy.at(log.action)
    if data.propensity_of in ("prefix", "slate"):
        table = up_to_each(layout.spread(chance, 1.0))
        if data.propensity_of == "slate":
            table = np.repeat(table[:, -1:], layout.steps, axis=1)
        chance = layout.gather(table, log.n)
    return chance, policy
