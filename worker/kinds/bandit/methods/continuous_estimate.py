"""What would another policy have earned with a number to choose: a dose, a bid, a price?

No logged dose is exactly the target's, so near ones count by a kernel of their distance over the logging density
(Kallus and Zhou, "Policy evaluation and optimization with continuous treatments", 2018, arXiv:1802.06037). How near is
the bandwidth, which SLOPE chooses; its bias is measured from two bandwidths, reported, and allowed for in the interval
and the verdict. A target that draws its doses from a known density needs no kernel.

Cost: linear in the rounds, times 14 bandwidths.
"""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import method
from worker.evidence.findings import Findings
from worker.kinds.bandit.continuous import evidence as of_doses
from worker.kinds.bandit.continuous.bandwidth import Path
from worker.kinds.bandit.continuous.estimate import estimate_dosed, estimate_drawn
from worker.kinds.bandit.continuous.params import ContinuousEstimateParams
from worker.kinds.bandit.stepwise import evidence
from worker.kinds.bandit.stepwise.importance import Estimate
from worker.kinds.bandit.stepwise.target import Setting, TargetResult, clusters, limits_of, named, trust_of
from worker.kinds.bandit.stepwise.verdict import Words
from worker.kinds.bandit.structures import Log
from worker.kinds.bandit.structures.doses import DoseLog

WORDS = Words("round", "rounds", chance="the density of what was done")


@method(
    kind="bandit", task="estimate", name="continuous-estimate", version=1, paper="arXiv:1802.06037", memory_mb=2048,
)  # fmt: skip
def continuous_estimate(data: Log, params: ContinuousEstimateParams, ctx: Context) -> Findings:
    """What target policies would have earned with doses, bids or prices, and what the bandwidth does to the answer."""
    if not isinstance(data, DoseLog):
        raise JobError(
            "unsupported",
            "The log holds no doses.",
            hint="Upload it with the option structure=doses and columns dose and density.",
            pointer="/method",
        )
    owner = np.arange(data.n) if data.user is None else data.user
    limits = limits_of(params, data.reward_range, data.reward)
    setting = Setting(
        params.alpha,
        limits,
        clusters(params, owner, users=data.user is not None),
        trust_of(params, logging_known=False, estimated=False),
        float(np.var(data.reward)),
        reach=limits,
    )
    names = named(params.targets, [*data.doses, *data.densities], "a column target_dose_NAME or target_density_NAME")
    found: list[TargetResult] = []
    paths: list[tuple[TargetResult, Path]] = []
    for number, name in enumerate(names):
        with ctx.part(name, number, len(names), label="estimate", seed=ctx.seed) as part:
            part.progress(0, 1, phase="estimate")
            if name in data.densities:
                found.append(estimate_drawn(data, name, setting))
            else:
                one, path = estimate_dosed(data, name, params, setting, part)
                found.append(one)
                paths.append((one, path))
    logged = setting.row("logging", "Mean reward", Estimate(float(data.reward.mean()), data.reward))
    independent = "users" if setting.unit is not None else "rounds"
    return evidence.findings(
        found,
        logged,
        setting,
        WORDS,
        data.n,
        because=" ".join(of_doses.said_of(one, path) for one, path in paths),
        protocol=f"Intervals take {independent} as independent. The kernel is {params.kernel}; the verdict rests on "
        "half the bandwidth of the headline and on values extrapolated to 0, whichever is the more careful.",
        warnings=[*data.warnings, *ctx.warnings],
        tables=(of_doses.table(paths),),
        plots=tuple(of_doses.plot(one, path, data.n) for one, path in paths),
    )
