"""Distil a few synthetic sequences that train a next-event model nearly as well as all real ones.

Farzi (arXiv:2310.09983): rows of soft events softmax(latent @ decoder / tau), learned through the training of a network
on them, by the exact reverse of Adam (`worker.numerics.adam_reverse`; the paper's is not exact). Departures: by default
what is read are items and only what comes next is soft (`labels="separate"`), and it starts from the labels of a
full-data teacher, which are exactly of low rank: on small data they alone train a learner to its full quality, and the
meta-stage is for summaries too small for that, or without a teacher. The inner training is the learner's own, its step
size and about as many updates: what was learned through a shorter one serves none that goes on. Kept is what validates
best; nothing is chosen on test data.

One outer step is about `inner_steps` + 3 `window` passes over the synthetic rows, each O(n xi (model + h V)); memory is
that of twelve kept graphs and 3 `window` P numbers. Soft rows save sequences, and bytes only where there are more
events than n xi d + d V numbers; the report says which.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from worker.contract.budget import Budget, resolve, resolve_bytes
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.farzi import initial
from worker.kinds.sequences.farzi.delivery import Delivery, duplicates, repeats
from worker.kinds.sequences.farzi.loop import Progress, Schedule, Validator, distil, starts_of
from worker.kinds.sequences.farzi.meta import Real, Unrolling
from worker.kinds.sequences.farzi.pool import omega
from worker.kinds.sequences.farzi.students import STUDENTS, USUAL
from worker.kinds.sequences.farzi.synthetic import Synthetic
from worker.kinds.sequences.farzi.validation import Validate
from worker.kinds.sequences.fitting import NeuralModel
from worker.kinds.sequences.forms import LowRank, TrainingSet
from worker.kinds.sequences.learners import sasrec
from worker.kinds.sequences.selection import SelectParams
from worker.kinds.sequences.sizes import smallest
from worker.kinds.sequences.summary import SequenceSummary, kept_options
from worker.kinds.sequences.teacher import Teacher, teach
from worker.numerics.adam import Adam
from worker.numerics.adam_reverse import REVERSIBLE_STEPS
from worker.numerics.seeds import mix

DENSE_LIMIT = 60_000_000  # probabilities n * xi * V; about eight such float32 tables are alive at once
FEWEST, MOST = 10, 20_000
WINDOW = 20
ENOUGH = 0.97  # of what the teacher reaches on validation: with labels as good as that no meta-step is worth its time


class FarziParams(SelectParams):
    """Parameters of `farzi`."""

    budget: Budget = Field(
        "1%",
        description='Size: sequences (25), a share of them ("1%", ten at least) or bytes of the soft form ("150kB").',
    )
    sequence_length: int | None = Field(
        None,
        ge=2,
        le=512,
        description="Events of one synthetic sequence; left out: where 90 % of real ones end, up to 50.",
    )
    allow_longer: bool = Field(False, description="Allow sequences longer than any real one.")
    latent_dim: int = Field(32, ge=2, le=512, description="Numbers d behind the probabilities of one event.")
    labels: Literal["separate", "tied"] = Field(
        "separate", description="Items are read and soft events predicted; tied: the same soft events are both."
    )
    inputs: Literal["bigrams", "popularity", "real"] = Field(
        "bigrams", description="What is read at first: the most frequent pairs, items by popularity, or real rows."
    )
    init: Literal["teacher", "real", "random"] = Field(
        "teacher", description="What comes next at first: a full-data teacher's opinion, real events, or noise."
    )
    factorisation: Literal["lowrank", "tucker"] = Field(
        "lowrank", description="Free latent vectors, or a core times a matrix of sequences and one of places."
    )
    tucker_rank: int = Field(8, ge=1, le=128, description="Rank of both matrices of a Tucker factorisation.")
    temperature: float | None = Field(
        None,
        ge=0.05,
        le=5,
        description="Temperature of the softmax; left out: 1, and 0.25 when starting from real events.",
    )
    learner: list[Literal["sasrec", "gru4rec", "causal-lm", "lstm"]] = Field(
        [],
        max_length=4,
        description="Networks inside the loss; of several, one an outer step. Left out: sasrec, of text causal-lm.",
    )
    inner_steps: int = Field(
        160, ge=1, le=1000, description="Updates T of one inner training: about as many as a learner will take."
    )
    inner_lr: float | None = Field(
        None, ge=1e-5, le=0.1, description="Step size of the inner Adam; left out: the (first) learner's own."
    )
    inner_batch: int = Field(64, ge=1, le=4096, description="Synthetic rows an inner update.")
    inner_eps: float = Field(1e-4, ge=1e-8, le=1, description="Adam's epsilon in the inner training.")
    window: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Inner updates that are differentiated, from a random one on; left out: 20, or all of fewer.",
    )
    optimiser: Literal["exact", "first_order"] = Field(
        "exact", description="Reverse through the window; first order: through one update, cheap with n_trajectories."
    )
    trajectory: Literal["store", "checkpoint", "reversible"] = Field(
        "store", description="States of the window: all, every sqrt(W)-th, or none (float64, at most 100 updates)."
    )
    adjoint: Literal["exact", "merged"] = Field(
        "exact", description="merged is the published reverse pass, which is not exact; for comparison."
    )
    precision: Literal["float32", "float64"] = Field("float32", description="Of the inner training and its reverse.")
    outer_steps: int | None = Field(
        None,
        ge=0,
        le=100_000,
        description="Meta-steps; left out: 500 after a teacher where the summary is very small and its labels alone do "
        "not reach 97 % of the teacher on validation, else 0; 2000 without a teacher.",
    )
    outer_lr: float | None = Field(
        None, ge=1e-4, le=0.1, description="Step size of the outer Adam; left out: 0.002 after a teacher, else 0.01."
    )
    outer_places: int = Field(1024, ge=32, le=65_536, description="Real events that are asked for in an outer step.")
    max_grad_norm: float = Field(1.0, gt=0, le=1e6, description="Meta-gradients are clipped at this norm.")
    n_trajectories: int = Field(
        0, ge=0, le=200, description="Full-data trainings whose parameters inner trainings start from; 0: fresh ones."
    )
    ckpts_per_trajectory: int = Field(10, ge=1, le=200, description="Parameters that are kept of each of them.")
    validate_every: int = Field(25, ge=1, le=1000, description="Outer steps from one validation to the next.")
    validate_seeds: int = Field(2, ge=1, le=10, description="Fresh networks that are trained for a validation.")
    patience: int = Field(8, ge=1, le=1000, description="Validations without a better one after which it ends.")
    time_budget_s: float | None = Field(
        None, gt=0, le=10**7, description="Seconds after which the meta-stage ends with the best until then."
    )
    delivery: list[Literal["soft", "topk", "hard"]] = Field(
        ["soft", "topk", "hard"], min_length=1, max_length=3, description="Forms to deliver, the primary one first."
    )
    top_k: int = Field(32, ge=1, le=1000, description="Items that the form topk keeps of an event.")
    entropy_penalty: float = Field(
        0.0,
        ge=0,
        le=10,
        description="What a nat of the soft events' entropy costs at the end, rising over the last third of the outer "
        "steps: surer events lose less when rows are drawn from them (delivery hard, topk).",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> FarziParams:
        if self.window is not None and self.window > self.inner_steps:
            raise ValueError(f"window is at most inner_steps, {self.inner_steps}")
        if self.trajectory == "reversible" and self.precision != "float64":
            raise ValueError("a reversible trajectory needs precision float64: rounding grows like 0.9^-T")
        if self.trajectory == "reversible" and self.inner_steps > REVERSIBLE_STEPS:
            raise ValueError(f"a reversible trajectory is for inner_steps up to {REVERSIBLE_STEPS}")
        if len(set(self.delivery)) < len(self.delivery) or len(set(self.learner)) < len(self.learner):
            raise ValueError("a form or a learner is named once")
        if self.factorisation == "tucker" and self.inputs == "real" and self.labels == "separate":
            raise ValueError("a Tucker factorisation needs rows of one length: take other inputs than real ones")
        return self


@dataclass(frozen=True)
class Shape:
    """n synthetic sequences of `length` events."""

    count: int
    length: int


def shape_of(data: Sequences, params: FarziParams) -> Shape:
    """The size that was asked for. Raises `JobError` where it is too large, or longer than any real sequence."""
    real = data.training().rows
    longest = int(real.lengths.max(initial=0))
    if int((real.lengths > 1).sum()) < 2:
        raise JobError(
            "too_few_rows",
            "There are no two training sequences of two events or more to learn from.",
            hint="Upload more or longer sequences.",
        )
    length = params.sequence_length
    if length is None:
        length = max(2, min(50, data.max_len, int(np.quantile(real.lengths, 0.9))))
    if length > longest and not params.allow_longer:
        raise JobError(
            "invalid_input",
            f"sequence_length is {length}, but the longest training sequence has {longest} events.",
            hint=f"Ask for at most {longest}, or set allow_longer.",
            pointer="/params/sequence_length",
        )
    if length > data.max_len:
        raise JobError(
            "invalid_input",
            f"sequence_length is {length}, but learners of this dataset read {data.max_len} events.",
            hint=f"Ask for at most {data.max_len}, or upload with a larger max_len.",
            pointer="/params/sequence_length",
        )
    count = _count(data, params, length)
    if count * length * data.n_items > DENSE_LIMIT:
        raise JobError(
            "budget_too_large",
            f"{count} sequences of {length} events over {data.n_items} items are {count * length * data.n_items:,} "
            f"probabilities; {DENSE_LIMIT:,} fit.",
            hint=f"Lower budget to {max(1, DENSE_LIMIT // (length * data.n_items))}, or sequence_length.",
            pointer="/params/budget",
        )
    return Shape(count, length)


def _count(data: Sequences, params: FarziParams, length: int) -> int:
    size, total = params.size(), len(data.training())
    fixed, each = bytes_of(params, length, data.n_items)
    if isinstance(size, str) and re.search(r"B\s*$", size):
        allowed = resolve_bytes(size, total_bytes=10**15, lowest=fixed + each) or 0
        size = (allowed - fixed) // each
    if isinstance(size, str) and (share := re.match(r"\s*([\d.]+)\s*%", size)):
        size = max(min(FEWEST, total - 1), round(min(float(share[1]), 1e6) / 100 * total))
    return resolve(size, total_units=total, bytes_per_unit=each, highest=MOST)


def bytes_of(params: FarziParams, length: int, items: int) -> tuple[int, int]:
    """Bytes that the soft form takes whatever its size (decoder, bias, temperatures), and those of one sequence."""
    numbers = np.dtype(np.float16).itemsize
    cut = params.init == "teacher" and params.latent_dim < sasrec.WIDTH
    fixed = numbers * items * (params.latent_dim + cut) + 8
    each = smallest(np.array([length])).itemsize
    if params.factorisation == "tucker":
        places = min(params.tucker_rank, length)
        fixed += numbers * places * (params.tucker_rank * params.latent_dim + length)
        each += numbers * params.tucker_rank
    else:
        each += length * numbers * params.latent_dim
    if params.labels == "separate":
        each += length * (np.dtype(np.float32).itemsize + smallest(np.zeros(1, int), items - 1).itemsize)
    return fixed, each


def meta_steps(params: FarziParams, shape: Shape, items: int) -> int:
    """Outer steps where none were given: few places over many items need them (docs/sequences_farzi.md)."""
    if params.outer_steps is not None:
        return params.outer_steps
    if params.init != "teacher":
        return 2000
    return 500 if 4 * shape.count * shape.length < items else 0


def nearly(taught: float) -> float:
    """The validation score that comes near a teacher's: nDCG, or minus a perplexity. Nothing comes near none at all."""
    if not taught:
        return math.inf
    return ENOUGH * taught if taught > 0 else taught / ENOUGH


