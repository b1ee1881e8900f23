"""One outer step: train a fresh network on the synthetic sequences, ask it about real ones, and go back through it.

    f(phi) = 1/2 cross entropy on what really came next + 1/2 cross entropy with the teacher, both of theta_{s+W}
    theta_t = Adam(theta_{t-1}, grad L(theta_{t-1}; phi))

Only a window of W updates is differentiated, behind s that are drawn from 0 to T - W (RaT-BPTT):
through all of them the gradient explodes. With W = 1 the step is of first order. Without a teacher f is the first
cross entropy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from worker.kinds.sequences.farzi.synthetic import Synthetic
from worker.kinds.sequences.forms import Ids, TrainingSet
from worker.kinds.sequences.networks import targets
from worker.kinds.sequences.networks.next_event import NextEvent
from worker.numerics.adam import Adam, Layout, State, train
from worker.numerics.adam_reverse import Adjoint, Trajectory, differentiate
from worker.numerics.seeds import mix


@dataclass(frozen=True)
class Unrolling:
    """How the inner training runs and which part of it is differentiated. `batch`: synthetic rows an update."""

    adam: Adam
    steps: int
    batch: int
    window: int
    trajectory: Trajectory
    adjoint: Adjoint
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Real:
    """Real rows that the trained network is asked about: what came next, and the teacher's opinion, if there is one.

    `places`: about so many are asked a step.
    """

    data: TrainingSet
    opinion: TrainingSet | None
    places: int

    def rows(self, seed: int, step: int) -> np.ndarray:
        """The rows of a step, drawn without replacement."""
        mean = max(1.0, self.data.places / max(1, len(self.data)))
        count = int(np.clip(self.places / mean, 1, len(self.data)))
        return np.sort(np.random.default_rng(mix(seed, step, 1)).choice(len(self.data), count, replace=False))

    def loss(self, scores: Callable[[Tensor, tuple[Tensor, Tensor]], Tensor], rows: np.ndarray, device: str) -> Tensor:
        """Mean loss at all places of these rows; `scores(ids (b, L), (row, column))` are logits (p, V)."""
        batch = targets.Batch.of(self.data, rows, device)
        if not isinstance(self.data.inputs, Ids):
            raise TypeError("real rows are rows of items")
        ids = torch.full((batch.rows, batch.width), self.data.items, device=device)
        ids[batch.row, batch.column] = torch.from_numpy(self.data.inputs.items[batch.at].astype(np.int64)).to(device)
        logits = scores(ids, (batch.row, batch.column))
        missed = targets.missed(logits, self.data.targets, batch.at)
        if self.opinion is not None:
            missed = 0.5 * missed + 0.5 * targets.missed(logits, self.opinion.targets, batch.at)
        return (missed * batch.weight).sum() / batch.weight.sum()


@dataclass(frozen=True)
class Inner:
    """The loss of the inner training. `soft` (e, V): the probabilities of all places, `weight` (e,) or None: leaves
    that all updates share, so that the softmax is taken once a step. `tick` is called at every update."""

    network: NextEvent
    layout: Layout
    made: Synthetic
    soft: Tensor
    weight: Tensor | None
    batch: int
    seed: int
    tick: Callable[[], None]

    def __call__(self, theta: Tensor, t: int) -> Tensor:
        """The loss of update t at parameters (P,)."""
        self.tick()
        rows = self.rows(t)
        return self._tied(theta, rows) if self.made.tied else self._separate(theta, rows)

    def rows(self, t: int) -> np.ndarray | None:
        """Synthetic rows of update t; None where they are all. Every epoch has a new order, whose last rows it leaves
        out where they fill no batch."""
        count = len(self.made.rows)
        if self.batch >= count:
            return None
        an_epoch = count // self.batch
        order = np.random.default_rng(mix(self.seed, t // an_epoch, 2)).permutation(count)
        return order[t % an_epoch * self.batch :][: self.batch]

    def _tied(self, theta: Tensor, rows: np.ndarray | None) -> Tensor:
        named = self.layout.named(theta)
        soft = self.soft.view(len(self.made.rows), -1, self.made.items)
        soft = soft if rows is None else soft[torch.from_numpy(rows).to(soft.device)]
        vectors = soft[:, :-1] @ named["items.weight"]
        logits = torch.func.functional_call(self.network, named, (), {"embedded": vectors})
        return cross_entropy(logits, soft[:, 1:]).mean()

    def _separate(self, theta: Tensor, rows: np.ndarray | None) -> Tensor:
        ids, at, places = self._whole if rows is None else self._reading(rows)
        logits = torch.func.functional_call(self.network, self.layout.named(theta), (ids,), {"at": at})
        missed = cross_entropy(logits, self.soft if rows is None else self.soft[places])
        if self.weight is None:
            return missed.mean()
        weight = self.weight if rows is None else self.weight[places]
        return (missed * weight).sum() / weight.sum()

    @cached_property
    def _whole(self) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        return self._reading(np.arange(len(self.made.rows)))

    def _reading(self, rows: np.ndarray) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Ids (b, L), the row and column of each place, and its number among all places."""
        device = self.soft.device
        ids = torch.from_numpy(self.made.rows.padded(rows, self.made.items)).to(device)
        row, column = torch.nonzero(ids < self.made.items, as_tuple=True)
        start = torch.from_numpy(self.made.rows.indptr[rows]).to(device)
        return ids, (row, column), start[row] + column


