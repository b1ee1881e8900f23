"""What can be done about actions that the logging policy never takes: three remedies (arXiv:2006.09438).

Restrict the actions, extrapolate the reward, restrict the policy.
`worker.kinds.bandit.deficiency` says what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.bandit.estimators.per_round import PerRound, Terms
from worker.kinds.bandit.policies import Policy, SparseTable, Table
from worker.kinds.bandit.support import (
    Floats,
    Rows,
    Support,
    distinct_row_pairs,
    parts,
    stacked,
    supported_entries,
    unsupported_mass,
)

SAMPLED_FROM = 5_000  # actions from which the sum over unsupported ones is estimated by one draw a round


class RewardModel(Protocol):
    """What is asked of a fitted reward model here."""

    def at(self, rounds: Rows, actions: Rows, /) -> Floats:
        """Predicted reward (m,) of actions (m,) in the contexts of rounds (m,)."""
        ...


def restrict_actions(policy: Policy, support: Support) -> Policy:
    """Remedy 1: the policy without its unsupported actions, renormalised; its value is what IPS identifies.

    The same as logits of minus infinity on U(x) before the softmax. A context in which nothing of the policy is left
    is an error (`no_supported_action`), since there is no policy to speak of.
    """
    if support.complete:
        return policy
    first, second, back = distinct_row_pairs(policy.rows, support.rows)
    blocks: list[sparse.csr_array] = []
    floors = np.zeros(len(first))
    for part in parts(len(first)):
        mine, its = first[part], second[part]
        whole = support.everything[its]
        columns, owner, values = supported_entries(policy.table, mine, support, its)
        totals = np.bincount(owner, values, minlength=len(mine))
        if np.any((totals <= 0) & ~whole):
            raise _nothing_left(int(np.flatnonzero((totals <= 0) & ~whole)[0]) + part.start)
        kept = _from_pairs(owner, columns, values / totals[owner], (len(mine), policy.n_actions))
        blocks.append(_with_whole_rows(kept, policy.table, mine, whole, floors[part]))
    entries = stacked(blocks, policy.n_actions)
    return Policy(SparseTable(entries, floors if floors.any() else None), back.astype(np.int32))


def missing_reward(
    target: Policy,
    support: Support,
    reward: RewardModel | float,
    *,
    rng: np.random.Generator | None = None,
    sampled: bool | None = None,
) -> Floats:
    """sum_{a in U(x_i)} pi(a|x_i) q_hat(x_i, a) of every round (n,).

    A number for `reward` is a constant q_hat (r_min: the conservative choice). `sampled`: estimate each sum without
    bias by one action drawn uniformly from U(x_i), times |U(x_i)|, in O(1) a round; by default from 5,000 actions on,
    where the target is not sparse.
    """
    if not callable(getattr(reward, "at", None)):
        return float(reward) * unsupported_mass(target, support)
    model: Any = reward
    thin = isinstance(target.table, SparseTable) and target.table.floor is None
    if sampled if sampled is not None else (target.n_actions > SAMPLED_FROM and not thin):
        return _drawn_reward(target, support, model, np.random.default_rng(0) if rng is None else rng)
    found = np.zeros(target.n_rounds)
    for rounds, actions, values in _outside_rounds(target, support):
        np.add.at(found, rounds, values * model.at(rounds, actions))
    return found


def extrapolate_reward(terms: Terms, missing: Floats) -> PerRound:
    """Remedy 2: z = w r + sum_{a in U} pi q_hat, with the sum from `missing_reward`; as good as q_hat is on U."""
    return PerRound(missing, terms.weight * terms.reward, rounds=terms.rounds)


def restrict_policy(terms: Terms, k: float) -> PerRound:
    """Remedy 3 as an estimate: z = (r - k) w + k, so its mean is IPS + k (1 - mean(w)), unsupported actions worth k."""
    return PerRound(np.full(len(terms.reward), float(k)), (terms.reward - k) * terms.weight, rounds=terms.rounds)


def _nothing_left(pair: int) -> JobError:
    return JobError(
        "no_supported_action",
        f"In some context (number {pair} of the distinct ones) no action of the policy was possible in the log.",
        hint="Use bounds or extrapolation there, or leave these contexts out.",
        pointer="/params/support",
    )


def _from_pairs(owner: Rows, columns: Rows, values: Floats, shape: tuple[int, int]) -> sparse.csr_array:
    """CSR from entries already sorted by row and column."""
    pointers = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=shape[0]))])
    return sparse.csr_array((values, columns, pointers), shape)


def _with_whole_rows(
    kept: sparse.csr_array, table: Table, mine: Rows, whole: NDArray[np.bool_], floors: Floats
) -> sparse.csr_array:
    """Put the rows whose every action is supported back as they were; `floors` is filled for those."""
    if not whole.any():
        return kept
    rows = mine[whole]
    if isinstance(table, SparseTable):
        back = table.entries[rows].astype(np.float64)
        if table.floor is not None:
            floors[whole] = table.floor[rows]
    else:
        back = sparse.csr_array(table.dense(rows))
    place = sparse.csr_array(
        (np.ones(len(rows)), np.flatnonzero(whole), np.arange(len(rows) + 1)), (len(rows), len(mine))
    )
    return sparse.csr_array(kept + place.T @ back)


def _outside_rounds(target: Policy, support: Support) -> Iterator[tuple[Rows, Rows, Floats]]:
    """(rounds, actions, probabilities) of everything the target does outside the support, in blocks."""
    table, its = target.table, support.rows
    if isinstance(table, SparseTable) and table.floor is None:
        for part in parts(target.n_rounds):
            entries = table.entries[target.rows[part]]
            rounds = np.repeat(np.arange(part.start, part.stop), np.diff(entries.indptr))
            outside = ~support.has(its[rounds], entries.indices)
            yield rounds[outside], entries.indices[outside], entries.data[outside].astype(np.float64)
        return
    lacking = np.flatnonzero(~support.everything[its])
    for rounds, block in target.blocks(lacking):
        row, action = np.nonzero((block > 0) & ~support.mask(its[rounds]))
        yield rounds[row], action, block[row, action]


def _drawn_reward(target: Policy, support: Support, model: RewardModel, rng: np.random.Generator) -> Floats:
    drawn = support.draw_unsupported(support.rows, rng)
    rounds = np.flatnonzero(drawn >= 0)
    chosen = drawn[rounds]
    unsupported = (support.n_actions - support.counts)[support.rows[rounds]]
    found = np.zeros(target.n_rounds)
    found[rounds] = unsupported * target.take(rounds).at(chosen) * model.at(rounds, chosen)
    return found
