"""Evidence for what a bandit job delivers: a learnt policy, or rounds that stand for the whole log."""

from __future__ import annotations

from worker.evidence.findings import Findings
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.evaluate_params import EvaluateParams
from worker.kinds.bandit.learning.policy_artefact import LearntPolicy
from worker.kinds.bandit.rounds.summary import RoundsSummary
from worker.contract.context import Context


def judge(data: BanditLog, made: LearntPolicy | RoundsSummary, params: EvaluateParams, ctx: Context) -> Findings:
    """Measure what was delivered on rounds it was not made of."""
    # Both learn policies and so need torch, which loading a dataset does not.
    from worker.kinds.bandit.learning.evidence import judge_policy
    from worker.kinds.bandit.rounds.evidence import judge_rounds

    if isinstance(made, LearntPolicy):
        return judge_policy(data, made, params, ctx)
    return judge_rounds(data, made, params, ctx)
