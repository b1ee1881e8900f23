"""Search for the real rows that learners of four sorts learn best from, judged by other training rows.

Sets begin as joint herding and as medoids, in the features and in the space of a teacher (gradient boosting, trained
once on the training part without the rows that sets are judged on). They are crossed and changed for some hundreds of
evaluations; an evaluation trains a linear model, nearest neighbours, boosted trees and a forest on the set, within
milliseconds, and measures them on 3,000 training rows whose targets are half their labels and half the teacher's
opinion. Rows and labels stay real. Below some 2,000 training rows, or much above 50 rows a class, a search of this
length finds what is peculiar to the rows it judges by: use `joint-herding` there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from worker.contract.context import Context, seed_of
from worker.contract.method import Cost, Term, method
from worker.kinds.table.dataset import Rows, Table
from worker.kinds.table.delivery import RowsParams, counts_of, picked
from worker.kinds.table.evolution.objective import Objective, one_column_a_class
from worker.kinds.table.evolution.search import KEPT, search
from worker.kinds.table.joint import boosted, opinion, random_features, space_of, standardised
from worker.kinds.table.selection import Picker, herding, medoids, spread
from worker.kinds.table.strata import allocate
from worker.kinds.table.summary import TableSummary

LEAST_ROWS, MOST_A_CLASS, STARTS = 2_000, 50, 4


class EvolvedRowsParams(RowsParams):
    """Parameters of `evolved-rows`."""

    evaluations: int = Field(480, ge=12, le=100_000, description="Sets of rows that are tried.")
    judged_on: int = Field(3_000, ge=50, le=50_000, description="Training rows that a set is judged on.")


@method(
    kind="table",
    task="select",
    name="evolved-rows",
    version=1,
    cost=Cost(
        seconds=(Term(3.0), Term(1.2e-4, {"rows": 1}), Term(1.2e-2, {"params.evaluations": 1})),
    ),
)
def evolved_rows(data: Table, params: EvolvedRowsParams, ctx: Context) -> TableSummary:
    """Real rows found by a search for those that learners of all sorts learn best from."""
    counts, train = counts_of(data, params), data.train
    asked, pool = _judges(data, counts, params.judged_on, ctx)
    if not data.classification:
        train = standardised(train, pool)
    candidates, strata = train.take(pool), data.strata[pool]
    teacher = boosted(candidates, data.classification, ctx)
    classes = len(data.schema.classes)
    judges = train.take(asked)
    wanted = 0.5 * one_column_a_class(judges.y, classes) + 0.5 * opinion(teacher, judges.x, classes)
    objective = Objective(candidates, judges, wanted, classes, seed_of(ctx.seed, "forests"))
    with ctx.part("starts", 0, 10) as part:
        starts = _starts(candidates, strata, counts, teacher, part)
    with ctx.part("search", 1, 2) as part:
        found = search(objective, strata, starts, params.evaluations, part)
    if found.evaluations + KEPT <= found.wanted:
        ctx.warn(f"The search ended with its time limit after {found.evaluations} of {found.wanted} sets.")
    if len(train) < LEAST_ROWS or counts.max() > MOST_A_CLASS:
        ctx.warn(
            f"evolved-rows is for tables of {LEAST_ROWS:,} training rows or more and up to {MOST_A_CLASS} rows a "
            f"class; here are {len(train):,} rows and up to {counts.max()} a class: joint-herding is the safer choice."
        )
    made = picked(
        data, np.sort(pool[found.rows]), "evolved-rows", params,
        teacher="gradient boosting on the training part without the rows that sets are judged on",
        tried=found.evaluations,
    )  # fmt: skip
    return replace(made, origin=replace(made.origin, curve=found.curve), warnings=tuple(ctx.warnings))


def _judges(data: Table, counts: np.ndarray, most: int, ctx: Context) -> tuple[np.ndarray, np.ndarray]:
    """Training rows that sets are judged on, a third at most and of every class its share, and the rest: candidates.
    As many rows of every stratum as the budget needs stay candidates."""
    room = np.bincount(data.strata, minlength=len(counts))
    total = max(int(np.count_nonzero(room)), min(most, len(data.strata) // 3))
    held = np.minimum(allocate(room.astype(float), room, total, "proportional"), room - counts)
    rng = np.random.default_rng(seed_of(ctx.seed, "judges"))
    asked = np.concatenate(
        [rng.permutation(np.flatnonzero(data.strata == at))[: held[at]] for at in np.flatnonzero(room)]
    )
    return np.sort(asked), np.setdiff1d(np.arange(len(data.strata)), asked)


def _starts(rows: Rows, strata: np.ndarray, counts: np.ndarray, teacher: object, ctx: Context) -> list[np.ndarray]:
    """Twelve sets: joint herding, medoids in the joint space and medoids in the features, four of each."""
    joint = space_of(rows.x, teacher)
    found: list[np.ndarray] = []
    for number in range(STARTS):
        features = random_features(joint, np.random.default_rng(seed_of(ctx.seed, f"features {number}")))
        ways: tuple[tuple[str, np.ndarray, Picker], ...] = (
            ("herding", features, herding), ("joint", joint, medoids), ("features", rows.x, medoids),
        )  # fmt: skip
        for at, (name, points, pick) in enumerate(ways):
            with ctx.part(f"{name} {number}", 3 * number + at, 3 * STARTS) as part:
                found.append(spread(points, rows.weight, strata, counts, pick, part))
    return found
