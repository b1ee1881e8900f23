"""Train Data-Genie on a corpus, and ask how good it is on datasets that were left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from worker.kinds.interactions.genie import model as genie
from worker.kinds.interactions.genie.model import Corpus, Genie, Layers, Mode, Scale

_ROWS, _CELLS = 128, 8
Outputs = Callable[[Tensor], Tensor]
"""Numbers of samples (b,) to every member's outputs (members, b, metrics)."""
Loss = Callable[[np.random.Generator], Tensor]
"""The loss of a batch drawn at random."""


def fit(
    corpus: Corpus,
    *,
    spread: bool = True,
    zoo: Sequence[str] = (),
    modes: Sequence[Mode] = genie.MODES,
    steps: int = genie.STEPS,
) -> Genie:
    """A model of the corpus; with `spread`, how far off it is on datasets that are left out, one after the other."""
    scale = Scale.of(corpus)
    used = np.unique(corpus.dataset)
    homes = scale.scaled(corpus.full[used])
    weights = {mode: _members(corpus, scale, mode, steps) for mode in modes}
    percents = np.unique(corpus.percent)
    apart = genie.distances(homes, homes)
    reach = float(np.where(np.eye(len(used)) > 0, np.inf, apart).min(axis=1).max()) if len(used) > 1 else 0.0
    off = np.full(len(percents), np.nan)
    if spread:
        missed = np.abs(left_out(corpus, [[one] for one in used.tolist()], steps=steps) - corpus.tau)
        off = np.array([np.nanquantile(missed[corpus.percent == one], genie.COVERED) for one in percents])
    names = tuple(corpus.names[one] for one in used)
    return Genie(corpus.samplers, scale, weights, homes, reach, percents, off, tuple(zoo), names)


def left_out(
    corpus: Corpus, groups: Sequence[Sequence[int]], *, mode: Mode = "regression", steps: int = genie.STEPS
) -> np.ndarray:
    """Predictions (n, metrics) for the samples of each group of datasets by a model that has seen the others alone.

    Of `regression` they are taus, of `bpr` scores that only rank. NaN for datasets in no group.
    """
    found = np.full(corpus.tau.shape, np.nan)
    everything = np.unique(corpus.dataset)
    for group in groups:
        model = fit(corpus.of(np.setdiff1d(everything, group)), spread=False, modes=[mode], steps=steps)
        rows = np.isin(corpus.dataset, group)
        asked = (corpus.full[corpus.dataset[rows]], corpus.sample[rows], corpus.sampler[rows], corpus.percent[rows])
        found[rows] = model.tau(*asked) if mode == "regression" else model.scores(mode, *asked).mean(axis=0)
    return found


def _members(corpus: Corpus, scale: Scale, mode: Mode, steps: int) -> Layers:
    """The layers of all members, which learn side by side from the same batches, each from a start of its own."""
    x = torch.from_numpy(scale.inputs(corpus.full[corpus.dataset], corpus.sample, corpus.percent))
    sampler = torch.from_numpy(corpus.sampler.astype(np.int64))
    rng, noise = np.random.default_rng(5), torch.Generator().manual_seed(5)
    shapes = (
        (x.shape[1], genie.HIDDEN),
        (1, genie.HIDDEN),
        (len(corpus.samplers), genie.HIDDEN, corpus.tau.shape[1]),
        (len(corpus.samplers), corpus.tau.shape[1]),
    )
    bounds = (x.shape[1], x.shape[1], genie.HIDDEN, genie.HIDDEN)
    layers = [
        torch.from_numpy(
            (rng.uniform(-1, 1, (genie.MEMBERS, *shape)) / np.sqrt(fan_in)).astype(np.float32)
        ).requires_grad_(True)
        for shape, fan_in in zip(shapes, bounds, strict=True)
    ]
    adam = torch.optim.Adam(layers, lr=genie.LEARNING_RATE, betas=genie.BETAS, weight_decay=genie.DECAY)

    def outputs(rows: Tensor) -> Tensor:
        hidden = x[rows] @ layers[0] + layers[1]
        kept = (torch.rand(hidden.shape, generator=noise) >= genie.DROPOUT) / (1 - genie.DROPOUT)
        own = layers[2][:, sampler[rows]]
        return (torch.relu(hidden * kept)[:, :, None] @ own)[:, :, 0] + layers[3][:, sampler[rows]]

    loss_of = _regression(corpus, outputs) if mode == "regression" else _pairs(corpus, outputs)
    for _ in range(steps):
        adam.zero_grad()
        loss_of(rng).backward()
        adam.step()
    first, bias, second, last = (layer.detach().numpy() for layer in layers)
    return first, bias[:, 0], second, last


def _regression(corpus: Corpus, outputs: Outputs) -> Loss:
    """Mean squared error of tanh(f) over a batch of samples."""
    tau = torch.from_numpy(np.nan_to_num(corpus.tau).astype(np.float32))
    known = torch.from_numpy(np.isfinite(corpus.tau))

    def loss(rng: np.random.Generator) -> Tensor:
        rows = torch.from_numpy(rng.integers(0, len(tau), _ROWS))
        return (torch.tanh(outputs(rows)) - tau[rows]).square()[:, known[rows]].mean()

    return loss


def _pairs(corpus: Corpus, outputs: Outputs) -> Loss:
    """Mean of -log sigmoid(f(better) - f(worse)) over all pairs of samples in some cells (of one dataset and size)."""
    tau = torch.from_numpy(corpus.tau.astype(np.float32))
    _, cell = np.unique(np.stack((corpus.dataset, corpus.percent)), axis=1, return_inverse=True)
    cells = [torch.from_numpy(np.flatnonzero(cell == one)) for one in range(int(cell.max()) + 1)]

    def loss(rng: np.random.Generator) -> Tensor:
        chosen = [cells[one] for one in rng.integers(0, len(cells), _CELLS)]
        parts = torch.split(outputs(torch.cat(chosen)), [len(rows) for rows in chosen], dim=1)
        losses = []
        for f, rows in zip(parts, chosen, strict=True):
            better = tau[rows][:, None] > tau[rows][None]  # NaN is neither better nor worse
            losses.append(torch.nn.functional.softplus(f[:, None] - f[:, :, None])[:, better])
        return torch.cat(losses, dim=1).mean()

    return loss
