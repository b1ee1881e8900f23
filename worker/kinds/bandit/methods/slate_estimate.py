"""What would another policy have earned with slates, lists of items that are shown together?

A slate has as many variants as there are ordered lists, so weights of whole slates (SIPS) explode. How much of it a
reward may depend on decides how much must be weighed: the items down to its position where users look from the top
(RIPS: McInerney, Brost, Chandar, Mehrotra and Carterette 2020, arXiv:2007.12986; Cascade-DR: Kiyohara, Saito,
Matsuhiro, Narita, Shimizu and Yamamoto 2022, arXiv:2202.01562), its own item alone where positions do not matter to
each other (IIPS). Such an assumption cannot be checked where it would be needed most, so a verdict rests on none unless
the job makes one, and is withheld where SIPS contradicts it.

Cost: linear in the rows; Cascade-DR fits a model a position and fold.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import method
from worker.evidence.findings import Findings
from worker.kinds.bandit.slates.estimate import SUPPOSES, estimate_target
from worker.kinds.bandit.slates.params import SlateEstimateParams
from worker.kinds.bandit.slates.weights import chances
from worker.kinds.bandit.stepwise import evidence
from worker.kinds.bandit.stepwise.importance import Estimate
from worker.kinds.bandit.stepwise.target import Setting, TargetResult, clusters, disagreement, limits_of, trust_of
from worker.kinds.bandit.stepwise.verdict import Words
from worker.kinds.bandit.structures import Log
from worker.kinds.bandit.structures.slates import SlateLog

WORDS = Words("slate", "slates", "position", "the probability of a logged slate")


@method(
    kind="bandit", task="estimate", name="slate-estimate", version=1, paper="arXiv:2202.01562", memory_mb=2048,
)  # fmt: skip
def slate_estimate(data: Log, params: SlateEstimateParams, ctx: Context) -> Findings:
    """What target policies would have earned with slates, under every assumption on users that the log allows."""
    if not isinstance(data, SlateLog):
        raise JobError(
            "unsupported",
            "The log holds no slates.",
            hint="Upload it with the option structure=slates and columns slate and position.",
            pointer="/method",
        )
    log, layout = data.log, data.layout
    owner = layout.rows[:, 0] if log.user is None else log.user[layout.rows[:, 0]]
    limits, positions = limits_of(params, log.reward_range, log.reward), log.n / layout.units
    setting = Setting(
        params.alpha,
        limits,
        clusters(params, owner, users=data.users),
        trust_of(params, logging_known=log.logging is not None, estimated=log.estimated),
        reach=None if limits is None else (limits[0] * positions, limits[1] * positions),
        against=disagreement(log),
    )
    wanted = chances(data, params.targets)
    found: list[TargetResult] = []
    for number, (name, (chance, policy)) in enumerate(wanted.items()):
        with ctx.part(name, number, len(wanted), label="estimate", seed=ctx.seed) as part:
            found.append(estimate_target(data, name, chance, policy, params, setting, part))
    earned = layout.spread(log.reward).sum(axis=1)
    logged = setting.row("logging", "Mean reward", Estimate(float(earned.mean()), earned))
    independent = "users" if setting.unit is not None else "slates"
    return evidence.findings(
        found,
        logged,
        setting,
        WORDS,
        layout.units,
        because=SUPPOSES[params.behaviour],
        protocol=f"Intervals take {independent} as independent. Self-normalised estimators divide every position's "
        "weights by their mean.",
        warnings=[*log.warnings, *ctx.warnings],
    )
