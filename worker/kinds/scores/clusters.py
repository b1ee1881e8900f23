"""Runs that come in groups: a correlation over them is less sure than over as many unrelated ones.

Runs of one mixture, which differ in little but a seed, resemble each other at both stages. Of two unrelated variables
whose values correlate within groups by rho_x and rho_y, the variance of Pearson's r is 1 + (sum m^2 / M - 1) rho_x
rho_y times that of M unrelated runs, m being the sizes of the groups (after Clifford, Richardson and Hemon, "Assessing
the significance of the correlation between two spatial processes", Biometrics 1989).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def inflation(first: np.ndarray, second: np.ndarray, groups: Sequence[str]) -> float:
    """How many times the variance of a correlation of scores (M,) is that of unrelated runs, at least 1.

    `groups`: that of each run, "" for one of its own.
    """
    names = [name or f"\0{at}" for at, name in enumerate(groups)]
    _, group = np.unique(names, return_inverse=True)
    sizes = np.bincount(group)
    if not 1 < len(sizes) < len(group):
        return 1.0
    alike = intraclass(first, group) * intraclass(second, group)
    return 1.0 + float((sizes**2).sum() / len(group) - 1) * alike


def intraclass(values: np.ndarray, group: np.ndarray) -> float:
    """Intraclass correlation of values (M,) in numbered groups (M,), by one-way analysis of variance, in [0, 1]."""
    sizes = np.bincount(group)
    means = np.bincount(group, values) / sizes
    count, groups = len(values), len(sizes)
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (groups - 1)
    inside = float(((values - means[group]) ** 2).sum()) / (count - groups)
    usual = (count - (sizes**2).sum() / count) / (groups - 1)
    spread = between + (usual - 1) * inside
    return float(np.clip((between - inside) / spread, 0, 1)) if spread > 0 else 0.0


def copies(*scores: np.ndarray) -> np.ndarray:
    """Which runs have the very scores (M, K) of an earlier one, at all stages; bool (M,)."""
    rows = np.concatenate(scores, axis=1)
    seen: set[bytes] = set()
    found = np.zeros(len(rows), bool)
    for at, row in enumerate(np.where(np.isnan(rows), np.inf, rows) + 0.0):
        found[at] = row.tobytes() in seen
        seen.add(row.tobytes())
    return found
