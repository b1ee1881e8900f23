"""Data-Genie: what it sees, what it learns, what it says, and when it says that it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.kinds.interactions.power_law import World
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.report import build
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.genie import model as genie
from worker.kinds.interactions.genie.features import NAMES, features, hop_plot, singular_values
from worker.kinds.interactions.genie.model import FILE, METRICS, Corpus, Genie, Scale, shipped
from worker.kinds.interactions.genie.training import fit, left_out
from worker.kinds.interactions.methods.data_genie import DataGenieParams, data_genie
from worker.kinds.interactions.sampling.nodes import random_users
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.sampling.samplers import SAMPLERS
from worker.kinds.interactions.sampling.walks import Graph

STEPS = 100


@pytest.fixture(scope="module")
def data() -> Interactions:
    return World(users=400, items=120, mean_events=14, drift=0.2).interactions(3)


@pytest.fixture(scope="module")
def events(data: Interactions) -> TrainEvents:
    return TrainEvents.of(data)


def planted(datasets: int = 6, seed: int = 0) -> Corpus:
    """Datasets of two sorts: on the one `head-users` keep the ranking, on the other `random-users` do."""
    rng = np.random.default_rng(seed)
    samplers = tuple(SAMPLERS)
    sort = np.arange(datasets) % 2
    full = rng.normal(0, 0.3, (datasets, len(NAMES))) + 2.0 * sort[:, None]
    dataset, sampler, percent = (
        axis.ravel() for axis in np.meshgrid(range(datasets), range(len(samplers)), (10.0, 40.0), indexing="ij")
    )
    good = np.where(sort[dataset] == 0, samplers.index("head-users"), samplers.index("random-users"))
    tau = np.where(sampler == good, 0.9, 0.3)[:, None] + rng.normal(0, 0.03, (len(dataset), len(METRICS)))
    sample = full[dataset]
    names = tuple(f"set {number}" for number in range(datasets))
    return Corpus(names, samplers, full, dataset, sampler, percent, sample, np.clip(tau, -1, 1))


@pytest.fixture(scope="module")
def trained() -> Genie:
    return fit(planted(), steps=STEPS)


def test_features_of_everything_are_those_of_the_dataset(events: TrainEvents) -> None:
    assert len(NAMES) == 55
    whole = features(events, validation=3, test=4)
    assert np.array_equal(whole, features(events, np.ones(len(events), bool), validation=3, test=4))
    assert np.isfinite(whole).all()
    assert whole[2] == pytest.approx(np.log1p(len(events)))
    part = features(events, random_users(events, np.random.default_rng(0)).events(len(events) // 5))
    assert part[2] == pytest.approx(np.log1p(len(events) // 5), abs=0.05)
    assert part.shape == whole.shape


def test_features_do_not_depend_on_who_is_called_what(data: Interactions, events: TrainEvents) -> None:
    rng = np.random.default_rng(0)
    users, items = rng.permutation(data.n_users), rng.permutation(data.n_items)
    old = data.events
    other = Interactions.from_columns(
        users[old.user], items[old.item], old.split, user_ids=data.user_ids, item_ids=data.item_ids
    )
    assert np.allclose(features(events), features(TrainEvents.of(other)), atol=1e-8)


def test_features_of_no_events_at_all_are_finite(events: TrainEvents) -> None:
    assert np.isfinite(features(events, np.zeros(len(events), bool))).all()


def test_hop_plot_of_a_path_counts_what_is_near() -> None:
    """u0 - i0 - u1 - i1 - u2: five nodes in a row."""
    path = TrainEvents.of(Interactions.from_columns(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), np.zeros(4)))
    hops = hop_plot(Graph.of(path))
    assert hops[:4] == pytest.approx([13 / 5, 19 / 5, 23 / 5, 5])
    assert (hops[4:] == 5).all()


def test_singular_values_are_the_largest_ones(events: TrainEvents) -> None:
    rows = events.rows()
    assert np.allclose(singular_values(rows), np.linalg.svd(rows.toarray(), compute_uv=False)[:50][::-1], atol=1e-6)
    wide = World(users=900, items=800, mean_events=8).interactions(0).train
    wide = wide[np.flatnonzero(np.diff(wide.indptr))]
    assert np.allclose(
        np.sort(singular_values(wide)), np.linalg.svd(wide.toarray(), compute_uv=False)[:50][::-1], rtol=1e-3
    )


def test_features_of_the_training_set_have_mean_0_and_spread_1() -> None:
    corpus = planted()
    scaled = Scale.of(corpus).scaled(corpus.sample)
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-9)
    assert np.allclose(scaled.std(axis=0), 1)


def test_predictions_are_taus_and_of_two_samplers_one_is_better_as_much_as_the_other_is_worse(trained: Genie) -> None:
    rng = np.random.default_rng(0)
    strange = rng.normal(0, 50, (36, len(NAMES)))
    sampler, percent = np.arange(36) % 18, np.full(36, 10.0)
    tau = trained.tau(strange[0], strange, sampler, percent)
    assert tau.shape == (36, 4)
    assert (np.abs(tau) <= 1).all()
    score = trained.scores("bpr", strange[0], strange, sampler, percent)
    ahead = 1 / (1 + np.exp(score[:, 1] - score[:, 0]))
    behind = 1 / (1 + np.exp(score[:, 0] - score[:, 1]))
    assert np.allclose(ahead + behind, 1)


@pytest.mark.parametrize("mode", genie.MODES)
def test_on_datasets_left_out_it_picks_the_sampler_that_suits_their_sort(mode: genie.Mode) -> None:
    corpus = planted()
    found = left_out(corpus, [[0], [1]], mode=mode, steps=300)
    assert np.isnan(found[corpus.dataset > 1]).all()
    for dataset, right in ((0, "head-users"), (1, "random-users")):
        for percent in (10.0, 40.0):
            rows = np.flatnonzero((corpus.dataset == dataset) & (corpus.percent == percent))
            picks = corpus.sampler[rows[np.argmax(found[rows], axis=0)]]
            assert [corpus.samplers[pick] for pick in picks] == [right] * len(METRICS)


def test_interval_holds_the_asked_share_of_left_out_taus_and_strangers_are_told(trained: Genie) -> None:
    corpus = planted()
    missed = np.abs(left_out(corpus, [[one] for one in range(6)], steps=STEPS) - corpus.tau)
    inside = missed <= trained.half_width(corpus.percent)[:, None]
    assert inside.mean() == pytest.approx(genie.COVERED, abs=0.01)
    assert not any(trained.unlike(one) for one in corpus.full)
    assert trained.unlike(corpus.full[0] + 20)


def test_a_model_comes_back_from_its_file_as_it_was(trained: Genie, tmp_path: Path) -> None:
    for name in ("one", "two"):
        trained.write(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again = Genie.read(tmp_path / "one")
    corpus = planted()
    asked = (corpus.full[corpus.dataset], corpus.sample, corpus.sampler, corpus.percent)
    assert np.array_equal(again.tau(*asked), trained.tau(*asked))
    assert (again.samplers, again.names, again.reach) == (trained.samplers, trained.names, trained.reach)


def test_the_model_that_ships_is_small_and_knows_only_data_that_may_be_redistributed() -> None:
    assert FILE.stat().st_size < 400_000
    model = shipped()
    assert model.samplers == tuple(SAMPLERS), "train it again: python -m benchmarks.data_genie"
    assert model.names
    assert all(name.startswith(("msweb", "made-up")) for name in model.names)
    assert (model.spread > 0).all()
    assert (model.spread < 1).all()


@pytest.mark.parametrize("mode", genie.MODES)
def test_advice_ranks_every_sampler_at_every_size(mode: genie.Mode, data: Interactions) -> None:
    samplers = ["random-interactions", "head-users", "svp-cf-bias-user"]
    params = DataGenieParams(sizes=[40, 10], samplers=samplers, mode=mode, epochs=3)
    found = data_genie(data, params, Context(seed=1))
    report = build(found, {"method": "data-genie", "task": "advise", "seed": 1})
    (table,) = report.json["tables"]
    assert [(row["percent"], row["rank"]) for row in table["rows"]] == [(p, r) for p in (40, 10) for r in (1, 2, 3)]
    for row in table["rows"]:
        assert -1 <= row["tau_low"] <= row["tau"] <= row["tau_high"] <= 1
        if row["name"] == "random-interactions":
            assert row["beats"] == pytest.approx(50)
    if mode == "regression":
        for size in (40, 10):
            taus = [row["tau"] for row in table["rows"] if row["percent"] == size]
            assert taus == sorted(taus, reverse=True)
        assert ("epochs=3" in row["job"]) == (row["name"] == "svp-cf-bias-user")  # the sample that was looked at
    best = report.json["advice"]["best"]
    assert [one["percent"] for one in best] == [40, 10]
    assert ("which of two samplers" in table["note"]) == (mode == "bpr")
    assert found.verdict.status in ("predicted", "undetermined")


def test_advice_on_a_dataset_unlike_all_seen_is_undetermined_and_says_what_would_settle_it() -> None:
    stars = np.arange(3000)
    data = Interactions.from_columns(stars // 2, np.where(stars % 2, 0, 1 + stars // 2), np.zeros(3000))
    found = data_genie(data, DataGenieParams(sizes=[20], samplers=["random-users"]), Context())
    assert found.verdict.status == "undetermined"
    assert "rank-preservation" in found.verdict.settled_by[0]
    assert any("unlike" in text for text in found.warnings)


def test_advice_on_next_to_nothing_is_refused() -> None:
    with pytest.raises(JobError) as refused:
        data_genie(Interactions.from_columns(np.arange(10), np.arange(10), np.zeros(10)), DataGenieParams(), Context())
    assert refused.value.code == "too_few_rows"


def test_advice_follows_the_model(trained: Genie, events: TrainEvents) -> None:
    """On a dataset of the sort that head users suit, head users come first."""
    from worker.kinds.interactions.genie.advice import Candidate, expectations

    corpus = planted()
    looked = [Candidate(name, 10.0, 5, corpus.full[0]) for name in ("random-users", "head-users", "random-items")]
    first, *_ = expectations(trained, corpus.full[0], looked, "ndcg@10", "regression")
    assert first.candidate.sampler == "head-users"
    assert first.beats is None
    doubtful = replace(trained, spread=np.full(2, 0.9))
    wide, *_ = expectations(doubtful, corpus.full[0], looked, "ndcg@10", "regression")
    assert (wide.low, wide.high) == (pytest.approx(max(-1, wide.tau - 0.9)), pytest.approx(min(1, wide.tau + 0.9)))
