"""Training learners on sets goes on where it was stopped, remembers what it measured, ends when its time does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from worker.contract.context import Checkpoint, Context, Figures
from worker.contract.errors import Cancelled, JobError, TimeOver
from worker.contract.learner import _LEARNERS, Further, Learner, Settings, learner
from worker.evidence.measurements import Metric, Pooled, Ratio, TrainedResult, TrainingSet, Tried
from worker.evidence.packing import pack, unpack
from worker.evidence.training import Contender, Plan, train_all

RNG = np.random.default_rng(0)
TESTED, VALIDATED = RNG.normal(3, 1, 40), RNG.normal(3, 1, 30)


@dataclass
class Shrunken:
    """The toy: the mean of a set, shrunken to 0; at negative strengths it diverges."""

    values: np.ndarray
    noise: float = 0.0

    def fit(self, settings: Settings, ctx: Context) -> float:
        strength = float(settings["strength"])
        FITS.append(strength)
        if strength < 0:
            raise JobError("diverged", "a negative strength")
        return float(self.values.mean()) / (1 + strength) + self.noise


FITS: list[float] = []
PREPARED: list[tuple[int, int]] = []
GRID = ({"strength": 0.0}, {"strength": 0.5}, {"strength": 2.0})


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    FITS.clear()
    PREPARED.clear()
    yield
    for key in [key for key in _LEARNERS if key[0] == "toy"]:
        del _LEARNERS[key]


def toy(name: str = "mean", *, seeds: int = 1, settings: Any = GRID, further: Further | None = None) -> Learner:
    """A learner registered as the contract says: it counts what is trained and adds noise of its seed."""

    @learner(kind="toy", name=name, label=name.title(), seeds=seeds, settings=settings, further=further)
    def prepare(values: np.ndarray, params: Any, ctx: Context) -> Shrunken:
        PREPARED.append((len(values), ctx.seed))
        return Shrunken(values, float(ctx.rng.normal(0, 0.01)) if seeds > 1 else 0.0)

    return _LEARNERS["toy", name]


def contender(name: str, role: Any, *draws: np.ndarray) -> Contender:
    return Contender(TrainingSet(name, f"the {name} set", role, len(draws[0]), len(draws[0]), 8 * len(draws[0])), draws)


def sets() -> list[Contender]:
    """In another order than that in which they are needed."""
    return [
        contender("as-bytes", "form", np.array([2.0, 2.5])),
        contender("picks", "baseline", np.array([1.0, 2.0]), np.array([4.0, 5.0])),
        contender("summary", "summary", np.array([2.9, 3.1])),
        contender("full", "full", np.arange(1.0, 7.0)),
    ]


def errors(units: np.ndarray) -> Callable[[float], np.ndarray]:
    return lambda model: np.abs(units - model)


def plan(*learners: Learner, validation: bool = True, **changes: Any) -> Plan:
    made = Plan(
        learners=learners or (toy(),),
        contenders=sets(),
        metric=Metric("error", "error", higher_is_better=False),
        params=None,
        validator=(lambda trainable: errors(VALIDATED)) if validation else None,
        measure=lambda model: {"test": {"error": errors(TESTED)(model)}},
        digest=lambda values: values.tobytes().hex(),
        basis={"tested": 40},
        code="1",
        timings=0,
    )
    return replace(made, **changes)


class Stopping(Context):
    """Raises at its n-th word of progress, as when the process is killed or the time is over; keeps its points."""

    def __init__(self, after: int, failure: type[BaseException], points: Mapping[str, Checkpoint] | None = None):
        super().__init__(_points=dict(points or {}))
        self.left, self.failure, self.saved = after, failure, {}

    def report_progress(self, *_: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.failure

    def save_checkpoint(self, points: Mapping[str, Checkpoint]) -> None:
        self.saved = dict(points)


class Later(Context):
    """A context of a job that comes after one that succeeded."""

    def __init__(self, earlier: Context, **fields: Any) -> None:
        super().__init__(**fields)
        self.known = {key: Figures(one.arrays, one.state, "job_1") for key, one in earlier._figures.items()}

    def earlier_figures(self) -> Mapping[str, Figures]:
        return self.known


def names(results: tuple[TrainedResult, ...]) -> list[tuple[str, str, int, int]]:
    return [(one.learner, one.set, one.draw, one.seed) for one in results]


def without_times(result: TrainedResult) -> tuple[Any, ...]:
    arrays, state = pack(replace(result, fit_s=(), tune_s=0, predict_s=0, peak_mb=0))
    return state, {name: array.tolist() for name, array in arrays.items()}


def same(one: tuple[TrainedResult, ...], other: tuple[TrainedResult, ...]) -> bool:
    return [without_times(result) for result in one] == [without_times(result) for result in other]


def test_every_learner_set_draw_and_seed_is_a_part_with_its_result_as_resume_point() -> None:
    ctx = Context()
    trained = train_all(plan(toy("a"), toy("b", seeds=2)), ctx)
    assert trained.unfinished == ""
    expected = {("a", name, draw, 0) for name, draw in FIVE} | {("b", n, d, s) for n, d in FIVE for s in (0, 1)}
    assert set(names(trained.results)) == expected
    assert len(trained.results) == 15
    assert {path.lstrip("/") for path in ctx._points} == {f"{a} {b} {c} {d}" for a, b, c, d in expected}
    assert all(point.done for point in ctx._points.values())


FIVE = [("full", 0), ("summary", 0), ("picks", 0), ("picks", 1), ("as-bytes", 0)]


def test_what_is_needed_most_is_trained_first() -> None:
    trained = train_all(plan(toy("a"), toy("b")), Context())
    order = [one.set for one in trained.results]
    assert sorted(order[:4]) == ["full", "full", "summary", "summary"]
    assert order[4:] == ["picks"] * 4 + ["as-bytes"] * 2


def test_settings_are_chosen_on_validation_data_and_every_one_tried_is_kept() -> None:
    full = next(one for one in train_all(plan(), Context()).results if one.set == "full")
    assert [one.settings for one in full.tried] == list(GRID)
    by_hand = {s["strength"]: np.abs(VALIDATED - 3.5 / (1 + s["strength"])).mean() for s in GRID}
    assert full.chosen == {"strength": min(by_hand, key=by_hand.get)}
    assert full.validation == pytest.approx(min(by_hand.values()))
    best = 3.5 / (1 + full.chosen["strength"])
    np.testing.assert_array_equal(full.scores["test"]["error"], np.abs(TESTED - best))
    assert full.tune_s >= full.fit_s[0] > 0


def test_one_training_is_timed_again_on_the_sides_whose_costs_are_compared_and_changes_nothing_else() -> None:
    once, often = train_all(plan(), Context()), train_all(plan(timings=3), Context())
    assert same(once.results, often.results)
    assert {r.set: len(r.fit_s) for r in often.results} == {"full": 4, "summary": 4, "picks": 1, "as-bytes": 1}
    assert all(seconds > 0 for r in often.results for seconds in r.fit_s)
    twice = train_all(plan(toy("noisy", seeds=2), timings=3), Context())
    assert [len(r.fit_s) for r in twice.results if r.set == "full"] == [4, 1]


def test_time_that_ends_while_timing_again_loses_nothing_that_was_measured() -> None:
    class Over(Context):
        def report_progress(self, step: int, total: int, *rest: Any) -> None:
            if total == 3:  # the three timings; nothing else here has as many steps
                raise TimeOver

    trained = train_all(plan(timings=3), Over())
    assert trained.unfinished == ""
    assert same(trained.results, train_all(plan(), Context()).results)
    assert {len(r.fit_s) for r in trained.results} == {1}


def test_equal_settings_go_to_the_earlier_one() -> None:
    one = toy(settings=({"strength": 0.5, "name": "first"}, {"strength": 0.5, "name": "second"}))
    assert {result.chosen["name"] for result in train_all(plan(one), Context()).results} == {"first"}


def test_learner_that_goes_on_beyond_its_settings_is_asked_with_what_was_tried() -> None:
    seen: list[list[tuple[float, float]]] = []

    def once(tried: Any) -> Settings | None:
        seen.append([(settings["strength"], worth) for settings, worth in tried])
        return {"strength": 0.1} if len(tried) == 3 else None

    trained = train_all(plan(toy(further=once), contenders=sets()[-1:]), Context())
    assert [one.settings["strength"] for one in trained.results[0].tried] == [0.0, 0.5, 2.0, 0.1]
    assert [len(one) for one in seen] == [3, 4]
    assert all(worth < 0 for _, worth in seen[-1]), "more is better, so an error is worth its negative"


@pytest.mark.parametrize("after", range(1, 20, 3))
def test_training_killed_anywhere_goes_on_at_the_part_where_it_was(after: int) -> None:
    undisturbed = train_all(plan(), Context()).results
    FITS.clear()
    PREPARED.clear()
    killed = Stopping(after, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        train_all(plan(), killed)
    finished = len(killed.saved)
    assert finished < 5
    begun = len(PREPARED)
    resumed = train_all(plan(), Context(_points=dict(killed.saved)))
    assert same(resumed.results, undisturbed)
    assert len(PREPARED) - begun == 5 - finished
    assert begun in (finished, finished + 1)


def test_resume_point_of_another_plan_is_not_taken_for_this_one() -> None:
    ctx = Context()
    train_all(plan(), ctx)
    train_all(plan(basis={"tested": 41}), ctx)
    assert len(PREPARED) == 10


def test_later_job_trains_nothing_that_an_earlier_one_measured_and_names_it() -> None:
    first = Context(content="c")
    measured = train_all(plan(), first).results
    PREPARED.clear()
    mine = contender("summary", "summary", np.array([2.0, 4.4, 3.0]))
    others = [mine, *(one for one in sets() if one.record.name != "summary")]
    again = train_all(plan(contenders=others), Later(first, content="c"))
    assert [rows for rows, _ in PREPARED] == [3]
    assert {one.set: one.job for one in again.results} == {
        "full": "job_1", "picks": "job_1", "as-bytes": "job_1", "summary": "",
    }  # fmt: skip
    full = next(one for one in again.results if one.set == "full")
    assert same((replace(full, job=""),), tuple(one for one in measured if one.set == "full"))


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({"content": "other"}, {}),
        ({"content": "c", "seed": 1}, {}),
        ({"content": "c", "device": "cuda"}, {}),
        ({"content": "c"}, {"code": "2"}),
        ({"content": "c"}, {"basis": {"tested": 41}}),
    ],
)
def test_figures_of_other_data_seeds_devices_code_or_protocols_are_not_used(fields: Any, changes: Any) -> None:
    first = Context(content="c")
    train_all(plan(), first)
    PREPARED.clear()
    again = train_all(plan(**changes), Later(first, **fields))
    assert len(PREPARED) == 5
    assert {one.job for one in again.results} == {""}


def test_figures_of_another_version_of_a_learner_are_not_used() -> None:
    first = Context(content="c")
    one = toy()
    train_all(plan(one), first)
    PREPARED.clear()
    train_all(plan(replace(one, version=2)), Later(first, content="c"))
    assert len(PREPARED) == 5


def test_equal_rows_under_another_name_are_recalled_as_what_they_are_now() -> None:
    first = Context(content="c")
    train_all(plan(), first)
    PREPARED.clear()
    renamed = [contender("full", "full", np.arange(1.0, 7.0)), contender("x", "summary", np.array([4.0, 5.0]))]
    again = train_all(plan(contenders=renamed), Later(first, content="c"))
    assert not PREPARED
    assert names(again.results) == [("mean", "full", 0, 0), ("mean", "x", 0, 0)]


@pytest.mark.parametrize("after", [5, 9, 14, 19])
def test_time_that_ends_in_the_middle_gives_what_was_measured_and_says_so(after: int) -> None:
    full = names(train_all(plan(), Context()).results)
    trained = train_all(plan(), Stopping(after, TimeOver))
    done = len(trained.results)
    assert 1 <= done < 5
    assert names(trained.results) == full[:done]
    assert trained.unfinished == f"judging ended with its time limit after {done} of 5 trainings"


def test_time_that_ends_before_anything_was_measured_raises() -> None:
    with pytest.raises(TimeOver):
        train_all(plan(), Stopping(2, TimeOver))


def test_stop_is_obeyed_at_the_next_progress() -> None:
    ctx = Context()
    ctx.stop()
    with pytest.raises(Cancelled):
        train_all(plan(), ctx)
    assert not FITS


def test_settings_at_which_a_learner_diverges_are_left_out() -> None:
    trained = train_all(plan(toy(settings=({"strength": -1.0}, {"strength": 0.2}))), Context())
    assert len(trained.results) == 5
    assert {len(one.tried) for one in trained.results} == {1}
    assert {one.chosen["strength"] for one in trained.results} == {0.2}


def test_setting_with_a_validation_metric_that_is_no_number_is_left_out() -> None:
    def validator(trainable: Any) -> Callable[[float], np.ndarray]:
        return lambda model: np.abs(VALIDATED - model) if model < 3.4 else np.full(30, math.nan)

    full = train_all(plan(validator=validator, contenders=sets()[-1:]), Context()).results[0]
    assert [one.settings["strength"] for one in full.tried] == [0.5, 2.0]
    assert full.chosen in ({"strength": 0.5}, {"strength": 2.0})


def test_learner_that_cannot_be_trained_on_a_form_is_said_so_of_the_summary() -> None:
    (*_, last) = sets()
    form = replace(last, record=replace(last.record, name="hard", label="as hard rows", role="form", of="summary"))
    ctx = Context()
    train_all(plan(toy("bad", settings=({"strength": -1.0},)), toy(), contenders=[*sets(), form]), ctx)
    assert any(text.startswith("Bad could not be trained on the summary as hard rows: ") for text in ctx.warnings)


def test_learner_that_diverges_everywhere_is_left_out_with_a_warning_also_after_a_resume() -> None:
    bad = toy("bad", settings=({"strength": -1.0}, {"strength": -2.0}))
    ctx = Context()
    trained = train_all(plan(bad, toy()), ctx)
    assert {one.learner for one in trained.results} == {"mean"}
    said = [text for text in ctx.warnings if text.startswith("Bad could not be trained on the full set: ")]
    assert len(said) == 1
    tries = len(FITS)
    resumed = Context(_points=dict(ctx._points))
    assert same(train_all(plan(bad, toy()), resumed).results, trained.results)
    assert resumed.warnings == ctx.warnings
    assert len(FITS) == tries


def test_failure_that_is_no_divergence_ends_the_job() -> None:
    def broken(model: float) -> Any:
        raise JobError("invalid_input", "not ours to swallow")

    with pytest.raises(JobError, match="not ours"):
        train_all(plan(measure=broken), Context())


def test_seeds_of_a_learner_are_the_same_on_every_set_and_differ_from_each_other() -> None:
    trained = train_all(plan(toy("noisy", seeds=3)), Context(seed=7))
    by_set = {seed for _, seed in PREPARED}
    assert len(by_set) == 3
    assert len(PREPARED) == 15
    assert {rows for rows, seed in PREPARED if seed == 7} == {6, 2}, "the first seed is the job's own"
    full = [one.scores["test"]["error"].mean() for one in trained.results if one.set == "full"]
    assert len(set(full)) == 3


def test_without_validation_data_the_middle_settings_are_taken_with_a_warning() -> None:
    ctx = Context()
    trained = train_all(plan(validation=False), ctx)
    assert {one.chosen["strength"] for one in trained.results} == {0.5}
    assert {one.validation for one in trained.results} == {None}
    assert {one.tried for one in trained.results} == {()}
    assert ctx.warnings == ["There is no validation data: Mean was trained at a default, not at tuned settings."]
    fixed = Context()
    train_all(plan(toy("fixed", settings=({"strength": 1.0},)), validation=False), fixed)
    assert not fixed.warnings, "nothing was there to tune"


def test_result_with_scores_of_every_form_comes_back_from_its_arrays() -> None:
    result = TrainedResult(
        "mean", "full", 1, 2,
        {"test": {
            "mean": TESTED,
            "ratio": Ratio(TESTED, TESTED + 1),
            "auc": Pooled("auc", {"label": np.array([0, 1]), "score": np.array([0.1, 0.9])}),
            "value": 0.25,
        }},
        (Tried({"strength": 1.0}, VALIDATED), Tried({"strength": 2.0}, 0.5)),
        {"strength": 1.0}, 0.3, (1.0, 1.5), 2.0, 3.0, 4.0,
    )  # fmt: skip
    arrays, state = pack(result)
    back = unpack(arrays, state, "job_9")
    assert back.job == "job_9"
    assert back.fit_s == (1.0, 1.5)
    assert without_times(replace(back, job="")) == without_times(result)
    assert isinstance(back.scores["test"]["ratio"], Ratio)
    assert isinstance(back.scores["test"]["auc"], Pooled)
    assert back.tried[1].validation == 0.5
