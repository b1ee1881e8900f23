"""Choose real histories and weights for them so that a recommender learns from few bytes what all users teach.

Equal rows are merged and counted; of the distinct ones a pursuit picks those that bring EASE's weights nearest to what
they are on all users, for the bytes they take (`worker.kinds.interactions.pursuit`); then the weights are refined. It
is strong where rows are short and repeat; where rows are long it picks heavy users, and learned rows do better.

With n distinct rows over I items: O(I^3 + n events I) for the metric, O(m^2 I) for its matrix over m = min(n,
`candidates`) of them, 4 m^2 bytes. The metric is taken over the most popular `max_items` items; rows stay whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.budget import Budget, fills_bytes, resolve, resolve_bytes
from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.interactions import pursuit
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.histories import Histories
from worker.kinds.interactions.learners.ease import RIDGES, EaseGram
from worker.kinds.interactions.metrics import Ranking
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.summary import InteractionsSummary

Rows = pursuit.Rows
VALIDATION_USERS = 1000
DEFAULT_RIDGE = 50.0
FEW_EVENTS = 500
REFINED_ITEMS = 1000  # a step of refining inverts items x items


class CoresetParams(BaseModel):
    """Parameters of `coreset`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = Field(
        "2%", **fills_bytes('A share of the bytes of the source ("2%"), bytes ("3200B"), or rows (500).')
    )
    ridge: float | None = Field(
        None, gt=0, le=1e6, description="Ridge of EASE on the full data; left out: the best on validation users."
    )
    smoothing: float = Field(30.0, ge=1, le=1000, description="Ridge of the pursuit's metric over that ridge.")
    candidates: int = Field(10_000, ge=100, le=20_000, description="Distinct rows that the pursuit looks at.")
    max_items: int = Field(5000, ge=5, le=10_000, description="Most popular items that the metric looks at.")
    refine: bool = Field(True, description=f"Refine the weights (up to {REFINED_ITEMS:,} items).")


# Measured on MSWeb (8,552 distinct rows, 285 items: 11 s) and Magazine (1,677, 1,305: 18 s).
COST = Cost(
    seconds=(Term(2.0), Term(1e-10, {"users": 1, "items": 2}), Term(1e-8, {"items": 3}), Term(5e-5, {"users": 1})),
    memory_mb=(Term(400.0), Term(4e-5, {"items": 2}), Term(2e-3, {"events": 1})),
)


@method(kind="interactions", task="select", name="coreset", version=1, memory_mb=3072, cost=COST)
def coreset(data: Interactions, params: CoresetParams, ctx: Context) -> InteractionsSummary:
    """Real histories with weights, chosen so that EASE learns from them what it learns from all."""
    histories = Histories.of(data)
    steps = _Steps(ctx)
    rows = over_popular_items(histories, params.max_items)
    ridge = params.ridge or tuned_ridge(data, histories.source, rows.items, steps)
    prices, budget = priced(histories, params.budget)
    gram = pursuit.weighted_gram(rows.matrix, rows.mass)
    steps.say("metric")
    metric = pursuit.EaseMetric.of(gram, params.smoothing * ridge)
    pull, norm = metric.towards(rows.matrix, steps.tick)
    among = pursuit.candidates(pull, norm, prices, params.candidates)
    steps.say("matrix")
    matrix = metric.matrix(Rows(rows.matrix[among]), steps.tick)
    steps.say("pursuit")
    chosen, weights = pursuit.pursue(matrix, pull[among], prices[among], budget, steps.tick)
    chosen = among[chosen]
    refined = params.refine and rows.items <= REFINED_ITEMS and len(chosen) > 0
    if refined:
        steps.say("refine")
        weights = pursuit.refine(Rows(rows.matrix[chosen]), weights, gram, ridge, steps.tick)
    if not len(chosen):
        ctx.warn("No history alone brings EASE nearer to the full data: the most frequent ones were taken.")
        order = histories.by_frequency()
        chosen = order[: np.searchsorted(np.cumsum(prices[order]), budget, side="right")]
        weights = rows.mass[chosen]
    once = int((rows.mass[chosen] == 1).sum())
    if once:
        ctx.warn(f"Rows that are the history of one user alone, whole and as it is: {once} of {len(chosen)}.")
    settings: dict[str, Any] = params.model_dump() | {
        "ridge": ridge, "refine": refined, "distinct": len(rows), "looked_at": len(among), "metric_items": rows.items,
    }  # fmt: skip
    return histories.summary(data, chosen, weights, "coreset", settings, ctx, optimised_for="ease")


class _Steps:
    """Progress of work whose steps are not counted beforehand; where a cancelled job stops."""

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.phase, self.step = ctx, "ridge", 0

    def say(self, phase: str) -> None:
        self.phase = phase
        self.tick()

    def tick(self) -> None:
        self.step += 1
        self.ctx.progress(self.step, self.step + 50, phase=self.phase)


def priced(histories: Histories, budget: int | str) -> tuple[np.ndarray, int]:
    """What each history (d,) costs, and how much may be spent: bytes, or rows where the budget is a number of them."""
    least = histories.fixed_bytes + int(histories.prices.min())
    size = resolve_bytes(budget, total_bytes=histories.source_bytes, lowest=least)
    if size is not None:
        return histories.prices, size - histories.fixed_bytes
    return np.ones(len(histories.rows), np.int64), resolve(
        budget, total_units=len(histories.rows) + 1, bytes_per_unit=1.0
    )


def over_popular_items(histories: Histories, most: int) -> UserRows:
    """The histories over the `most` items with most events, in the order of their numbers; all when there are fewer."""
    rows = histories.rows
    if rows.items <= most:
        return rows
    columns = np.sort(np.argsort(-rows.counts, kind="stable")[:most])
    return UserRows(Rows(rows.matrix[:, columns]), rows.weights)


def tuned_ridge(data: Interactions, source: UserRows, items: int, steps: _Steps) -> float:
    """The ridge at which EASE on all rows does best (nDCG@10) for at most 1,000 validation users with 500 events."""
    queries = data.queries("validation").with_targets()
    if queries.targets.nnz < FEW_EVENTS:  # the choice would be noise, and the pursuit depends on it
        steps.ctx.warn(f"Few validation events: the ridge of EASE was taken as {DEFAULT_RIDGE:g} (parameter ridge).")
        return DEFAULT_RIDGE
    if len(queries) > VALIDATION_USERS:
        drawn = np.random.default_rng([steps.ctx.seed, 8]).choice(len(queries), VALIDATION_USERS, replace=False)
        queries = queries.take(np.sort(drawn))
    columns = np.sort(np.argsort(-source.counts, kind="stable")[:items])
    users = Ranking.of(queries, source.counts, (10,), auc=False, share=True)
    training = EaseGram.of(Rows(source.scaled()[:, columns]), steps.ctx.device)
    found: list[tuple[float, float]] = []
    for ridge in RIDGES:
        steps.tick()
        model = training.fit(ridge)
        found.append((float(users.measure(_over_all(model.scores, columns, source.items))["ndcg@10"].mean()), -ridge))
    return -max(found)[1]


def _over_all(scores: Callable[[Rows], np.ndarray], columns: np.ndarray, items: int) -> Callable[[Rows], np.ndarray]:
    """Scores of some items as scores of all, the others last."""
    if len(columns) == items:
        return scores

    def wide(inputs: Rows) -> np.ndarray:
        out = np.full((inputs.shape[0], items), -np.inf, np.float32)
        out[:, columns] = scores(Rows(inputs[:, columns]))
        return out

    return wide