def cross_entropy(logits: Tensor, soft: Tensor) -> Tensor:
    """-sum_v p_v log q_v (...) of logits and probabilities (..., V)."""
    return torch.logsumexp(logits, -1) - (logits * soft).sum(-1)


@dataclass(frozen=True)
class MetaGradient:
    """Loss on real data after the inner training, and its gradient by name of phi."""

    loss: float
    gradients: dict[str, Tensor]

    def plus(self, cost: float, others: Mapping[str, Tensor]) -> MetaGradient:
        """The same with `cost` times another gradient by name of phi added."""
        return replace(self, gradients={name: one + cost * others[name] for name, one in self.gradients.items()})

    @property
    def norm(self) -> float:
        """Euclidean, over all of phi."""
        return float(torch.stack([one.square().sum() for one in self.gradients.values()]).sum().sqrt())


def meta_gradient(
    made: Synthetic,
    network: NextEvent,
    start: Tensor,
    real: Real,
    how: Unrolling,
    *,
    seed: int,
    step: int,
    tick: Callable[[], None],
) -> MetaGradient:
    """The gradient of outer step `step` for a network that starts at `start` (P,)."""
    layout, device = Layout.of(network), str(start.device)
    leaves = {name: one.detach().to(how.dtype).requires_grad_(True) for name, one in made.phi.items()}
    moving = made.with_phi(leaves)
    soft, weight = moving.probabilities(), moving.weight()
    parts = [soft] if weight is None else [soft, weight]
    phi = [one.detach().requires_grad_(True) for one in parts]
    inner = Inner(network, layout, made, phi[0], None if weight is None else phi[1], how.batch, mix(seed, step), tick)
    rows = real.rows(seed, step)

    def outer(theta: Tensor) -> Tensor:
        named = layout.named(theta)
        return real.loss(lambda ids, at: torch.func.functional_call(network, named, (ids,), {"at": at}), rows, device)

    skipped = int(np.random.default_rng(mix(seed, step, 3)).integers(how.steps - how.window + 1))
    state = train(inner, State.start(start.to(how.dtype)), skipped, how.adam)
    found = differentiate(
        outer, inner, state, how.window, how.adam, phi, trajectory=how.trajectory, adjoint=how.adjoint
    )
    by_name = torch.autograd.grad(parts, list(leaves.values()), list(found.phi), allow_unused=True)
    gradients = {
        name: torch.zeros_like(one) if got is None else got
        for (name, one), got in zip(leaves.items(), by_name, strict=True)
    }
    return MetaGradient(found.value, {name: one.float() for name, one in gradients.items()})
