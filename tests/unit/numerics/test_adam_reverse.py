from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from worker.numerics.adam import Adam, Layout, State, train
from worker.numerics.adam_reverse import GRAPHS, Gradients, differentiate

V, LENGTH, ROWS, RANK, HIDDEN = 7, 4, 5, 3, 6


@dataclass
class Toy:
    """A recurrent network that learns soft sequences softmax(latent @ decoder) and is then asked about real ones."""

    adam: Adam
    dtype: torch.dtype = torch.float64
    seed: int = 0

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(self.dtype)

        self.latent, self.decoder = draw(ROWS, LENGTH, RANK), draw(RANK, V)
        self.shapes = (V, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, V)
        self.theta = 0.5 * draw(sum(a * b for a, b in self.shapes))
        self.first, self.second = 0.1 * draw(len(self.theta)), 0.1 * draw(len(self.theta)) ** 2
        self.real = torch.randint(0, V, (6, LENGTH), generator=generator)
        self.phi = (self.latent.requires_grad_(True), self.decoder.requires_grad_(True))

    def cross_entropy(self, theta: Tensor, events: Tensor) -> Tensor:
        sizes = [a * b for a, b in self.shapes]
        embed, recur, out = (w.view(s) for w, s in zip(theta.split(sizes), self.shapes, strict=True))
        state, total = events.new_zeros(len(events), HIDDEN), theta.new_zeros(())
        for j in range(LENGTH - 1):
            state = torch.tanh(events[:, j] @ embed + state @ recur)
            total = total - (events[:, j + 1] * torch.log_softmax(state @ out, -1)).sum()
        return total / len(events)

    def loss(self, theta: Tensor, t: int) -> Tensor:
        chosen = self.latent[[t % ROWS, (t + 2) % ROWS, (2 * t + 1) % ROWS]]
        return self.cross_entropy(theta, torch.softmax(chosen @ self.decoder, -1))

    def outer(self, theta: Tensor) -> Tensor:
        return self.cross_entropy(theta, nn.functional.one_hot(self.real, V).to(self.dtype))

    def start(self) -> State:
        return State(self.theta, self.first, self.second)

    def reverse(self, steps: int, **given: Any) -> Gradients:
        return differentiate(self.outer, self.loss, self.start(), steps, self.adam, self.phi, **given)

    def unrolled(self, steps: int) -> list[Tensor]:
        """The same gradients by autograd through the whole loop: phi, theta, first, second, one rate a step."""
        theta, first, second = (x.clone().requires_grad_(True) for x in (self.theta, self.first, self.second))
        rates = torch.full((steps,), self.adam.lr, dtype=self.dtype, requires_grad=True)
        now, m, v = theta, first, second
        (b1, b2), decay = self.adam.betas, self.adam.weight_decay
        for t in range(steps):
            (g,) = torch.autograd.grad(self.loss(now, t), now, create_graph=True)
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            move = (m / (1 - b1 ** (t + 1))) / ((v / (1 - b2 ** (t + 1))).sqrt() + self.adam.eps)
            now = now * (1 - rates[t] * decay) - rates[t] * move
        return list(torch.autograd.grad(self.outer(now), [*self.phi, theta, first, second, rates]))


