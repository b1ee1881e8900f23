"""Optimisers against torch's, and their resume points."""

from __future__ import annotations

import pytest
import torch

from worker.kinds.images.distillation.optimisers import Optimiser


def start():
    return torch.linspace(-2, 2, 6, dtype=torch.float64)


@pytest.mark.parametrize(
    ("rule", "other"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5)),
        ("adam", lambda p: torch.optim.Adam(p, lr=0.1)),
        ("adam", lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.01)),
    ],
)
def test_steps_are_torch_s(rule, other):
    mine, known = start(), torch.nn.Parameter(start())
    theirs = other([known])
    decay = theirs.param_groups[0]["weight_decay"]
    optimiser = Optimiser({"x": mine}, 0.1, rule, momentum=0.5, decay=decay)
    for _ in range(5):
        known.grad = known.detach() ** 3
        optimiser.step({"x": mine**3})
        theirs.step()
    torch.testing.assert_close(mine, known.detach())


def test_adabelief_takes_large_steps_where_gradients_agree():
    moved = {}
    for rule in ("adam", "adabelief"):
        x = start()
        optimiser = Optimiser({"x": x}, 0.01, rule, eps=1e-16)
        for _ in range(20):
            optimiser.step({"x": torch.ones_like(x)})
        moved[rule] = float((start() - x).mean())
    assert moved["adam"] == pytest.approx(0.2)
    assert moved["adabelief"] > 1.5 * moved["adam"]


def test_lamb_moves_by_a_share_of_the_norm():
    x = start() * 100
    before = x.clone()
    Optimiser({"x": x}, 0.01, "lamb").step({"x": torch.ones_like(x)})
    assert float((x - before).norm()) == pytest.approx(0.01 * float(before.norm()))


@pytest.mark.parametrize("rule", ["sgd", "adam", "adabelief", "lamb"])
def test_a_restored_optimiser_goes_on_to_the_bit(rule):
    def run(steps, optimiser, x):
        for _ in range(steps):
            optimiser.step({"x": x**3})

    x = start()
    whole = Optimiser({"x": x}, 0.05, rule, momentum=0.5)
    run(3, whole, x)
    stored = {name: one.clone() for name, one in whole.tensors("o").items()}
    run(3, whole, x)
    y = start()
    again = Optimiser({"x": y}, 0.05, rule, momentum=0.5)
    for name, one in again.tensors("o").items():
        one.copy_(stored[name])
    run(3, again, y)
    assert torch.equal(x, y)
