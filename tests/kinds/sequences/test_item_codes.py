"""Features of items: tuples that no two items share, codes that stand for vectors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.sequences.pieces import features, quantise


def test_items_when_equal_then_get_digits_of_their_own():
    given = np.array([[1, 1], [1, 2], [1, 1], [1, 1]])
    told, buckets, equal = features.told_apart(given, None, np.random.default_rng(0))
    assert buckets == 16
    assert equal == 3
    assert len({tuple(row) for row in told.tolist()}) == 4
    assert (told[:, :2] == given).all()
    assert told[:, 2].max() < buckets


def test_items_when_more_are_equal_than_there_are_digits_then_says_how_many_it_takes():
    given = np.zeros((40, 2), np.int64)
    with pytest.raises(JobError, match="40 items have the same") as refused:
        features.told_apart(given, 16, np.random.default_rng(0))
    assert "hash_buckets to 40" in refused.value.hint
    told, _, _ = features.told_apart(given, 40, np.random.default_rng(0))
    assert sorted(told[:, 2].tolist()) == list(range(40))


def test_attributes_when_dealt_to_columns_then_those_that_meet_are_apart():
    brands, kinds = np.arange(40) % 4, 4 + np.arange(40) % 5
    table = sparse.csr_array((np.ones(80), (np.tile(np.arange(40), 2), np.concatenate([brands, kinds]))))
    codes = features.from_attributes(table, 2)
    assert len(np.unique(codes, axis=0)) == len(np.unique(np.stack([brands, kinds]), axis=1).T)


def test_quantiser_when_vectors_lie_on_a_grid_of_codes_then_finds_it():
    rng = np.random.default_rng(0)
    books = rng.normal(size=(3, 8, 4)) * 5
    codes = rng.integers(0, 8, (600, 3))
    plain = np.concatenate([books[k][codes[:, k]] for k in range(3)], axis=1)
    turned = (plain @ np.linalg.qr(rng.normal(size=(12, 12)))[0]).astype(np.float32)
    found = quantise.fit(turned, 3, 8, rng, lambda *_: None)
    assert np.allclose(found.rotation.T @ found.rotation, np.eye(12), atol=1e-4)
    assert found.error(turned) < 0.25
    fixed = quantise.Quantiser(found.mean, np.eye(12, dtype=np.float32), found.codebooks)
    assert found.error(turned) < fixed.error(turned)


def test_codes_when_there_are_few_vectors_then_are_no_item_numbers():
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    found = quantise.fit(vectors, 2, 256, np.random.default_rng(0), lambda *_: None)
    assert found.codebooks.shape[1] == 10


def test_vectors_of_what_occurs_together_when_items_share_neighbours_then_are_close():
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 10, 6) + 10 * rng.integers(0, 2) for _ in range(200)]
    indptr = np.arange(201) * 6
    vectors = features.cooccurrence_vectors(indptr, np.concatenate(rows), 20, 4, 0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = unit @ unit.T
    assert likeness[:10, :10].mean() > likeness[:10, 10:].mean() + 0.3
