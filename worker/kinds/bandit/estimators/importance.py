"""Importance weighting: IPS, clipped IPS and SNIPS, on any weights (plain, smoothed, marginal, of clusters).

PC-IPS and PC-SNIPS are these functions on the weights of smoothed policies (arXiv:2310.15433), SIM is `ips` or `snips`
on weights whose logging policy alone is smoothed, MIPS on weights of the embedding.
"""

from __future__ import annotations

import numpy as np

from worker.kinds.bandit.estimators.per_round import PerRound, Terms


def ips(terms: Terms) -> PerRound:
    """IPS: mean(w r). Unbiased with full support; not invariant to a constant added to the rewards."""
    return PerRound(np.zeros(len(terms.reward)), terms.weight * terms.reward, rounds=terms.rounds)


def clipped_ips(terms: Terms, limit: float = np.inf) -> PerRound:
    """Clipped IPS: mean(min(w, limit) r); limit inf is IPS."""
    clipped = np.minimum(terms.weight, limit)
    return PerRound(np.zeros(len(clipped)), clipped * terms.reward, rounds=terms.rounds)


def snips(terms: Terms) -> PerRound:
    """SNIPS: mean(w r) / mean(w) (Swaminathan, Joachims 2015). Adding a constant to r adds it to the estimate."""
    return PerRound(np.zeros(len(terms.reward)), terms.weight * terms.reward, terms.weight, terms.rounds)