def start_of(data: Sequences, params: FarziParams, shape: Shape, teacher: Teacher | None, ctx: Context) -> Synthetic:
    """Synthetic sequences before any meta-step."""
    real, generator = data.training().rows, torch.Generator().manual_seed(mix(ctx.seed, 8))
    rng = np.random.default_rng(mix(ctx.seed, 9))
    items, most, rank, size = data.n_items, data.max_len, params.latent_dim, (shape.count, shape.length)
    tied, tau = params.labels == "tied", params.temperature
    if teacher is not None and tied:
        made = initial.rolled_out(teacher, real, size, most, rank, tau or 1.0, rng, generator)
    else:
        how = "real" if tied and params.init == "real" else params.inputs
        rows = initial.inputs_of(real, items, size, how, rng)
        if tied:
            rows = initial.filled_up(rows, shape.length, rng)
        if teacher is not None:
            made = initial.labelled(teacher, rows, most, rank, generator)
            if tau is not None:
                made = made.at_temperature(tau)
        elif params.init == "real":
            made = initial.of_real_rows(real, rows, items, most, rank, tau or 0.25, tied, ctx.seed % 2**32)
        else:
            made = initial.at_random(rows, items, most, rank, tau or 1.0, tied, generator)
    return initial.as_tucker(made, params.tucker_rank) if params.factorisation == "tucker" else made


