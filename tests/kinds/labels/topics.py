"""Made-up documents whose words carry their labels: topics within fields, few of them frequent and many rare."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from worker.kinds.labels.dataset import LabelSet, csr

FIELDS = 6


def topics(documents: int = 1200, labels: int = 60, seed: int = 0, *, text: bool = True, per: int = 1) -> LabelSet:
    """Every document has its field as a label (0 to 5) and `per` topics; topic l is as frequent as 1 / (l - 4).

    A topic has two words of its own, of which a document holds one or both; its field has five; the rest is noise.
    `text`: titles and bodies of documents and labels; else counts of words as features.
    """
    rng = np.random.default_rng(seed)
    count = labels - FIELDS
    odds = 1 / (np.arange(count) + 2.0)
    held = [rng.choice(count, size=per, replace=False, p=odds / odds.sum()) for _ in range(documents)]
    titles, bodies, rows, columns = [], [], [], []
    for document, own in enumerate(held):
        fields = sorted({int(topic) % FIELDS for topic in own})
        words = [f"noise{word}" for word in rng.integers(0, 300, 4)]
        for field in fields:
            words += [f"field{field}w{word}" for word in rng.integers(0, 5, 2)]
        head = []
        for topic in own:
            head += [f"topic{topic}{kind}" for kind in ("a", "b") if rng.random() < 0.7]
        titles.append(" ".join(head[:1]) or words[0])
        bodies.append(" ".join(rng.permutation(words + head[1:])))
        for label in [*fields, *(int(topic) + FIELDS for topic in own)]:
            rows.append(document)
            columns.append(label)
    targets = csr(sparse.coo_matrix((np.ones(len(rows), np.float32), (rows, columns)), (documents, labels)))
    names = [f"field{field}w0 field{field}w1" for field in range(FIELDS)]
    names += [f"topic{topic}a topic{topic}b" for topic in range(count)]
    told = ["a whole field" if label < FIELDS else f"field{(label - FIELDS) % FIELDS}w2" for label in range(labels)]
    given = LabelSet(None, titles, bodies, targets, names, told, np.ones(documents), np.ones(labels, bool))
    return given if text else _as_features(given)


def halves(data: LabelSet) -> tuple[LabelSet, LabelSet]:
    """Three quarters to train on, and the rest."""
    cut = len(data) * 3 // 4
    return data.take(np.arange(cut)), data.take(np.arange(cut, len(data)))


def _as_features(data: LabelSet) -> LabelSet:
    from dataclasses import replace

    from sklearn.feature_extraction.text import CountVectorizer

    words = CountVectorizer().fit_transform(
        [f"{t} {b}" for t, b in zip(data.titles or (), data.bodies or (), strict=True)]
    )
    return replace(data, features=csr(words), titles=None, bodies=None, label_titles=None, label_bodies=None)
