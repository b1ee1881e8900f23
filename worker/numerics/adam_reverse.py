"""The exact derivative of training with Adam, backwards through its updates, with the graphs of a few at a time.

Training is theta_t = Adam(theta_{t-1}, grad L(theta_{t-1}, phi; t)) for t = 1..T; what is wanted is the gradient of
f(theta_T) with respect to phi (synthetic data, say), theta_0, the initial moments and the step sizes. With
s = sqrt(v_t), q = s + e_t, and a_t (lr in it), e_t of `Adam.scale`, from t = T down, from dtheta = grad f, dm = dv = 0:

    dm += -a_t dtheta / q                         dv += a_t m_t dtheta / (2 s q^2), 0 where s is 0
    dg  = (1 - b1) dm + 2 (1 - b2) g_t dv
    dtheta = (1 - lr w) dtheta + (d^2 L / dtheta^2) dg        dphi += (d^2 L / dphi dtheta) dg
    dm *= b1                                      dv *= b2

This is the chain rule written out. Autograd through the unrolled loop gives the same, but keeps the graphs of all T
updates; here only the trajectory remains: 3 T P numbers, 6 sqrt(T) P, or 3 P.

The published reverse pass (Farzi, arXiv:2310.09983, algorithm 1) carries one adjoint for both moments, so what belongs
to the second decays with b1 in place of b2: `adjoint="merged"`, exact for T = 1 alone. It is here to be compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from worker.numerics.adam import Adam, Loss, State, train

Trajectory = Literal["store", "checkpoint", "reversible"]
Adjoint = Literal["exact", "merged"]
REVERSIBLE_STEPS = 100  # rounding grows like b1 ** -T: beyond, float64 no longer carries it
GRAPHS = 12
DRIFT = 1e-3  # relative difference to the known start above which a reversal is not believed


@dataclass(frozen=True)
class Gradients:
    """Of f after training: `value` f; `phi`: one a tensor; `theta`, `first`, `second` (P,): for the state at the start;
    `rates` (T,): for the step size of each update, their sum for a common one; `end`: the state that f saw."""

    value: float
    phi: tuple[Tensor, ...]
    theta: Tensor
    first: Tensor
    second: Tensor
    rates: Tensor
    end: State


def differentiate(
    outer: Callable[[Tensor], Tensor],
    loss: Loss,
    start: State,
    steps: int,
    adam: Adam,
    phi: Sequence[Tensor],
    *,
    trajectory: Trajectory = "store",
    adjoint: Adjoint = "exact",
    graphs: int = GRAPHS,
) -> Gradients:
    """Train for `steps` >= 1 updates from `start`, then f = outer(theta (P,)), and the gradients of f.

    `phi`: leaf tensors that the loss (or `outer`) depends on and that require a gradient. Updates before `start`
    are not differentiated, which is how a window of a longer training is taken: `train` up to it, then this.

    `trajectory`: `store` keeps every state; `checkpoint` every sqrt(steps)-th and runs the others again, with the same
    bytes as result; `reversible` keeps none and inverts the updates, for float64 and at most 100 steps (ValueError
    otherwise; ArithmeticError where the inversion did not come back to the start). `graphs`: how many of the last
    updates keep their graph from the way forward, which saves running them again.
    """
    if steps < 1:
        raise ValueError("there is nothing to differentiate in no steps")
    reversible = trajectory == "reversible"
    if reversible and (start.theta.dtype != torch.float64 or start.step + steps > REVERSIBLE_STEPS):
        raise ValueError(f"trajectories are reversible in float64, up to {REVERSIBLE_STEPS} steps")
    traced = min(graphs, steps)
    untraced = steps - traced
    if reversible:
        states = iter([train(loss, start, untraced, adam)])
    else:
        states = _backwards(loss, start, untraced, adam, every=_spacing(untraced, trajectory))
    end = next(states)
    traces: list[_Trace] = []
    for _ in range(traced):
        traces.append(_Trace.of(loss, end))
        end = end.updated(traces[-1].gradient.detach(), adam)
    leaf = end.theta.detach().requires_grad_(True)
    value = outer(leaf)
    dtheta, *dphi = _gradients(value, [leaf, *phi])
    adjoints = _Adjoints(dtheta, torch.zeros_like(dtheta), torch.zeros_like(dtheta), dphi)
    rates: list[Tensor] = []
    after = end
    for _ in range(steps):
        known = traces.pop() if traces else None
        trace = known or _Trace.of(loss, _undo_parameters(after, adam) if reversible else next(states))
        before, gradient = trace.before, trace.gradient.detach()
        if reversible and known is None:
            before = _undo_moments(before, after, gradient, adam)
        rates.append(adjoints.of_rate(before, after, adam))
        towards = adjoints.through_update(after, gradient, adam, adjoint)
        adjoints.pass_on(*_gradients(trace.gradient, [trace.theta, *phi], towards), adam=adam)
        after = before
    if reversible:
        _check_return(after, start)
    return Gradients(
        value=float(value.detach()),
        phi=tuple(adjoints.phi),
        theta=adjoints.theta,
        first=adjoints.first,
        second=adjoints.second,
        rates=torch.stack(rates[::-1]),
        end=end,
    )


@dataclass
class _Trace:
    """The gradient (P,) of an update with its graph, from the parameters `theta` of the state `before`."""

    before: State
    theta: Tensor
    gradient: Tensor

    @classmethod
    def of(cls, loss: Loss, before: State) -> _Trace:
        """Run the loss of the update that follows a state."""
        theta = before.theta.detach().requires_grad_(True)
        return cls(before, theta, torch.autograd.grad(loss(theta, before.step), theta, create_graph=True)[0])


@dataclass
class _Adjoints:
    """Gradients of f with respect to the state at the present step, and what has come together for phi."""

    theta: Tensor
    first: Tensor
    second: Tensor
    phi: list[Tensor]

    def of_rate(self, before: State, after: State, adam: Adam) -> Tensor:
        """The derivative for the step size of the update between the two."""
        a, e = adam.scale(after.step)
        moved = after.first / (after.second.sqrt() + e) * a
        return -torch.dot(self.theta, moved + before.theta * adam.weight_decay)

    def through_update(self, after: State, gradient: Tensor, adam: Adam, adjoint: Adjoint) -> Tensor:
        """Back through theta -= lr a m / (sqrt(v) + e) and both moments; the gradient (P,) of f for g_t."""
        b1, b2 = adam.betas
        a, e = adam.scale(after.step)
        root = after.second.sqrt()
        moved = self.theta / (root + e) * (adam.lr * a)
        curved = torch.where(root > 0, moved * after.first / (2 * root * (root + e)), 0.0)
        self.first = self.first - moved
        if adjoint == "merged":
            self.first = self.first + curved * gradient * (2 * (1 - b2) / (1 - b1))
            return self.first * (1 - b1)
        self.second = self.second + curved
        return self.first * (1 - b1) + self.second * gradient * (2 * (1 - b2))

    def pass_on(self, through: Tensor, *mixed: Tensor, adam: Adam) -> None:
        """To the state before the update: with the Hessian's part (P,), and those of phi."""
        self.theta = self.theta * adam.kept + through
        for one, more in zip(self.phi, mixed, strict=True):
            one += more
        self.first = self.first * adam.betas[0]
        self.second = self.second * adam.betas[1]


