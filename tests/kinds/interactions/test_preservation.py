"""How well samples keep the ranking of recommenders: the taus, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.kinds.interactions.power_law import World
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import learners_of
from worker.evidence.report import build
from worker.kinds.interactions import preservation_report
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.judge import EvaluateParams, evaluate_params
from worker.kinds.interactions.methods.rank_preservation import RankPreservationParams, rank_preservation
from worker.kinds.interactions.preservation import FULL, Sampled, Zoo, agreement, compare, thinned, zoo_of

PERCENTS = (100 - 1e-9, 50.0, 10.0)


def params(*learners: str) -> EvaluateParams:
    return evaluate_params()(learners=list(learners), k=[10], bootstrap=100, tune_users=100)


@pytest.fixture(scope="module")
def data() -> Interactions:
    return World(users=250, items=80, mean_events=14, tastes=6).interactions(2)


@pytest.fixture(scope="module")
def zoo(data: Interactions) -> Zoo:
    samplers = ["random-users", "random-interactions", "head-items", "svp-cf-bias-user"]
    return compare(
        data, samplers, PERCENTS, params("popularity", "ease", "item-knn"), Context(seed=1), epochs=3, grid=2
    )


def made_up(values: dict[str, list[float]], users: int = 60) -> Zoo:
    """Scores of four learners without noise: `full` and samples of one event each."""
    learners = ("a", "b", "c", "d")
    scores = {
        name: {one: {"ndcg@10": np.full(users, value)} for one, value in zip(learners, row, strict=True)}
        for name, row in values.items()
    }
    samples = tuple(
        Sampled(*name.rsplit(" ", 2)[:1], float(name.split()[1]), 0, 5, 5) for name in values if name != FULL
    )
    return Zoo(learners, learners, ("ndcg@10",), samples, scores, users, 100)


def test_everything_ranks_as_itself_and_every_sample_is_measured_on_the_same_users(zoo: Zoo) -> None:
    assert len(zoo.samples) == 12
    whole = [one for one in zoo.samples if one.percent > 99]
    assert {one.sampler for one in whole} == {"random-users", "random-interactions", "head-items", "svp-cf-bias-user"}
    for sample in whole:
        assert sample.events == zoo.events
        assert np.allclose(zoo.values(sample.name, "ndcg@10"), zoo.values(FULL, "ndcg@10"))
        for metric in zoo.metrics:
            assert zoo.tau(sample, metric) == 1
    sizes = {len(values) for one in zoo.scores.values() for learner in one.values() for values in learner.values()}
    assert sizes == {zoo.test_users}


def test_taus_under_resamples_are_paired_and_one_for_everything(zoo: Zoo) -> None:
    drawn = zoo.taus("ndcg@10", resamples=50, seed=0)
    assert drawn.shape == (50, 12)
    for at, sample in enumerate(zoo.samples):
        if sample.percent > 99:
            assert (drawn[:, at] == 1).all()


def test_agreement_counts_a_learner_that_cannot_be_trained_as_last() -> None:
    full = np.array([1.0, 2, 3, 4])
    assert agreement(full, np.array([np.nan, 2, 3, 4])) == 1
    assert agreement(full, np.array([1, 2, 3, np.nan])) == 0
    assert agreement(full, np.full(4, 0.5)) == 0, "no order at all says nothing"
    assert np.isnan(agreement(np.full(4, 0.5), full)), "there is nothing to keep"


def test_a_thinned_learner_is_tuned_over_settings_from_all_of_its_grid() -> None:
    ease = learners_of("interactions")["ease"]
    few = thinned(ease, 3)
    assert len(few.settings) == 3
    assert few.further is None
    places = [ease.settings.index(one) for one in few.settings]
    assert places == sorted(places)
    assert places[0] < len(ease.settings) / 2 < places[-1]
    assert thinned(ease, 0) is ease


def test_the_zoo_is_every_learner_unless_some_are_named(data: Interactions) -> None:
    known = list(learners_of("interactions"))
    known.remove("attention-item-features")  # the data has no features
    assert zoo_of(evaluate_params()(), data).learners == known
    assert zoo_of(params("ease", "popularity"), data).learners == ["ease", "popularity"]


def test_a_sampler_far_ahead_of_random_ones_is_called_ahead_and_random_ones_cheap_picks() -> None:
    order, reverse = [0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]
    ahead = made_up({FULL: order, "head-users 10 0": order, "random-users 10 0": reverse})
    found = preservation_report.findings(ahead, "ndcg@10", 3, (), resamples=100, seed=0)
    assert found.verdict.status == "ahead"
    assert found.verdict.value == 1
    assert found.verdict.details["sampler"] == "head-users"
    cheap = made_up({FULL: order, "head-users 10 0": reverse, "random-users 10 0": order})
    assert preservation_report.findings(cheap, "ndcg@10", 3, (), resamples=100, seed=0).verdict.status == "cheap_pick"
    flat = made_up({FULL: [0.1] * 4, "random-users 10 0": order})
    none = preservation_report.findings(flat, "ndcg@10", 3, (), resamples=100, seed=0)
    assert none.verdict.status == "undetermined"
    assert none.title == "No ranking to keep"


def test_the_headline_names_the_smallest_size_down_to_which_the_best_sampler_is_good() -> None:
    order, reverse = [0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]
    gap = made_up(
        {FULL: order, "head-users 50 0": order, "head-users 20 0": reverse, "head-users 5 0": order,
         "random-users 50 0": reverse, "random-users 20 0": reverse, "random-users 5 0": reverse}
    )  # fmt: skip
    found = preservation_report.findings(gap, "ndcg@10", 3, (), resamples=100, seed=0)
    assert found.title.startswith("50 % of the events keep the ranking")
    (table,) = (one for one in found.tables if one.name == "tau")
    assert all(row[f"at_{size}_low"] <= row[f"at_{size}"] <= row[f"at_{size}_high"]
               for row in table.rows for size in (50, 20, 5))  # fmt: skip


def test_the_headline_claims_no_ranking_that_its_interval_does_not_show() -> None:
    order, reverse = [0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]
    sharp = made_up({FULL: order, "head-users 50 0": order, "random-users 50 0": reverse})
    rng = np.random.default_rng(0)
    noisy = {
        name: {
            one: {"ndcg@10": values["ndcg@10"] + (noise := rng.normal(0, 2, 60)) - noise.mean()}
            for one, values in of.items()
        }
        for name, of in sharp.scores.items()
    }
    found = preservation_report.findings(replace(sharp, scores=noisy), "ndcg@10", 3, (), resamples=100, seed=0)
    assert "50 % of the events may keep the ranking, which is not shown (tau 1.00 [" in found.title


def test_method_reports_the_table_of_samplers_and_sizes_with_plots(data: Interactions) -> None:
    ctx = Context(seed=1)
    ctx.evaluate = params("popularity", "ease", "item-knn")
    asked = RankPreservationParams(samplers=["random-users", "head-users"], sizes=[50, 10], grid=2)
    report = build(rank_preservation(data, asked, ctx), {"method": "rank-preservation", "seed": 1})
    tables = {one["name"]: one for one in report.json["tables"]}
    assert {row["name"] for row in tables["tau"]["rows"]} == {"random-users", "head-users"}
    assert len(tables["samples"]["rows"]) == 4
    for row in tables["samples"]["rows"]:
        assert -1 <= row["tau_low"] <= row["tau"] <= row["tau_high"] <= 1
    assert {plot["name"] for plot in report.json["plots"]} == {"tau", "heat", "means"}
    assert any("moves in steps" in text for text in report.json["warnings"])


def test_a_zoo_of_one_is_refused(data: Interactions) -> None:
    with pytest.raises(JobError) as refused:
        compare(data, ["random-users"], [10.0], params("ease"), Context())
    assert refused.value.pointer == "/evaluate/learners"
