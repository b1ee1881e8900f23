"""Learners that read events in order: the order reaches them, they look into no future, and SVAE learns a sequence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from tests.kinds.interactions.planted import of_users, one_row_a_group, planted
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.interactions.baselines import contenders
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.judge import evaluate_params, judge
from worker.kinds.interactions.learners import svae
from worker.kinds.interactions.learners.mult_vae import kl
from worker.kinds.interactions.learners.svae import SVAE, Network, Targets
from worker.kinds.interactions.metrics import evaluate
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.sequence import Sequences, batches, places
from worker.kinds.interactions.splits import leave_2
from worker.kinds.interactions.summary import InteractionsSummary


def walks(users: int = 60, items: int = 20, length: int = 8, seed: int = 0) -> Interactions:
    """Everybody goes round the items, each from another start: what comes next follows from the last event alone."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, items, users)
    item = (start[:, None] + np.arange(length)) % items
    user = np.repeat(np.arange(users), length)
    time = np.tile(np.arange(length), users) + 1000
    shuffled = rng.permutation(len(user))  # rows of a table come in any order
    user, item, time = user[shuffled], item.ravel()[shuffled], time[shuffled]
    return Interactions.from_columns(user, item, leave_2(user, time), timestamp=time)


def in_order(data: Interactions) -> UserRows:
    return replace(data.training(), places=data.part(0, in_order=True))


def test_places_say_when_each_event_came_and_survive_slicing() -> None:
    table = places(np.array([0, 0, 0, 1]), np.array([4, 1, 2, 3]), np.array([7, 9, 8, 1]), (2, 5))
    assert table.toarray().tolist() == [[0, 3, 2, 0, 1], [0, 0, 0, 1, 0]]
    read = Sequences.of(sparse.csr_array(table[[1, 0]]), longest=2)
    assert read.items.tolist() == [3, 2, 1]
    assert read.lengths.tolist() == [1, 2]
    assert read.padded(np.array([0, 1]), 9).tolist() == [[3, 9], [2, 1]]


def test_batches_hold_every_sequence_once_with_those_of_like_length_together() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 37)
    found = batches(lengths, 5, np.random.default_rng(1))
    assert sorted(np.concatenate(found).tolist()) == list(range(37))
    assert max(np.ptp(lengths[part]) for part in found) < 20


def test_targets_are_the_next_four_events_or_what_is_left() -> None:
    items, lengths = np.array([[5, 6, 7, 8, 9, 4], [1, 2, 0, 0, 0, 0]]), np.array([6, 2])
    found = Targets.of(items, lengths, np.array([1.0, 2.0]))
    by_step = {}
    for step, item, share in zip(found.step.tolist(), found.item.tolist(), found.share.tolist(), strict=True):
        by_step.setdefault(step, []).append((item, share))
    assert [item for item, _ in by_step[0]] == [6, 7, 8, 9]
    assert [item for item, _ in by_step[4]] == [4]
    assert by_step[5] == [(2, 0.5)]


def test_kl_of_the_prior_is_zero_and_grows_away_from_it() -> None:
    zero = torch.zeros(3, 4)
    assert kl(zero, zero).tolist() == [0, 0, 0]
    assert (kl(zero, zero - 1) > 0).all()
    expected = 0.5 * (np.exp(0.6) + 0.25 - 1 - 0.6)
    assert float(kl(torch.tensor([0.5]), torch.tensor([0.6]))) == pytest.approx(expected, rel=1e-6)


def test_svae_does_not_look_into_the_future() -> None:
    torch.manual_seed(0)
    net = Network(12).eval()
    first, other = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([[1, 2, 3, 7, 9]])
    a, b = (net.logits(net.latent(net.read(items))[0]) for items in (first, other))
    torch.testing.assert_close(a[:, :3], b[:, :3])
    assert (a[:, 3] - b[:, 3]).abs().max() > 1e-4


def test_padding_and_the_other_sequences_of_a_batch_change_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svae, "_LEAST_STEPS", 1)
    rows = in_order(walks())
    model = SVAE.of(rows, seed=0).fit({"epochs": 1}, Context())
    assert rows.places is not None
    both = sparse.csr_array(rows.places[[0, 1, 2]])
    both.data[both.indptr[1] : both.indptr[1] + 1] = 99  # a row may be numbered with gaps
    alone = np.vstack([model.scores(sparse.csr_array(both[[row]])) for row in range(3)])
    np.testing.assert_allclose(model.scores(both), alone, rtol=1e-4, atol=1e-5)


def test_without_noise_and_beta_svae_is_a_plain_recurrent_network() -> None:
    rows = in_order(walks(6))
    training = SVAE.of(rows, seed=0, sampled=0)
    torch.manual_seed(1)
    net = Network(rows.items)
    with torch.no_grad():  # v = -200: sigma is 0
        net.encoder[2].weight[64:].zero_()
        net.encoder[2].bias[64:] = -200
    chosen = np.arange(len(training.sequences))
    found = float(training.loss(net, chosen, beta=0.0).detach())
    expected = 0.0
    for one in chosen:
        items = training.sequences.padded(np.array([one]), rows.items)[0]
        state = net.reader(net.vectors(torch.from_numpy(items[:-1])[None]))[0][0]
        logits = torch.log_softmax(net.logits(net.encoder(state)[:, :64]), dim=1)
        for step in range(len(items) - 1):
            expected -= float(logits[step, items[step + 1 : step + 5]].sum().detach()) / 4
    assert found == pytest.approx(expected / len(chosen), rel=1e-4)


