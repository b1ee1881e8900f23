"""Exact gradients through many training steps, in the memory of one.

A training is states z_0, z_1, ..., z_N with z_{i+1} = F_i(z_i, phi), phi what is learned (images, step size). The
states are kept, the graphs are not: going backwards, each step is computed again and the adjoint
a_i = (dF_i / dz_i)^T a_{i+1} taken through it, while (dF_i / dphi)^T a_{i+1} adds up. That is the gradient of
backpropagation through all steps to the last digit or so, for N states (N times the parameters) and one step's graph;
published code of trajectory matching keeps N graphs, or (TESLA) drops the dependence of each step on earlier ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

State = tuple[Tensor, ...]
Step = Callable[[State, int], State]
"""`(z_i, i)` -> z_{i+1}, differentiable in z_i and phi; called twice with the same arguments it gives the same."""


def unrolled(
    step: Step,
    start: State,
    steps: int,
    outer: Callable[[State], Tensor],
    learned: Sequence[Tensor],
    tick: Callable[[], None] = lambda: None,
) -> tuple[float, list[Tensor]]:
    """The loss `outer(z_N)` and its gradient with respect to `learned` (through the steps and through `outer`)."""
    states = [tuple(one.detach() for one in start)]
    for number in range(steps):
        tick()
        # The step itself takes gradients with a graph only where one is wanted; what it returns is cut off here.
        states.append(tuple(one.detach() for one in step(states[-1], number)))
    last = _leaves(states[-1])
    loss = outer(last)
    adjoint, totals = _pull(loss, None, last, learned)
    for number in reversed(range(steps)):
        tick()
        here = _leaves(states[number])
        there = step(here, number)
        moving = [(one, weight) for one, weight in zip(there, adjoint, strict=True) if one.requires_grad]
        adjoint, more = _pull([one for one, _ in moving], [weight for _, weight in moving], here, learned)
        totals = [one + other for one, other in zip(totals, more, strict=True)]
    return float(loss.detach()), totals


def _leaves(state: State) -> State:
    return tuple(one.detach().requires_grad_(True) for one in state)


def _pull(
    of: Tensor | list[Tensor], weights: list[Tensor] | None, state: State, learned: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Vector-Jacobian products with respect to the state and to what is learned; zeros where nothing depends."""
    into = [*state, *learned]
    found = torch.autograd.grad(of, into, weights, allow_unused=True)
    full = [torch.zeros_like(one) if got is None else got for one, got in zip(into, found, strict=True)]
    return full[: len(state)], full[len(state) :]
