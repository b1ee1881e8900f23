"""The target policies a job speaks of: uploaded with the log, learnt in an earlier job, or built in."""

from __future__ import annotations

from dataclasses import replace

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Input
from worker.kinds.bandit import policies
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.learning.softmax_policy import SoftmaxPolicy
from worker.kinds.bandit.policies import Policy
from worker.kinds.bandit.uploaded_policies import UploadedPolicies

LEARNT = "learnt"
POLICY = Input("policy", type="summary", required=False, description="A policy learnt by an earlier job.")


TARGETS = Input(
    "targets",
    type="dataset",
    required=False,
    many=True,
    description="Target policies uploaded after the log, as versions of their own (contents: policies).",
)


def with_uploaded(log: BanditLog, ctx: Context) -> BanditLog:
    """The log with the policies of the job's input `targets` among its own.

    Raises `JobError` for what is no upload of policies, does not fit the log, or has a name that is taken.
    """
    found = dict(log.targets)
    for given in ctx.inputs.get(TARGETS.name, []):
        if not isinstance(given, UploadedPolicies):
            raise JobError(
                "invalid_input",
                "An input `targets` is a log and no upload of policies.",
                hint="Upload policies alone, with the option contents: policies.",
                pointer="/inputs/targets",
            )
        for name, policy in given.on(log).items():
            if name in found or name in (LEARNT, "uniform"):
                raise JobError(
                    "invalid_input",
                    f"There are two target policies {name}.",
                    hint="Rename the file of one: a policy has the name of its file.",
                    pointer="/inputs/targets",
                )
            found[name] = policy
    return replace(log, targets=found)


def learnt_policy(ctx: Context) -> SoftmaxPolicy | None:
    """The job's input `policy`, None where it has none; raises `JobError` invalid_input for what is no policy."""
    given = ctx.inputs.get(POLICY.name)
    if given is None or isinstance(given, SoftmaxPolicy):
        return given
    raise JobError(
        "invalid_input",
        "The input `policy` is no learnt policy.",
        hint="Name the summary of a job that learnt one, such as policy-gradient.",
        pointer="/inputs/policy",
    )


def named_targets(log: BanditLog, names: list[str], learnt: SoftmaxPolicy | None = None) -> dict[str, Policy]:
    """The policies of these names on the rounds of the log, in that order.

    `learnt`: the job's input `policy`, known as `learnt`. Raises `JobError` target_policy_required when a name is not
    known, or none was given.
    """
    known = ["uniform", *log.targets, *([LEARNT] if learnt is not None else [])]
    if not names:
        raise _unknown("No target policy is named, and the dataset holds none.", known)
    found: dict[str, Policy] = {}
    for name in names:
        if name == LEARNT and learnt is not None:
            found[name] = learnt.policy_on(log)
        elif name in log.targets:
            found[name] = log.targets[name]
        elif name == "uniform":
            found[name] = policies.uniform(log.n, log.n_actions)
        else:
            raise _unknown(f"There is no target policy {name}.", known)
    return found


def default_names(log: BanditLog, learnt: SoftmaxPolicy | None = None) -> list[str]:
    """What is estimated when the job names no target: every uploaded policy, and the learnt one."""
    return [*log.targets, *([LEARNT] if learnt is not None else [])]


def _unknown(detail: str, known: list[str]) -> JobError:
    return JobError(
        "target_policy_required",
        detail,
        hint=f"Known: {', '.join(known)}. Upload one as target_policies/NAME.npz, or give the input `policy`.",
        pointer="/params/targets",
    )
