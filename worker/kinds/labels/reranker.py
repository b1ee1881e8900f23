"""A small network that re-ranks the likeliest labels of a document by what several views say of each.

It is trained on documents that the views were not fitted to. Its features are of the views alone, none is of a certain
label or word, so what it learns holds for the views fitted to all documents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from worker.contract.context import Context
from worker.kinds.labels.mixture import LEAST, Views

FROM_NETWORK, FROM_CENTROIDS, FROM_VOTES = 30, 15, 20
_FLOOR_OF_VOTES = 1e-3
_WIDTH, _EPOCHS, _BATCH, _RATE = 64, 15, 2048, 3e-3


@dataclass(frozen=True)
class Candidates:
    """Labels int32 (b, c), -1 for none, each once in a row; `features`: float32 (b, c, f)."""

    labels: np.ndarray
    features: np.ndarray

    @staticmethod
    def joined(parts: list[Candidates]) -> Candidates:
        """Batches one after the other."""
        width = max(part.labels.shape[1] for part in parts)
        labels = [np.pad(p.labels, ((0, 0), (0, width - p.labels.shape[1])), constant_values=-1) for p in parts]
        features = [np.pad(p.features, ((0, 0), (0, width - p.features.shape[1]), (0, 0))) for p in parts]
        return Candidates(np.concatenate(labels), np.concatenate(features))


def candidates(
    views: Views, allowed: np.ndarray, counts: np.ndarray, text: np.ndarray | None, least: int
) -> Candidates:
    """The likeliest labels by each view, together: at least `least` of them where so many are allowed.

    `allowed`: bool (L,); `counts`: documents of each label (L,); `text`: cosines of documents and texts of labels
    float32 (b, L), where labels have any.
    """
    labels = _union(
        _best(views.network, allowed, max(FROM_NETWORK, least)),
        _best(views.cosine, allowed, FROM_CENTROIDS),
        _best(views.votes, allowed, FROM_VOTES, above=0.0),
    )
    return Candidates(labels, _features(views, labels, counts, text))


def _features(views: Views, labels: np.ndarray, counts: np.ndarray, text: np.ndarray | None) -> np.ndarray:
    """The views of each candidate, by themselves and less the largest of the document."""
    at = np.maximum(labels, 0)

    def of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        own = np.take_along_axis(values, at, axis=1)
        top = np.where(labels >= 0, own, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, 0)
        return own, own - top, np.broadcast_to(top, own.shape)

    network = of(np.log(views.network + LEAST))
    votes = of(np.log(views.votes + _FLOOR_OF_VOTES))
    cosine = of(views.cosine)
    near = np.broadcast_to(views.nearest[:, None], labels.shape)
    columns = [*network, *votes[:2], *cosine, near, np.log1p(counts)[at]]
    if text is not None:
        columns += of(text)
    return np.stack(columns, axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Reranker:
    """`net` gives the logit that a document has a candidate, of features shifted by `mean` and divided by `spread`."""

    net: nn.Module
    mean: np.ndarray
    spread: np.ndarray

    @staticmethod
    def of(given: Candidates, truth: np.ndarray, weights: np.ndarray, ctx: Context) -> Reranker:
        """Trained on candidates whose truth is known, bool (b, c); documents count by their weights (b,)."""
        real = given.labels >= 0
        x = given.features[real].astype(np.float32)
        y = torch.from_numpy(truth[real].astype(np.float32))
        w = torch.from_numpy(np.broadcast_to(weights[:, None], real.shape)[real].astype(np.float32))
        mean, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
        rows, rng = torch.from_numpy((x - mean) / spread), np.random.default_rng(ctx.seed)
        steps, step = _EPOCHS * -(-len(rows) // _BATCH), 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(ctx.seed)
            net = _network(x.shape[1])
            optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE)
            for _ in range(_EPOCHS):
                order = torch.from_numpy(rng.permutation(len(rows)))
                for start in range(0, len(rows), _BATCH):
                    ctx.progress(step, steps, phase="re-ranker")
                    chosen = order[start : start + _BATCH]
                    each = functional.binary_cross_entropy_with_logits(
                        net(rows[chosen])[:, 0], y[chosen], reduction="none"
                    )
                    loss = (each * w[chosen]).sum() / w[chosen].sum().clamp_min(1e-12)
                    optimiser.zero_grad(set_to_none=True)
                    loss.backward()
                    optimiser.param_groups[0]["lr"] = _RATE * (1 - step / steps)
                    optimiser.step()
                    step += 1
        return Reranker(net.eval(), mean, spread)

    @torch.no_grad()
    def log_probabilities(self, given: Candidates) -> np.ndarray:
        """log p of each candidate, float32 (b, c); -inf where there is none."""
        rows = torch.from_numpy((given.features - self.mean) / self.spread)
        found = functional.logsigmoid(self.net(rows)[..., 0]).numpy()
        return np.where(given.labels >= 0, found, np.float32(-np.inf))


def _network(features: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(features, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, 1)
    )


def _best(values: np.ndarray, allowed: np.ndarray, most: int, above: float = -np.inf) -> np.ndarray:
    """The `most` labels with the largest values above a bound, in no order: int32 (b, most), -1 for none."""
    masked = np.where(allowed, values, -np.inf)
    most = min(most, masked.shape[1])
    found = np.argpartition(masked, masked.shape[1] - most, axis=1)[:, masked.shape[1] - most :]
    kept = np.take_along_axis(masked, found, axis=1) > above
    return np.where(kept, found, -1).astype(np.int32)


def _union(*parts: np.ndarray) -> np.ndarray:
    """Each label once in a row, ascending, and -1 behind them."""
    every = np.sort(np.concatenate(parts, axis=1), axis=1)
    repeated = np.zeros(every.shape, bool)
    repeated[:, 1:] = every[:, 1:] == every[:, :-1]
    last = np.iinfo(np.int32).max
    every = np.sort(np.where(repeated | (every < 0), last, every), axis=1)
    width = int((every < last).sum(axis=1).max(initial=1))
    return np.where(every[:, :width] == last, -1, every[:, :width]).astype(np.int32)
