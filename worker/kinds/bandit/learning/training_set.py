"""Logged rounds as tensors, sorted by state so that the policy is computed once a distinct context, in blocks.

A state is a distinct pair of context and support. Nothing of size rounds x actions is kept: a block holds at most
`BLOCK` numbers of states x actions, and a round takes from it the one probability it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.kinds.bandit.dataset import BanditLog, Standard
from worker.kinds.bandit.learning.models import PolicyModel
from worker.kinds.bandit.reward_models.fitted import FittedReward
from worker.kinds.bandit.support import Support
from worker.numerics.seeds import mix

BLOCK = 16_000_000  # numbers of one block of states x actions
TABLE = 64_000_000  # numbers up to which modelled rewards of all states x actions are computed once and kept
DRAWN_FROM = 5_000  # actions from which a sum over unsupported ones is one drawn action a step

Rows = NDArray[np.integer]


@dataclass(frozen=True)
class Modelled:
    """A reward model's part in the objective: the sum over all actions, or over unsupported ones only.

    `reward`: the model, or a number for a constant one. `everywhere`: sum over all actions (doubly robust).
    """

    reward: FittedReward | float
    everywhere: bool

    def predict(self, rounds: Rows, actions: Rows) -> NDArray[np.float64]:
        """Modelled rewards (m,) of actions (m,) in the contexts of rounds (m,)."""
        if isinstance(self.reward, float | int):
            return np.full(len(rounds), float(self.reward))
        return self.reward.at(rounds, actions)


@dataclass(frozen=True)
class TrainingSet:
    """Rounds ready for training; per-round tensors (n,) are sorted by `state`, an index into the states (S,).

    `x` (S, d) standardised; `representative` (S,): a round of the log with that state; `support_row` (S,).
    `candidates` (S, C): the only actions the policy may take, in a two-stage policy; `place` (n,): where the logged
    action lies among them, -1 where it does not; `allowed` (S, C): which of them are supported, None for all.
    `restrict`: unsupported actions are masked.
    """

    x: Tensor
    state: Tensor
    action: Tensor
    reward: Tensor
    propensity: Tensor
    count: Tensor | None
    q_logged: Tensor | None
    representative: Rows
    support: Support | None
    support_row: Rows
    modelled: Modelled | None = None
    restrict: bool = False
    candidates: Tensor | None = None
    place: Tensor | None = None
    allowed: Tensor | None = None
    table: Tensor | None = None
    seed: int = 0

    @property
    def n(self) -> int:
        """Number of rounds."""
        return len(self.action)

    @property
    def n_states(self) -> int:
        """Number of states."""
        return len(self.x)

    def blocks(self, width: int) -> Iterator[tuple[slice, slice]]:
        """(states, rounds) of every block of at most `BLOCK` numbers."""
        step = max(1, BLOCK // max(width, 1))
        edges = torch.searchsorted(self.state, torch.arange(0, self.n_states + step, step, device=self.state.device))
        for number, start in enumerate(range(0, self.n_states, step)):
            yield slice(start, min(start + step, self.n_states)), slice(int(edges[number]), int(edges[number + 1]))

    def take(self, rounds: Tensor) -> TrainingSet:
        """Some rounds (sorted positions), with the states they need."""
        states, back = torch.unique(self.state[rounds], return_inverse=True)
        rows = states.cpu().numpy()

        def part(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[rounds]

        return replace(
            self,
            x=self.x[states],
            state=back,
            action=self.action[rounds],
            reward=self.reward[rounds],
            propensity=self.propensity[rounds],
            count=part(self.count),
            q_logged=part(self.q_logged),
            representative=self.representative[rows],
            support_row=self.support_row[rows],
            candidates=None if self.candidates is None else self.candidates[states],
            allowed=None if self.allowed is None else self.allowed[states],
            place=part(self.place),
            table=None if self.table is None else self.table[states],
        )

    def forward(self, model: PolicyModel, states: slice, rounds: slice, step: int = 0) -> tuple[Tensor, Tensor | None]:
        """log pi of the logged actions and, with a reward model, its sum over actions, of one block of rounds (m,)."""
        of_round = self.state[rounds] - states.start
        if self.candidates is not None and self.place is not None:
            scores = model.score(self.x[states], self.candidates[states])
            if self.allowed is not None:
                scores = scores.masked_fill(~self.allowed[states], -torch.inf)
            logs = torch.log_softmax(scores.double(), dim=1)
            place = self.place[rounds]
            found = logs[of_round, place.clamp(min=0)]
            found = torch.where(place >= 0, found, found.new_full((), -torch.inf))
            return found, None if self.modelled is None else self._sum_modelled(logs, states, step)[of_round]
        scores = model(self.x[states])
        if self.restrict and self.support is not None and not self.support.complete:
            allowed = torch.from_numpy(self.support.mask(self.support_row[states])).to(scores.device)
            scores = scores.masked_fill(~allowed, -torch.inf)
        logs = torch.log_softmax(scores, dim=1)
        found = logs[of_round, self.action[rounds]].double()
        if self.modelled is None:
            return found, None
        return found, self._sum_modelled(logs, states, step)[of_round]

    def _sum_modelled(self, logs: Tensor, states: slice, step: int) -> Tensor:
        """sum_a pi q_hat of every state of a block, over all actions or the unsupported ones."""
        if self.table is None and self._drawn:
            return self._one_drawn(logs, states, step)
        table = self.rewards(states, logs) if self.table is None else self.table[states]
        return (logs.exp() * table.to(logs.dtype)).double().sum(1)

    @property
    def _drawn(self) -> bool:
        modelled, support = self.modelled, self.support
        many = support is not None and support.n_actions > DRAWN_FROM and self.candidates is None
        return modelled is not None and not modelled.everywhere and many

    def _one_drawn(self, logs: Tensor, states: slice, step: int) -> Tensor:
        """|U(x)| pi(b|x) q_hat(x, b) with b uniform in U(x): unbiased, O(1) a state."""
        if self.support is None or self.modelled is None:
            raise AssertionError("only with a support and a reward model")
        rows = self.support_row[states]
        drawn = self.support.draw_unsupported(rows, np.random.default_rng(mix(self.seed, step, states.start)))
        lacking = self.support.n_actions - self.support.counts[rows]
        kept = np.maximum(drawn, 0)
        values = self.modelled.predict(self.representative[states], kept) * lacking
        picked = logs.gather(1, torch.from_numpy(kept).to(logs.device)[:, None])[:, 0].double().exp()
        return picked * torch.from_numpy(values).to(logs.device)

    def rewards(self, states: slice, like: Tensor) -> Tensor:
        """Modelled rewards of a block of states, (m, A) or of the candidates (m, C), zero where they take no part."""
        if self.modelled is None:
            raise AssertionError("only with a reward model")
        rounds, width = self.representative[states], like.shape[1]
        few = None if self.candidates is None else self.candidates[states].cpu().numpy().ravel()
        actions = np.tile(np.arange(width), len(rounds)) if few is None else few
        values = self.modelled.predict(np.repeat(rounds, width), actions).reshape(len(rounds), width)
        if not self.modelled.everywhere and self.support is not None:
            rows = self.support_row[states]
            if few is None:
                inside = self.support.mask(rows)
            else:
                inside = self.support.has(np.repeat(rows, width), few).reshape(values.shape)
            values = np.where(inside, 0.0, values)
        return torch.from_numpy(values).to(like.device, like.dtype)

    def with_table(self, width: int) -> TrainingSet:
        """The same with all modelled rewards (S, width) computed at once, where they are few enough to keep."""
        if self.modelled is None or self.n_states * width > TABLE or self._drawn:
            return self
        whole = self.x.new_empty((0, width))
        return replace(self, table=self.rewards(slice(0, self.n_states), whole))


def training_set(
    log: BanditLog,
    rounds: Rows,
    standard: Standard,
    *,
    support: Support | None = None,
    restrict: bool = False,
    modelled: Modelled | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> TrainingSet:
    """The rounds (m,) of a log as tensors."""
    context = log.rows[rounds].astype(np.int64)
    supported = np.zeros(len(rounds), np.int64) if support is None else support.rows[rounds].astype(np.int64)
    key = context * (int(supported.max(initial=0)) + 1) + supported
    _, first, state = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(state, kind="stable")
    chosen = rounds[order]
    q_logged = None
    if modelled is not None and modelled.everywhere:
        q_logged = modelled.predict(chosen, log.action[chosen])

    def tensor(values: NDArray[np.generic] | None) -> Tensor:
        return torch.from_numpy(np.array(values)).to(device)

    made = TrainingSet(
        x=tensor(standard(log.contexts[context[first]])).to(dtype),
        state=tensor(state[order]),
        action=tensor(log.action[chosen].astype(np.int64)),
        reward=tensor(log.reward[chosen].astype(np.float64)),
        propensity=tensor(log.propensity[chosen].astype(np.float64)),
        count=None if log.weight is None else tensor(log.weight[chosen].astype(np.float64)),
        q_logged=None if q_logged is None else tensor(q_logged),
        representative=rounds[first],
        support=support,
        support_row=supported[first],
        modelled=modelled,
        restrict=restrict,
        seed=seed,
    )
    return made.with_table(log.n_actions)


@torch.no_grad()
def logged_weights(model: PolicyModel, rounds: TrainingSet) -> Tensor:
    """w = pi(a|x)/p of every round (n,) float64, in the order of the set."""
    width = model.shape.n_actions if rounds.candidates is None else rounds.candidates.shape[1]
    plain = replace(rounds, modelled=None)
    found = [plain.forward(model, states, part)[0] for states, part in plain.blocks(width)]
    return torch.cat(found).exp() / rounds.propensity
