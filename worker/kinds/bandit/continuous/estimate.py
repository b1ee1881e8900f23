"""One target on a log of doses: kernelised estimates along bandwidths, or exact weights where it has a density."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.wording import number
from worker.kinds.bandit.continuous.bandwidth import Path, choose, without_square
from worker.kinds.bandit.continuous.dose_model import crossfit_doses
from worker.kinds.bandit.continuous.kernels import kernel_weights
from worker.kinds.bandit.continuous.params import ContinuousEstimateParams
from worker.kinds.bandit.gain.claim import mean_of
from worker.kinds.bandit.gain.gain import Gain
from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.stepwise import importance
from worker.kinds.bandit.stepwise.gain import Weighted
from worker.kinds.bandit.stepwise.importance import Estimate
from worker.kinds.bandit.stepwise.target import Row, Setting, TargetResult, Weights
from worker.kinds.bandit.structures.doses import DoseLog

SMOOTH = "the reward is smooth within the bandwidth"
NEVER = "nothing is assumed"
UNDER = 2.0  # the verdict's bandwidth is as many times narrower


def estimate_drawn(log: DoseLog, name: str, setting: Setting) -> TargetResult:
    """A target that draws its doses: weights are ratios of densities, and no bandwidth is needed."""
    weight, reward = (log.densities[name] / log.density)[:, None], log.reward[:, None]
    rows = (
        setting.row("snips", "SNIPS", importance.self_normalised(weight, reward), weight, NEVER),
        setting.row("ips", "IPS", importance.plain(weight, reward), weight, NEVER),
    )
    given = Weighted.of(weight, reward, np.ones_like(reward, bool), setting.limits)
    seen = Weights.of(weight, setting.unit)
    return TargetResult(
        name, rows, setting.gain(given), seen, setting.trust, doubts=setting.doubts(seen, ""),
        left_out={"Kernel DR": "the target draws its doses, and its density elsewhere is not known"},
        details={"bandwidth": None},
    )  # fmt: skip


def estimate_dosed(
    log: DoseLog, name: str, params: ContinuousEstimateParams, setting: Setting, ctx: Context
) -> tuple[TargetResult, Path]:
    """A deterministic target: the path over bandwidths, the value at the chosen one, its bias, and the gain.

    The gain rests on half the chosen bandwidth, where the bias is a quarter, and also on values extrapolated to 0: it
    takes the more careful of the two ends, and the larger p value.
    """
    target, reward = log.doses[name], log.reward[:, None]
    path = choose(log, target, params.kernel, setting, params.bandwidth, largest_bandwidth(log, params))
    wide, narrow = (
        kernel_weights(log.dose, target, log.density, h, params.kernel)[:, None]
        for h in (path.bandwidth, path.bandwidth / UNDER)
    )
    both = importance.self_normalised(narrow, reward), importance.self_normalised(wide, reward)
    exact = without_square(*both, UNDER)
    rows = [
        setting.row("snipw", "Kernel SNIPW", both[1], wide, SMOOTH),
        setting.row("snipw_0", "Kernel SNIPW, bandwidth → 0", exact, narrow, "its bias goes with h²"),
        setting.row("ipw", "Kernel IPW", importance.plain(wide, reward), wide, f"{SMOOTH}, doses reach around it"),
    ]
    left_out = {"Kernel DR": "no model was asked for"} if params.reward_model == "none" else {}
    if params.reward_model != "none":
        logged, expected = crossfit_doses(log, target, params.reward_model, params.folds, ctx)
        robust = importance.doubly_robust(wide, reward, logged[:, None], expected[:, None])
        rows.append(setting.row("dr", "Kernel DR", robust, wide, "what the model misses is smooth"))
    bias = Estimate(both[1].value - exact.value, both[1].influence - exact.influence)
    apart = setting.row("", "Bias of the bandwidth", bias)
    rows[0] = _holding(rows[0], rows[1])
    given = Weighted.of(narrow, reward, np.ones_like(reward, bool), setting.limits)
    seen = Weights.of(narrow, setting.unit)
    found = TargetResult(
        name,
        tuple(rows),
        _careful(setting.gain(given), exact, log.reward, setting),
        seen,
        setting.trust,
        doubts=setting.doubts(seen, ""),
        basis=f"where rewards are smooth at the scale of doses {number(path.bandwidth / UNDER, 3)} apart",
        left_out=left_out,
        details={
            "bandwidth": path.bandwidth,
            "rule": path.rule,
            "kernel": params.kernel,
            "bias": {"value": apart.value, "low": apart.low, "high": apart.high},
            "path": [
                {"bandwidth": float(h), "value": row.value, "low": row.low, "high": row.high, "ess": row.ess}
                for h, row in zip(path.bandwidths, path.rows, strict=True)
            ],
        },
    )
    return found, path


def largest_bandwidth(log: DoseLog, params: ContinuousEstimateParams) -> float:
    """The widest bandwidth tried: the spread of the logged doses, refused where they are all alike."""
    spread = float(log.dose.std())
    if spread <= 0:
        raise JobError(
            "invalid_input",
            "Every logged dose is the same, so nothing is known of any other.",
            hint="Upload logs in which doses vary.",
            pointer="/dataset",
        )
    return max(spread, params.bandwidth or 0.0)


def _holding(row: Row, exact: Row) -> Row:
    """An interval that also holds that of the value with the bias taken off."""
    return replace(row, low=min(row.low, exact.low), high=max(row.high, exact.high))


def _careful(gain: Gain, exact: Estimate, reward: Floats, setting: Setting) -> Gain:
    """The gain by the series and by the extrapolated value together."""
    if gain.open or gain.few:
        return gain
    paired = exact.influence - reward
    value = exact.value - float(reward.mean())
    mean = mean_of(paired, float(np.max((paired - value) ** 2)), None, setting.unit)
    alpha = setting.alpha
    return replace(
        gain,
        low=min(gain.low, mean.low(alpha / 2)),
        high=max(gain.high, mean.high(alpha / 2)),
        p_better=max(gain.p_better, mean.above()),
        p_worse=max(gain.p_worse, mean.below()),
    )
