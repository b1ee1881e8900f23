"""ECLARE (Mittal et al., WWW 2021, arXiv:2108.00261): labels by their texts, by what they are met with, and themselves.

Module I trains the table of words, the blocks and the attention. Module III gives every label a vector of its own, and
module IV trains it, the table held as it is. Up to 30,000 labels are all scored, as the authors advise for small sets;
beyond, modules I and II are those of meta-labels (`shortlist`), module IV trains the labels of the likeliest ones, and
P = P(meta-label) P(label). One tree of meta-labels is grown; the paper averages three. The probabilities of the 50
likeliest labels are then lent along the graph (`game`).

Labels without training documents are only known by text and graph: they are predicted where `zero_shot` is set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Settings, learner
from worker.kinds.labels import label_graph
from worker.kinds.labels.dataset import LabelSet, csr
from worker.kinds.labels.eclare_training import own_vectors, train, word_vectors
from worker.kinds.labels.encoding import Encoded, encode
from worker.kinds.labels.game import game, largest
from worker.kinds.labels.mixture import centroids
from worker.kinds.labels.networks.eclare import EclareNetwork, Shape
from worker.kinds.labels.ranking import batches, top_k
from worker.kinds.labels.shortlist import MetaLabels
from worker.kinds.labels.text_features import TfIdf, plain

MOST_LABELS = 30_000
"""All labels are scored up to so many."""
SPREAD = 50
"""Labels of a document that GAME starts from, and that it keeps."""
_LEAST_DOCUMENTS = 2  # of a word, to be in the table


@dataclass(frozen=True)
class Eclare:
    """A training set, encoded once: `rows` of documents (n, v), `texts` of labels (L, v), and `graph` (L, L), G."""

    training: LabelSet
    encoded: Encoded
    weighting: TfIdf
    rows: sparse.csr_matrix
    texts: sparse.csr_matrix
    graph: sparse.csr_matrix

    def fit(self, settings: Settings, ctx: Context) -> EclareModel:
        """Settings: `attention`, `game` (1 unless given) and `zero_shot` (0), 1 or 0; `graph`, "exact" or "walk";
        `shortlist`, 1 or 0, by the number of labels unless given."""
        if not self.rows.nnz or not self.training.targets.nnz:
            raise JobError("diverged", "no document has both features and labels.")
        walked = settings.get("graph", "exact") == "walk"
        one = replace(self, graph=graph_of(self.training, exact=False, rng=ctx.rng)) if walked else self
        short = bool(settings.get("shortlist", self.training.labels > MOST_LABELS))
        shape = Shape(attention=bool(settings.get("attention", 1)))
        with torch.random.fork_rng(devices=[] if ctx.device == "cpu" else [torch.device(ctx.device)]):
            torch.manual_seed(ctx.seed)
            table = word_vectors(csr(sparse.vstack([self.rows, self.texts])), shape.width, ctx.seed)
            net, meta = one._by_shortlist(table, shape, ctx) if short else (one._of_all(table, shape, ctx), None)
        allowed = (self.training.counts > 0) | bool(settings.get("zero_shot", 0))
        return EclareModel(one, net.eval(), meta, allowed, bool(settings.get("game", 1)), ctx)

    def _of_all(self, table: np.ndarray, shape: Shape, ctx: Context) -> EclareNetwork:
        """Modules I, III and IV on all labels."""
        targets, weights = self.training.targets, self.training.weights
        net = EclareNetwork(table, self.texts, self.graph, shape).to(ctx.device)
        with ctx.part("module I", 0, 2) as part:
            train(net, self.rows, targets, weights, part)
        net.refine(own_vectors(net, self.rows, targets, weights))
        with ctx.part("module IV", 1, 2) as part:
            train(net, self.rows, targets, weights, part)
        return net

    def _by_shortlist(self, table: np.ndarray, shape: Shape, ctx: Context) -> tuple[EclareNetwork, Meta]:
        """Modules I and II on meta-labels, III and IV on the labels they propose."""
        targets, weights = self.training.targets, self.training.weights
        with ctx.part("meta-labels", 0, 4) as part:
            smooth = csr(self.graph @ centroids(self.rows, targets))
            labels = MetaLabels.grow(smooth, self.training.counts, part)
        above, graph = labels.targets(targets), labels.graph(self.graph)
        net = EclareNetwork(table, labels.texts(self.texts), graph, shape).to(ctx.device)
        with ctx.part("module I", 1, 4) as part:
            train(net, self.rows, above, weights, part)
        net.refine(own_vectors(net, self.rows, above, weights))
        with ctx.part("module II", 2, 4) as part:
            train(net, self.rows, above, weights, part)
        meta = Meta(labels, net.eval(), graph)
        short = csr(
            sparse.vstack([meta.shortlist(self.rows[at]) for at in batches(len(weights), 2 * len(graph.indptr))])
        )
        fine = EclareNetwork(net.table.detach().cpu().numpy(), self.texts, self.graph, shape).to(ctx.device)
        fine.document.load_state_dict(net.document.state_dict())
        fine.refine(own_vectors(fine, self.rows, targets, weights))
        with ctx.part("module IV", 3, 4) as part:
            train(fine, self.rows, targets, weights, part, csr(short + targets))
        return fine, meta


@learner(kind="labels", name="eclare", label="ECLARE", usual=False, seeds=2)
def eclare(training: LabelSet, params: Any, ctx: Context) -> Eclare:
    """Of the words of documents and labels, or of uploaded features."""
    encoded = encode(training, plain, ctx)
    counts = encoded.documents if encoded.texts is None else csr(sparse.vstack([encoded.documents, encoded.texts]))
    weighting = encoded.encoder.weighting(counts, _LEAST_DOCUMENTS)
    rows = weighting.of_rows(encoded.documents)
    silent = csr(sparse.csr_matrix((training.labels, rows.shape[1])))
    texts = silent if encoded.texts is None else weighting.of_rows(encoded.texts)
    return Eclare(training, encoded, weighting, rows, texts, graph_of(training, exact=True, rng=ctx.rng))


def graph_of(training: LabelSet, *, exact: bool, rng: np.random.Generator) -> sparse.csr_matrix:
    """G of the training documents, by the closed form of the walk or by the walk itself."""
    met = label_graph.without_popular(training.targets)
    shares = label_graph.visits(label_graph.transitions(met)) if exact else label_graph.walk(met, rng)
    return csr(label_graph.normalised(label_graph.nearest(shares)))


@dataclass(frozen=True)
class Meta:
    """Meta-labels, the network that finds them, and their graph (M, M)."""

    labels: MetaLabels
    net: EclareNetwork
    graph: sparse.csr_matrix

    @torch.no_grad()
    def shortlist(self, rows: sparse.csr_matrix) -> sparse.csr_matrix:
        """The labels of the likeliest meta-labels of documents (b, v), with P(meta-label), lent along the graph."""
        scores = torch.sigmoid(self.net(rows)).cpu().numpy()
        return self.labels.shortlist(lent(scores, self.graph, SPREAD))


@dataclass(frozen=True)
class EclareModel:
    """A trained network, behind meta-labels or not. `allowed`: bool (L,), what it predicts; `lend`: GAME is applied."""

    fitted: Eclare
    net: EclareNetwork
    meta: Meta | None
    allowed: np.ndarray
    lend: bool
    ctx: Context

    @torch.no_grad()
    def top(self, documents: LabelSet, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `worker.kinds.labels.ranking.Model`; scores are probabilities. Labels off a shortlist have none."""
        rows = self.fitted.weighting.of_rows(self.fitted.encoded.encoder.rows(documents, self.ctx))
        labels, best = np.empty((len(documents), k), np.int32), np.empty((len(documents), k), np.float32)
        vectors, allowed = self.net.labels(), documents.candidates & self.allowed
        for batch in batches(len(documents), 4 * documents.labels):
            self.ctx.progress(batch.start, len(documents), phase="prediction")
            logits = self.net.scale * self.net.documents(rows[batch]) @ vectors.T + self.net.bias
            scores = torch.sigmoid(logits).cpu().numpy()
            if self.meta is not None:
                scores = scores * self.meta.shortlist(rows[batch]).toarray()
            if self.lend:
                scores = lent(scores, self.fitted.graph, max(SPREAD, k))
            if self.meta is not None:
                scores = np.where(scores > 0, scores, -np.inf)
            labels[batch], best[batch] = top_k(np.where(allowed, scores, -np.inf), k)
        return labels, best


def lent(scores: np.ndarray, graph: sparse.csr_matrix, most: int) -> np.ndarray:
    """GAME on the `most` likeliest labels of documents (b, L); the others keep half, nothing is lent to them."""
    likely = largest(csr(scores), most)
    return 0.5 * scores + (game(likely, graph, most) - 0.5 * likely).toarray()


def sources_used(model: EclareModel) -> list[float]:
    """The mean share that attention gives to text, graph and own vector."""
    with torch.no_grad():
        return model.net.shares(model.net.sources()).mean(dim=0).tolist()
