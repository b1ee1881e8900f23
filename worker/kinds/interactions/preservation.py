"""Does a sample rank recommenders as the full data does? (arXiv:2201.04768, section 3)

Every learner of the zoo is tuned and trained on the full data and on samples of it, and tested on the same held-out
users; a sample's score is Kendall's tau-b between the two rankings of the learners. The split is drawn before sampling,
so validation and test users are the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Learner, Trainable, learners_of
from worker.evidence.measurements import TrainedResult, TrainingSet
from worker.evidence.ordering import kendalls
from worker.evidence.statistics import resample, value_of
from worker.evidence.training import Contender, train_all
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import ENCODINGS, arrays, plain_bytes
from worker.kinds.interactions.judge import KIND, EvaluateParams, hold_out, plan_of, readable
from worker.kinds.interactions.picks import Pool
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.sampling.samplers import SAMPLERS, orders

Rows = sparse.csr_array
FULL = "full"


@dataclass(frozen=True)
class Sampled:
    """One sample: `percent` of the events asked for, `events` and `users` that it has."""

    sampler: str
    percent: float
    draw: int
    events: int
    users: int

    @property
    def name(self) -> str:
        """Its name as a training set."""
        return f"{self.sampler} {self.percent:g} {self.draw}"


@dataclass(frozen=True)
class Zoo:
    """What the zoo scored. `scores`: by training set, learner, then metric, one value a test user (n,)."""

    learners: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    samples: tuple[Sampled, ...]
    scores: dict[str, dict[str, dict[str, np.ndarray]]]
    test_users: int
    events: int
    unfinished: str = ""

    def values(self, name: str, metric: str) -> np.ndarray:
        """Mean of a metric for each learner (L,) trained on a set; NaN where one could not be trained or measured."""
        found = self.scores.get(name, {})
        return np.array([_mean(found.get(learner, {}).get(metric)) for learner in self.learners])

    def tau(self, sample: Sampled, metric: str) -> float:
        """Kendall's tau-b between the rankings on the full data and on a sample; see `agreement`."""
        return agreement(self.values(FULL, metric), self.values(sample.name, metric))

    def taus(self, metric: str, *, resamples: int, seed: int) -> np.ndarray:
        """tau of every sample under resamples of the test users (R, samples), the same for all."""
        names = [FULL, *(sample.name for sample in self.samples)]
        columns, place = [], {}
        for name in names:
            for learner in self.learners:
                one = self.scores.get(name, {}).get(learner, {}).get(metric)
                if one is not None:
                    place[name, learner] = len(columns)
                    columns.append(one)
        drawn = resample(columns, resamples=resamples, seed=seed)
        values = {name: self._drawn(drawn, place, name) for name in names}
        full = values[FULL]
        found = np.full((resamples, len(self.samples)), np.nan)
        for column, sample in enumerate(self.samples):
            found[:, column] = agreements(full, values[sample.name])
        return found

    def _drawn(self, drawn: np.ndarray, place: dict[tuple[str, str], int], name: str) -> np.ndarray:
        missing = np.full(len(drawn), np.nan)
        return np.stack(
            [drawn[:, place[name, one]] if (name, one) in place else missing for one in self.learners], axis=1
        )


def agreement(full: np.ndarray, sample: np.ndarray) -> float:
    """tau-b of the rankings of the learners (L,) on the full data and on a sample; see `agreements`."""
    return float(agreements(full[None], sample[None])[0])


