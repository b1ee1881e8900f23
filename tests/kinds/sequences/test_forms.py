from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from worker.contract.context import Context
from worker.kinds.sequences.counting import counts, transitions
from worker.kinds.sequences.forms import Factors, Ids, LowRank, TopK, TrainingSet
from worker.kinds.sequences.networks import targets
from worker.kinds.sequences.networks.sasrec import SASRec
from worker.kinds.sequences.rows import Rows, bounds

ITEMS, WIDTH = 12, 4


def low_rank(places: int, *, bias: bool = False, tau: float = 0.7) -> LowRank:
    rng = np.random.default_rng(0)
    decoder = rng.normal(size=(WIDTH, ITEMS)).astype(np.float32)
    more = rng.normal(size=ITEMS).astype(np.float32) if bias else None
    return LowRank(rng.normal(size=(places, WIDTH)).astype(np.float32), decoder, more, tau)


def top_k(events: LowRank, k: int, *, spread: bool) -> TopK:
    every = events.probabilities(np.arange(len(events)), ITEMS)
    ids = np.argsort(-every, axis=1)[:, :k].astype(np.int32)
    share = np.take_along_axis(every, ids, axis=1).astype(np.float16)
    return TopK(ids, share, np.full(ITEMS, 1 / ITEMS, np.float32) if spread else None)


def one_hot(items: np.ndarray) -> LowRank:
    """Ids as probabilities: logits so far apart that all mass is on one item."""
    return LowRank(np.eye(ITEMS, dtype=np.float32)[items] * 200, np.eye(ITEMS, dtype=np.float32))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("spread", [False, True])
def test_soft_events_when_decoded_then_rows_sum_to_one_over_the_items_alone(bias: bool, spread: bool):
    at = np.arange(6)
    soft = low_rank(6, bias=bias)
    for events in (soft, top_k(soft, 3, spread=spread)):
        found = events.probabilities(at, ITEMS)
        assert found.shape == (6, ITEMS)  # padding is item number ITEMS: there is no column for it
        assert found.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-6)
        assert (found >= 0).all()


def test_low_rank_when_decoded_then_is_the_softmax_of_the_product_over_the_temperature():
    events = low_rank(5, bias=True, tau=0.5)
    logits = (torch.from_numpy(events.latent) @ torch.from_numpy(events.decoder) + torch.from_numpy(events.bias)) / 0.5
    assert events.probabilities(np.arange(5), ITEMS) == pytest.approx(logits.softmax(1).numpy(), abs=1e-6)


@pytest.mark.parametrize("form", ["low", "top", "spread"])
def test_loss_of_soft_targets_when_compared_then_is_the_cross_entropy_with_their_probabilities(form: str):
    soft = low_rank(7)
    events = soft if form == "low" else top_k(soft, 4, spread=form == "spread")
    logits = torch.randn(7, ITEMS)
    full = torch.from_numpy(events.probabilities(np.arange(7), ITEMS))
    expected = torch.nn.functional.cross_entropy(logits, full, reduction="none")
    assert targets.missed(logits, events, np.arange(7)).numpy() == pytest.approx(expected.numpy(), rel=1e-5)