def _gradients(of: Tensor, inputs: Sequence[Tensor], towards: Tensor | None = None) -> list[Tensor]:
    """Of a scalar, or of <of, towards>; zero for what it does not depend on."""
    if not of.requires_grad:
        return [torch.zeros_like(x) for x in inputs]
    found = torch.autograd.grad(of, list(inputs), towards, allow_unused=True)
    return [torch.zeros_like(x) if one is None else one for x, one in zip(inputs, found, strict=True)]


def _spacing(steps: int, trajectory: Trajectory) -> int:
    """From one kept state to the next, where those between are run again."""
    return max(1, steps if trajectory == "store" else round(steps**0.5))


def _backwards(loss: Loss, start: State, steps: int, adam: Adam, *, every: int) -> Iterator[State]:
    """The states from the last one back to `start`."""
    marks = [start]
    while start.step + steps - marks[-1].step > every:
        marks.append(train(loss, marks[-1], every, adam))
    until = start.step + steps
    while marks:
        states = [marks.pop()]
        while states[-1].step < until:
            states.append(train(loss, states[-1], 1, adam))
        until = states[0].step - 1
        while states:
            yield states.pop()


def _undo_parameters(after: State, adam: Adam) -> State:
    """The parameters before an update; the moments are still those after it."""
    a, e = adam.scale(after.step)
    theta = torch.addcdiv(after.theta, after.first, after.second.sqrt() + e, value=adam.lr * a) / adam.kept
    return State(theta, after.first, after.second, after.step - 1)


def _undo_moments(before: State, after: State, gradient: Tensor, adam: Adam) -> State:
    """The whole state before an update that was made with this gradient (P,)."""
    b1, b2 = adam.betas
    first = (after.first - (1 - b1) * gradient) / b1
    second = ((after.second - (1 - b2) * gradient**2) / b2).clamp(min=0)
    return State(before.theta, first, second, before.step)


def _check_return(found: State, start: State) -> None:
    distance = float(torch.linalg.vector_norm(found.theta - start.theta))
    if not distance <= DRIFT * max(float(torch.linalg.vector_norm(start.theta)), torch.finfo(torch.float64).tiny):
        raise ArithmeticError(f"the reversal missed its start by {distance:g}: rounding was in the way")
