from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.kinds.sequences.planted import planted
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.networks import targets
from worker.kinds.sequences.networks.causal_lm import CausalLM
from worker.kinds.sequences.networks.fmlp import FMLPRec
from worker.kinds.sequences.networks.gru import GRU4Rec
from worker.kinds.sequences.networks.lstm import LSTM
from worker.kinds.sequences.networks.next_event import NextEvent
from worker.kinds.sequences.networks.sasrec import SASRec

ITEMS, LENGTH = 20, 6
CAUSAL: dict[str, Callable[[], NextEvent]] = {
    "sasrec": lambda: SASRec(ITEMS, LENGTH, layers=2),
    "gru": lambda: GRU4Rec(ITEMS),
    "lm": lambda: CausalLM(ITEMS, LENGTH, width=32, dropout=0.0),
    "lstm": lambda: LSTM(ITEMS, width=16, dropout=0.0),
}
ALL = CAUSAL | {"fmlp": lambda: FMLPRec(ITEMS, LENGTH)}


@pytest.mark.parametrize("name", CAUSAL)
def test_causal_network_when_later_events_change_then_earlier_logits_stay(name: str):
    torch.manual_seed(0)
    net = CAUSAL[name]().double().eval()
    ids = torch.randint(ITEMS, (3, LENGTH))
    changed = ids.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % ITEMS
    before, after = net(ids), net(changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_fmlp_when_later_events_change_then_earlier_logits_do_too_and_the_loss_at_all_places_is_refused():
    torch.manual_seed(0)
    net = FMLPRec(ITEMS, LENGTH).double().eval()
    ids = torch.randint(ITEMS, (3, LENGTH))
    changed = ids.clone()
    changed[:, 5] = (changed[:, 5] + 1) % ITEMS
    assert not torch.allclose(net(ids)[:, :5], net(changed)[:, :5])
    data = planted(10)
    rows = TrainingSet.of(data.rows, data.n_items, LENGTH)
    with pytest.raises(ValueError, match="all places"):
        targets.loss(FMLPRec(data.n_items, LENGTH), rows, torch.arange(3).numpy())


@pytest.mark.parametrize("name", ALL)
def test_network_when_called_functionally_then_its_gradient_has_a_gradient(name: str):
    torch.manual_seed(0)
    net = ALL[name]().double()
    params = {key: value.detach().requires_grad_() for key, value in net.named_parameters()}
    weight = torch.rand(ITEMS, dtype=torch.float64, requires_grad=True)
    mixture = torch.rand(2, LENGTH, ITEMS, dtype=torch.float64).softmax(-1)

    def loss() -> torch.Tensor:
        read = (mixture * weight) @ params["items.weight"]
        logits = torch.func.functional_call(net, params, (), {"embedded": read})
        return -(logits[:, -1].log_softmax(-1) * weight).sum()

    grads = torch.autograd.grad(loss(), list(params.values()), create_graph=True)
    total = sum((grad.square().sum() for grad in grads), torch.zeros((), dtype=torch.float64))
    (second,) = torch.autograd.grad(total, [weight])
    assert bool(torch.isfinite(second).all())
    step = 1e-6
    with torch.no_grad():
        weight[3] += step
    above = _square(loss, params)
    with torch.no_grad():
        weight[3] -= 2 * step
    below = _square(loss, params)
    assert second[3].item() == pytest.approx((above - below) / (2 * step), rel=1e-4)


def _square(loss: Callable[[], torch.Tensor], params: dict[str, torch.Tensor]) -> float:
    return sum(float(grad.square().sum()) for grad in torch.autograd.grad(loss(), list(params.values())))


@pytest.mark.parametrize("name", ALL)
def test_padding_when_there_is_some_then_it_has_no_vector_and_no_logit(name: str):
    net = ALL[name]().eval()
    ids = torch.tensor([[3, 4, ITEMS, ITEMS, ITEMS, ITEMS]])
    assert net.embed(ids)[0, 2:].abs().sum() == 0
    assert net(ids).shape == (1, LENGTH, ITEMS)
