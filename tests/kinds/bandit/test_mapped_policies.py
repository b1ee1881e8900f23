"""Stored policies are mapped, small, and give their pages back after a pass without losing a value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from worker.kinds.bandit.policies import Policy, SparseTable, narrow, release
from worker.kinds.bandit.policy_files import read_policy, write_policy


def listed(n: int = 20_000, width: int = 5, actions: int = 1_000) -> Policy:
    rng = np.random.default_rng(0)
    indices = rng.integers(0, actions - width, n)[:, None] + np.arange(width)
    mass = rng.dirichlet(np.ones(width), n)
    pointers = np.arange(0, n * width + 1, width, dtype=np.int64)
    entries = sparse.csr_array((mass.ravel(), indices.ravel(), pointers), (n, actions))
    return Policy(SparseTable(entries))


def test_narrow_when_indices_have_64_bits_then_halves_them_and_changes_no_probability():
    policy = listed()
    small = narrow(policy)
    assert policy.table.entries.indices.dtype == np.int64
    assert small.table.entries.indices.dtype == small.table.entries.indptr.dtype == np.int32
    every = np.arange(50)
    np.testing.assert_array_equal(small.dense(every), policy.dense(every))


def test_release_when_a_policy_is_mapped_then_its_pages_come_back_with_the_same_values(tmp_path: Path):
    policy = narrow(listed())
    write_policy(policy, tmp_path)
    mapped = read_policy(tmp_path)
    action, feature = policy.table.entries.indices[::5].copy(), np.arange(1_000.0)[:, None]
    for _ in range(2):
        np.testing.assert_array_equal(mapped.at(action), policy.at(action))
        np.testing.assert_array_equal(mapped.times(feature), policy.times(feature))
        release(mapped.table.entries)
    release(policy.table.entries)  # nothing is mapped here
    np.testing.assert_array_equal(policy.table.entries.data, mapped.table.entries.data)