def agreements(full: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Kendall's tau-b (R,) of rankings of the learners, row by row (R, L).

    A learner that cannot be trained on the sample stands last there: whoever works with the sample loses it. A sample
    on which all are equal says nothing of their order: 0. NaN where the full data has no order.
    """
    known = np.isfinite(full)
    there = known & np.isfinite(sample)
    lowest = np.where(there, sample, 0.0).min(axis=1, keepdims=True)  # scores are not negative
    tau = kendalls(full, np.where(there, sample, lowest - 1.0))
    ordered = np.where(known, full, -np.inf).max(axis=1) > np.where(known, full, np.inf).min(axis=1)
    return np.where(ordered, np.nan_to_num(tau), np.nan)


def compare(
    data: Interactions,
    samplers: Sequence[str],
    percents: Sequence[float],
    params: EvaluateParams,
    ctx: Context,
    *,
    draws: int = 1,
    epochs: int = 50,
    grid: int = 0,
) -> Zoo:
    """Train the zoo (`params.learners`) on the full data and on samples of `percents` of its training events.

    Random numbers of a sampler follow from `draw`, of which there are `draws`; proxies of SVP-CF take `epochs`. With
    `grid` above 0 a learner is tuned over that many of its settings. Raises `JobError` as judging does, and
    `invalid_input` for fewer than two learners.
    """
    params = readable(data, params, ctx)
    held = hold_out(data, params, ctx)
    everybody = Pool(data, timed=held.in_order is not None).users
    full = everybody.filled()
    whole = Contender(_record(FULL, full), (full,))
    plan = plan_of(data, held, [whole], params, ctx)
    plan = replace(plan, timings=0, learners=[_forgiving(thinned(one, grid)) for one in plan.learners])
    if len(plan.learners) < 2:
        raise JobError(
            "invalid_input",
            "There is no ranking of a single learner.",
            hint="Name at least two learners; the tau of a handful is coarse, so better six or more.",
            pointer="/evaluate/learners",
        )
    events = TrainEvents.of(data)
    with ctx.part("zoo", 0, 1 + draws) as part:
        trained = train_all(plan, part)
    samples: list[Sampled] = []
    results = list(trained.results)
    unfinished = trained.unfinished
    for draw in range(draws):
        with ctx.part(f"draw {draw}", 1 + draw, 1 + draws) as part:
            for sampler, sets in _samples(everybody, events, samplers, percents, draw, epochs, part):
                if unfinished:
                    break
                chosen = replace(plan, contenders=[contender for _, contender in sets])
                # Seeded as on the full data: what differs between two trainings is then the sample's doing.
                with part.part(f"zoo {sampler}", seed=ctx.seed, label=f"judge: {SAMPLERS[sampler].label}") as inner:
                    trained = train_all(chosen, inner)
                samples += [sample for sample, _ in sets]
                results += trained.results
                unfinished = trained.unfinished
    measured = {one.set for one in results}
    names = tuple(one.name for one in plan.learners)
    metrics = [name for name in _names(params) if any(name in one.scores["test"] for one in results)]
    return Zoo(
        names,
        tuple(one.label for one in plan.learners),
        tuple(metrics),
        tuple(one for one in samples if one.name in measured),
        _scores(results),
        len(held.test),
        len(events),
        unfinished,
    )


def zoo_of(params: EvaluateParams, data: Interactions) -> EvaluateParams:
    """The params with the zoo as their learners: those that were named, or every one that the data has features for."""
    if params.learners != type(params).model_fields["learners"].default:
        return params
    known = learners_of(KIND).items()
    able = [name for name, one in known if data.item_features is not None or not one.featured]
    return params.model_copy(update={"learners": able})


def thinned(learner: Learner, most: int) -> Learner:
    """A learner that is tuned over `most` of its settings, spread evenly, and trained once; all of them for 0."""
    if not most or len(learner.settings) <= most:
        return learner
    places = np.linspace(0, len(learner.settings) - 1, most + 2)[1:-1] if most > 1 else [len(learner.settings) // 2]
    chosen = dict.fromkeys(round(float(place)) for place in places)
    return replace(learner, settings=tuple(learner.settings[at] for at in chosen), further=None, seeds=1)


def _forgiving(learner: Learner) -> Learner:
    """The same learner; where its linear algebra fails, on a sample of a few events, it cannot be trained."""
    train = learner.prepare

    def prepare(rows: UserRows, params: EvaluateParams, ctx: Context) -> Trainable:
        try:
            return train(rows, params, ctx)
        except np.linalg.LinAlgError as failure:
            raise JobError("diverged", str(failure)) from failure

    return replace(learner, prepare=prepare)


def _names(params: EvaluateParams) -> list[str]:
    found = [f"{name}@{k}" for name in ("ndcg", "hr", "psp") for k in params.k] + ["auc_user"]
    return sorted(found, key=lambda name: name != params.metric)


def _samples(
    everybody: UserRows,
    events: TrainEvents,
    samplers: Sequence[str],
    percents: Sequence[float],
    draw: int,
    epochs: int,
    ctx: Context,
) -> Iterator[tuple[str, list[tuple[Sampled, Contender]]]]:
    most = round(len(events) * max(percents) / 100)
    for sampler, order in orders(events, samplers, ctx, most=most, epochs=epochs):
        sets = []
        for percent in percents:
            kept = order.events(max(1, round(len(events) * percent / 100)))
            rows = _kept(everybody, events.rows(kept))
            sample = Sampled(sampler, percent, draw, rows.matrix.nnz, len(rows))
            sets.append((sample, Contender(_record(sample.name, rows), (rows,))))
        yield sampler, sets


def _kept(everybody: UserRows, rows: Rows) -> UserRows:
    """Some events (U, I) of all users' rows, with weights and places in time, without users who have none of them."""
    places = None if everybody.places is None else Rows(rows * everybody.places)
    return UserRows(rows, everybody.weights, places, everybody.features).filled()


def _record(name: str, rows: UserRows) -> TrainingSet:
    form = "hard" if rows.weights is None else "weighted"
    size = plain_bytes(arrays(rows, form))
    label, role = ("full data", "full") if name == FULL else (name, "baseline")
    return TrainingSet(name, label, role, len(rows), float(rows.matrix.nnz), size, ENCODINGS[form])


def _scores(results: Sequence[TrainedResult]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Per-user values by set, learner and metric; several trainings of a learner on one set are averaged."""
    found: dict[str, dict[str, dict[str, list[np.ndarray]]]] = {}
    for one in results:
        for metric, values in one.scores["test"].items():
            if isinstance(values, np.ndarray) and values.ndim:
                found.setdefault(one.set, {}).setdefault(one.learner, {}).setdefault(metric, []).append(values)
    return {
        name: {
            learner: {metric: np.mean(runs, axis=0) for metric, runs in metrics.items()}
            for learner, metrics in learners.items()
        }
        for name, learners in found.items()
    }


def _mean(values: np.ndarray | None) -> float:
    return float("nan") if values is None else value_of(values)
