"""The plots of an estimate: agreement of estimators, the smoothing path, weights, ESS, calibration of the model."""

from __future__ import annotations

import numpy as np

from worker.evidence.looks import OWN, REFERENCE
from worker.evidence.plot import Plot, Series
from worker.kinds.bandit.estimation import calibration, monitoring
from worker.kinds.bandit.estimation.estimate import Estimated, TargetEstimate
from worker.kinds.bandit.estimation.prepare import Prepared


def families(found: list[TargetEstimate]) -> dict[str, str]:
    """The families of what the plots show: the headline is what the report is about, every policy is its own."""
    own = {one.headline.label: OWN for one in found}
    return own | {one.name: f"policy {one.name}" for one in found} | {calibration.PERFECT: REFERENCE}


def all_plots(prepared: Prepared, found: list[TargetEstimate], logging: Estimated, alpha: float) -> tuple[Plot, ...]:
    """Every plot that has something to show."""
    n = prepared.log.n
    drawn = [
        agreement(found, logging, n),
        *(monitoring.plot(one, alpha) for one in found),
        *(path(one, n) for one in found),
        sizes(found, n),
    ]
    drawn += [weight_histogram(found, n), calibration.plot(prepared)]
    return tuple(plot for plot in drawn if plot.series)


def agreement(found: list[TargetEstimate], logging: Estimated, n: int) -> Plot:
    """Every estimator's value and interval; where they disagree, the log says little."""
    series = []
    for one in found:
        rows = (one.headline, *one.rows)
        series.append(
            Series(
                one.name,
                tuple(row.label for row in rows),
                tuple(row.interval.value for row in rows),
                tuple(row.interval.low for row in rows),
                tuple(row.interval.high for row in rows),
                (one.headline.label,),
            )
        )
    said = "; ".join(f"{one.name}: {one.headline.interval.value:.4g}" for one in found)
    return Plot(
        "agreement",
        "What each estimator says",
        f"Reward a round with intervals, by estimator; the line marks what the logging policy earned. {said}.",
        "interval",
        "reward a round",
        "",
        tuple(series),
        mark_x=logging.estimate.value,
        mark_label="logging policy",
        n=n,
    )


def path(one: TargetEstimate, n: int) -> Plot:
    """Bias against variance: the estimate as smoothing grows, which is as the policy ESS grows."""
    series: tuple[Series, ...] = ()
    if one.selected is not None:
        record = one.selected.path
        order = [t for t in np.argsort(record.pess, kind="stable") if record.pess[t] > 0]
        x = tuple(float(record.pess[t]) for t in order)
        theta = [float(record.theta["pc_snips"][t]) for t in order]
        width = [1.96 * float(record.width[t]) for t in order]
        if len(order) > 1:
            series = (
                Series(
                    "PC-SNIPS",
                    x,
                    tuple(theta),
                    tuple(t - w for t, w in zip(theta, width, strict=True)),
                    tuple(t + w for t, w in zip(theta, width, strict=True)),
                ),
                Series("PC-SNDR", x, tuple(float(record.theta["pc_sndr"][t]) for t in order)),
                Series("Selected", x, (one.headline.interval.value,) * len(x), stress=("Selected",)),
            )
    return Plot(
        f"path-{one.name}",
        f"{one.name}: the estimate along the smoothing path",
        "From left to right smoothing and policy ESS grow and intervals shrink, while the bias may grow.",
        "line",
        "policy ESS (log scale)",
        "reward a round",
        series,
        log_x=True,
        n=n,
    )


def sizes(found: list[TargetEstimate], n: int) -> Plot:
    """How many rounds of its own each target has in the log."""
    known = [one for one in found if one.diagnostics.policy_ess is not None]
    names = tuple(one.name for one in known)
    return Plot(
        "ess",
        "Rounds the log is worth for each target",
        "Policy ESS (from the policies) and sample ESS (from the weights that happened to be drawn) of each target.",
        "bar",
        "",
        "rounds",
        (
            Series("policy ESS", names, tuple(float(one.diagnostics.policy_ess or 0.0) for one in known)),
            Series("sample ESS", names, tuple(one.diagnostics.ess for one in known)),
        )
        if known
        else (),
        n=n,
    )


def weight_histogram(found: list[TargetEstimate], n: int) -> Plot:
    """Unsmoothed weights on a log axis."""
    return Plot(
        "weights",
        "Importance weights",
        "Rounds by importance weight, before smoothing. A long right tail means that few rounds decide.",
        "histogram",
        "weight (log scale)",
        "rounds",
        tuple(Series(one.name, one.diagnostics.weights.edges, one.diagnostics.weights.counts) for one in found),
        log_x=True,
        n=n,
    )
