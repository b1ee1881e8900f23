"""Distil a few synthetic user rows that train a recommender nearly as well as all real users.

Distill-CF (arXiv:2206.02626, section 4): the logits of n fake users are learned by differentiating through
the closed-form solution of the infinitely wide auto-encoder, so that the model trained on them predicts the
real users' rows. One step costs O(n^2 I + B n I) for B target users and I items, memory is O(n I) whatever
the number of draws. The checkpoint that is delivered, and its ridge, are chosen on validation users alone.

Soft rows save rows, not bytes, where real rows are short; the report weighs that against real head users.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.budget import Budget, fills_bytes, resolve, resolve_bytes
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.interactions import distillation as cf
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.delivery import Delivery, deliver
from worker.kinds.interactions.distil_loop import RANKED_STEPS, Progress, Recipe, events_per_row, learn
from worker.kinds.interactions.forms import bytes_of_rows, index_bytes
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.summary import InteractionsSummary
from worker.numerics import gram_loops, gumbel_loops
from worker.numerics.compiled import ready
from worker.numerics.seeds import mix

DENSE_LIMIT = 60_000_000  # n * I numbers; about ten such float32 matrices are alive at once
VALIDATION_USERS = 1000
RIDGES = (1e-5, 1e-3, 0.1, 1.0, 5.0, 50.0)
DELIVERY_RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
LONGEST_RANKED = 400
SHORT_ROW = 10  # mean events of a user below which noise and a sharp start do better than the mean field


class DistillCFParams(BaseModel):
    """Parameters of `distill-cf`. What is left out follows the preset for the dataset's mean row length."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = Field(
        500,
        **fills_bytes(
            'Synthetic rows (500), a share of the users, or of the bytes with `export: ranked` ("1%"), or "150kB".',
            only={"export": "ranked"},
        ),
    )
    row_mass: float | None = Field(None, ge=5, le=2000, description="Soft events of one synthetic user.")
    draws: int | None = Field(None, ge=0, le=500, description="Random draws a step; 0 is the mean field.")
    tau: float | None = Field(None, ge=0.05, le=20, description="Temperature of the relaxed draws.")
    lr: float | None = Field(None, ge=1e-3, le=0.2, description="Step size of Adam on the logits.")
    inner_lambda: float | None = Field(None, ge=1e-5, le=50, description="Ridge of the model inside the loss.")
    mask_input: float | None = Field(None, ge=0, le=0.9, description="Share of each input row that is hidden.")
    rho: float = Field(1e-3, ge=0, le=100, description="Weight of the penalty on the mean row sum.")
    steps: int | None = Field(None, ge=10, le=5000, description="Most steps to take.")
    batch_users: int | None = Field(None, ge=0, description="Target users a step; 0 takes all.")
    init: Literal["users", "head", "random"] = Field(
        "users",
        description="Rows to start from: random real users, heavy real users, or item popularity only.",
    )
    depth: int = Field(1, ge=1, le=5, description="Hidden layers of the infinitely wide auto-encoder.")
    normalise_users: bool = Field(False, description="Give every user the same weight in the loss.")
    train_hard: bool = Field(False, description="Train 0/1 rows (straight-through) in the second half.")
    hard_events: int | None = Field(None, ge=1, le=2000, description="Events of one hard row; left out: its sum.")
    export: Literal["soft", "hard", "both", "ranked"] = Field(
        "both",
        description="Forms to deliver: soft rows, 0/1 rows, or both; or ranked rows, which are trained in that form, "
        "store no value by entry, and fill a budget in bytes to the last item (a share is then one of the bytes).",
    )
    ranked_events: int | None = Field(None, ge=1, le=5000, description="Items of one ranked row; left out: what fits.")
    quantize: Literal["none", "8", "4"] = Field("8", description="Bits of the primary soft form; none: float32.")
    soft_eps: float = Field(0.01, ge=0, le=0.5, description="Soft values below this are dropped.")
    patience: int = Field(100, ge=1, le=5000, description="Steps without a better validation before stopping.")
    validate_every: int | None = Field(None, ge=1, le=500, description="Steps from one validation to the next.")
    max_items: int = Field(20_000, ge=5, description="Only this many most popular items are distilled.")


PRESETS: dict[str, dict[str, Any]] = {
    "short": {
        "tau": 10.0,
        "draws": 3,
        "lr": 0.04,
        "inner_lambda": 1e-3,
        "mask_input": 0.0,
        "steps": 260,
        "batch_users": 4096,
        "validate_every": 20,
    },
    "long": {
        "tau": 3.0,
        "draws": 0,
        "lr": 0.08,
        "inner_lambda": 0.3,
        "mask_input": 0.4,
        "steps": 160,
        "batch_users": 256,
        "validate_every": 20,
    },
}


