"""Whether documents that learners are to be trained on are those that a version asks about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from worker.contract.context import Context
from worker.kinds.labels.contents import contents
from worker.kinds.labels.dataset import TRAIN, Csr, LabelledDocuments, LabelSet, csr
from worker.kinds.labels.vectors import Vectoriser

_NEARLY, _AT_ONCE = 0.9, 256


def held_out_documents(data: LabelledDocuments, documents: LabelSet) -> np.ndarray:
    """Which documents say what a validation or test document of `data` says, and no training document: bool (n,).

    Labels are not compared: the text of a held-out document is what may not be seen with any labels. Nor are blanks and
    capitals, which change on the way through other programs.
    """
    asked = _codes(documents)
    every = _codes(data.everything)
    known = every[data.split == TRAIN]
    return np.isin(asked, every[data.split != TRAIN]) & ~np.isin(asked, known)


def nearly_held_out(data: LabelledDocuments, documents: LabelSet) -> np.ndarray:
    """Which documents are no training documents of `data`, but nearly say what a validation or test document says, and
    more so than any training document: bool (n,). A word more or a sentence moved makes no other question.

    Nearly is a cosine of 0.9 of what label centroids compare: tf-idf of the words, or the features.
    """
    vectoriser, train = Vectoriser.fit(data.train, Context())
    held = vectoriser.transform(data.everything)[np.flatnonzero(data.split != TRAIN)]
    strange = np.flatnonzero(~np.isin(_codes(documents), _codes(data.everything)[data.split == TRAIN]))
    found = np.zeros(len(documents), bool)
    for start in range(0, len(strange), _AT_ONCE):
        rows = strange[start : start + _AT_ONCE]
        asked = vectoriser.transform(documents.take(rows))
        likest = _likest(asked, held)
        near = np.flatnonzero(likest >= _NEARLY)
        found[rows[near]] = likest[near] > _likest(csr(asked[near]), train)
    return found


def _likest(asked: Csr, others: Csr) -> np.ndarray:
    """The largest cosine of each row with any of the others, 0 where there is none: float32 (n,)."""
    if not asked.shape[0] or not others.shape[0]:
        return np.zeros(asked.shape[0], np.float32)
    return (asked @ others.T).max(axis=1).toarray().ravel()


def _codes(documents: LabelSet) -> np.ndarray:
    return contents(len(documents), (_bare(documents.titles), _bare(documents.bodies)), documents.features)


def _bare(texts: Iterable[str] | None) -> Iterator[str] | None:
    return None if texts is None else (" ".join(text.lower().split()) for text in texts)
