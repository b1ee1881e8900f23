"""The attention model over events and features of their items: what it reads, its ablations, and what features add."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from tests.kinds.interactions.planted import of_users
from tests.kinds.interactions.test_sequences import in_order, walks
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import learners_of
from worker.kinds.interactions.baselines import contenders
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.item_features import ItemFeatures
from worker.kinds.interactions.judge import evaluate_params, judge
from worker.kinds.interactions.learners import attention_item_features as module
from worker.kinds.interactions.learners.attention_item_features import Attention, Branch, Network
from worker.kinds.interactions.metrics import evaluate
from worker.kinds.interactions.preservation import zoo_of
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.splits import leave_2

NAME = "attention-item-features"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that train in a second."""
    for size in ("VECTOR", "STATE", "HIDDEN"):
        monkeypatch.setattr(module, size, 24)
    monkeypatch.setattr(module, "_LEAST_STEPS", 1)
    monkeypatch.setattr(module, "_BATCH", 64)
    monkeypatch.setattr(module, "_RATE", 1e-2)


def tags(of_item: np.ndarray) -> ItemFeatures:
    """One tag an item."""
    values = np.eye(int(of_item.max()) + 1, dtype=np.float32)[of_item]
    names = np.array([f"tag={number}" for number in range(values.shape[1])])
    return ItemFeatures(sparse.csr_array(values), names, np.ones(len(names), bool))


def described(data: Interactions, features: ItemFeatures) -> UserRows:
    return replace(in_order(data), features=features)