COST = Cost(
    seconds=(Term(20.0), Term(6e-3, {"training_events": 1}), Term(0.6, {"params.outer_steps": 1})),
    memory_mb=(Term(600.0), Term(4e-5, {"training_events": 1, "items": 0.5})),
)


@method(
    kind="sequences",
    task="distil",
    name="farzi",
    version=4,
    paper="arXiv:2310.09983",
    device="any",
    memory_mb=3072,
    cost=COST,
)
def farzi(data: Sequences, params: FarziParams, ctx: Context) -> SequenceSummary:
    """Synthetic sequences with soft events, made so that a next-event model trained on them serves the real ones."""
    shape = shape_of(data, params)
    train = data.training()
    full = TrainingSet.of(train.rows, data.n_items, data.max_len, weight=train.weights)
    teacher = None
    if params.init == "teacher":
        with ctx.part("teacher", 0, 10) as part:
            teacher = teach(data, part)
    start = start_of(data, params, shape, teacher, ctx)
    steps = meta_steps(params, shape, data.n_items)
    if not params.learner:
        params = params.model_copy(update={"learner": [USUAL["text" if data.is_text else "events"]]})
    recipes = [STUDENTS[name] for name in params.learner]
    pools = [None for _ in recipes]
    if steps:
        pools = [
            omega(full, recipe, name, params.n_trajectories, params.ckpts_per_trajectory, ctx)
            for name, recipe in zip(params.learner, recipes, strict=True)
        ]
    horizon = [max(1, round(params.inner_steps * times)) for times in ((1, 2, 4) if steps else (0.5, 1, 2))]
    validate = Validate.of(data, recipes[0], horizon, params.validate_seeds, ctx.seed, ctx.device)
    if validate is None:
        ctx.warn("There are no validation events: the last outer step is delivered.")
    enough = math.inf
    if validate is not None and teacher is not None and params.outer_steps is None:
        enough = nearly(validate.measure(NeuralModel(teacher.net, teacher.max_len, ctx.device)))
    first_order = params.optimiser == "first_order"
    dtype = torch.float64 if params.precision == "float64" else torch.float32
    schedule = Schedule(
        steps,
        params.outer_lr or (0.002 if teacher is not None else 0.01),
        params.max_grad_norm,
        params.validate_every,
        params.patience,
        params.time_budget_s,
        params.entropy_penalty,
        enough,
    )
    how = Unrolling(
        Adam(params.inner_lr or recipes[0].rate, eps=params.inner_eps),
        params.inner_steps,
        params.inner_batch,
        1 if first_order else params.window or min(WINDOW, params.inner_steps),
        params.trajectory,
        params.adjoint,
        dtype,
    )
    real = Real(full, None if teacher is None else _opinion(teacher, full), params.outer_places)
    starts = starts_of(
        [lambda one=one: one.build(full, {"dropout": 0.0}) for one in recipes], pools, ctx.seed, ctx.device
    )
    deliver = Delivery(params.top_k, repeats(train.rows), mix(ctx.seed, 10))

    def validated(validate: Validate) -> Validator:
        return lambda made, tick: validate(deliver(params.delivery[0], made, tick), tick)

    validator = None if validate is None else validated(validate)
    with ctx.part("distil", 1, 10) as part:
        made, state = distil(start, starts, real, how, validator, schedule, part)
    return _summary(data, params, deliver, start, made, state, teacher, ctx)


