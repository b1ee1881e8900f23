"""Weights of groups of actions, w_c = pi(c(a_i)|x_i) / mu(c(a_i)|x_i): GroupIPS, and the weights of OffCEM.

GroupIPS learns the groups from outcomes: an action representation by a reward network with bounded Lipschitz constant
(`outcome_embeddings`), near actions merged (a tree over the representation gives `labels`), then IPS on the groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.contract.context import Context
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.expectation import Integers, expectation
from worker.kinds.bandit.policies import BLOCK_BYTES, Floats, Policy, SparseTable
from worker.kinds.bandit.reward_models.mlp import TwoTowers


def group_weight(logging: Policy, target: Policy, labels: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
    """w_c (n,) for group labels (A,) and logged actions (n,)."""
    logged = group_mass(logging, labels, actions)
    if np.any(logged <= 0):
        raise ValueError("the logging policy gives no mass to a group it took an action of")
    return group_mass(target, labels, actions) / logged


def group_mass(policy: Policy, labels: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
    """Probability (n,) of the group of each round's action. One pass over the stored probabilities."""
    wanted = labels[actions].astype(np.int64)
    table = policy.table
    if not isinstance(table, SparseTable):
        return _of_dense_rows(policy, wanted, labels)
    sizes = np.bincount(labels)
    if policy.index is None:
        mass = expectation(Policy(SparseTable(table.entries)), np.arange(len(wanted)), wanted, _SameGroup(labels))
    else:
        # A row serves rounds of many groups: all its groups at once.
        masses = sparse.csr_array(table.entries.astype(np.float64) @ _one_hot(labels))
        masses.sort_indices()
        mass = SparseTable(masses).gather(policy.rows, wanted[:, None])[:, 0]
    return mass if table.floor is None else mass + table.floor[policy.rows] * sizes[wanted]


def outcome_embeddings(log: BanditLog, rounds: NDArray[np.integer], ctx: Context, *, width: int = 16) -> Floats:
    """Action representations (A, width + 1) that rewards vary smoothly over, for grouping.

    The action tower of `TwoTowers` with spectrally normalised layers: actions that lie close are bound to have close
    predicted rewards in every context. (The paper's own network could not be consulted; this is our reading of its
    idea: outcome-oriented representation, then merging of nearest neighbours.)
    """
    return TwoTowers(width=width, lipschitz=True).fit(log, rounds, ctx=ctx).right


@dataclass(frozen=True)
class _SameGroup:
    """1 where an action is in the group that is the state."""

    labels: NDArray[np.integer]

    def at(self, states: Integers, actions: Integers) -> Floats:
        return (self.labels[actions] == states).astype(np.float64)

    def block(self, states: Integers) -> Floats:
        return (self.labels == states[:, None]).astype(np.float64)


def _one_hot(labels: NDArray[np.integer]) -> sparse.csr_array:
    n = len(labels)
    return sparse.csr_array((np.ones(n), labels, np.arange(n + 1)), (n, int(labels.max()) + 1))


def _of_dense_rows(policy: Policy, wanted: NDArray[np.int64], labels: NDArray[np.integer]) -> Floats:
    order = np.argsort(policy.rows, kind="stable")  # a row is read once, for all rounds that have it
    distinct, place = np.unique(policy.rows[order], return_inverse=True)
    onehot = _one_hot(labels)
    step = max(1, BLOCK_BYTES // (16 * policy.n_actions))
    found = np.empty(len(wanted))
    bounds = np.searchsorted(place, np.arange(0, len(distinct) + step, step))
    for i, start in enumerate(range(0, len(distinct), step)):
        mass = np.asarray(policy.table.dense(distinct[start : start + step]) @ onehot)
        part = slice(bounds[i], bounds[i + 1])
        found[order[part]] = mass[place[part] - start, wanted[order[part]]]
    return found
