from __future__ import annotations

import numpy as np
import pytest

from tests.kinds.sequences.planted import planted, planted_rows
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.sequences import picks, sizes
from worker.kinds.sequences.embedding import item_vectors, sequence_vectors
from worker.kinds.sequences.methods.auto import AutoParams, auto
from worker.kinds.sequences.methods.coverage import coverage
from worker.kinds.sequences.methods.loss import LossParams, loss
from worker.kinds.sequences.methods.random import random_sequences
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.selection import SelectParams

ORDERS = {name: order for name, (_, order) in (picks.PICKS | picks.FURTHER).items()}


@pytest.mark.parametrize("name", ORDERS)
def test_order_when_made_then_has_every_row_once_and_those_that_train_nothing_last(name: str):
    rows = Rows.of([[3], *[row.tolist() for row in map(planted_rows(30).row, range(30))], [4], [5]])
    order = ORDERS[name](rows, 30, 20, 0, Context())
    assert sorted(order.tolist()) == list(range(33))
    assert set(order[-3:].tolist()) == {0, 31, 32}
    assert np.array_equal(order, ORDERS[name](rows, 30, 20, 0, Context()))


def test_longest_when_ordered_then_lengths_fall():
    rows = planted_rows(30)
    assert (np.diff(rows.lengths[picks.longest(rows, 30, 5, 0, Context())]) <= 0).all()


def test_k_centre_when_made_then_each_is_the_farthest_from_those_before():
    rows = planted_rows(40)
    order = picks.k_center(rows, 30, 10, 0, Context())
    points = sequence_vectors(rows, item_vectors(rows, 30))
    for count in range(1, 10):
        nearest = (points @ points[order[:count]].T).max(axis=1)
        assert nearest[order[count]] == pytest.approx(nearest.min(), abs=1e-5)


def test_herding_when_made_then_its_mean_comes_nearer_to_the_mean_of_all_than_random_ones():
    rows = planted_rows(200)
    points = sequence_vectors(rows, item_vectors(rows, 30))

    def apart(order: np.ndarray) -> float:
        return float(np.linalg.norm(points[order[:20]].mean(axis=0) - points.mean(axis=0)))

    drawn = [apart(picks.random(rows, 30, 20, seed, Context())) for seed in range(20)]
    assert apart(picks.herding(rows, 30, 20, 0, Context())) < min(drawn)


def test_coverage_when_made_then_each_step_takes_the_best_gain_per_event():
    rows = planted_rows(40)
    order = picks.coverage(rows, 30, 8, 0, Context())
    pairs = [set(zip(rows.row(r)[:-1].tolist(), rows.row(r)[1:].tolist(), strict=True)) for r in range(40)]
    flat = [pair for r in range(40) for pair in zip(rows.row(r)[:-1].tolist(), rows.row(r)[1:].tolist(), strict=True)]
    weight = {pair: flat.count(pair) for pair in set(flat)}
    covered: set[tuple[int, int]] = set()
    for at in range(8):
        gains = [sum(weight[pair] for pair in pairs[r] - covered) / len(rows.row(r)) for r in range(40)]
        left = [r for r in range(40) if r not in order[:at]]
        assert gains[order[at]] == pytest.approx(max(gains[r] for r in left))
        covered |= pairs[order[at]]


def test_sequence_vectors_when_items_never_meet_others_then_are_zero_and_take_no_component():
    rows = Rows.of([[0, 1, 2]] * 20 + [[5, 5, 5]] * 50)
    vectors = item_vectors(rows, 6, dim=2)
    assert vectors[5] == pytest.approx(np.zeros(2), abs=1e-6)
    assert np.linalg.norm(vectors[1]) > 0.5


@pytest.mark.parametrize(
    ("given", "count"), [({"budget": 7}, 7), ({"n_sequences": 9}, 9), ({"fraction": 0.1}, 12), ({"budget": "5%"}, 6)]
)
def test_selection_when_a_size_is_given_then_has_it(given: dict[str, object], count: int):
    summary = random_sequences(planted(120), SelectParams.model_validate(given), Context())
    assert summary.n_rows == count


def test_selection_when_bytes_are_given_then_fills_and_never_exceeds_them():
    data = planted(120)
    for select in (random_sequences, coverage):
        summary = select(data, SelectParams(budget="100B"), Context())
        size = sizes.plain_bytes(summary.arrays("hard"))
        assert 85 <= size <= 100


def test_selection_when_two_sizes_are_given_then_is_refused():
    with pytest.raises(JobError, match="Several sizes"):
        random_sequences(planted(50), SelectParams(n_sequences=3, fraction=0.5), Context())


def test_selection_when_made_then_holds_training_events_alone():
    data = planted(80)
    summary = coverage(data, SelectParams(budget=20), Context())
    train = data.training()
    known = {train.ids[number]: train.rows.row(number).tolist() for number in range(len(train))}
    assert summary.row_ids is not None
    for number, name in enumerate(summary.row_ids.tolist()):
        assert summary.rows.row(number).tolist() == known[name]


def test_loss_when_selecting_then_keeps_what_a_model_predicts_best_or_worst():
    data = planted(100)
    kept = {}
    for keep in ("lowest", "highest"):
        params = LossParams(budget=15, steps=60, keep=keep)
        kept[keep] = set(loss(data, params, Context()).row_ids.tolist())
    assert not kept["lowest"] & kept["highest"]


def test_auto_when_asked_then_says_what_it_chose_and_why():
    summary = auto(planted(60), AutoParams(budget=5), Context())
    assert summary.origin.method == "coverage"
    assert "so `auto` chose coverage" in summary.origin.reason
