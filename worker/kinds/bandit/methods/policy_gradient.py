"""Learn a better policy from logged decisions, without trying it out, and without fleeing into the unknown.

A softmax policy is trained to maximise an off-policy estimate of its own value (IPS, SNIPS, doubly robust, BanditNet,
POEM, shrunk weights). Where the logging policy never takes some actions, such estimates are blind there, and training
finds it out: with rewards shifted to -1..0 all mass runs to actions never tried. The default therefore trains with a
reward k for every unsupported action (arXiv:2006.09438, policy restriction), for several k, and takes the policy that
held-out rounds prefer if unsupported actions are worth what the rarest supported ones are (MinSup).

Cost: epochs x rounds x actions x features for each k and seed; distinct contexts count once. Above 1,000 actions a
likelihood fit first picks the actions worth a look, above 5,000 actions share what is learnt through their features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.deficiency import support_of_log
from worker.kinds.bandit.learning import per_action, select
from worker.kinds.bandit.learning.minsup import in_support_value
from worker.kinds.bandit.learning.models import PolicyModel, Shape, build
from worker.kinds.bandit.learning.objectives import Settings
from worker.kinds.bandit.learning.parts import Parts, parts
from worker.kinds.bandit.learning.policy_artefact import LearntPolicy
from worker.kinds.bandit.learning.select import Candidate
from worker.kinds.bandit.learning.train import FULL_BATCH_UP_TO, Recipe, Training
from worker.kinds.bandit.learning.training_set import Modelled, Standard, TrainingSet, training_set
from worker.kinds.bandit.learning.two_stage import TWO_STAGES_FROM, best_actions, likelihood_step, with_candidates
from worker.kinds.bandit.reward_models import gbdt, logistic, mlp, ridge
from worker.kinds.bandit.reward_models.fitted import FittedReward
from worker.numerics.gumbel import mix
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import method

MODELLED = ("dr", "dros", "sg")
DECAY = 2e-4
MUCH = 0.05  # unsupported mass of a chosen policy from which the report warns


class PolicyGradientParams(BaseModel):
    """Parameters of `policy-gradient`."""

    model_config = ConfigDict(extra="forbid")

    objective: Literal["ips", "snips", "dr", "banditnet", "poem", "dros", "sg"] = Field(
        "ips", description="Estimate of the policy's value that training maximises."
    )
    support: Literal["none", "restrict_actions", "extrapolate", "restrict_policy"] = Field(
        "restrict_policy",
        description="What is done about actions that the logging policy never takes: nothing; never take them either; "
        "give them modelled rewards (or k); give each the reward k.",
    )
    k: float | None = Field(
        None, description="Reward of an unsupported action, or the baseline of banditnet; left out: chosen from k_grid."
    )
    k_grid: list[float] | None = Field(
        None,
        min_length=1,
        max_length=20,
        description="Values of k to choose from; left out: 0, 15, 30 and 100 % of the reward range.",
    )
    kappa: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Largest mass on unsupported actions: find the largest k that keeps it, by bisection.",
    )
    selector: Literal["snips", "minsup", "dr"] | None = Field(
        None, description="Score on validation rounds that chooses; left out: minsup, or snips without logging policy."
    )
    model: Literal["linear", "mlp"] = Field(
        "linear", description="Network of the contexts; above 5,000 actions their features get a tower of their own."
    )
    reward_model: Literal["per_action", "ridge", "logistic", "gbdt", "mlp"] = Field(
        "per_action", description="Model of the reward for dr, dros, sg, extrapolation and the dr selector."
    )
    lr: float | None = Field(
        None, ge=1e-5, le=1, description="Step size of Adam; left out: 0.1 for a linear model on all rounds, else 0.01."
    )
    epochs: int = Field(50, ge=1, le=500, description="Passes over the training rounds.")
    batch_size: int | None = Field(
        None, ge=32, le=1_000_000, description="Rounds a step; left out: all of them up to a million, then 4,096."
    )
    l2: float | None = Field(
        None, ge=0, le=1, description="Weight decay; left out: 0.0002 times the mean reward above the lowest."
    )
    sharpen: bool = Field(
        True, description="Multiply the scores of a trained policy by 1, 2 or 4, whichever the selector likes best."
    )
    poem_lambda: float = Field(0.1, ge=0, le=10, description="Weight of poem's penalty on the standard error.")
    clip: float = Field(
        100.0, gt=0, le=1e9, description="Largest weight in poem and in the likelihood of a warm start."
    )
    shrinkage: float = Field(1.0, ge=0, description="Shrinkage of the weights in dros (from 0) and sg (0 to 1).")
    candidates: int = Field(
        200, ge=0, le=1000, description="Above 1,000 actions: how many of a context to choose from; 0 for all."
    )
    seeds: int = Field(1, ge=1, le=20, description="Trainings from different starts, of which the best is kept.")

    @model_validator(mode="after")
    def _fitting_together(self) -> PolicyGradientParams:
        if self.support == "extrapolate" and self.objective in ("snips", "banditnet"):
            raise ValueError("extrapolate adds a modelled value, which snips and banditnet have no place for; use ips")
        if self.objective == "sg" and self.shrinkage > 1:
            raise ValueError("shrinkage of sg lies between 0 and 1")
        if self.kappa is not None and (self.support != "restrict_policy" or self.objective == "banditnet"):
            raise ValueError("kappa is for support restrict_policy with an objective other than banditnet")
        return self

    @property
    def tunes_k(self) -> bool:
        """Whether the policy depends on k at all."""
        return self.objective == "banditnet" or self.support == "restrict_policy"


@dataclass(frozen=True)
class Job:
    """Everything that stays the same from fit to fit."""

    data: BanditLog
    params: PolicyGradientParams
    ctx: Context
    rounds: Parts
    standard: Standard
    train: TrainingSet
    validation: TrainingSet
    shape: Shape
    k0: float | None
    selector: str

    def recipe(self, k: float, seed: int) -> Recipe:
        """How the policy of one k and one start is trained."""
        p = self.params
        settings = Settings(
            name=p.objective,
            k=k,
            restrict=p.support == "restrict_policy" and p.objective != "banditnet",
            shrinkage=p.shrinkage,
            clip=p.clip,
            poem_lambda=p.poem_lambda,
        )
        whole = p.batch_size is None and self.train.n <= FULL_BATCH_UP_TO
        lr = p.lr if p.lr is not None else 0.1 if whole and p.model == "linear" else 0.01
        size = p.batch_size
        if self.ctx.degrade and (size is not None or not whole):
            size = max(32, (size or 4096) // 2)
        return Recipe(settings, lr, p.epochs, size, self.l2, mix(self.ctx.seed, seed))

    @property
    def l2(self) -> float:
        """Weight decay; by default in proportion to the rewards, whose unit must not matter."""
        if self.params.l2 is not None:
            return self.params.l2
        weight, reward = self.data.round_weight[self.rounds.train], self.data.reward[self.rounds.train]
        lowest = _reward_range(self)[0]
        return min(1.0, DECAY * float(weight @ (reward - lowest) / weight.sum()))

    def fresh(self, seed: int) -> PolicyModel:
        """The model a fit starts from; the first linear one starts as the uniform policy."""
        features = self.data.embeddings if self.shape.d_action else None
        if features is not None:
            features = Standard.of(features)(features)
        return build(
            self.shape, features=features, seed=mix(self.ctx.seed, seed), noise=seed > 0, device=self.ctx.device
        )


@method(
    kind="bandit",
    task="learn",
    name="policy-gradient",
    version=1,
    paper="arXiv:2006.09438",
    device="any",
    memory_mb=3072,
)
def policy_gradient(data: BanditLog, params: PolicyGradientParams, ctx: Context) -> LearntPolicy:
    """A policy trained on logged decisions, kept away from what the logs cannot vouch for."""
    job = prepare(data, params, ctx)
    with ctx.share(1, 2, phase="training"):
        candidates, stages = learn_all(job)
    chosen = select.best(candidates, job.selector)
    if params.kappa is not None:
        chosen = select.within(candidates, params.kappa, job.selector)
        if chosen.missing > params.kappa:
            ctx.warn(f"No k kept the unsupported mass at {params.kappa:g} or below: the least there was is given.")
    _warn_of(job, chosen)
    return artefact(job, chosen, candidates, stages.get(chosen.seed))


def prepare(data: BanditLog, params: PolicyGradientParams, ctx: Context) -> Job:
    """Split, support, reward model and tensors; refuses what cannot be learnt from this log."""
    rounds = parts(data, ctx.seed)
    support = support_of_log(data)
    selector = _selector(data, params, ctx)
    if support is None and params.support in ("restrict_actions", "extrapolate"):
        raise JobError(
            "logging_policy_required",
            f"support {params.support} needs to know which actions the logging policy may take.",
            hint="Upload the logging policy or its support, or use restrict_policy.",
            pointer="/params/support",
        )
    if params.objective == "snips" and params.batch_size is not None and params.batch_size < 1024:
        ctx.warn("A ratio of batch means is biased: snips wants a batch_size of at least 1,024.")
    if not data.contexts.shape[1]:
        ctx.warn("The log has no context features, so the policy is the same for every round.")
    with ctx.share(0, 2, phase="reward model"):
        model = reward_model(data, rounds.train, params, selector, ctx)
    standard = Standard.of(data.x[rounds.train], data.round_weight[rounds.train])
    restrict = params.support == "restrict_actions"
    made = partial(
        training_set, data, standard=standard, support=support, restrict=restrict, device=ctx.device, seed=ctx.seed
    )
    everywhere = None if model is None else Modelled(model, everywhere=True)
    d_action = 0 if data.embeddings is None else data.embeddings.shape[1]
    return Job(
        data=data,
        params=params,
        ctx=ctx,
        rounds=rounds,
        standard=standard,
        train=made(rounds=rounds.train, modelled=_modelled(params, model)),
        validation=made(rounds=rounds.validation, modelled=everywhere),
        shape=Shape.choose(params.model, data.contexts.shape[1], data.n_actions, d_action),
        k0=None if data.logging is None else in_support_value(data, rounds.train),
        selector=selector,
    )


def reward_model(
    data: BanditLog, rounds: np.ndarray, params: PolicyGradientParams, selector: str, ctx: Context
) -> FittedReward | None:
    """The reward model fitted on the training rounds, where something asks for one."""
    modelled = params.objective in MODELLED or (params.support == "extrapolate" and params.k is None)
    if not modelled and selector != "dr":
        return None
    if params.reward_model == "per_action" and per_action.fits_in_memory(data):
        return per_action.fit(data, rounds, ctx=ctx, seed=mix(ctx.seed, 9))
    if params.reward_model in ("per_action", "ridge"):
        return ridge.fit(data, rounds, ctx=ctx)
    return {"logistic": logistic, "gbdt": gbdt, "mlp": mlp}[params.reward_model].fit(data, rounds, ctx=ctx)


def learn_all(job: Job) -> tuple[list[Candidate], dict[int, PolicyModel]]:
    """A candidate for every k and start, and the first stage of every start where there are two."""
    params, found = job.params, list[Candidate]()
    stages: dict[int, PolicyModel] = {}
    constants = _constants(job)
    fits = (select.BISECTIONS + 2 if params.kappa is not None else len(constants)) + int(_two_stages(job))
    training = Training(job.ctx, fits * params.seeds)
    for seed in range(params.seeds):
        train, validation = job.train, job.validation
        if _two_stages(job):
            stages[seed] = _first_stage(job, training, seed)
            count = min(params.candidates, job.data.n_actions)
            train = with_candidates(train, best_actions(stages[seed], train, count))
            validation = with_candidates(validation, best_actions(stages[seed], validation, count))

        def learn(
            k: float, seed: int = seed, train: TrainingSet = train, validation: TrainingSet = validation
        ) -> Candidate:
            model = job.fresh(seed)
            if seed in stages:
                model.load_state_dict(stages[seed].state_dict())
            name = f"k = {k:.6g}, start {seed + 1}" if params.tunes_k else f"start {seed + 1}"
            training.fit(name, model, train, job.recipe(k, seed))
            factors = select.SHARPER if params.sharpen else ()
            found = select.sharpened(model, validation, job.k0, job.selector, factors)
            return Candidate(name, k, seed, model, *found)

        if params.kappa is not None:
            found += select.bisect_k(learn, params.kappa, _reward_range(job))
        else:
            for k in constants:
                found.append(learn(k))
                if training.late:
                    break
        if training.late:
            break
    return found, stages


def artefact(job: Job, chosen: Candidate, candidates: list[Candidate], first: PolicyModel | None) -> LearntPolicy:
    """The chosen policy with the record of how it was trained and chosen."""
    weights = {"centre": job.standard.centre, "scale": job.standard.scale, **chosen.model.export()}
    if first is not None:
        weights |= {f"first.{name}": value for name, value in first.export().items()}
    recipe = job.recipe(chosen.k, chosen.seed)
    validation = job.validation
    count = np.ones(validation.n) if validation.count is None else validation.count.cpu().numpy()
    settings: dict[str, Any] = job.params.model_dump() | {
        "k": chosen.k if job.params.tunes_k else job.params.k,
        "lr": recipe.lr,
        "l2": recipe.l2,
        "sharpened": chosen.sharpened,
        "batch_size": recipe.batch(job.train.n),
        "model": job.shape.kind,
        "selector": job.selector,
        "chosen": chosen.name,
        "tried": [candidate.to_json() for candidate in candidates],
        "k0": job.k0,
        "logging_value_validation": float(count @ validation.reward.cpu().numpy() / count.sum()),
        "rounds": {"train": len(job.rounds.train), "validation": len(job.rounds.validation)},
        "seed": job.ctx.seed,
    }
    return LearntPolicy(
        relu=tuple(chosen.model.relu),
        weights=weights,
        candidates=0 if first is None else min(job.params.candidates, job.data.n_actions),
        restrict=job.params.support == "restrict_actions",
        settings=settings,
        action_ids=job.data.action_ids,
        warnings=tuple(job.ctx.warnings),
    )


def _selector(data: BanditLog, params: PolicyGradientParams, ctx: Context) -> str:
    if params.selector == "minsup" and data.logging is None:
        raise JobError(
            "logging_policy_required",
            "The selector minsup asks how rare every action was, so it needs the whole logging policy.",
            hint="Upload it, or choose with snips or dr.",
            pointer="/params/selector",
        )
    if params.selector is not None:
        return params.selector
    if params.objective == "banditnet":
        return "snips"  # its constant is the one whose policy has the best self-normalised estimate
    if data.logging is None:
        ctx.warn("Without the logging policy the policy was chosen by snips, which does not see unsupported mass.")
        return "snips"
    return "minsup"


def _modelled(params: PolicyGradientParams, model: FittedReward | None) -> Modelled | None:
    if params.objective in MODELLED and model is not None:
        return Modelled(model, everywhere=True)
    if params.support == "extrapolate":
        return Modelled(model if params.k is None and model is not None else float(params.k or 0.0), everywhere=False)
    return None


def _two_stages(job: Job) -> bool:
    return job.data.n_actions > TWO_STAGES_FROM and job.params.candidates > 0


def _first_stage(job: Job, training: Training, seed: int) -> PolicyModel:
    model = job.fresh(seed)
    step = likelihood_step(job.params.clip, _reward_range(job)[0])
    return training.fit(f"first stage, start {seed + 1}", model, job.train, job.recipe(0.0, seed), step)


def _reward_range(job: Job) -> tuple[float, float]:
    rewards = job.data.reward[job.rounds.train]
    return job.data.reward_range or (float(rewards.min()), float(rewards.max()))


def _constants(job: Job) -> tuple[float, ...]:
    params = job.params
    if params.k is not None or not params.tunes_k:
        return (params.k or 0.0,)
    if params.k_grid is not None:
        return tuple(params.k_grid)
    weight = job.data.round_weight[job.rounds.train]
    mean = float(weight @ job.data.reward[job.rounds.train] / weight.sum())
    return select.grid(_reward_range(job), mean, baselines=params.objective == "banditnet")


def _warn_of(job: Job, chosen: Candidate) -> None:
    if chosen.missing > MUCH:
        seen = "" if chosen.unsupported is not None else " (by the control variate)"
        job.ctx.warn(
            f"{100 * chosen.missing:.1f} % of the policy's mass lies on actions that the logging policy never "
            f"takes{seen}: the logs say nothing of their rewards."
        )
    if job.params.support == "extrapolate":
        job.ctx.warn("Reward extrapolation is as good as its reward model, which no round can check on unseen actions.")
    if job.params.support == "none" and job.data.reward[job.rounds.train].min() < 0:
        job.ctx.warn("With negative rewards and nothing done about support, training runs to actions never tried.")
