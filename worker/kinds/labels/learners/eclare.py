"""ECLARE (Mittal et al., WWW 2021, arXiv:2108.00261) for sets of up to 30,000 labels: all of them are scored.

Module I trains the table of words, the blocks and the attention on texts and graph; the clustering of labels that
module II would train beside it is left out, as the authors advise for small label sets. Module III gives every label a
vector of its own, which starts at the sum of its documents. Module IV trains it, the table held as it is. Predictions
are the probabilities of the 50 likeliest labels, lent along the graph (`game`).

Labels without training documents are only known by text and graph: they are predicted where `zero_shot` is set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from torch.nn import functional

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Settings, learner
from worker.kinds.labels import label_graph
from worker.kinds.labels.dataset import LabelSet, csr
from worker.kinds.labels.encoding import Encoded, encode
from worker.kinds.labels.game import game
from worker.kinds.labels.networks.eclare import EclareNetwork, Shape
from worker.kinds.labels.ranking import batches, top_k
from worker.kinds.labels.text_features import TfIdf, plain

MOST_LABELS = 30_000
SPREAD = 50
"""Labels of a document that GAME starts from, and that it keeps."""
_EPOCHS, _RATE, _OWN_RATE, _BATCH = 8, 5e-3, 5e-3, 255
_LEAST_DOCUMENTS = 2  # of a word, to be in the table


@dataclass(frozen=True)
class Eclare:
    """A training set, encoded once, and its graph (L, L), G."""

    training: LabelSet
    encoded: Encoded
    weighting: TfIdf
    graph: sparse.csr_matrix

    def fit(self, settings: Settings, ctx: Context) -> EclareModel:
        """Settings: `attention`, 1 or 0; `game`, 1 or 0; `zero_shot`, 1 or 0; all 1 but the last."""
        rows = self.weighting.of_rows(self.encoded.documents)
        known = self.encoded.texts
        if not rows.nnz or not self.training.targets.nnz:
            raise JobError("diverged", "no document has both features and labels.")
        texts = csr(sparse.csr_matrix((self.training.labels, rows.shape[1]))) if known is None else self._texts(known)
        shape = Shape(attention=bool(settings.get("attention", 1)))
        with torch.random.fork_rng(devices=[] if ctx.device == "cpu" else [torch.device(ctx.device)]):
            torch.manual_seed(ctx.seed)
            table = word_vectors(csr(sparse.vstack([rows, texts])), shape.width, ctx.seed)
            net = EclareNetwork(table, texts, self.graph, shape).to(ctx.device)
            with ctx.part("module I", 0, 2) as part:
                _train(net, rows, self.training, part)
            net.refine(_own(net, rows, self.training))
            with ctx.part("module IV", 1, 2) as part:
                _train(net, rows, self.training, part)
        allowed = (self.training.counts > 0) | bool(settings.get("zero_shot", 0))
        return EclareModel(self, net.eval(), allowed, bool(settings.get("game", 1)), ctx)

    def _texts(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        return self.weighting.of_rows(counts)


@learner(kind="labels", name="eclare", label="ECLARE", usual=False)
def eclare(training: LabelSet, params: Any, ctx: Context) -> Eclare:
    """Of the words of documents and labels, or of uploaded features; refuses more than 30,000 labels."""
    if training.labels > MOST_LABELS:
        raise JobError(
            "diverged",
            f"eclare scores all labels at once, which it does for up to {MOST_LABELS:,}; there are {training.labels:,}.",
            hint="Name label-mix or plt instead.",
        )
    encoded = encode(training, plain, ctx)
    every = encoded.documents if encoded.texts is None else csr(sparse.vstack([encoded.documents, encoded.texts]))
    weighting = encoded.encoder.weighting(every, _LEAST_DOCUMENTS)
    return Eclare(training, encoded, weighting, graph_of(training, exact=True, rng=ctx.rng))


def graph_of(training: LabelSet, *, exact: bool, rng: np.random.Generator) -> sparse.csr_matrix:
    """G of the training documents, by the closed form of the walk or by the walk itself."""
    met = label_graph.without_popular(training.targets)
    shares = label_graph.visits(label_graph.transitions(met)) if exact else label_graph.walk(met, rng)
    return csr(label_graph.normalised(label_graph.nearest(shares)))


def word_vectors(rows: sparse.csr_matrix, width: int, seed: int) -> np.ndarray:
    """The first right singular vectors of rows (n, v), scaled to a mean square of 1 / width: float32 (v, width)."""
    rank = min(width, min(rows.shape) - 1)
    _, _, directions = randomized_svd(rows, rank, random_state=seed % 2**32)
    table = np.zeros((rows.shape[1], width), np.float32)
    table[:, :rank] = directions.T
    return table * np.float32((table.size / width / max(float((table**2).sum()), 1e-12)) ** 0.5)


def _train(net: EclareNetwork, rows: sparse.csr_matrix, training: LabelSet, ctx: Context) -> None:
    """Binary cross-entropy of all labels, Adam, the rate halved half way."""
    rng, device, count = np.random.default_rng(ctx.seed), net.table.device, rows.shape[0]
    own = [] if net.own is None else [net.own]
    others = [p for p in net.parameters() if p.requires_grad and p is not net.own]
    optimiser = torch.optim.Adam([{"params": others, "lr": _RATE}, *({"params": [p], "lr": _OWN_RATE} for p in own)])
    size = min(_BATCH, max(1, 8_000_000 // (2 * training.labels)))
    per_epoch = -(-count // size)
    net.train()
    loss = torch.zeros(())
    for epoch in range(_EPOCHS):
        if epoch == _EPOCHS // 2:
            for group in optimiser.param_groups:
                group["lr"] /= 2
        order = rng.permutation(count)
        for number, start in enumerate(range(0, count, size)):
            ctx.progress(epoch * per_epoch + number, _EPOCHS * per_epoch)
            chosen = order[start : start + size]
            wanted = torch.from_numpy(training.targets[chosen].toarray()).to(device)
            each = functional.binary_cross_entropy_with_logits(net(rows[chosen]), wanted, reduction="none").sum(dim=1)
            weight = torch.from_numpy(training.weights[chosen]).float().to(device)
            loss = (each * weight).sum() / weight.sum().clamp_min(1e-12)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
    if not bool(torch.isfinite(loss)):
        raise JobError("diverged", "The network's loss is not a number.")


@torch.no_grad()
def _own(net: EclareNetwork, rows: sparse.csr_matrix, training: LabelSet) -> torch.Tensor:
    """The sum of each label's documents, of length 1; of a label without any, its present vector: (L, d)."""
    net.eval()
    total = np.zeros((training.labels, net.table.shape[1]), np.float32)
    for start in range(0, rows.shape[0], 4096):
        x = net.documents(rows[start : start + 4096]).cpu().numpy() * training.weights[start : start + 4096, None]
        total += training.targets[start : start + 4096].T @ x.astype(np.float32)
    found = functional.normalize(torch.from_numpy(total).to(net.table.device), dim=1)
    return torch.where(found.abs().sum(dim=1, keepdim=True) > 0, found, net.labels())