def test_a_sampled_softmax_estimates_the_whole_one() -> None:
    rows = in_order(walks(30, items=200))
    torch.manual_seed(0)
    net = Network(rows.items)
    training = SVAE.of(rows, seed=0)
    chosen = np.arange(30)
    torch.manual_seed(5)
    whole = float(training.loss(net, chosen, 0.0, sampled=0).detach())
    torch.manual_seed(5)
    some = np.mean([float(training.loss(net, chosen, 0.0, sampled=60).detach()) for _ in range(20)])
    assert some == pytest.approx(whole, rel=0.02)


def test_svae_learns_what_comes_next_and_the_order_decides() -> None:
    data = walks(20)
    model = SVAE.of(in_order(data), seed=0).fit({"epochs": 25}, Context())
    queries = data.queries("validation", in_order=True)
    counts = data.training().counts
    assert evaluate(model, queries, counts, (10,), auc=False)["ndcg@10"].mean() > 0.9
    backwards = queries.inputs.copy()
    backwards.data = 100 - backwards.data
    last = np.array([row.argmax() for row in queries.inputs.toarray()])
    ahead, behind = (
        (model.scores(inputs).argmax(axis=1) - last - 1) % data.n_items < 4 for inputs in (queries.inputs, backwards)
    )
    assert ahead.mean() > behind.mean() + 0.3


def test_paper_kl_is_another_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svae, "_LEAST_STEPS", 1)
    rows = in_order(walks(10))
    inputs = rows.places
    ours, theirs = (SVAE.of(rows, paper_kl=switch).fit({"epochs": 1}, Context()).scores(inputs) for switch in (0, 1))
    assert np.abs(ours - theirs).max() > 1e-3


def test_weights_of_rows_enter_the_loss() -> None:
    rows = in_order(walks(4))
    torch.manual_seed(0)
    net = Network(rows.items)
    with torch.no_grad():
        net.encoder[2].weight[64:].zero_()
        net.encoder[2].bias[64:] = -200
    heavy = SVAE.of(replace(rows, weights=np.array([3, 1, 1, 1], np.float32)), sampled=0)
    even = SVAE.of(rows, sampled=0)
    alone = [float(even.loss(net, np.array([row]), 0.0).detach()) for row in range(4)]
    expected = np.average(alone, weights=[3, 1, 1, 1])
    assert float(heavy.loss(net, np.arange(4), 0.0).detach()) == pytest.approx(expected, rel=1e-4)


def test_order_reaches_every_set_of_real_rows() -> None:
    data = walks(60)
    some = of_users(data, np.arange(10))
    found = contenders(data, [some], ["random-users", "head-users"], draws=1, seed=0, in_order=True)
    assert all(one.draws[0].places is not None for one in found if one.record.role != "bound")
    summary = next(one.draws[0] for one in found if one.record.name == "summary")
    assert (summary.places.toarray() == data.part(0, in_order=True).toarray()[:10]).all()
    plain = contenders(data, [some], ["random-users"], draws=1, seed=0)
    assert all(one.draws[0].places is None for one in plain)


def test_svae_is_judged_where_rows_have_an_order_and_left_out_with_a_word_where_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(svae, "_LEAST_STEPS", 1)
    data = walks(30)
    rows = sparse.csr_array(np.eye(4, 20, dtype=np.float32) + np.eye(4, 20, 5, dtype=np.float32))
    made = InteractionsSummary(rows, rows, data.item_ids)
    asked = evaluate_params()(
        learners=["popularity", "svae"], baselines=["head-users"], bootstrap=100, k=[5], metric="ndcg@5"
    )
    found = judge(data, [made], asked, Context())
    measured = {(one.learner, one.set) for one in found.results}
    assert {("svae", "full"), ("svae", "head-users"), ("popularity", "summary")} <= measured
    assert ("svae", "summary") not in measured
    assert any("no order of time" in warning for warning in found.warnings)


def test_svae_on_data_without_times_is_left_out_or_refused_with_a_cure() -> None:
    asked = evaluate_params()(learners=["popularity", "svae"], baselines=[], bootstrap=100)
    found = judge(planted(), [one_row_a_group(planted())], asked, Context())
    assert {one.name for one in found.learners} == {"popularity"}
    assert any("SVAE was left out" in warning for warning in found.warnings)
    with pytest.raises(JobError) as refused:
        judge(planted(), [one_row_a_group(planted())], asked.model_copy(update={"learners": ["svae"]}), Context())
    assert refused.value.pointer == "/evaluate/learners"
