"""Learning a policy from a log: prepare the rounds, train a policy for every k and start, choose one, export it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import count

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin
from worker.kinds.bandit.dataset import BanditLog, Split, Standard, split_rounds
from worker.kinds.bandit.deficiency import support_of_log
from worker.kinds.bandit.learning import select
from worker.kinds.bandit.learning.minsup import in_support_value
from worker.kinds.bandit.learning.models import PolicyModel, Shape, build
from worker.kinds.bandit.learning.objectives import Settings
from worker.kinds.bandit.learning.params import PolicyGradientParams
from worker.kinds.bandit.learning.select import Candidate
from worker.kinds.bandit.learning.softmax_policy import Choice, SoftmaxPolicy
from worker.kinds.bandit.learning.train import FULL_BATCH_UP_TO, Recipe, StepFunction, fit
from worker.kinds.bandit.learning.training_set import Modelled, TrainingSet, training_set
from worker.kinds.bandit.learning.two_stage import TWO_STAGES_FROM, best_actions, likelihood_step, with_candidates
from worker.kinds.bandit.reward_models import gbdt, logistic, mlp, per_action, ridge
from worker.kinds.bandit.reward_models.fitted import FittedReward
from worker.numerics.seeds import mix

MODELLED = ("dr", "dros", "sg")
DECAY = 2e-4
MUCH = 0.05  # unsupported mass of a chosen policy from which the report warns


@dataclass(frozen=True)
class Job:
    """Everything that stays the same from fit to fit, and the warnings that come up."""

    data: BanditLog
    params: PolicyGradientParams
    ctx: Context
    rounds: Split
    standard: Standard
    train: TrainingSet
    validation: TrainingSet
    shape: Shape
    k0: float | None
    selector: str
    warnings: list[str] = field(default_factory=list[str])

    def warn(self, text: str) -> None:
        """Add a sentence to the policy's warnings; whoever asked for it says of which policy it speaks."""
        self.warnings.append(text)

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


def learn(data: BanditLog, params: PolicyGradientParams, ctx: Context) -> SoftmaxPolicy:
    """Train a policy for every k and start, and choose one on the validation rounds; its warnings come with it.

    Deterministic in `ctx.seed`. Raises `JobError` too_few_rounds, logging_policy_required, diverged.
    """
    job = prepare(data, params, ctx)
    with ctx.part("training", 1, 2, seed=ctx.seed) as part:
        candidates, stages = learn_all(job, part)
    chosen = select.best(candidates, job.selector)
    if params.kappa is not None:
        chosen = select.within(candidates, params.kappa, job.selector)
        if chosen.missing > params.kappa:
            job.warn(f"No k kept the unsupported mass at {params.kappa:g} or below: the least there was is given.")
    _warn_of(job, chosen)
    return export(job, chosen, candidates, stages.get(chosen.seed))


