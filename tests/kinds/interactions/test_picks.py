"""Cheap picks and the Gram matrix they are shown beside."""

from __future__ import annotations

import lzma

import numpy as np
import pytest
from scipy import sparse

from worker.contract.context import Context
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import arrays, compressed_bytes, file_bytes, plain_bytes
from worker.kinds.interactions.learners.ease import Ease, ease
from worker.kinds.interactions.picks import Pool, sparse_gram
from worker.kinds.interactions.rows import UserRows


def some(users: int = 200, items: int = 30, seed: int = 0) -> UserRows:
    rng = np.random.default_rng(seed)
    table = (rng.random((users, items)) < 0.5 / (1 + np.arange(items)) ** 0.7).astype(np.float32)
    table[table.sum(1) == 0, 0] = 1
    return UserRows(sparse.csr_array(table), np.geomspace(1, 30, users).astype(np.float32))


@pytest.mark.parametrize("size", [40, 150, 400])
def test_gram_matrix_within_bytes_has_the_largest_pairs(size: int) -> None:
    rows = some()
    found = sparse_gram(rows, size)
    assert found is not None
    assert size - 3 - 16 * (size == 40) < plain_bytes(arrays(found, "gram")) <= size
    whole = rows.scaled().toarray().T @ rows.scaled().toarray()
    table = found.matrix.toarray()
    assert np.array_equal(table, table.T)
    np.testing.assert_allclose(table[table > 0], whole[table > 0], rtol=0.02)
    kept = np.flatnonzero(np.diagonal(table))
    there = np.isin(np.arange(30), kept)
    among = np.triu(np.outer(there, there), 1)
    dropped = whole[among & (table == 0)]
    assert whole[among & (table > 0)].min() >= dropped.max(initial=0)
    assert sparse_gram(rows, 5) is None


def test_ease_on_the_whole_gram_matrix_is_that_on_the_rows() -> None:
    rows = some()
    found = sparse_gram(rows, 10**6)
    assert found is not None
    inputs = sparse.csr_array(rows.matrix[:5])
    of_gram = ease(found, None, Context()).fit({"ridge": 20.0}, Context()).scores(inputs)
    of_rows = Ease(20.0).fit(rows.matrix, rows.weights).scores(inputs)
    assert np.corrcoef(of_gram.ravel(), of_rows.ravel())[0, 1] > 0.99


def test_queue_within_bytes_takes_as_many_rows_as_fit() -> None:
    user = np.repeat(np.arange(50), np.arange(50) % 5 + 1)
    item = np.concatenate([np.arange(number % 5 + 1) for number in range(50)])
    data = Interactions.from_columns(user, item, np.zeros(len(user)))
    pool = Pool(data)
    assert pool.repeats
    for method in ("random-users", "head-users", "frequent-histories"):
        queue = pool.queue(method, (0, 1))
        for size in (30, 61, 100):
            if method == "frequent-histories" and size == 100:
                continue
            rows = queue.within(size)
            assert (
                plain_bytes(arrays(rows, queue.form))
                <= size
                < plain_bytes(arrays(queue.first(len(rows) + 1), queue.form))
            )


def test_compressed_bytes_are_what_distinct_rows_in_order_take() -> None:
    rng = np.random.default_rng(0)
    table = np.repeat((rng.random((40, 50)) < 0.2).astype(np.float32), 20, axis=0)
    rows = UserRows(sparse.csr_array(rng.permutation(table)))
    least = compressed_bytes(rows, "hard")
    assert least < file_bytes(arrays(rows, "hard")) / 4
    distinct_rows = np.unique(table, axis=0)
    entropy = np.packbits(distinct_rows.astype(bool)).tobytes()
    assert least < 3 * len(lzma.compress(entropy))
    assert compressed_bytes(UserRows(rows.matrix[:0]), "hard") > 0
