"""Large action spaces: first learn which actions are worth a look, then which of those to take.

The gradient of an off-policy estimate carries the factor pi(a_i|x_i), so it vanishes wherever the policy has moved away
from the logged actions; with thousands of actions that is nearly everywhere. The weighted log-likelihood
mean(v r log pi(a_i|x_i)), v = min(1/p, M) constant, has no such plateau (arXiv:2509.03456, abstract). So above 1,000
actions it is fitted first; its best `candidates` of every context are all the second policy, which starts from it, may
choose from. A step of the second stage costs states x candidates, not states x actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from worker.kinds.bandit.learning.models import PolicyModel
from worker.kinds.bandit.learning.objectives import Expansion
from worker.kinds.bandit.learning.train import Recipe, StepFunction
from worker.kinds.bandit.learning.training_set import BLOCK, TrainingSet

TWO_STAGES_FROM = 1_000


def likelihood_step(clip: float, lowest: float) -> StepFunction:
    """The gradient step of the weighted log-likelihood; rewards count from `lowest`, so that none is negative."""

    def step(
        model: PolicyModel,
        rounds: TrainingSet,
        recipe: Recipe,
        expansion: Expansion | None,
        number: int,
        tick: Callable[[], None],
    ) -> float:
        share = (1.0 / rounds.propensity).clamp(max=clip) * (rounds.reward - lowest).clamp(min=0.0)
        if rounds.count is not None:
            share = share * rounds.count
        share = share / (rounds.n if rounds.count is None else rounds.count.sum())
        total = 0.0
        for states, part in rounds.blocks(model.shape.n_actions):
            logs, _ = rounds.forward(model, states, part)
            value = (share[part] * logs).sum()
            (-value).backward()
            total += float(value.detach())
            tick()
        if recipe.l2 > 0:
            (0.5 * recipe.l2 * torch.stack([(p.double() ** 2).sum() for p in model.parameters()]).sum()).backward()
        return total

    return step


@torch.no_grad()
def best_actions(model: PolicyModel, rounds: TrainingSet, count: int) -> Tensor:
    """The `count` actions of highest score of every state (S, count), in ascending order of action; in blocks."""
    found: list[Tensor] = []
    step = max(1, BLOCK // model.shape.n_actions)
    for start in range(0, rounds.n_states, step):
        states = slice(start, min(start + step, rounds.n_states))
        scores = model(rounds.x[states])
        if rounds.restrict and rounds.support is not None and not rounds.support.complete:
            allowed = torch.from_numpy(rounds.support.mask(rounds.support_row[states])).to(scores.device)
            scores = scores.masked_fill(~allowed, -torch.inf)
        found.append(torch.topk(scores, count, dim=1).indices.sort(dim=1).values)
    return torch.cat(found)


def with_candidates(rounds: TrainingSet, candidates: Tensor) -> TrainingSet:
    """The rounds of a policy that chooses among `candidates` (S, C), sorted by action, and gives others nothing."""
    mine = candidates[rounds.state]
    place = torch.searchsorted(mine, rounds.action[:, None])[:, 0].clamp(max=mine.shape[1] - 1)
    hit = mine.gather(1, place[:, None])[:, 0] == rounds.action
    allowed = None
    if rounds.restrict and rounds.support is not None and not rounds.support.complete:
        chosen = candidates.cpu().numpy()
        rows = np.repeat(rounds.support_row, chosen.shape[1])
        allowed = torch.from_numpy(rounds.support.has(rows, chosen.ravel()).reshape(chosen.shape)).to(candidates.device)
    place = torch.where(hit, place, -1)
    narrowed = replace(rounds, candidates=candidates, allowed=allowed, place=place, table=None)
    return narrowed.with_table(candidates.shape[1])
