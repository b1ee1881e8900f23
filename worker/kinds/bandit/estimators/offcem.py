"""OffCEM: weights of action clusters, and a reward model for what differs inside them (Saito, Ren, Joachims 2023).

V = mean(dm_f + w_c (r - f_a)) with w_c from `group_ips.group_weight`. It is unbiased when f preserves reward
differences inside clusters. One step: f is any reward model. Two steps: `reward_models.pairwise`, the default of
estimates, since a model of both parts at once trades the differences for the larger effect of the clusters.
"""

from __future__ import annotations

from worker.kinds.bandit.estimators.doubly_robust import dr
from worker.kinds.bandit.estimators.per_round import PerRound, Terms


def offcem(terms: Terms) -> PerRound:
    """OffCEM on terms whose weight is w_c and whose model is f; with f = q_hat it equals PC-DR on the tree's cut."""
    return dr(terms)
