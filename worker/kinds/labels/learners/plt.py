"""PLT: a probabilistic label tree (Jasinska et al., ICML 2016), the linear baseline of this field.

Labels are the leaves of a balanced binary tree of clusters, of at most 100 labels each, alike ones together
(`label_tree`, on the sums of their documents). Every node has a logistic regression that is trained on the documents
which reach its parent, those with a label below it. P(label | document) is the product along its path. Weights below
0.1 are dropped. Predictions are exact: all paths are followed, since products of sparse rows are cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Settings, learner
from worker.kinds.labels.dataset import LabelSet, csr
from worker.kinds.labels.encoding import Encoder, encode
from worker.kinds.labels.label_tree import clusters
from worker.kinds.labels.logistic import logistic
from worker.kinds.labels.mixture import centroids
from worker.kinds.labels.postings import Postings
from worker.kinds.labels.ranking import batches, top_k
from worker.kinds.labels.text_features import TfIdf, plain

SETTINGS: tuple[Settings, ...] = ({"cost": 3.0}, {"cost": 10.0}, {"cost": 30.0})
MOST_IN_CLUSTER = 100
_LEAST_WEIGHT = 0.1


@dataclass(frozen=True)
class LabelTrees:
    """A training set as rows (n, v + 1), the last column 1, and the tree of its labels (see `label_tree.clusters`)."""

    training: LabelSet
    encoder: Encoder
    weighting: TfIdf
    rows: sparse.csr_matrix
    clusters: np.ndarray
    depth: int

    def fit(self, settings: Settings, ctx: Context) -> LabelTreeModel:
        """`cost`: C of the logistic regressions; the penalty is weaker where it is large."""
        if not self.training.targets.nnz:
            raise JobError("diverged", "no document has a label.")
        cost = float(settings["cost"]) * self.training.weights / self.training.weights.mean()
        levels: list[Postings] = []
        for level in range(self.depth + 1):
            with ctx.part(f"level {level + 1}", level, self.depth + 1) as part:
                levels.append(Postings.of(self._level(level, cost, part)))
        return LabelTreeModel(self, levels, ctx)

    def _level(self, level: int, cost: np.ndarray, ctx: Context) -> sparse.csr_matrix:
        """Weights (nodes, v + 1) of the children of all nodes of a level: of labels in the last one."""
        parents = self.clusters >> (self.depth - level)
        last = level == self.depth
        children = np.arange(len(parents)) if last else self.clusters >> (self.depth - level - 1)
        under = _members(self.training.targets, parents, 1 << level)
        below = self.training.targets if last else _members(self.training.targets, children, 2 << level)
        by_parent, by_child = sparse.csc_matrix(under), sparse.csc_matrix(below)
        of_parent = np.unique(np.stack([parents, children]), axis=1)
        found: list[tuple[int, np.ndarray, np.ndarray]] = []
        for parent in range(1 << level):
            documents = by_parent.indices[by_parent.indptr[parent] : by_parent.indptr[parent + 1]]
            local, columns = _packed(self.rows[documents])
            order = ctx.rng.permutation(len(documents))
            for number, child in enumerate(of_parent[1, of_parent[0] == parent]):
                if number % 8 == 0:
                    ctx.progress(parent, 1 << level, phase="nodes")
                own = by_child.indices[by_child.indptr[child] : by_child.indptr[child + 1]]
                if not len(own):
                    continue
                w = logistic(local, np.isin(documents, own), cost[documents], order)
                kept = np.flatnonzero(np.abs(w) >= _LEAST_WEIGHT)
                found.append((int(child), columns[kept], w[kept]))
        return _stacked(found, len(parents) if last else 2 << level, self.rows.shape[1])


@learner(kind="labels", name="plt", label="PLT", settings=SETTINGS)
def plt(training: LabelSet, params: Any, ctx: Context) -> LabelTrees:
    """Of the words of documents, or of uploaded features."""
    encoded = encode(training, plain, ctx)
    weighting = encoded.encoder.weighting(encoded.documents, 1)
    rows = weighting.of_rows(encoded.documents)
    found, depth = clusters(centroids(rows, training.targets), MOST_IN_CLUSTER, ctx)
    return LabelTrees(training, encoded.encoder, weighting, with_one(rows), found, depth)


@dataclass(frozen=True)
class LabelTreeModel:
    """`levels`: weights of the nodes of each level, of labels in the last."""

    tree: LabelTrees
    levels: list[Postings]
    ctx: Context

    def top(self, documents: LabelSet, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `worker.kinds.labels.ranking.Model`; scores are log P. Labels without documents are never among them."""
        tree = self.tree
        rows = with_one(tree.weighting.of_rows(tree.encoder.rows(documents, self.ctx)))
        allowed = documents.candidates & (tree.training.counts > 0)
        labels, best = np.empty((len(documents), k), np.int32), np.empty((len(documents), k), np.float32)
        for batch in batches(len(documents), 2 * documents.labels):
            self.ctx.progress(batch.start, len(documents), phase="prediction")
            scores = np.zeros((batch.stop - batch.start, documents.labels), np.float32)
            for level, weights in enumerate(self.levels):
                logs = -np.logaddexp(np.float32(0), -weights.products(rows[batch]))
                scores += logs if level == tree.depth else logs[:, tree.clusters >> (tree.depth - level - 1)]
            labels[batch], best[batch] = top_k(np.where(allowed, scores, np.float32(-np.inf)), k)
        return labels, best


def _members(targets: sparse.csr_matrix, groups: np.ndarray, count: int) -> sparse.csr_matrix:
    """Which documents have a label of each group: (n, count), nonzero where they do."""
    ones = np.ones(len(groups), np.float32)
    return csr(targets @ sparse.csr_matrix((ones, (np.arange(len(groups)), groups)), (len(groups), count)))


def _packed(rows: sparse.csr_matrix) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Rows with only the columns that occur in them, and the numbers of those."""
    columns, indices = np.unique(rows.indices, return_inverse=True)
    return sparse.csr_matrix((rows.data, indices, rows.indptr), (rows.shape[0], len(columns))), columns


def with_one(rows: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows (n, v) with a last column of ones, for the bias."""
    return csr(sparse.hstack([rows, np.ones((rows.shape[0], 1), np.float32)]))


def _stacked(found: list[tuple[int, np.ndarray, np.ndarray]], count: int, width: int) -> sparse.csr_matrix:
    row = np.concatenate([np.full(len(columns), child) for child, columns, _ in found])
    column, value = (np.concatenate([one[part] for one in found]) for part in (1, 2))
    return csr(sparse.coo_matrix((value, (row, column)), (count, width)))
