"""Whether documents that learners are to be trained on are those that a version asks about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from worker.kinds.labels.contents import contents
from worker.kinds.labels.dataset import TRAIN, LabelledDocuments, LabelSet


def held_out_documents(data: LabelledDocuments, documents: LabelSet) -> np.ndarray:
    """Which documents say what a validation or test document of `data` says, and no training document: bool (n,).

    Labels are not compared: the text of a held-out document is what may not be seen with any labels. Nor are blanks and
    capitals, which change on the way through other programs.
    """
    asked = _codes(documents)
    every = _codes(data.everything)
    known = every[data.split == TRAIN]
    return np.isin(asked, every[data.split != TRAIN]) & ~np.isin(asked, known)


def _codes(documents: LabelSet) -> np.ndarray:
    return contents(len(documents), (_bare(documents.titles), _bare(documents.bodies)), documents.features)


def _bare(texts: Iterable[str] | None) -> Iterator[str] | None:
    return None if texts is None else (" ".join(text.lower().split()) for text in texts)
