"""Sums over actions under a policy, sum_a pi(a|x_i) f(i, a), without rounds x actions.

Where the policy has few actions a row only those are visited; elsewhere blocks of bounded memory. Rounds that share
both the policy's row and the state that f depends on are summed once.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.policies import BLOCK_BYTES, Floats, Policy

Integers = NDArray[np.integer]


class ActionValue(Protocol):
    """A function of a state (a context, a logged embedding, a round) and an action."""

    def at(self, states: Integers, actions: Integers) -> Floats:
        """Values (m,) at pairs (m,), (m,)."""
        ...

    def block(self, states: Integers) -> Floats:
        """Values (m, A) at every action; the caller keeps m * A small."""
        ...


def expectation(policy: Policy, rounds: Integers, states: Integers, value: ActionValue) -> Floats:
    """sum_a pi(a|x_i) value(states_i, a) for the given rounds: (m,) of (m,), (m,)."""
    if policy.index is None:  # every round has its own row: nothing is shared
        return _sums(policy, rounds, states, value)
    rows = policy.rows[rounds].astype(np.int64)
    key = rows * (int(states.max(initial=0)) + 1) + states
    _, where, back = np.unique(key, return_index=True, return_inverse=True)
    return _sums(policy, rows[where], states[where], value)[back]


def _sums(policy: Policy, rows: Integers, states: Integers, value: ActionValue) -> Floats:
    table = policy.table
    sums = np.empty(len(rows))
    step = max(1, BLOCK_BYTES // (8 * table.n_actions))
    few = table.support(rows[: min(len(rows), 1)])
    if few is not None:
        step = max(step, 65_536)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        entries = table.support(rows[part]) if few is not None else None
        if entries is None:
            small = max(1, BLOCK_BYTES // (8 * table.n_actions))
            for s in range(start, min(start + step, len(rows)), small):
                inner = slice(s, min(s + small, start + step))
                sums[inner] = np.einsum("ia,ia->i", table.dense(rows[inner]), _block(value, states[inner]))
            continue
        counts = np.diff(entries.indptr)
        owner = np.repeat(np.arange(len(counts)), counts)
        found = value.at(states[part][owner], entries.indices)
        sums[part] = np.bincount(owner, entries.data.astype(np.float64) * found, len(counts))
    return sums


def _block(value: ActionValue, states: Integers) -> Floats:
    """Values (m, A), every distinct state computed once."""
    distinct, place = np.unique(states, return_inverse=True)
    return value.block(states) if len(distinct) == len(states) else value.block(distinct)[place]