def _opinion(teacher: Teacher, full: TrainingSet) -> TrainingSet:
    """The teacher's probabilities at all real places."""
    return full.with_targets(LowRank(teacher.states(full), teacher.decoder))


def _summary(
    data: Sequences,
    params: FarziParams,
    deliver: Delivery,
    start: Synthetic,
    made: Synthetic,
    state: Progress,
    teacher: Teacher | None,
    ctx: Context,
) -> SequenceSummary:
    """The forms that were asked for, the labels before any meta-step among them where one moved them."""
    names = tuple(params.delivery)
    forms = {form: deliver(form, made) for form in names if form != "hard"}
    if state.best_step and teacher is not None:
        forms["labels"] = deliver("soft", start)
        names = (*names, "labels")
    rows = deliver.rows(made, lambda: ctx.progress(9, 10, phase="draw rows"))
    settings = params.model_dump(mode="json") | {
        "n_sequences": len(rows),
        "sequence_length": int(made.rows.lengths.max()),
        "outer_steps_done": state.step,
        "skipped_steps": state.skipped,
        "seed": ctx.seed,
        "training_steps": state.best_training or None,
        "rows_that_repeat_another": duplicates(rows),
        "teacher": None if teacher is None else {**teacher.settings, "validation_ndcg@10": teacher.validation},
    }
    origin = Origin(
        "farzi",
        optimised_for=params.learner[0],
        settings=settings,
        curve=tuple(state.curve),
        best_step=state.best_step if len(state.curve) > 1 else None,
    )
    if teacher is not None and state.step and not state.best_step:
        ctx.warn(
            f"No validation after any of {state.step} meta-steps was better than that of the teacher's labels alone: "
            "they are what is delivered."
        )
    if teacher is not None:
        ctx.warn("A teacher trained on all the training data gave the labels; its own training is part of the cost.")
    return SequenceSummary(
        rows,
        data.vocabulary,
        data.max_len,
        names,
        forms,
        origin,
        tuple(ctx.warnings),
        recipe=_recipe(data, params, state),
        options=kept_options(data.options),
    )


def _recipe(data: Sequences, params: FarziParams, state: Progress) -> dict[str, Any]:
    """How a learner is trained on it: the number of steps that validated best, at the learner's own step size."""
    recipe = STUDENTS[params.learner[0]]
    split = hashlib.sha256(data.items.tobytes() + data.split.tobytes() + data.indptr.tobytes())
    return {
        "learner": params.learner[0],
        "training_steps": state.best_training or None,
        "lr": recipe.rate,
        "batch": recipe.batch,
        "labels": params.labels,
        "inner": {
            "steps": params.inner_steps,
            "lr": params.inner_lr or recipe.rate,
            "eps": params.inner_eps,
            "batch": params.inner_batch,
        },
        "split_sha256": split.hexdigest(),
        "torch": torch.__version__,
    }
