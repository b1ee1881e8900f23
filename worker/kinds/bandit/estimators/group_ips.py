"""Weights of groups of actions, w_c = pi(c(a_i)|x_i) / mu(c(a_i)|x_i): GroupIPS, and the weights of OffCEM.

GroupIPS learns the groups from outcomes: an action representation by a reward network with bounded Lipschitz constant
(`outcome_embeddings`), near actions merged (a tree over the representation gives `labels`), then IPS on the groups.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import BLOCK_BYTES, Floats, Policy, SparseTable
from worker.kinds.bandit.reward_models.mlp import TwoTowers
from worker.runtime.context import Context


def group_weight(logging: Policy, target: Policy, labels: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
    """w_c (n,) for group labels (A,) and logged actions (n,)."""
    logged = group_mass(logging, labels, actions)
    if np.any(logged <= 0):
        raise ValueError("the logging policy gives no mass to a group it took an action of")
    return group_mass(target, labels, actions) / logged


def group_mass(policy: Policy, labels: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
    """Probability (n,) of the group of each round's action. One pass over the stored probabilities."""
    n_groups = int(labels.max()) + 1
    wanted = labels[actions].astype(np.int64)
    key = policy.rows.astype(np.int64) * n_groups + wanted
    _, where, back = np.unique(key, return_index=True, return_inverse=True)
    rows, groups = policy.rows[where], wanted[where]
    onehot = sparse.csr_array((np.ones(len(labels)), labels, np.arange(len(labels) + 1)), (len(labels), n_groups))
    table = policy.table
    if isinstance(table, SparseTable):
        masses = sparse.csr_array(table.entries.astype(np.float64) @ onehot)
        masses.sort_indices()
        size = np.bincount(labels, minlength=n_groups).astype(np.float64)
        found = SparseTable(masses).gather(rows, groups[:, None])[:, 0]
        if table.floor is not None:
            found = found + table.floor[rows] * size[groups]
        return found[back]
    return _blockwise(policy, rows, groups, onehot)[back]


def outcome_embeddings(log: BanditLog, rounds: NDArray[np.integer], ctx: Context, *, width: int = 16) -> Floats:
    """Action representations (A, width + 1) that rewards vary smoothly over, for grouping.

    The action tower of `TwoTowers` with spectrally normalised layers: actions that lie close are bound to have close
    predicted rewards in every context. (The paper's own network could not be consulted; this is our reading of its
    idea: outcome-oriented representation, then merging of nearest neighbours.)
    """
    return TwoTowers(width=width, lipschitz=True).fit(log, rounds, ctx=ctx).right


def _blockwise(
    policy: Policy, rows: NDArray[np.integer], groups: NDArray[np.int64], onehot: sparse.csr_array
) -> Floats:
    # Rows come sorted (they are the high part of a sorted key), so a dense row is computed once, not once a group.
    distinct, place = np.unique(rows, return_inverse=True)
    table = policy.table
    step = max(1, BLOCK_BYTES // (8 * (table.n_actions + int(groups.max()) + 1)))
    found = np.empty(len(rows))
    bounds = np.searchsorted(place, np.arange(0, len(distinct) + step, step))
    for i, start in enumerate(range(0, len(distinct), step)):
        mass = np.asarray(table.dense(distinct[start : start + step]) @ onehot)
        part = slice(bounds[i], bounds[i + 1])
        found[part] = mass[place[part] - start, groups[part]]
    return found
