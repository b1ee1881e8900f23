from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.kinds.sequences.planted import planted, planted_rows
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import learners_of
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.fitting import Fitting, Recipe, go_on
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.learners.sasrec import RECIPE
from worker.kinds.sequences.ranking import Ranking
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.splits import leave_one_out

LEARNERS = learners_of("sequences")


def training(data: Sequences) -> TrainingSet:
    return TrainingSet.of(data.training().rows, data.n_items, data.max_len)


def trained(name: str, data: TrainingSet, settings: dict[str, Any], seed: int = 0) -> Any:
    prepare = LEARNERS[name].prepare
    assert prepare is not None
    return prepare(data, None, Context(seed=seed)).fit(settings, Context())


def ndcg(model: Any, data: Sequences, part: Any = "test") -> float:
    return float(Ranking(data.cases(part), (10,), data.n_items)(model)["ndcg@10"].mean())


def test_popularity_and_last_item_when_asked_then_score_by_counts():
    rows = Rows.of([[0, 1, 2], [0, 2], [3]])
    data = TrainingSet.of(rows, 5, 10)
    contexts = Rows.of([[1], [4, 2]])
    assert trained("popularity", data, {}).scores(contexts)[0].tolist() == [2, 1, 2, 1, 0]
    last = trained("last-item", data, {}).scores(contexts)
    assert last.argmax(axis=1).tolist() == [1, 2]
    assert last[0, 0] > last[0, 3] > last[0, 4]


def test_markov_when_asked_then_scores_by_what_followed_the_last_item_then_by_popularity():
    data = TrainingSet.of(Rows.of([[0, 1], [0, 1], [0, 2], [3, 4], [3]]), 6, 10)
    scores = trained("markov", data, {}).scores(Rows.of([[5, 0], [4]]))
    assert np.argsort(-scores[0])[:3].tolist() == [1, 2, 0]
    assert scores[0, 1] == pytest.approx(2, abs=1e-5)
    assert np.argsort(-scores[1], kind="stable")[0] == 0


@pytest.mark.parametrize(("name", "steps"), [("sasrec", 160), ("gru4rec", 160), ("fmlp-rec", 100)])
def test_neural_learner_when_trained_on_planted_circles_then_beats_popularity_by_far(name: str, steps: int):
    data = planted(150)
    model = trained(name, training(data), {"dropout": 0.2, "steps": steps})
    assert ndcg(model, data) > 1.6 * ndcg(trained("popularity", training(data), {}), data)


def test_search_over_steps_when_it_goes_on_then_gives_what_one_training_gives():
    data = training(planted(60))
    stepwise = Fitting(RECIPE, data, 3)
    for steps in (5, 10, 20):
        model = stepwise.fit({"dropout": 0.2, "steps": steps}, Context())
    at_once = Fitting(RECIPE, data, 3).fit({"dropout": 0.2, "steps": 20}, Context())
    contexts = planted_rows(10, seed=9)
    assert np.array_equal(model.scores(contexts), at_once.scores(contexts))
    assert model.trained_s > 0
    fewer = {"dropout": 0.2, "steps": 10}
    earlier = stepwise.fit(fewer, Context())  # backwards: from the start again
    assert not np.array_equal(earlier.scores(contexts), model.scores(contexts))
    again = Fitting(RECIPE, data, 3).fit(fewer, Context())
    assert np.array_equal(earlier.scores(contexts), again.scores(contexts))


def test_training_when_done_then_leaves_torch_s_random_numbers_as_they_were():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Fitting(RECIPE, training(planted(30)), 1).fit({"dropout": 0.5, "steps": 3}, Context())
    assert torch.equal(torch.rand(3), expected)


def test_further_when_the_best_is_the_last_of_its_training_then_asks_for_more_steps():
    further = go_on(100)
    first, other = {"dropout": 0.5, "steps": 20}, {"dropout": 0.2, "steps": 40}
    assert further([(first, 0.2), (other, 0.1)]) == {"dropout": 0.5, "steps": 30}
    assert further([(first, 0.2), ({"dropout": 0.5, "steps": 90}, 0.3), (other, 0.1)]) == {"dropout": 0.5, "steps": 100}
    assert further([({"dropout": 0.5, "steps": 100}, 0.3)]) is None
    assert further([(first, 0.3), ({"dropout": 0.5, "steps": 40}, 0.2)]) is None


def test_learner_when_no_row_has_a_second_event_then_is_left_out():
    with pytest.raises(JobError, match="no row has two events"):
        trained("sasrec", TrainingSet.of(Rows.of([[0], [1]]), 3, 10), {"steps": 5})


@pytest.mark.parametrize("name", ["popularity", "markov", "last-item"])
def test_items_when_renamed_then_floors_measure_the_same(name: str):
    data = planted(80)
    order = np.random.default_rng(0).permutation(data.n_items)
    renamed = Sequences.of(Rows(data.indptr, order[data.items].astype(np.int32)), data.n_items, data.split)
    model, other = trained(name, training(data), {}), trained(name, training(renamed), {})
    assert ndcg(model, data) == pytest.approx(ndcg(other, renamed), abs=1e-12)


def test_items_when_renamed_with_the_network_s_table_then_metrics_stay():
    """Renaming items permutes the rows of the table: started from permuted tables, trainings stay permuted."""
    data = planted(60)
    order = np.random.default_rng(0).permutation(data.n_items)
    rows = Rows(data.indptr, order[data.items].astype(np.int32))
    renamed = Sequences.of(rows, data.n_items, data.split, options=data.options)

    def permuted(rows: TrainingSet, settings: Any) -> Any:
        net = RECIPE.build(rows, settings)
        with torch.no_grad():
            net.items.weight[torch.from_numpy(order)] = net.items.weight.clone()
        return net

    model = Fitting(RECIPE, training(data), 0).fit({"steps": 30}, Context())
    other = Fitting(Recipe(permuted), training(renamed), 0).fit({"steps": 30}, Context())
    assert ndcg(other, renamed) == pytest.approx(ndcg(model, data), abs=0.02)
    scores, theirs = model.scores(data.rows.take(np.arange(5))), other.scores(renamed.rows.take(np.arange(5)))
    assert theirs[:, order] == pytest.approx(scores, abs=0.05)


def test_users_when_shuffled_then_floors_learn_the_same():
    rows = planted_rows(50)
    shuffled = rows.take(np.random.default_rng(1).permutation(50))
    contexts = planted_rows(10, seed=3)
    for name in ("popularity", "markov", "last-item"):
        first, second = (trained(name, TrainingSet.of(one, 30, 20), {}) for one in (rows, shuffled))
        assert np.allclose(first.scores(contexts), second.scores(contexts))


def test_contexts_when_longer_than_the_network_reads_then_their_last_events_count():
    data = Sequences.of(planted_rows(40), 30, leave_one_out(planted_rows(40).indptr), options={"max_len": 3})
    model = trained("sasrec", training(data), {"dropout": 0.0, "steps": 5})
    long, short = Rows.of([[9, 8, 7, 6, 5]]), Rows.of([[7, 6, 5]])
    assert np.array_equal(model.scores(long), model.scores(short))
