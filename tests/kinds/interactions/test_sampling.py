"""Samplers: how much they keep, which events, and that smaller samples lie within larger ones."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import networkx
import numpy as np
import pytest

from tests.kinds.interactions.power_law import World
from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.evidence.ordering import kendall
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.methods.forest_fire import ForestFireParams, forest_fire
from worker.kinds.interactions.methods.head_items import HeadItemsParams, head_items
from worker.kinds.interactions.methods.pagerank import PagerankParams, pagerank
from worker.kinds.interactions.methods.random_items import RandomItemsParams, random_items
from worker.kinds.interactions.methods.random_users import RandomUsersParams, random_users
from worker.kinds.interactions.methods.random_walk import RandomWalkParams, random_walk
from worker.kinds.interactions.methods.stratified import StratifiedParams, stratified
from worker.kinds.interactions.methods.svp_cf import SVPCFParams, svp_cf
from worker.kinds.interactions.methods.svp_cf_prop import svp_cf_prop
from worker.kinds.interactions.methods.temporal import TemporalParams, temporal
from worker.kinds.interactions.sampling import events as single
from worker.kinds.interactions.sampling.nodes import pagerank_scores
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.sampling.samplers import SAMPLERS, available, orders
from worker.kinds.interactions.sampling.svp import Proxy, Unseen, _weights, importance, ranked
from worker.kinds.interactions.sampling.walks import forest_fire as fire
from worker.kinds.interactions.sampling.walks import random_walk as walk

EXACT = ("random-interactions", "stratified", "temporal", "svp-cf-mf-interaction", "svp-cf-prop-bias-interaction")
SHARES = (0.05, 0.2, 0.4, 0.8)


@pytest.fixture(scope="module")
def data() -> Interactions:
    return World(users=300, items=120, mean_events=14, drift=0.3).interactions(1)


@pytest.fixture(scope="module")
def events(data: Interactions) -> TrainEvents:
    return TrainEvents.of(data)


@pytest.fixture(scope="module")
def kept(events: TrainEvents) -> dict[str, list[np.ndarray]]:
    """Masks of every sampler at every share."""
    found = orders(events, available(events), Context(seed=3), most=round(0.8 * len(events)), epochs=5)
    return {name: [order.events(round(k * len(events))) for k in SHARES] for name, order in found}


def test_there_are_the_sixteen_published_samplers_and_two_for_items(kept: dict[str, list[np.ndarray]]) -> None:
    assert len(SAMPLERS) == len(kept) == 18
    assert sum("items" in name for name in kept) == 2


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_have_the_asked_size_and_lie_within_larger_ones(
    name: str, kept: dict[str, list[np.ndarray]], events: TrainEvents
) -> None:
    largest_unit = max(events.per_user.max(), events.per_item.max())
    for share, smaller, larger in zip(SHARES, kept[name], [*kept[name][1:], np.ones(len(events), bool)], strict=True):
        asked = round(share * len(events))
        assert not (smaller & ~larger).any()
        if name in EXACT:
            assert smaller.sum() == asked
        else:
            assert max(1, asked - largest_unit) <= smaller.sum() <= max(asked, largest_unit)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name.endswith("users") or name.endswith("-user")])
def test_user_samplers_keep_all_events_of_a_user_or_none(
    name: str, kept: dict[str, list[np.ndarray]], events: TrainEvents
) -> None:
    for mask in kept[name]:
        inside = np.bincount(events.user, mask, events.n_users)
        assert np.isin(inside, [0]).any()
        assert ((inside == 0) | (inside == events.per_user)).all()


@pytest.mark.parametrize("name", ["pagerank", "random-walk", "forest-fire"])
def test_graph_samplers_keep_every_event_between_kept_nodes(
    name: str, kept: dict[str, list[np.ndarray]], events: TrainEvents
) -> None:
    """All but for nodes whose only events are with nodes left out."""
    for mask in kept[name]:
        user, item = np.zeros(events.n_users, bool), np.zeros(events.n_items, bool)
        user[events.user[mask]] = item[events.item[mask]] = True
        inside = user[events.user] & item[events.item]
        assert np.array_equal(inside, mask)


def test_same_seed_gives_the_same_samples_and_another_seed_others(events: TrainEvents) -> None:
    names = ["random-interactions", "stratified", "random-users", "random-walk", "forest-fire", "svp-cf-bias-user"]
    first, again, other = (
        dict(orders(events, names, Context(seed=seed), most=len(events) // 2, epochs=2)) for seed in (1, 1, 2)
    )
    for name in names:
        assert np.array_equal(first[name].place, again[name].place)
        assert not np.array_equal(first[name].place, other[name].place)


def test_stratified_keeps_of_every_user_what_the_published_rule_keeps_at_some_share(events: TrainEvents) -> None:
    mask = single.stratified(events, np.random.default_rng(0)).events(round(0.3 * len(events)))
    inside = np.bincount(events.user, mask, events.n_users).astype(int)
    (used,) = np.nonzero(events.per_user)
    n = events.per_user[used]
    # floor(k n) for one k, but for users who tie at it: k >= kept / n and k <= (kept + 1) / n
    assert np.max(inside[used] / n) <= np.min((inside[used] + 1) / n) + 1e-12


def test_temporal_keeps_the_latest_events_of_each_user(events: TrainEvents, kept: dict[str, list[np.ndarray]]) -> None:
    assert events.timestamp is not None
    for mask in kept["temporal"]:
        latest_lost = np.full(events.n_users, -1)
        np.maximum.at(latest_lost, events.user[~mask], events.timestamp[~mask])
        assert (events.timestamp[mask] >= latest_lost[events.user[mask]]).all()


def test_temporal_without_times_is_refused(data: Interactions) -> None:
    untimed = replace(data, events=replace(data.events, timestamp=None))
    assert "temporal" not in available(TrainEvents.of(untimed))
    with pytest.raises(JobError, match="needs timestamps") as refused:
        temporal(untimed, TemporalParams(), Context())
    assert refused.value.code == "invalid_input"


def test_pagerank_is_that_of_networkx(events: TrainEvents) -> None:
    graph = networkx.Graph()
    graph.add_nodes_from(range(events.n_users + events.n_items))
    graph.add_edges_from(zip(events.user.tolist(), (events.item + events.n_users).tolist(), strict=True))
    theirs = networkx.pagerank(graph, alpha=0.85, tol=1e-9, max_iter=1000)
    ours = pagerank_scores(events)
    assert np.allclose(ours, [theirs[node] for node in range(len(ours))], atol=2e-6)
    assert ours.sum() == pytest.approx(1)


@pytest.mark.parametrize("explore", [walk, fire])
def test_exploring_reaches_components_of_any_size(explore: object) -> None:
    """Forty pairs of a user and an item, which no walk leaves by itself."""
    pairs = np.arange(40)
    data = Interactions.from_columns(pairs, pairs, np.zeros(40))
    events = TrainEvents.of(data)
    order = explore(events, np.random.default_rng(0), most=40)
    assert [order.events(count).sum() for count in (1, 10, 40)] == [1, 10, 40]


def test_forest_fire_and_walk_prefer_busy_nodes(events: TrainEvents, kept: dict[str, list[np.ndarray]]) -> None:
    chance = np.mean(events.per_item[events.item])
    for name in ("random-walk", "forest-fire"):
        mask = kept[name][1]
        assert np.mean(events.per_item[np.unique(events.item[mask])]) > np.mean(events.per_item[events.per_item > 0])
        assert np.mean(events.per_item[events.item[mask]]) > 0.8 * chance


def test_unseen_items_are_drawn_uniformly_and_never_one_that_the_user_has(events: TrainEvents) -> None:
    unseen, rng = Unseen.of(events), np.random.default_rng(0)
    used = events.rows().toarray() > 0
    users = np.repeat(np.arange(events.n_users), 20)
    drawn = unseen.draw(users, rng)
    assert not used[users, drawn].any()
    one = int(np.argmax(events.per_user))
    counts = np.bincount(unseen.draw(np.full(40_000, one), rng), minlength=events.n_items)
    free = ~used[one]
    assert (counts[~free] == 0).all()
    assert abs(counts[free] / 40_000 - 1 / free.sum()).max() < 5 * np.sqrt(1 / free.sum() / 40_000)


def test_a_user_who_has_used_everything_has_no_unseen_item_and_no_importance() -> None:
    data = Interactions.from_columns(np.array([0] * 5 + [1, 1, 2, 2]), np.array([*range(5), 0, 1, 2, 3]), np.zeros(9))
    events = TrainEvents.of(data)
    assert (Unseen.of(events).draw(np.zeros(6, int), np.random.default_rng(0)) == -1).all()
    found = importance(events, Proxy(2, 8), Context())
    assert (found[:5] == 0).all()
    assert found[5:].max() > 0


@pytest.mark.parametrize("latent", [0, 10])
def test_svp_puts_planted_noise_into_the_top_decile(latent: int) -> None:
    """Five per cent of the ratings of an additive model are flipped (1 for 5): their errors stay the largest."""
    rng = np.random.default_rng(0)
    user, item = np.nonzero(rng.random((150, 60)) < 0.5)
    level = np.clip(rng.normal(0, 0.9, 150)[user] + rng.normal(0, 0.9, 60)[item], -2, 2)
    rating = 3 + level + rng.normal(0, 0.2, len(user))
    flipped = (rng.random(len(user)) < 0.05) & (np.abs(level) > 1.0)
    rating[flipped] = 6.0 - rating[flipped]
    data = Interactions.from_columns(user, item, np.zeros(len(user)), rating=rating)
    events = TrainEvents.of(data)
    found = importance(events, Proxy(latent, 150, explicit=True), Context(seed=1))
    top = found >= np.quantile(found, 0.9)
    assert flipped.sum() > 50
    assert top[flipped].mean() > 0.9
    assert top[~flipped].mean() < 0.1


def test_svp_finds_events_at_random_hard_among_tastes() -> None:
    """Implicit feedback: two tastes and a few events against them, which the proxy keeps getting wrong."""
    rng = np.random.default_rng(0)
    taste = rng.integers(0, 2, 200)
    own = np.arange(60) // 30 == taste[:, None]
    liked = rng.random((200, 60)) < np.where(own, 0.5, 0.02)
    user, item = np.nonzero(liked)
    events = TrainEvents.of(Interactions.from_columns(user, item, np.zeros(len(user))))
    against = ~own[events.user, events.item]
    found = importance(events, Proxy(10, 40), Context(seed=1))
    assert found[against].mean() > found[~against].mean() + 0.15
    assert ((found >= 0) & (found <= 1)).all()


def test_prop_weights_fall_with_frequency_and_prefer_rare_users(events: TrainEvents) -> None:
    weights = _weights(np.arange(1000))
    assert (np.diff(weights) < 0).all()
    equal = np.ones(len(events), np.float32)
    order = ranked(events, equal, unit="user", prop=True, rng=np.random.default_rng(0))
    inside = np.bincount(events.user, order.events(len(events) // 5), events.n_users) > 0
    assert events.per_user[inside].max() <= events.per_user[(events.per_user > 0) & ~inside].min()


def test_svp_resumed_in_the_middle_comes_to_the_same_importances(events: TrainEvents) -> None:
    class Stops(Context):
        reports = 0

        def report_progress(self, *_: object) -> None:
            self.reports += 1
            if self.reports == 4:
                self.stop()

    whole = importance(events, Proxy(4, 6), Context(seed=2))
    stopped = Stops(seed=2)
    with pytest.raises(Cancelled):
        importance(events, Proxy(4, 6), stopped)
    resumed = Context(seed=2)
    resumed._points = stopped._points
    assert 0 < resumed._points[""].step < 6
    assert np.array_equal(importance(events, Proxy(4, 6), resumed), whole)


def test_svp_of_explicit_feedback_without_ratings_is_refused(data: Interactions) -> None:
    with pytest.raises(JobError) as refused:
        svp_cf(data, SVPCFParams(feedback="explicit"), Context())
    assert refused.value.pointer == "/params/feedback"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (stratified, StratifiedParams),
        (temporal, TemporalParams),
        (random_items, RandomItemsParams),
        (head_items, HeadItemsParams),
        (pagerank, PagerankParams),
        (random_walk, RandomWalkParams),
        (forest_fire, ForestFireParams),
    ],
)
def test_methods_keep_the_asked_percent_of_real_training_events(
    method: object, params: type, data: Interactions
) -> None:
    summary = method(data, params(keep_percent=30), Context(seed=1))
    assert summary.real_rows
    assert 0.2 < summary.n_events / data.train.nnz <= 0.3001
    number = {name: row for row, name in enumerate(data.user_ids.tolist())}
    own = data.train[[number[name] for name in summary.row_ids]]
    assert (summary.rows.toarray() <= own.toarray()).all()
    assert summary.origin.settings["events"] == summary.n_events


@pytest.mark.parametrize("method", [svp_cf, svp_cf_prop])
def test_svp_methods_count_a_budget_in_users_when_they_keep_users(method: object, data: Interactions) -> None:
    summary = method(data, SVPCFParams(budget=25, unit="user", proxy="bias_only", epochs=2), Context())
    assert summary.n_rows == 25
    events = method(data, SVPCFParams(keep_percent=10, epochs=2), Context())
    assert events.n_events == round(0.1 * data.train.nnz)


def test_users_may_be_asked_for_by_the_percent_of_events(data: Interactions) -> None:
    summary = random_users(data, RandomUsersParams(keep_percent=25), Context())
    assert 0.22 < summary.n_events / data.train.nnz <= 0.25
    assert RandomUsersParams().budget == 500


def test_tau_of_equal_reversed_and_one_swapped_pair() -> None:
    one = np.array([1.0, 2, 3, 4])
    assert kendall(one, one) == 1
    assert kendall(one, one[::-1]) == -1
    assert kendall(one, np.array([1.0, 2, 4, 3])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if "svp" not in name] + ["svp-cf-prop-bias-interaction"])
def test_samplers_take_memory_in_proportion_to_events(name: str) -> None:
    """At most 80 bytes an event beside the events, so 1.6 GB for 20 million; measured on 200,000."""
    user, item, when = World(users=8000, items=2000, mean_events=32).columns(0)
    many = TrainEvents(user, item, np.arange(8000), np.arange(2000), timestamp=when)
    assert 150_000 < len(many) < 300_000
    tracemalloc.start()
    try:
        ((_, order),) = orders(many, [name], Context(seed=0), most=len(many) // 5, epochs=1)
        assert order.events(len(many) // 5).sum() > len(many) // 6
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / len(many) < 80