def apart(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def flat(found: Gradients) -> list[Tensor]:
    return [*found.phi, found.theta, found.first, found.second, found.rates]


@pytest.mark.parametrize("eps", [1e-8, 1e-4])
@pytest.mark.parametrize("steps", [1, 5, 20, 60])
def test_the_reverse_pass_equals_autograd(steps: int, eps: float) -> None:
    toy = Toy(Adam(lr=1e-2, eps=eps))
    expected = toy.unrolled(steps)
    for graphs in (0, 1, 8):
        for found, one in zip(flat(toy.reverse(steps, graphs=graphs)), expected, strict=True):
            assert apart(found, one) < 1e-9


@pytest.mark.parametrize("steps", [5, 20, 60])
def test_single_precision_is_near(steps: int) -> None:
    found = Toy(Adam(lr=1e-2), dtype=torch.float32).reverse(steps).phi
    for one, expected in zip(found, Toy(Adam(lr=1e-2)).reverse(steps).phi, strict=True):
        assert apart(one.double(), expected) < 1e-3


def test_decoupled_weight_decay_equals_autograd() -> None:
    toy = Toy(Adam(lr=1e-2, weight_decay=0.7))
    for found, expected in zip(flat(toy.reverse(12)), toy.unrolled(12), strict=True):
        assert apart(found, expected) < 1e-9


def test_the_window_after_untraced_steps_is_a_training_from_where_they_ended() -> None:
    toy = Toy(Adam(lr=1e-2))
    late = train(toy.loss, toy.start(), 7, toy.adam)
    found = differentiate(toy.outer, toy.loss, late, 5, toy.adam, toy.phi)
    assert torch.equal(found.end.theta, toy.reverse(12).end.theta)
    assert len(found.rates) == 5

    def value(rates: Tensor) -> Tensor:
        theta, m, v = late.theta, late.first, late.second
        for t in range(7, 12):
            leaf = theta.requires_grad_(True) if not theta.requires_grad else theta
            (g,) = torch.autograd.grad(toy.loss(leaf, t), leaf, create_graph=True)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            a, e = toy.adam.scale(t + 1)
            theta = theta - rates[t - 7] * a * m / (v.sqrt() + e)
        return toy.outer(theta)

    rates = torch.full((5,), toy.adam.lr, dtype=torch.float64, requires_grad=True)
    expected = torch.autograd.grad(value(rates), [*toy.phi, rates])
    for one, other in zip([*found.phi, found.rates], expected, strict=True):
        assert apart(one, other) < 1e-9


def test_finite_differences_agree() -> None:
    toy, steps, h = Toy(Adam(lr=1e-2)), 20, 1e-5
    found = toy.reverse(steps).phi
    generator = torch.Generator().manual_seed(1)
    for tensor, gradient in zip(toy.phi, found, strict=True):
        numbers, values = tensor.detach().view(-1), gradient.reshape(-1)
        for at in torch.randperm(len(numbers), generator=generator)[:20].tolist():
            around = []
            for sign in (1, -1):
                numbers[at] += sign * h
                around.append(float(toy.outer(train(toy.loss, toy.start(), steps, toy.adam).theta)))
                numbers[at] -= sign * h
            slope = (around[0] - around[1]) / (2 * h)
            assert abs(slope - float(values[at])) < 1e-4 * max(abs(slope), 1e-3)


GOLDEN = [  # eps, T, w_T, df/dx, df/dw0
    (1e-8, 1, 1.0999999995, 0.0000000003, 1.0999999992),
    (1e-8, 3, 1.2993766072, 0.0005071679, 1.2988694393),
    (1e-8, 10, 1.9754131595, 0.0348923926, 1.9405207670),
    (1e-2, 3, 1.2978532973, 0.0015087693, 1.2963445280),
    (1, 1, 1.0666666667, 0.0118518519, 1.0548148148),
    (1, 3, 1.1986296641, 0.0406881865, 1.1579414776),
    (1, 10, 1.6405695968, 0.1993982395, 1.4411713573),
]


def scalar(adam: Adam, steps: int, **given: Any) -> Gradients:
    """A weight w from 1 pulled towards x = 3 by L = (w - x)^2 / 2, and f = w_T^2 / 2."""
    x = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    start = State.start(torch.ones(1, dtype=torch.float64))
    return differentiate(
        lambda w: (w**2).sum() / 2, lambda w, _: ((w - x) ** 2).sum() / 2, start, steps, adam, [x], **given
    )


@pytest.mark.parametrize(("eps", "steps", "end", "by_x", "by_start"), GOLDEN)
def test_a_scalar_gives_the_golden_values(eps: float, steps: int, end: float, by_x: float, by_start: float) -> None:
    found = scalar(Adam(lr=0.1, eps=eps), steps)
    assert found.end.theta.item() == pytest.approx(end, abs=1e-10)
    assert found.phi[0].item() == pytest.approx(by_x, abs=1e-10)
    assert found.theta.item() == pytest.approx(by_start, abs=1e-10)


@pytest.mark.parametrize("eps", [1e-8, 1e-4, 1e-2, 1])
@pytest.mark.parametrize("steps", [1, 3, 10, 60])
def test_shifting_start_and_target_shifts_the_end(eps: float, steps: int) -> None:
    found = scalar(Adam(lr=0.1, eps=eps), steps)
    assert (found.phi[0] + found.theta).item() == pytest.approx(found.end.theta.item(), rel=1e-12)


def test_no_step_size_leaves_only_the_outer_gradient() -> None:
    toy = Toy(Adam(lr=0.0))
    found = toy.reverse(8)
    leaf = toy.theta.clone().requires_grad_(True)
    assert torch.equal(found.theta, torch.autograd.grad(toy.outer(leaf), leaf)[0])
    assert all(not one.any() for one in found.phi)
    assert found.rates.abs().min() > 0


def test_without_memory_and_with_a_large_eps_it_is_gradient_descent() -> None:
    eps, rate, steps = 1e6, 0.05, 10
    toy = Toy(Adam(lr=rate * eps, betas=(0.0, 1 - 1e-9), eps=eps))
    toy.first, toy.second = torch.zeros_like(toy.first), torch.zeros_like(toy.second)
    theta = toy.theta.clone().requires_grad_(True)
    now = theta
    for t in range(steps):
        now = now - rate * torch.autograd.grad(toy.loss(now, t), now, create_graph=True)[0]
    expected = torch.autograd.grad(toy.outer(now), [*toy.phi, theta])
    found = toy.reverse(steps)
    for one, other in zip([*found.phi, found.theta], expected, strict=True):
        assert apart(one, other) < 1e-4


@pytest.mark.parametrize("steps", [1, 2, 7, 20, 31])
def test_checkpoints_give_the_bytes_of_a_stored_trajectory(steps: int) -> None:
    toy = Toy(Adam(lr=1e-2), dtype=torch.float32)
    stored, checkpointed = toy.reverse(steps), toy.reverse(steps, trajectory="checkpoint")
    for one, other in zip(flat(stored), flat(checkpointed), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(stored.end.theta, checkpointed.end.theta)


@pytest.mark.parametrize("steps", [20, 60, 100])
def test_a_reversed_trajectory_is_near_in_double_precision(steps: int) -> None:
    toy = Toy(Adam(lr=1e-2))
    for one, other in zip(flat(toy.reverse(steps, trajectory="reversible")), flat(toy.reverse(steps)), strict=True):
        assert apart(one, other) < 1e-6


def test_a_trajectory_that_cannot_be_reversed_is_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        Toy(Adam(), dtype=torch.float32).reverse(5, trajectory="reversible")
    with pytest.raises(ValueError, match="100"):
        Toy(Adam()).reverse(101, trajectory="reversible")
    with pytest.raises(ValueError, match="no steps"):
        Toy(Adam()).reverse(0)


def test_a_reversal_that_misses_its_start_is_not_believed() -> None:
    toy = Toy(Adam(lr=1e-2, betas=(0.5, 0.6)))  # rounding grows like 0.5 ** -T
    with pytest.raises(ArithmeticError, match="missed"):
        toy.reverse(100, trajectory="reversible")


def test_one_adjoint_for_both_moments_is_exact_for_one_step_alone() -> None:
    toy = Toy(Adam(lr=1e-2))
    toy.first, toy.second = torch.zeros_like(toy.first), torch.zeros_like(toy.second)
    for one, other in zip(toy.reverse(1, adjoint="merged").phi, toy.reverse(1).phi, strict=True):
        assert apart(one, other) < 1e-9
    assert 0.05 < apart(toy.reverse(20, adjoint="merged").phi[0], toy.reverse(20).phi[0]) < 1


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_training_equals_that_of_torch(decay: float) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    layout = Layout.of(network)
    x, y = torch.randn(8, 3), torch.randn(8, 2)

    def loss(theta: Tensor, t: int) -> Tensor:
        return nn.functional.mse_loss(torch.func.functional_call(network, layout.named(theta), x[t % 4 :]), y[t % 4 :])

    found = train(loss, State.start(layout.vector(network)), 25, Adam(1e-2, eps=1e-6, weight_decay=decay))
    peer = torch.optim.AdamW(network.parameters(), 1e-2, eps=1e-6, weight_decay=decay)
    for t in range(25):
        peer.zero_grad()
        nn.functional.mse_loss(network(x[t % 4 :]), y[t % 4 :]).backward()
        peer.step()
    torch.testing.assert_close(found.theta, layout.vector(network), rtol=0, atol=1e-6)
    assert layout.size == len(found.theta)


class Live(TorchDispatchMode):
    """Counts the bytes of storages made while it is on, and the most that were alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage())._cdata not in self.known:
                self.known.add(storage._cdata)
                self.now += storage.nbytes()
                weakref.finalize(storage, self.gone, storage._cdata, storage.nbytes())
        self.most = max(self.most, self.now)
        return out

    def gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def peak(run: Callable[[], object]) -> int:
    gc.collect()
    with Live() as live:
        run()
    return live.most


def test_memory_of_the_graph_does_not_grow_with_the_steps() -> None:
    toy = Toy(Adam(lr=1e-2))
    state = 3 * len(toy.theta) * 8
    few, many = (peak(lambda steps=steps: toy.reverse(steps)) - steps * state for steps in (GRAPHS, 4 * GRAPHS))
    assert many < 1.1 * few + 4 * GRAPHS * 8  # one number a step for its rate
    assert peak(lambda: toy.reverse(GRAPHS, graphs=0)) < few
    unrolled = [peak(lambda steps=steps: toy.unrolled(steps)) for steps in (2, 12)]
    assert unrolled[1] > 4 * unrolled[0]
    kept = GRAPHS * state  # a state with each kept graph
    assert peak(lambda: toy.reverse(40, trajectory="checkpoint")) < few + kept + 2 * (40 - GRAPHS) ** 0.5 * state
    assert peak(lambda: toy.reverse(40, trajectory="reversible")) < few + kept + 4 * state


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same() -> None:
    here, there = Toy(Adam(lr=1e-2)), Toy(Adam(lr=1e-2))
    for name in ("theta", "first", "second", "real"):
        setattr(there, name, getattr(there, name).cuda())
    there.latent, there.decoder = (x.detach().cuda().requires_grad_(True) for x in there.phi)
    there.phi = (there.latent, there.decoder)
    for one, other in zip(flat(there.reverse(20)), flat(here.reverse(20)), strict=True):
        assert apart(one.cpu(), other) < 1e-9
