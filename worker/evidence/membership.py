"""A membership attack by nearness: whoever lies near a summary is taken for one that it was made of.

An attack that fails proves nothing: it is called an attack, and no guarantee.
"""

from __future__ import annotations

import numpy as np

from worker.evidence.measurements import PrivacyRow


def by_nearness(inside: np.ndarray, outside: np.ndarray, of: str) -> PrivacyRow:
    """AUC of nearness to a summary, of members `inside` (n,) and of others `outside` (m,), as a sign of membership; 0.5
    is guessing. `of`: what they are, in the plural. Interval by Hanley and McNeil (1982)."""
    order = np.sort(outside)
    won = np.searchsorted(order, inside, "left") + np.searchsorted(order, inside, "right")
    auc = float((0.5 * won / len(order)).mean())
    one, two, n, m = auc / (2 - auc), 2 * auc**2 / (1 + auc), len(inside), len(outside)
    error = float(np.sqrt((auc * (1 - auc) + (n - 1) * (one - auc**2) + (m - 1) * (two - auc**2)) / (n * m)))
    low, high = max(0.0, auc - 1.96 * error), min(1.0, auc + 1.96 * error)
    label = f"Membership attack on {of}: AUC, 0.5 is guessing"
    return PrivacyRow(label, auc, "AUC", n + m, "an attack, no guarantee", low, high)