@pytest.mark.parametrize("form", ["ids", "low", "top", "spread"])
def test_loss_when_taken_in_blocks_then_it_and_its_gradients_are_those_of_all_logits_at_once(
    form: str, monkeypatch: pytest.MonkeyPatch
):
    inputs = Ids(np.arange(9, dtype=np.int32))
    wanted = {
        "ids": Ids(np.arange(9, dtype=np.int32)[::-1].copy()),
        "low": low_rank(9, bias=True),
        "top": top_k(low_rank(9), 4, spread=False),
        "spread": top_k(low_rank(9), 4, spread=True),
    }[form]
    data = TrainingSet(np.array([0, 5, 9]), inputs, wanted, ITEMS, 6, np.linspace(0.5, 2, 9).astype(np.float32))
    net = SASRec(ITEMS, 6).eval()
    batch = targets.Batch.of(data, np.arange(2), "cpu")
    logits = net(embedded=batch.embedded(net, data), at=(batch.row, batch.column))
    dense = (targets.missed(logits, wanted, batch.at) * batch.weight).sum() / batch.weight.sum()
    expected = torch.autograd.grad(dense, list(net.parameters()))

    largest, missed = [0], targets.missed
    monkeypatch.setitem(targets.BLOCK, "cpu", 2 * ITEMS)
    monkeypatch.setattr(
        targets, "missed", lambda logits, *rest: (largest.append(logits.numel()), missed(logits, *rest))[1]
    )
    found = targets.loss(net, data, np.arange(2))
    assert max(largest) == 2 * ITEMS
    assert found.item() == pytest.approx(dense.item(), rel=1e-6)
    for one, other in zip(torch.autograd.grad(found, list(net.parameters())), expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_one_hot_events_when_read_and_predicted_then_give_the_logits_and_loss_of_the_items_themselves():
    rows = Rows.of([[0, 3, 5, 2], [7, 1, 4]])
    hard = TrainingSet.of(rows, ITEMS, 6)
    assert isinstance(hard.inputs, Ids)
    assert isinstance(hard.targets, Ids)
    soft = TrainingSet(hard.indptr, one_hot(hard.inputs.items), one_hot(hard.targets.items), ITEMS, 6, units=2)
    net = SASRec(ITEMS, 6).eval()
    batch = [targets.Batch.of(one, np.arange(2), "cpu") for one in (hard, soft)]
    vectors = [one.embedded(net, data) for one, data in zip(batch, (hard, soft), strict=True)]
    assert torch.allclose(net(embedded=vectors[0]), net(embedded=vectors[1]), atol=1e-5)
    ids = torch.from_numpy(rows.padded(np.arange(2), ITEMS)[:, :-1])
    ids[1, 2] = ITEMS  # the last event of the shorter row is predicted and not read
    assert torch.allclose(net(ids), net(embedded=vectors[0]), atol=1e-6)
    losses = [targets.loss(net, one, np.arange(2)).item() for one in (hard, soft)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert counts(soft) == pytest.approx(counts(hard), abs=1e-4)
    assert transitions(soft, Context()).toarray() == pytest.approx(transitions(hard, Context()).toarray(), abs=1e-4)


def test_tied_rows_when_made_then_each_event_is_read_and_all_but_the_first_predicted():
    latent = np.random.default_rng(1).normal(size=(12, WIDTH)).astype(np.float32)
    data = TrainingSet.tied(LowRank(latent, low_rank(1).decoder, tau=0.5), np.array([5, 3, 4]), ITEMS, 20)
    assert data.lengths.tolist() == [4, 2, 3]
    assert isinstance(data.inputs, LowRank)
    assert isinstance(data.targets, LowRank)
    assert np.array_equal(data.inputs.latent, latent[[0, 1, 2, 3, 5, 6, 8, 9, 10]])
    assert np.array_equal(data.targets.latent, latent[[1, 2, 3, 4, 6, 7, 9, 10, 11]])
    weighted = replace(data, weight=np.arange(9, dtype=np.float32))
    for one in (data, data.take(np.array([2, 0])), weighted, weighted.take(np.array([2, 0]))):
        again = TrainingSet.from_arrays(one.arrays(), ITEMS, 20, len(one))
        assert again.digest() == one.digest()
        assert np.array_equal(again.targets.latent, one.targets.latent)
    assert weighted.take(np.array([2, 0])).weight.tolist() == [6, 7, 8, 0, 1, 2, 3]
    assert data.take(np.array([2, 0])).whole.latent.tolist() == latent[[8, 9, 10, 11, 0, 1, 2, 3, 4]].tolist()


def test_tied_rows_when_stored_then_every_event_lies_there_once():
    stored = TrainingSet.tied(low_rank(12), np.array([5, 3, 4]), ITEMS, 20).arrays()
    assert {name.split(".")[0] for name in stored} == {"indptr", "events"}
    assert stored["events.LowRank.latent"].shape == (12, WIDTH)


def test_tied_rows_of_before_when_read_then_as_they_were():
    """Bundles used to hold what is read and what is predicted apart, with one decoder."""
    events = low_rank(12)
    data = TrainingSet.tied(events, np.array([5, 3, 4]), ITEMS, 20)
    apart = {"indptr": data.indptr, "targets.LowRank.decoder": events.decoder}
    for side, one in (("inputs", data.inputs), ("targets", data.targets)):
        apart |= {f"{side}.LowRank.latent": one.latent, f"{side}.LowRank.tau": np.asarray(one.tau)}
        apart |= {} if one.bias is None else {f"{side}.LowRank.bias": one.bias}
    again = TrainingSet.from_arrays(apart, ITEMS, 20, 3)
    at = np.arange(data.places)
    assert np.array_equal(again.inputs.probabilities(at, ITEMS), data.inputs.probabilities(at, ITEMS))
    assert np.array_equal(again.targets.probabilities(at, ITEMS), data.targets.probabilities(at, ITEMS))


def test_factors_when_multiplied_then_give_every_place_and_are_what_is_stored():
    rng = np.random.default_rng(4)
    factors = Factors(*(rng.normal(size=size).astype(np.float16) for size in ((2, 3, WIDTH), (4, 2), (5, 3))))
    latent = factors.latent()
    core, sequences, places = (x.astype(np.float64) for x in (factors.core, factors.sequences, factors.places))
    by_sum = np.einsum("abd,na,jb->njd", core, sequences, places)
    assert latent == pytest.approx(by_sum.reshape(20, WIDTH), abs=1e-4)
    low = LowRank.of(factors, low_rank(1).decoder)
    data = TrainingSet.of_inputs(Rows.of([[0, 1, 2, 3, 1]] * 4), ITEMS, 20).with_targets(low)
    stored = data.arrays()
    assert "targets.LowRank.latent" not in stored
    again = TrainingSet.from_arrays(stored, ITEMS, 20, 4)
    assert again.targets.latent.tobytes() == latent.tobytes()
    assert "targets.LowRank.latent" in data.take(np.array([1])).arrays()


def test_long_rows_when_cut_then_every_event_is_predicted_once_in_its_order():
    rows = Rows.of([list(range(11)), [1], [2, 3]])
    data = TrainingSet.of(rows, ITEMS, 4)
    assert data.lengths.tolist() == [2, 4, 4, 1]
    assert isinstance(data.targets, Ids)
    assert data.targets.items.tolist() == [*range(1, 11), 3]
    assert data.units == 3
    assert data.first is not None
    assert data.first.nonzero()[0].tolist() == [0, 1, 2]
    assert counts(data).sum() == 14


def test_weights_when_given_then_count_in_the_loss_and_in_counts():
    rows = Rows.of([[0, 1], [0, 2]])
    weighted = TrainingSet.of(rows, ITEMS, 4, weight=np.array([3.0, 1.0]))
    repeated = TrainingSet.of(rows.take(np.array([0, 0, 0, 1])), ITEMS, 4)
    net = SASRec(ITEMS, 4).eval()
    both = [targets.loss(net, one, np.arange(len(one))).item() for one in (weighted, repeated)]
    assert both[0] == pytest.approx(both[1], rel=1e-6)
    assert counts(weighted).tolist() == counts(repeated).tolist()


def test_sampled_softmax_when_averaged_over_draws_then_comes_near_the_whole_one():
    torch.manual_seed(0)
    net = SASRec(400, 6).eval()
    with torch.no_grad():
        net.items.weight.mul_(10)
    states, items = torch.randn(30, 32), np.arange(30)
    whole = torch.nn.functional.cross_entropy(net.scores(states), torch.arange(30), reduction="none")
    drawn = torch.stack([targets.against_a_sample(net, states, items, 200) for _ in range(200)]).mean(dim=0)
    assert drawn.detach().numpy() == pytest.approx(whole.detach().numpy(), abs=0.1)


def test_training_when_there_are_many_items_then_takes_a_sample(monkeypatch: pytest.MonkeyPatch):
    rows = TrainingSet.of(Rows.of([[0, 1, 2], [3, 4]]), ITEMS, 6)
    net = SASRec(ITEMS, 6).eval()
    whole = targets.loss(net, rows, np.arange(2)).item()
    monkeypatch.setattr(targets, "LARGE", 5)
    sampled = targets.loss(net, rows, np.arange(2)).item()
    assert sampled != whole
    assert sampled == pytest.approx(whole, rel=0.1)


def test_training_set_when_its_parts_do_not_fit_then_is_refused():
    with pytest.raises(ValueError, match="3 places"):
        TrainingSet(bounds(np.array([3])), Ids(np.zeros(3, np.int32)), Ids(np.zeros(2, np.int32)), ITEMS, 4)
    with pytest.raises(ValueError, match="more than 2"):
        TrainingSet(bounds(np.array([3])), Ids(np.zeros(3, np.int32)), Ids(np.zeros(3, np.int32)), ITEMS, 2)