def prepare(data: BanditLog, params: PolicyGradientParams, ctx: Context) -> Job:
    """Split, support, reward model and tensors; refuses what cannot be learnt from this log."""
    rounds = split_rounds(data, ctx.seed)
    support = support_of_log(data)
    selector = _selector(data, params)
    if support is None and params.support in ("restrict_actions", "extrapolate"):
        raise JobError(
            "logging_policy_required",
            f"support {params.support} needs to know which actions the logging policy may take.",
            hint="Upload the logging policy or its support, or use restrict_policy.",
            pointer="/params/support",
        )
    with ctx.part("reward model", 0, 2, seed=ctx.seed) as part:
        model = reward_model(data, rounds.train, params, selector, part)
    standard = Standard.of(data.x[rounds.train], data.round_weight[rounds.train])
    restrict = params.support == "restrict_actions"
    made = partial(
        training_set, data, standard=standard, support=support, restrict=restrict, device=ctx.device, seed=ctx.seed
    )
    everywhere = None if model is None else Modelled(model, everywhere=True)
    d_action = 0 if data.embeddings is None else data.embeddings.shape[1]
    job = Job(
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
    _warn_beforehand(job)
    return job


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


def learn_all(job: Job, ctx: Context) -> tuple[list[Candidate], dict[int, PolicyModel]]:
    """A candidate for every k and start, and the first stage of every start where there are two; ends early when late.

    Every training is a part of `ctx`: a resumed job goes on in the one it was in.
    """
    params, found = job.params, list[Candidate]()
    stages: dict[int, PolicyModel] = {}
    constants = _constants(job)
    fits = select.MOST_TRIED if params.kappa is not None else len(constants)
    total, number = (fits + int(_two_stages(job))) * params.seeds, count()

    def trained(
        name: str, model: PolicyModel, rounds: TrainingSet, recipe: Recipe, step: StepFunction | None = None
    ) -> PolicyModel:
        with ctx.part(name, next(number), total, seed=ctx.seed) as part:
            fit(model, rounds, recipe, part, step)
        if ctx.out_of_time():
            job.warn(f"The time limit ended the training early (at {name}).")
        return model

    for seed in range(params.seeds):
        train, validation = job.train, job.validation
        if _two_stages(job):
            step = likelihood_step(params.clip, _reward_range(job)[0])
            first = trained(f"first stage, start {seed + 1}", job.fresh(seed), train, job.recipe(0.0, seed), step)
            stages[seed] = first
            few = min(params.candidates, job.data.n_actions)
            train = with_candidates(train, best_actions(first, train, few))
            validation = with_candidates(validation, best_actions(first, validation, few))

        def learn_with(
            k: float, seed: int = seed, train: TrainingSet = train, validation: TrainingSet = validation
        ) -> Candidate:
            model = job.fresh(seed)
            if seed in stages:
                model.load_state_dict(stages[seed].state_dict())
            name = f"k = {k:.6g}, start {seed + 1}" if params.tunes_k else f"start {seed + 1}"
            trained(name, model, train, job.recipe(k, seed))
            factors = select.SHARPER if params.sharpen else ()
            scored = select.sharpened(model, validation, job.k0, job.selector, factors)
            return Candidate(name, k, seed, model, *scored)

        if params.kappa is not None:
            found += select.bisect_k(learn_with, params.kappa, _reward_range(job))
        else:
            for k in constants:
                found.append(learn_with(k))
                if ctx.out_of_time():
                    break
        if ctx.out_of_time():
            break
    return found, stages


def export(job: Job, chosen: Candidate, candidates: list[Candidate], first: PolicyModel | None) -> SoftmaxPolicy:
    """The chosen policy with the record of how it was trained and chosen."""
    weights = {"centre": job.standard.centre, "scale": job.standard.scale, **chosen.model.export()}
    if first is not None:
        weights |= {f"first.{name}": value for name, value in first.export().items()}
    recipe = job.recipe(chosen.k, chosen.seed)
    settings = job.params.model_dump() | {
        "k": chosen.k if job.params.tunes_k else job.params.k,
        "lr": recipe.lr,
        "l2": recipe.l2,
        "sharpened": chosen.sharpened,
        "batch_size": recipe.batch(job.train.n),
        "model": job.shape.kind,
        "selector": job.selector,
        "seed": job.ctx.seed,
    }
    return SoftmaxPolicy(
        relu=tuple(chosen.model.relu),
        weights=weights,
        candidates=0 if first is None else min(job.params.candidates, job.data.n_actions),
        restrict=job.params.support == "restrict_actions",
        action_ids=job.data.action_ids,
        choice=Choice(
            selector=job.selector,
            chosen=chosen.name,
            tried=tuple(candidate.record() for candidate in candidates),
            train_rounds=len(job.rounds.train),
            validation_rounds=len(job.rounds.validation),
            k0=job.k0,
        ),
        origin=Origin("policy-gradient", settings=settings),
        warnings=tuple(job.warnings),
    )


def _selector(data: BanditLog, params: PolicyGradientParams) -> str:
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
    return "snips" if data.logging is None else "minsup"


def _modelled(params: PolicyGradientParams, model: FittedReward | None) -> Modelled | None:
    if params.objective in MODELLED and model is not None:
        return Modelled(model, everywhere=True)
    if params.support == "extrapolate":
        return Modelled(model if params.k is None and model is not None else float(params.k or 0.0), everywhere=False)
    return None


def _two_stages(job: Job) -> bool:
    return job.data.n_actions > TWO_STAGES_FROM and job.params.candidates > 0


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


def _warn_beforehand(job: Job) -> None:
    params, data = job.params, job.data
    if params.selector is None and params.objective != "banditnet" and data.logging is None:
        job.warn("Without the logging policy the policy was chosen by snips, which does not see unsupported mass.")
    if params.objective == "snips" and params.batch_size is not None and params.batch_size < 1024:
        job.warn("A ratio of batch means is biased: snips wants a batch_size of at least 1,024.")
    if not data.contexts.shape[1]:
        job.warn("The log has no context features, so the policy is the same for every round.")


def _warn_of(job: Job, chosen: Candidate) -> None:
    if chosen.missing > MUCH:
        seen = "" if chosen.unsupported is not None else " (by the control variate)"
        job.warn(
            f"{100 * chosen.missing:.1f} % of the policy's mass lies on actions that the logging policy never "
            f"takes{seen}: the logs say nothing of their rewards."
        )
    if job.params.support == "extrapolate":
        job.warn("Reward extrapolation is as good as its reward model, which no round can check on unseen actions.")
    if job.params.support == "none" and job.data.reward[job.rounds.train].min() < 0:
        job.warn("With negative rewards and nothing done about support, training moves mass to actions never tried.")
