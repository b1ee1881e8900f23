"""MinSup: judge policies with unsupported mass by what the rarest supported actions are worth.

The in-support policy pi_b visits the supported actions of a context from the smallest propensity up and gives each
min(T mu(a|x), remaining mass). Its IPS value k0 on the training log is unbiased, since all its mass is supported; a
policy then scores k0 + mean((r - k0) w), as if each unsupported action were worth k0. From the code published with
arXiv:2006.09438, whose loop stops at the action that exhausts the mass: the same policy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import BLOCK_BYTES, Policy, SparseTable

MULTIPLE = 100.0


def rarest_supported(logging: Policy, multiple: float = MULTIPLE) -> Policy:
    """pi_b: the cheapest in-support policy, T mu(a|x) on the rarest actions until the mass is spent. Ties by action."""
    table = logging.table
    blocks: list[sparse.csr_array] = []
    step = max(1, BLOCK_BYTES // (8 * table.n_actions))
    for start in range(0, table.n_rows, step):
        rows = np.arange(start, min(start + step, table.n_rows))
        known = table.support(rows)
        entries = sparse.csr_array(table.dense(rows)) if known is None else known
        blocks.append(_greedy(entries, multiple))
    entries = sparse.csr_array(sparse.vstack(blocks, format="csr"))
    entries.sort_indices()
    return Policy(SparseTable(entries), logging.index)


def _greedy(entries: sparse.csr_array, multiple: float) -> sparse.csr_array:
    """The greedy distribution of every row of a CSR block, by one sort and one cumulative sum over all its entries."""
    kept = entries.data > 0
    owner = np.repeat(np.arange(entries.shape[0]), np.diff(entries.indptr))[kept]
    actions, mass = entries.indices[kept], entries.data[kept].astype(np.float64)
    order = np.lexsort((actions, mass, owner))
    owner, actions = owner[order], actions[order]
    wanted = np.minimum(multiple * mass[order], 1.0)
    running = np.concatenate([[0.0], np.cumsum(wanted)])
    first = np.searchsorted(owner, owner)
    before = running[:-1] - running[first]
    given = np.clip(1.0 - before, 0.0, wanted)
    # The long sum loses digits; what a row lacks to one (T mu below one in total, or rounding) stays unspent.
    return sparse.csr_array(sparse.coo_array((given, (owner, actions)), entries.shape))


def in_support_value(log: BanditLog, rounds: NDArray[np.integer], multiple: float = MULTIPLE) -> float:
    """k0: the IPS value of pi_b on the training rounds (m,). Needs the whole logging policy."""
    if log.logging is None:
        raise ValueError("MinSup needs the logging policy")
    part = log.take(rounds)
    weight = rarest_supported(log.logging, multiple).take(rounds).at(part.action) / part.propensity
    return float(part.round_weight @ (weight * part.reward) / part.round_weight.sum())


def minsup(
    weight: NDArray[np.float64], reward: NDArray[np.float64], k0: float, count: NDArray[np.float64] | None = None
) -> float:
    """The score k0 + mean((r - k0) w) of a policy on validation rounds (m,)."""
    terms = (reward - k0) * weight
    return k0 + float(terms.mean() if count is None else count @ terms / count.sum())
