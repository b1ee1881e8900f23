"""Groups of documents that a pseudo-document stands for, and what it says: the words or features that weigh most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from worker.contract.context import Context, seed_of
from worker.kinds.labels.dataset import Csr, LabelSet, csr
from worker.kinds.labels.texts import Texts
from worker.kinds.labels.vectors import WORD

_STEPS = 8


def group_labels(training: LabelSet, most: int) -> np.ndarray:
    """The label int64 (n,) that each document is grouped by: its rarest one of at least t documents, t the least for
    which there are at most `most` groups; its most frequent one where all of its labels are rarer."""
    counts = training.counts
    steps = np.unique(counts[counts > 0])
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        few = len(np.unique(_rarest(training, int(steps[middle])))) <= most
        low, high = (low, middle) if few else (middle + 1, high)
    return _rarest(training, int(steps[low]))


def _rarest(training: LabelSet, least: int) -> np.ndarray:
    targets = training.targets
    document = np.repeat(np.arange(len(training)), np.diff(targets.indptr))
    count = training.counts[targets.indices]
    key = np.where(count >= least, count, np.int64(2) ** 40 - count)
    order = np.lexsort((targets.indices, key, document))
    return targets.indices[order][targets.indptr[:-1]].astype(np.int64)


def folded(x: np.ndarray, labels: np.ndarray, most: int) -> np.ndarray:
    """The labels int64 (n,) that documents are grouped by, of the `most` largest groups alone: documents of the others
    join the one whose mean is nearest theirs in x float32 (n, d)."""
    names, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) <= most:
        return labels
    kept = np.sort(np.argsort(-sizes, kind="stable")[:most])
    place = np.full(len(names), -1)
    place[kept] = np.arange(most)
    means = np.zeros((most, x.shape[1]), np.float32)
    inside = place[group] >= 0
    np.add.at(means, place[group[inside]], x[inside])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    found = labels.copy()
    found[~inside] = names[kept[np.argmax(x[~inside] @ means.T, axis=1)]]
    return found


def spread(sizes: np.ndarray, total: int) -> np.ndarray:
    """Pseudo-documents int64 (g,) of groups of these sizes: one each, the rest in proportion to size - 1 (largest
    remainders), never more than a group has documents; at most `total`, which is at least g."""
    left = total - len(sizes)
    room = sizes - 1
    if left >= room.sum():
        return sizes.copy()
    exact = room * (left / max(1, room.sum()))
    more = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - more), kind="stable")[: left - int(more.sum())]
    more[order] += 1
    return 1 + np.minimum(more, room)


def split_groups(x: np.ndarray, labels: np.ndarray, total: int, ctx: Context) -> np.ndarray:
    """The pseudo-document int64 (n,) that each document goes into, numbered from 0: spherical k-means (Dhillon and
    Modha 2001) of x float32 (n, d) within the groups of equal `labels` (n,)."""
    _, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    wanted = spread(sizes, total)
    order = np.argsort(group, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    found = np.empty(len(labels), np.int64)
    first = 0
    for number, count in enumerate(wanted):
        if number % 64 == 0:
            ctx.progress(number, len(wanted), phase="cluster")
        rows = order[starts[number] : starts[number + 1]]
        rng = np.random.default_rng(seed_of(ctx.seed, f"group {number}"))
        own = np.zeros(len(rows), np.int64) if count == 1 else _clusters(x[rows], int(count), rng, ctx)
        found[rows] = first + own
        first += int(own.max()) + 1
    return found


def _clusters(x: np.ndarray, count: int, rng: np.random.Generator, ctx: Context) -> np.ndarray:
    """Clusters int64 (n,), numbered without gaps, of rows of length 1; `count` at most."""
    if count >= len(x):
        return np.arange(len(x))
    centres = x[rng.permutation(len(x))[:count]]
    own = np.zeros(len(x), np.int64)
    for _ in range(_STEPS):
        ctx.progress(0, 1)
        own = np.argmax(x @ centres.T, axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, own, x)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(length > 0, sums / np.maximum(length, 1e-12), centres)
    return np.unique(own, return_inverse=True)[1]


def membership(own: np.ndarray) -> Csr:
    """Rows of shares csr (g, n): document j of a pseudo-document of s documents counts 1 / s."""
    sizes = np.bincount(own)
    values = (1.0 / sizes[own]).astype(np.float32)
    return csr(sparse.csr_matrix((values, (own, np.arange(len(own)))), (len(sizes), len(own))))


def common_labels(targets: Csr, shares: Csr, least: float) -> Csr:
    """The labels that at least that share of a pseudo-document's documents have; of none, the most common one."""
    mixed = csr(shares @ targets)
    best = np.asarray(mixed.max(axis=1).toarray()).ravel()
    row = np.repeat(np.arange(mixed.shape[0]), np.diff(mixed.indptr))
    kept = mixed.data >= np.minimum(least, best[row]) - 1e-6
    ones = np.ones(int(kept.sum()), np.float32)
    return csr(sparse.csr_matrix((ones, (row[kept], mixed.indices[kept])), mixed.shape))


def heaviest(matrix: Csr, count: int) -> Csr:
    """Each row with its `count` largest values alone; ties go to the lower column."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    place = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], np.diff(matrix.indptr))
    kept = order[place < count]
    return csr(sparse.csr_matrix((matrix.data[kept], (row[kept], matrix.indices[kept])), matrix.shape))


def merged_text(texts: Sequence[str] | None, shares: Csr, factor: float) -> Texts | None:
    """For every pseudo-document the words that weigh most by mean tf-idf, heaviest first: `factor` times as many as the
    texts have on average."""
    if texts is None:
        return None
    reader = TfidfVectorizer(token_pattern=WORD, sublinear_tf=True)
    try:
        weights = csr(reader.fit_transform(texts))
    except ValueError:  # nothing in it is a word
        return Texts.of([""] * shares.shape[0])
    count = max(1, round(factor * weights.nnz / max(1, weights.shape[0])))
    best = heaviest(csr(shares @ weights), count)
    words = reader.get_feature_names_out()
    said: list[str] = []
    for row in range(best.shape[0]):
        entries = slice(best.indptr[row], best.indptr[row + 1])
        order = np.argsort(-best.data[entries], kind="stable")
        said.append(" ".join(words[best.indices[entries][order]]))
    return Texts.of(said)