def choose_recipe(
    params: DistillCFParams,
    *,
    users: int,
    items: int,
    mean_events: float,
    ranked_events: int | None = None,
    ranked_longer: int = 0,
) -> Recipe:
    """Fill what was left out: short rows want noise and a tiny ridge, long and ranked ones mean field and masking."""
    name = "short" if mean_events < SHORT_ROW else "long"
    preset = dict(PRESETS[name])
    preset["row_mass"] = min(200.0, max(5.0, 0.15 * items), items)  # 200 of few items would fill the rows
    if ranked_events is not None:
        preset |= {**PRESETS["long"], "row_mass": preset["row_mass"], "steps": 100 + RANKED_STEPS}
    given = {key: value for key, value in params.model_dump().items() if value is not None}
    merged = {**preset, **given, "users": users}
    merged |= {"ranked_events": ranked_events, "ranked_longer": ranked_longer}
    if merged["row_mass"] > items:
        raise JobError(
            "invalid_input",
            f"row_mass is {merged['row_mass']:g}, but the dataset has only {items} items.",
            hint=f"Ask for a row_mass of at most {items}.",
            pointer="/params/row_mass",
        )
    names = Recipe.__dataclass_fields__
    return Recipe(**{key: merged.get(key) for key in names})


def ranked_shape(params: DistillCFParams, source: UserRows, items: int) -> tuple[int, int, int]:
    """Rows n, items k a row, and how many rows have one item more, of a ranked summary.

    In bytes it is 4 (n + 1) and 2 for each item and place of the curve, which fill the budget to the last item; short
    of it where every row has every item, or where the length of rows was given. 200 rows at 2 % of the bytes, 300 at
    5 %, 400 from 10 % on: fitted on MovieLens-1M. More where rows would be longer than 400 items, fewer where there are
    fewer users.
    """
    most = min(items, LONGEST_RANKED)
    total = bytes_of_rows(source)
    index = index_bytes(source.items)
    size = resolve_bytes(params.budget, total_bytes=total, lowest=4 * 6 + 5 * index + 2)
    if size is None:
        rows = resolve(params.budget, total_units=len(source), bytes_per_unit=1.0, lowest=5, highest=5000)
        return rows, params.ranked_events or most // 2, 0
    if params.ranked_events is not None:
        k = min(params.ranked_events, items)
        return max(1, (size - 4 - 2 * k) // (4 + index * k)), k, 0
    rows = min(400, round(200 * (size / total / 0.02) ** 0.45))
    rows = max(rows, -(-size // (4 + index * most)))
    rows = max(5, min(rows, len(source) - 1, 5000, size // (4 + 5 * index)))
    k = max(1, min(items, (size - 4 - 4 * rows) // (index * rows + 2)))
    left = size - 4 - 4 * rows - k * (index * rows + 2)
    return rows, k, 0 if k == items else max(0, (left - 2) // index)


def popular_items(rows: UserRows, most: int) -> np.ndarray | None:
    """Columns of the `most` most popular items in ascending order, or None when there are no more than that."""
    if rows.items <= most:
        return None
    return np.sort(np.argsort(-rows.counts, kind="stable")[:most])


def guard_size(users: int, items: int) -> None:
    """Refuse a dense matrix of the summary that would not fit, naming what to lower."""
    if users * items > DENSE_LIMIT:
        raise JobError(
            "budget_too_large",
            f"{users} rows over {items} items are {users * items:,} dense numbers; {DENSE_LIMIT:,} fit.",
            hint=f"Lower budget to {DENSE_LIMIT // items} or max_items to {DENSE_LIMIT // users}.",
            pointer="/params/budget",
        )


def training_rows(data: Interactions, most: int, ctx: Context) -> tuple[UserRows, np.ndarray | None]:
    """Non-empty 0/1 training rows over the `most` most popular items with their weights, and the columns of those
    (None: all)."""
    real = data.training()
    matrix = cf.Rows(real.matrix, copy=True)
    matrix.data = np.ones_like(matrix.data)
    real = UserRows(matrix, real.weights)
    columns = popular_items(real, most)
    if columns is not None:
        ctx.warn(f"Only the {len(columns)} most popular of {real.items} items are in the summary (max_items).")
        real = UserRows(cf.Rows(matrix[:, columns]), real.weights).filled()
    return real, columns


def make_validator(data: Interactions, columns: np.ndarray | None, *, depth: int, seed: int) -> cf.Validator | None:
    """Validation users, at most 1,000 drawn by the seed; None when the dataset has no validation events."""
    queries = data.queries("validation")
    inputs, wanted = cf.Rows(queries.inputs), cf.Rows(queries.targets)
    if columns is not None:
        inputs, wanted = cf.Rows(inputs[:, columns]), cf.Rows(wanted[:, columns])
    usable = np.flatnonzero(np.diff(wanted.indptr) > 0)
    if len(usable) == 0:
        return None
    if len(usable) > VALIDATION_USERS:
        rng = np.random.default_rng(mix(seed, 7))
        usable = np.sort(rng.choice(usable, VALIDATION_USERS, replace=False))
    return cf.Validator(cf.Rows(inputs[usable]), cf.Rows(wanted[usable]), RIDGES, data.n_items, depth)


# Fitted by hand to the twelve runs of benchmarks/results/distill_cf_figures.json (50 to 500 rows of Magazine and ML-1M,
# so both presets), within a factor of 2.5. Seconds are for the default number of steps.
COST = Cost(
    seconds=(Term(4.0), Term(4e-4, {"budget": 1, "items": 1, "users": 0.4, "events": -0.4})),
    memory_mb=(Term(450.0), Term(1e-4, {"events": 1}), Term(2e-4, {"budget": 1, "items": 1})),
)


@method(
    kind="interactions",
    task="distil",
    name="distill-cf",
    version=4,
    paper="arXiv:2206.02626",
    device="any",
    memory_mb=3072,
    cost=COST,
)
def distill_cf(data: Interactions, params: DistillCFParams, ctx: Context) -> InteractionsSummary:
    """Synthetic users, learned so that a recommender trained on them serves the real ones."""
    for loops in (gram_loops, gumbel_loops):
        ready(loops.warm_up, lambda: ctx.progress(0, 1, phase="compile"))
    real, columns = training_rows(data, params.max_items, ctx)
    ranked_events, longer = None, 0
    if params.export == "ranked":
        users, ranked_events, longer = ranked_shape(params, data.training(), real.items)
    else:
        bits = {"none": 6.0, "8": 1.0, "4": 0.5}[params.quantize]
        users = resolve(params.budget, total_units=len(real), bytes_per_unit=bits * real.items, lowest=5, highest=5000)
    guard_size(users, real.items)
    mass = None if real.weights is None else real.mass
    targets = cf.merge_equal_rows(real.matrix, data.n_items, mass)
    recipe = choose_recipe(
        params,
        users=users,
        items=real.items,
        mean_events=targets.mean_events,
        ranked_events=ranked_events,
        ranked_longer=longer,
    )
    validator = make_validator(data, columns, depth=recipe.depth, seed=ctx.seed)
    if validator is None:
        ctx.warn("There are no validation events: the checkpoint was chosen by the training loss.")
    noise = 0.1 if recipe.draws == 0 else 0.0
    start = cf.initial_logits(real.matrix, users, start=recipe.init, noise=noise, seed=ctx.seed, mass=mass)
    state = learn(Progress.begin(ctx, start), targets, validator, recipe, ctx)
    if state.best_rows is None:
        raise AssertionError("the last step always validates")
    origin = Origin(
        "distill-cf",
        optimised_for="infinite-ae",
        settings=asdict(recipe)
        | {
            "steps_done": state.step,
            "distilled_items": real.items,
            "distinct_targets": len(targets.weights),
            "seed": ctx.seed,
        },
        curve=tuple(state.history),
        best_step=state.best_step,
    )

    def choose_ridge(values: np.ndarray) -> float:
        if validator is None:
            return recipe.inner_lambda
        return replace(validator, grid=DELIVERY_RIDGES)(torch.from_numpy(values).to(ctx.device)).ridge

    rows, per_row = state.best_rows, events_per_row(state.best_rows, recipe)
    if ranked_events is not None:  # exactly: straight-through rows are so but for rounding
        rows = cf.ranked_rows(rows, ranked_events, longer)
        per_row = (rows > 0).sum(1)
    return deliver(
        rows.cpu().numpy(),
        per_row.cpu().numpy(),
        Delivery(params.export, params.quantize, params.soft_eps, recipe.train_hard),
        item_ids=data.item_ids,
        columns=columns,
        choose_ridge=choose_ridge,
        origin=origin,
        ctx=ctx,
    )
