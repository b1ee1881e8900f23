"""Learn a better policy from logged decisions without deploying it, and without exploiting what was never tried.

A softmax policy is trained to maximise an off-policy estimate of its own value (IPS, SNIPS, doubly robust, BanditNet,
POEM, shrunk weights). Where the logging policy never takes some actions, such estimates are blind there, and training
exploits that: with rewards shifted to -1..0 all mass moves to actions never tried. The default therefore trains with a
reward k for every unsupported action (arXiv:2006.09438, policy restriction), for several k, and takes the policy that
held-out rounds prefer if unsupported actions are worth what the rarest supported ones are (MinSup).

Cost: epochs x rounds x actions x features for each k and seed; distinct contexts count once. Above 1,000 actions a
likelihood fit first picks the actions worth a look, above 5,000 actions share what is learnt through their features.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.bandit.learning.learn import learn
from worker.kinds.bandit.learning.params import PolicyGradientParams
from worker.kinds.bandit.structures import Log, decisions
from worker.kinds.bandit.summary import LearntPolicy


@method(
    kind="bandit",
    task="learn",
    name="policy-gradient",
    version=1,
    paper="arXiv:2006.09438",
    device="any",
    memory_mb=3072,
)
def policy_gradient(data: Log, params: PolicyGradientParams, ctx: Context) -> LearntPolicy:
    """A policy trained on logged decisions that does not exploit actions the logs say nothing of."""
    data = decisions(data)
    learnt = learn(data, params, ctx)
    for text in learnt.warnings:
        ctx.warn(text)
    return LearntPolicy(**vars(learnt))
