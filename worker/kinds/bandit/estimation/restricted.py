"""Targets without the actions that the logging policy never takes: their value needs no assumption about those.

A remedy for deficient support (Sachdeva, Su and Joachims 2020, "action restriction"): what a target would do beyond the
log goes to its other actions in proportion. The restricted policy is another policy, to be served as such, and becomes
a target of its own beside the first: estimated, decided on, and corrected for like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.deficiency import support_of_log
from worker.kinds.bandit.policies import Policy, SparseTable, Table
from worker.kinds.bandit.remedies import restrict_actions
from worker.kinds.bandit.support import Support, unsupported_mass

SUFFIX = ", possible actions only"
_NOTICED = 1e-6
_NOTHING = 1 - 1e-9  # unsupported mass from which on nothing is left to renormalise


@dataclass(frozen=True)
class Changed:
    """How a restricted target departs from the first: `mass` of its decisions that moved, share of `rounds` in which
    any did, and share in which nothing of it was possible, so that it does as was logged (`handed`).
    """

    mass: float
    rounds: float
    handed: float


def with_restricted(log: BanditLog, targets: Mapping[str, Policy]) -> tuple[dict[str, Policy], dict[str, Changed]]:
    """The targets, each with its restricted form behind it where that differs; and by name how those differ.

    Raises `JobError` logging_policy_required where the support is not known.
    """
    support = support_of_log(log)
    if support is None:
        raise JobError(
            "logging_policy_required",
            "Which actions were possible in a round is not known, so nothing can be restricted to them.",
            hint="Upload logging_policy.npz or support.csv, or set unsupported to bounds.",
            pointer="/params/unsupported",
        )
    found: dict[str, Policy] = {}
    changed: dict[str, Changed] = {}
    for name, target in targets.items():
        found[name] = target
        mass = unsupported_mass(target, support)
        if float(mass.mean()) > _NOTICED:
            name += SUFFIX
            found[name] = restricted(target, support, log.logging, mass > _NOTHING)
            share = log.round_weight / log.round_weight.sum()
            changed[name] = Changed(float(share @ mass), float(share @ (mass > 0)), float(share @ (mass > _NOTHING)))
    return found, changed


def restricted(target: Policy, support: Support, logging: Policy | None, nothing: np.ndarray) -> Policy:
    """The target on possible actions alone. In rounds where `nothing` (n,) of it is possible it does as the logging
    policy, or, where that is not known, as one that takes every possible action equally often.
    """
    if not nothing.any():
        return restrict_actions(target, support)
    left, lost = np.flatnonzero(~nothing), np.flatnonzero(nothing)
    parts: list[tuple[sparse.csr_array, np.ndarray]] = []
    place = np.empty(target.n_rounds, np.int32)
    if len(left):
        kept = restrict_actions(target.take(left), support.take(left))
        parts.append(_listed(kept.table, np.arange(kept.table.n_rows)))
        place[left] = kept.rows
    if logging is not None:
        used, back = np.unique(logging.rows[lost], return_inverse=True)
        parts.append(_listed(logging.table, used))
    else:
        used, back = np.unique(support.rows[lost], return_inverse=True)
        even = support.mask(used).astype(np.float64)
        parts.append((sparse.csr_array(even / even.sum(axis=1, keepdims=True)), np.zeros(len(used))))
    place[lost] = back + (len(parts[0][1]) if len(parts) > 1 else 0)
    floors = np.concatenate([floor for _, floor in parts])
    entries = sparse.csr_array(sparse.vstack([entries for entries, _ in parts]))
    return Policy(SparseTable(entries, floors if floors.any() else None), place)


def _listed(table: Table, rows: np.ndarray) -> tuple[sparse.csr_array, np.ndarray]:
    """Some rows of a table as listed probabilities and what every action has beside them."""
    if isinstance(table, SparseTable):
        floor = np.zeros(len(rows)) if table.floor is None else table.floor[rows].astype(np.float64)
        return sparse.csr_array(table.entries[rows]).astype(np.float64), floor
    return sparse.csr_array(table.dense(rows)), np.zeros(len(rows))