def by_style(users: int, styles: int = 4, each: int = 60, length: int = 5) -> tuple[Interactions, ItemFeatures]:
    """Styles follow on one another, and which item of a style comes is chance: most items are hardly ever seen."""
    rng = np.random.default_rng(0)
    style = (rng.integers(0, styles, users)[:, None] + np.arange(length)) % styles
    item = style * each + np.array([rng.permutation(each)[:length] for _ in range(users)])
    user, time = np.repeat(np.arange(users), length), np.tile(np.arange(length), users)
    item_ids = np.arange(styles * each).astype(str)
    data = Interactions.from_columns(user, item.ravel(), leave_2(user, time), timestamp=time, item_ids=item_ids)
    return data, tags(np.arange(styles * each) // each)


def quality(training: Attention, data: Interactions, epochs: int, k: int = 10) -> np.ndarray:
    model = training.fit({"epochs": epochs}, Context())
    queries = data.queries("validation", in_order=True)
    return evaluate(model, queries, data.training().counts, (k,), auc=False)[f"ndcg@{k}"]


def test_windows_hold_what_came_before_and_never_what_is_asked_for() -> None:
    data = walks(7, items=40, length=32)
    training = Attention.of(described(data, tags(np.zeros(40, int))))
    sequence, end = training.examples(np.random.default_rng(0))
    assert np.bincount(sequence, minlength=7).tolist() == [8] * 7
    assert (end >= 1).all()
    assert (end < training.sequences.lengths[sequence]).all()
    assert len(set(zip(sequence.tolist(), end.tolist(), strict=True))) == len(end)
    items, lengths = training.windows(sequence, end)
    for row, (one, place) in enumerate(zip(sequence, end, strict=True)):
        whole = training.sequences.items[training.sequences.starts[one] : training.sequences.starts[one + 1]]
        assert items[row, : lengths[row]].tolist() == whole[max(0, place - 20) : place].tolist()


def test_attention_is_uniform_before_training_and_ignores_padding() -> None:
    torch.manual_seed(0)
    branch = Branch(attention=True)
    states, there = torch.randn(2, 5, 2 * module.STATE), torch.tensor([[True] * 5, [True, True, False, False, False]])
    weights = branch.weights(states, there).detach()
    torch.testing.assert_close(weights, torch.tensor([[0.2] * 5, [0.5, 0.5, 0, 0, 0]]))
    assert branch.score is not None
    torch.nn.init.normal_(branch.score.weight)
    trained = branch.weights(states, there).detach()
    assert float((trained[0] - 0.2).abs().max()) > 0.01
    torch.testing.assert_close(trained.sum(dim=1), torch.ones(2))
    scores = torch.tanh(states @ branch.hidden.weight.T) @ branch.score.weight[0]
    torch.testing.assert_close(trained[0], torch.softmax(scores[0], dim=0))
    vectors = torch.randn(1, 3, module.VECTOR)
    longer = torch.cat([vectors, torch.randn(1, 4, module.VECTOR)], dim=1)
    lengths = torch.tensor([3])
    torch.testing.assert_close(branch(vectors, lengths), branch(longer, lengths))


def test_without_attention_the_context_is_the_mean_of_the_states() -> None:
    torch.manual_seed(0)
    branch = Branch(attention=False)
    vectors = torch.randn(1, 4, module.VECTOR)
    expected = branch.reader(vectors)[0].mean(dim=1)
    torch.testing.assert_close(branch(vectors, torch.tensor([4])), expected)


def test_an_item_is_described_by_the_mean_of_its_tags_and_by_standard_scores() -> None:
    values = np.array([[1, 1, 3.0], [0, 1, 5.0], [0, 0, 0.0]], np.float32)
    features = ItemFeatures(sparse.csr_array(values), np.array(["a", "b", "year"]), np.array([True, True, False]))
    assert features.known == 2
    assert features.inputs().toarray().tolist() == [[0.5, 0.5, -1], [0, 1, 1], [0, 0, 0]]
    net = Network(3, features.inputs(), ("features",), attention=True)
    found = net.describe(torch.tensor([[2, 0], [1, 1]]))
    expected = torch.from_numpy(features.inputs().toarray()[[[2, 0], [1, 1]]]) @ net.described.weight
    torch.testing.assert_close(found, expected)


def test_equal_features_of_all_items_say_nothing() -> None:
    data = walks(24)
    rows = described(data, tags(np.zeros(data.n_items, int)))
    net = Network(data.n_items, Attention.of(rows).features, ("features",), attention=True).eval()
    with torch.no_grad():
        found = net(torch.tensor([[1, 2, 3], [9, 4, 17]]), torch.tensor([3, 3]))
    torch.testing.assert_close(found[0], found[1])
    both = quality(Attention.of(rows, seed=0), data, 25)
    alone = quality(Attention.of(rows, seed=0, parts=("item",)), data, 25)
    assert alone.mean() > 0.8
    difference = both - alone
    assert abs(difference.mean()) < 3 * difference.std() / len(difference) ** 0.5 + 0.02


def test_features_find_items_that_were_hardly_ever_seen() -> None:
    data, features = by_style(160)
    rows = described(data, features)
    both, alone, shuffled = (
        quality(Attention.of(one, seed=0, parts=parts), data, 12, k=60)
        for one, parts in (
            (rows, ("item", "features")),
            (rows, ("item",)),
            (described(data, tags(np.random.default_rng(0).permutation(240) // 60)), ("item", "features")),
        )
    )
    assert both.mean() > alone.mean() + 2 * (both - alone).std() / len(both) ** 0.5
    assert both.mean() > shuffled.mean() + 2 * (both - shuffled).std() / len(both) ** 0.5


def test_the_order_of_events_decides_and_an_empty_row_scores_nothing() -> None:
    data = walks(24)
    training = Attention.of(described(data, tags(np.arange(data.n_items) % 5)), seed=0)
    model = training.fit({"epochs": 25}, Context())
    queries = data.queries("validation", in_order=True)
    backwards = queries.inputs.copy()
    backwards.data = 100 - backwards.data
    last = np.array([row.argmax() for row in queries.inputs.toarray()])
    ahead, behind = (
        ((model.scores(inputs).argmax(axis=1) - last - 1) % data.n_items == 0).mean()
        for inputs in (queries.inputs, backwards)
    )
    assert ahead > behind + 0.3
    some = sparse.csr_array(sparse.vstack([queries.inputs[[0]], sparse.csr_array((1, data.n_items))]))
    scores = model.scores(some)
    assert not scores[1].any()
    np.testing.assert_allclose(scores[0], model.scores(queries.inputs)[0], rtol=1e-4, atol=1e-5)


def test_weights_of_rows_count_in_the_loss() -> None:
    data = walks(6)
    rows = described(data, tags(np.arange(data.n_items) % 3))
    weighted = Attention.of(replace(rows, weights=np.array([3, 1, 1, 1, 1, 1], np.float32)))
    plain = Attention.of(rows)
    net = Network(data.n_items, plain.features, plain.parts, attention=True).eval()
    sequence, end = np.array([0, 1]), np.array([2, 2])
    first, second = (float(plain.loss(net, sequence[[one]], end[[one]]).detach()) for one in (0, 1))
    found = float(weighted.loss(net, sequence, end).detach())
    assert found == pytest.approx((3 * first + second) / 4, rel=1e-5)


def test_same_seed_same_model_and_another_ablation_another() -> None:
    data = walks(12)
    rows = described(data, tags(np.arange(data.n_items) % 3))
    inputs = in_order(data).places
    assert inputs is not None

    def scores(**more: object) -> np.ndarray:
        return Attention.of(rows, seed=4, **more).fit({"epochs": 1}, Context()).scores(inputs)

    whole = scores()
    assert np.array_equal(scores(), whole)
    for other in ({"attention": False}, {"parts": ("item",)}, {"parts": ("features",)}):
        assert np.abs(scores(**other) - whole).max() > 1e-3, other


def test_judging_trains_it_on_real_rows_and_says_where_it_cannot() -> None:
    data = walks(16)
    features = tags(np.arange(data.n_items) % 4)
    data = replace(data, item_features=lambda: features)
    params = evaluate_params()(
        learners=["popularity", NAME], baselines=["random-users"], k=[10], draws=1, bootstrap=100
    )
    summary = of_users(data, np.arange(6))
    measured = judge(data, [summary], params, Context())
    trained = {result.set for result in measured.results if result.learner == NAME}
    assert {"full", "summary", "random-users"} <= trained
    for one in contenders(data, [summary], ["random-users"], draws=1, seed=0, in_order=True):
        assert one.record.role == "bound" or one.draws[0].features is features, one.record.name


def test_datasets_without_features_are_refused_with_a_cure_and_left_out_of_the_zoo() -> None:
    data = walks(20)
    params = evaluate_params()(learners=["popularity", NAME], k=[10], bootstrap=100)
    with pytest.raises(JobError) as refused:
        judge(data, [of_users(data, np.arange(6))], params, Context())
    assert (refused.value.code, refused.value.pointer) == ("invalid_input", "/evaluate/learners")
    assert "item_features" in refused.value.hint
    everything = evaluate_params()()
    assert NAME not in zoo_of(everything, data).learners
    features = tags(np.arange(20))
    assert set(zoo_of(everything, replace(data, item_features=lambda: features)).learners) == set(
        learners_of("interactions")
    )


def test_rows_that_it_cannot_read_are_named() -> None:
    data = walks(6)
    features = tags(np.arange(20))
    for rows, said in (
        (replace(data.training(), features=features), "no order"),
        (in_order(data), "nothing is known"),
        (described(data, features).take(np.arange(0)), "two events"),
    ):
        with pytest.raises(JobError, match=said) as refused:
            Attention.of(rows)
        assert refused.value.code == "diverged"
