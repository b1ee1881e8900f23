"""Terms of texts, tf-idf, and products by postings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from tests.kinds.labels.topics import topics
from worker.contract.context import Context
from worker.kinds.labels.dataset import csr
from worker.kinds.labels.encoding import encode
from worker.kinds.labels.postings import Postings
from worker.kinds.labels.text_features import TfIdf, Vocabulary, plain, rich


def test_rich_terms_say_where_words_stand() -> None:
    assert sorted(rich("Old oak's Tree", "a tall plant, grown for wood")) == sorted([
        "old", "oak's", "tree", "t:old", "t:oak's", "t:tree", "l:tree", "s:ree",
        "a", "tall", "plant", "grown", "for", "wood",
        "a tall", "tall plant", "plant grown", "grown for", "for wood",
        "o:a", "o:tall", "o:plant", "o:grown", "o:a tall", "o:a tall plant",
    ])  # fmt: skip
    assert list(rich("", "")) == []
    assert plain("Über 2 Bäume", "") == ["über", "2", "bäume"]


def test_a_word_of_a_text_is_never_taken_for_a_mark() -> None:
    marked = {term for term in rich("house", "x") if ":" in term or " " in term}
    assert marked
    assert not marked & set(plain("t:house l:house s:use o:x", "t house"))


def test_tf_idf_by_hand_and_rows_of_length_one() -> None:
    texts = [("", "cat cat dog"), ("", "dog"), ("", "bird dog"), ("", "")]
    vocabulary, counts = Vocabulary.of(plain, texts, Context())
    weights = TfIdf.of(counts)
    dense = weights.of_rows(counts).toarray()
    cat, dog = ((1 + np.log(n)) * (np.log(5 / (1 + df)) + 1) for n, df in ((2, 1), (1, 3)))
    first = dense[0, [vocabulary.columns["cat"], vocabulary.columns["dog"]]]
    assert first == pytest.approx(np.array([cat, dog]) / np.hypot(cat, dog), abs=1e-6)
    assert np.linalg.norm(dense, axis=1) == pytest.approx([1, 1, 1, 0], abs=1e-6)
    assert TfIdf.of(counts, least=2).columns.tolist() == [vocabulary.columns["dog"]]
    unseen = vocabulary.counts([("", "zebra dog")], Context())
    assert unseen.toarray().sum() == 1


def test_features_that_are_no_counts_keep_their_values() -> None:
    data = topics(40, text=False)
    assert data.features is not None
    assert encode(data, rich, Context()).encoder.counted
    data.features.data[:] = np.random.default_rng(0).random(data.features.nnz)
    encoded = encode(data, rich, Context())
    assert not encoded.encoder.counted
    rows = encoded.encoder.weighting(encoded.documents, 1).of_rows(encoded.documents).toarray()
    dense = data.features.toarray()
    dense = dense[:, dense.any(axis=0)]
    assert rows == pytest.approx(dense / np.linalg.norm(dense, axis=1, keepdims=True), abs=1e-6)


def test_postings_find_what_a_dense_product_finds() -> None:
    rng = np.random.default_rng(0)
    rows, queries = (csr(sparse.random(size, 30, 0.15, random_state=rng)) for size in (50, 20))
    rows = csr(sparse.vstack([rows, rows[3:4]]))  # a tie
    postings, dense = Postings.of(rows), (queries @ rows.T).toarray()
    assert postings.products(queries) == pytest.approx(dense, abs=1e-6)
    found, products = postings.nearest(queries, 5)
    for row, exact in enumerate(postings.products(queries)):
        order = np.argsort(-exact, kind="stable")[:5]
        order = order[exact[order] > 0]
        assert found[row, : len(order)].tolist() == order.tolist()
        assert products[row, : len(order)] == pytest.approx(exact[order], abs=1e-6)
        assert (found[row, len(order) :] == -1).all()


def test_features_below_one_among_counts_make_no_row_infinite() -> None:
    counts = sparse.csr_matrix(np.array([[1, 2], [0, 3]], np.float32))
    asked = sparse.csr_matrix((np.array([0.5, -2.0, 0.0], np.float32), [0, 1, 0], [0, 2, 3]), (2, 2))
    rows = TfIdf.of(counts).of_rows(asked)
    assert np.isfinite(rows.data).all()
