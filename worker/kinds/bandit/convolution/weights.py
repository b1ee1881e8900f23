"""Weights of one log against one target policy along a whole path of smoothing, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit.convolution.policy_ess import Levels, policy_ess
from worker.kinds.bandit.convolution.smoothing import Convolution, logged
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.overlap import Overlap
from worker.kinds.bandit.policies import Floats, Policy


@dataclass(frozen=True)
class PathWeights:
    """`weight` (T, n) of every candidate, the unsmoothed first; `pess` (T,) their policy ESS.

    `taus` (T,) amounts of smoothing of the target and `logging_taus` (T,) of the logging policy: the same on the
    coupled path, on which alone candidates are ordered by bias.
    """

    family: str
    taus: tuple[float, ...]
    logging_taus: tuple[float, ...]
    weight: Floats
    pess: Floats

    def take(self, candidates: NDArray[np.integer]) -> PathWeights:
        """Some of the candidates."""
        return replace(
            self,
            taus=tuple(self.taus[i] for i in candidates),
            logging_taus=tuple(self.logging_taus[i] for i in candidates),
            weight=self.weight[candidates],
            pess=self.pess[candidates],
        )


def path_weights(
    path: Convolution,
    log: BanditLog,
    target: Policy,
    *,
    levels: Levels | None = None,
    seed: int = 0,
    overlap: Overlap | None = None,
    ctx: Context | None = None,
) -> PathWeights:
    """w_pc = pi_t1(a_i|x_i) / mu_t2(a_i|x_i) for every (level of t1, level of t2); by default both alike.

    The unsmoothed candidate divides by the logged propensity itself and comes first whatever `levels` says. Raises
    `logging_policy_required`, and `propensity_mismatch` where the logging policy gives a logged action no mass.
    """
    if log.logging is None:
        raise JobError(
            "logging_policy_required",
            "Smoothing needs the logging policy's probabilities of neighbouring actions, not only of the logged ones.",
            hint="Upload `logging_policy`, or name a builtin one.",
        )
    pairs = levels or [(level, level) for level in range(1, len(path.taus))]
    pairs = [(0, 0), *(pair for pair in pairs if pair != (0, 0))]
    ctx = Context() if ctx is None else ctx
    ctx.progress(0, 3, phase="smoothing")
    numerator = logged(path, target, log.action)
    ctx.progress(1, 3, phase="smoothing")
    denominator = logged(path, log.logging, log.action)
    _check(denominator)
    weight = np.empty((len(pairs), log.n))
    weight[0] = numerator[0] / log.propensity
    for row, (level, logging_level) in enumerate(pairs[1:], 1):
        np.divide(numerator[level], denominator[logging_level], out=weight[row])
    ctx.progress(2, 3, phase="smoothing")
    pess = policy_ess(path, target, log.logging, levels=pairs, weight=log.weight, seed=seed, overlap=overlap)
    taus = tuple(path.taus[level] for level, _ in pairs)
    return PathWeights(path.family, taus, tuple(path.taus[level] for _, level in pairs), weight, pess)


def _check(denominator: Floats) -> None:
    """Every S_t keeps some of an action's own mass, so mass zero at a logged action contradicts its propensity > 0."""
    bad = np.flatnonzero(np.any(denominator <= 0, axis=0))
    if len(bad):
        raise JobError(
            "propensity_mismatch",
            f"The logging policy gives {len(bad)} logged actions no probability, the first in round {bad[0]}.",
            hint="The propensities and the logging policy come from different policies, or actions are numbered apart.",
        )
