"""The reward model on rounds it did not see, as a plot and in words."""

from __future__ import annotations

import numpy as np
from scipy import stats

from worker.evidence.plot import Plot, Series
from worker.evidence.wording import decimals_of, number
from worker.kinds.bandit.diagnostics import calibration
from worker.kinds.bandit.estimation.prepare import Prepared
from worker.kinds.bandit.gain.claim import mean_of
from worker.kinds.bandit.policies import Floats

BINS = 10
PERFECT = "perfect"


def plot(prepared: Prepared) -> Plot:
    """Mean reward against what the cross-fitted model predicted, by tenths of the predictions."""
    predicted, reward = prepared.reward.q_logged, prepared.log.reward
    series: tuple[Series, ...] = ()
    if np.ptp(predicted) > 0:
        order = np.array_split(np.argsort(predicted, kind="stable"), BINS)
        x = tuple(float(predicted[part].mean()) for part in order)
        y = tuple(float(reward[part].mean()) for part in order)
        half = [1.96 * float(reward[part].std() / np.sqrt(len(part))) for part in order]
        ends = tuple(a - b for a, b in zip(y, half, strict=True)), tuple(a + b for a, b in zip(y, half, strict=True))
        series = (Series("mean reward", x, y, *ends), Series(PERFECT, x, x))
    return Plot(
        "calibration",
        "The reward model on rounds it did not see",
        "Mean reward against predicted reward, by tenths of the predictions; a perfect model lies on the diagonal. "
        + in_words(predicted, reward, prepared.log.weight, prepared.unit),
        "line",
        "predicted reward",
        "mean reward",
        series,
        n=prepared.log.n,
    )


def in_words(predicted: Floats, reward: Floats, weight: Floats | None = None, unit: np.ndarray | None = None) -> str:
    """What the plot says, for rounds (n,) of some weight (n,) by users `unit` (n,).

    How much rewards rise with the prediction is a slope by least squares; its interval takes the terms of the slope's
    numerator as the rounds' (the users') own.
    """
    share = np.full(len(reward), 1 / len(reward)) if weight is None else weight / weight.sum()
    centred = predicted - share @ predicted
    squares = float(share @ centred**2)
    if squares <= 1e-18:
        return "It predicts one reward for all."
    slope = float(share @ (centred * reward)) / squares
    residual = reward - share @ reward - slope * centred
    noise = mean_of(centred * residual / squares, 0.0, weight, unit)
    reach = noise.se * float(stats.t.isf(0.025, noise.df))
    parts = calibration(predicted, reward, weight, BINS)
    guess, was, _ = max(parts, key=lambda part: abs(part[0] - part[1]))
    decimals = decimals_of(abs(guess - was) or 0.01)
    far = f"Farthest off is a tenth predicted at {number(guess, decimals)} that earned {number(was, decimals)}."
    rise = f"rewards rise by {number(slope, 2)} ± {number(reach, 2)} for each 1 predicted"
    leans = "DM and DR lean on it; SNIPS and the decision stay right without."
    if slope - reach <= 0:
        return f"Here it tells nothing of rewards ({rise}). {far} {leans}"
    if slope + reach < 1:
        return f"Here it is too bold: {rise}. {far} {leans}"
    if slope - reach > 1:
        return f"Here it is too timid: {rise}. {far} {leans}"
    return f"Here it is neither too bold nor too timid: {rise}. {far}"
