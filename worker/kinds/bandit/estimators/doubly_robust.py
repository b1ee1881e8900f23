"""Estimators with a reward model: its mean under the target alone (DM), or with a weighted correction by its errors.

`limit` compares with w itself as in obp 0.5.7: Switch keeps w <= limit, DRos has w^2 + limit below. Infinity is legal.
PC-DR and PC-SNDR are these on smoothed weights with `dm` of the unsmoothed target; MDR is `dr` on marginal weights with
a model of the embedding.

OffCEM (Saito, Ren, Joachims 2023) is `dr` with weights of action clusters and a model f of what differs inside them:
mean(dm_f + w_c (r - f_a)), w_c from `group_ips.group_weight`. It is unbiased when f preserves reward differences inside
clusters. One step: f is any reward model. Two steps: `reward_models.pairwise`, the default of estimates, since a model
of both parts at once trades the differences for the larger effect of the clusters.
"""

from __future__ import annotations

import numpy as np

from worker.kinds.bandit.estimators.per_round import Floats, PerRound, Terms


def model_of(terms: Terms) -> tuple[Floats, Floats]:
    """The reward model at the logged action and its mean under the target (n,), (n,); zeros where there is none."""
    none = np.zeros(len(terms.reward))
    return none if terms.q_logged is None else terms.q_logged, none if terms.dm is None else terms.dm


def direct_method(terms: Terms) -> PerRound:
    """DM: mean(dm). As biased as its reward model, whatever the number of rounds."""
    _, dm = model_of(terms)
    return PerRound(dm, np.zeros(len(dm)), rounds=terms.rounds)


def dr(terms: Terms) -> PerRound:
    """DR: mean(dm + w (r - q)) (Dudík et al. 2011). A model that predicts zero gives IPS."""
    return _corrected(terms, terms.weight)


def sndr(terms: Terms) -> PerRound:
    """SNDR: mean(dm) + mean(w (r - q)) / mean(w)."""
    q, dm = model_of(terms)
    return PerRound(dm, terms.weight * (terms.reward - q), terms.weight, terms.rounds)


def switch_dr(terms: Terms, limit: float = np.inf) -> PerRound:
    """Switch-DR: mean(dm + w 1[w <= limit] (r - q)) (Wang et al. 2017); limit 0 is DM, inf is DR."""
    return _corrected(terms, np.where(terms.weight <= limit, terms.weight, 0.0))


def dr_os(terms: Terms, limit: float = np.inf) -> PerRound:
    """DRos: weight limit w / (w^2 + limit) (Su et al. 2020, optimistic shrinkage); limit 0 is DM, inf is DR."""
    return _corrected(terms, shrunk(terms.weight, limit))


def shrunk(weight: Floats, limit: float) -> Floats:
    """The weight of DRos (n,)."""
    if limit == 0:
        return np.zeros(len(weight))
    # Dividing by the limit keeps it finite for every finite limit; inf has its own branch (inf / inf).
    return weight.copy() if np.isinf(limit) else weight / (weight * (weight / limit) + 1.0)


def offcem(terms: Terms) -> PerRound:
    """OffCEM on terms whose weight is w_c and whose model is f; with f = q_hat it equals PC-DR on the tree's cut."""
    return dr(terms)


def _corrected(terms: Terms, weight: Floats) -> PerRound:
    q, dm = model_of(terms)
    return PerRound(dm, weight * (terms.reward - q), rounds=terms.rounds)