@dataclass(frozen=True)
class EclareModel:
    """A trained network. `allowed`: bool (L,), the labels it predicts; `lend`: whether GAME is applied."""

    fitted: Eclare
    net: EclareNetwork
    allowed: np.ndarray
    lend: bool
    ctx: Context

    @torch.no_grad()
    def top(self, documents: LabelSet, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `worker.kinds.labels.ranking.Model`; scores are probabilities."""
        rows = self.fitted.weighting.of_rows(self.fitted.encoded.encoder.rows(documents, self.ctx))
        labels, best = np.empty((len(documents), k), np.int32), np.empty((len(documents), k), np.float32)
        vectors, allowed = self.net.labels(), documents.candidates & self.allowed
        for batch in batches(len(documents), 2 * documents.labels):
            self.ctx.progress(batch.start, len(documents), phase="prediction")
            logits = self.net.scale * self.net.documents(rows[batch]) @ vectors.T + self.net.bias
            scores = torch.sigmoid(logits).cpu().numpy()
            if self.lend:
                scores = _lent(scores, self.fitted.graph, max(SPREAD, k))
            labels[batch], best[batch] = top_k(np.where(allowed, scores, -np.inf), k)
        return labels, best


def _lent(scores: np.ndarray, graph: sparse.csr_matrix, most: int) -> np.ndarray:
    """GAME on the likeliest labels; the others keep half of their own probability, which is what it leaves them."""
    labels, best = top_k(scores, most)
    row = np.repeat(np.arange(len(scores)), labels.shape[1])[labels.ravel() >= 0]
    flat = (best.ravel()[labels.ravel() >= 0], (row, labels.ravel()[labels.ravel() >= 0]))
    likely = csr(sparse.coo_matrix(flat, scores.shape))
    lent = game(likely, graph, most)
    return 0.5 * scores + (lent - 0.5 * likely).toarray()


def sources_used(model: EclareModel) -> Iterable[float]:
    """The mean share that attention gives to text, graph and own vector."""
    with torch.no_grad():
        return model.net.shares(model.net.sources()).mean(dim=0).tolist()
