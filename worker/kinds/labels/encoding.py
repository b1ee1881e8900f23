"""Documents and labels as rows of counts, from text where there is any, else from uploaded features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.kinds.labels.dataset import LabelSet, csr
from worker.kinds.labels.text_features import Terms, TfIdf, Vocabulary, pairs


@dataclass(frozen=True)
class Encoder:
    """`vocabulary`: the terms of training texts, None where uploaded features are taken. `counted`: whether rows are
    counts (or 0 and 1), which tf-idf is made of; features of other values are taken as they are."""

    vocabulary: Vocabulary | None
    counted: bool

    def rows(self, documents: LabelSet, ctx: Context) -> sparse.csr_matrix:
        """Of documents, float32 (n, v)."""
        if self.vocabulary is None:
            return csr(documents.features)
        return csr(self.vocabulary.counts(pairs(documents.titles, documents.bodies), ctx))

    def weighting(self, rows: sparse.csr_matrix, least: int) -> TfIdf:
        """The weights of columns that occur in at least so many of these rows; all 1 where rows are no counts."""
        found = TfIdf.of(rows, least)
        return found if self.counted else replace(found, idf=None)


@dataclass(frozen=True)
class Encoded:
    """A training set as rows: `documents` (n, v), and `texts` (L, v) of labels, None where there are none."""

    encoder: Encoder
    documents: sparse.csr_matrix
    texts: sparse.csr_matrix | None


def encode(training: LabelSet, terms: Terms, ctx: Context) -> Encoded:
    """Rows of the terms of title and body, or of uploaded features where documents have no text.

    Texts of labels add terms to the vocabulary. Where there is no text, their uploaded features are taken.
    """
    if training.titles is None and training.bodies is None:
        documents = csr(training.features)
        texts = None if training.label_features is None else csr(training.label_features)
        values = documents.data
        counted = bool((values >= 1).all() and (values == np.rint(values)).all())
        return Encoded(Encoder(None, counted), documents, texts)
    labelled = training.label_titles is not None or training.label_bodies is not None
    texts = pairs(training.titles, training.bodies)
    if labelled:
        texts = chain(texts, pairs(training.label_titles, training.label_bodies))
    vocabulary, rows = Vocabulary.of(terms, texts, ctx)
    rows = csr(rows)
    return Encoded(Encoder(vocabulary, True), rows[: len(training)], rows[len(training) :] if labelled else None)
