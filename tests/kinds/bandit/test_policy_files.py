from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from tests.kinds.bandit.uploads import columns, read, upload, write_csv
from tests.planted_bandit import planted
from worker.kinds.bandit.policies import DenseTable, Policy, ScorerTable, SparseTable, dense, epsilon_greedy, uniform
from worker.kinds.bandit.policy_files import compact, read_policy, write_policy

N = 200


def some_policy() -> np.ndarray:
    """A policy of 40 distinct rows over 12 actions, two thirds of it zero, by round."""
    rng = np.random.default_rng(7)
    table = rng.random((40, 12)) * (rng.random((40, 12)) < 0.33)
    table[:, 0] += 0.1
    table /= table.sum(axis=1, keepdims=True)
    return table[planted(rounds=N)["user"]]


def files(form: str, wanted: np.ndarray, folder: Path) -> None:
    users, first, index = np.unique(planted(rounds=N)["user"], return_index=True, return_inverse=True)
    matrix = sparse.csr_array(wanted)
    shuffled = np.random.default_rng(0).permutation(matrix.nnz)
    row, action = matrix.nonzero()
    long = {"round": row[shuffled], "action": action[shuffled], "prob": matrix.data[shuffled]}
    grouped = sparse.csr_array(wanted[first])
    name = folder / "target_policies" / "new.npz"
    name.parent.mkdir()
    if form == "dense":
        np.savez(name, probabilities=wanted)
    elif form == "dense with a last axis":
        np.savez(name, action_dist=wanted[:, :, None])
    elif form == "column-major":
        np.savez(name, probabilities=np.asfortranarray(wanted))
    elif form == "grouped":
        np.savez(name, table=wanted[first], index=index)
    elif form == "csr":
        np.savez(name, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr, shape=matrix.shape)
    elif form == "scipy's own":
        sparse.save_npz(name, sparse.csr_matrix(matrix))
    elif form == "grouped csr":
        parts = {"data": grouped.data, "indices": grouped.indices, "indptr": grouped.indptr}
        np.savez(name, shape=grouped.shape, index=index, **parts)
    elif form == "long npz":
        np.savez(name, **long)
    else:
        write_csv(name.with_suffix(".csv"), long)
    assert len(users) == len(first)


@pytest.mark.parametrize(
    "form",
    [
        "dense",
        "dense with a last axis",
        "column-major",
        "grouped",
        "csr",
        "scipy's own",
        "grouped csr",
        "long npz",
        "csv",
    ],
)
def test_policy_when_in_any_form_then_the_same_probabilities(tmp_path: Path, form: str) -> None:
    wanted = some_policy()
    files(form, wanted, upload(tmp_path))
    write_csv(tmp_path / "up" / "log.csv", columns(N))
    log, told = read(tmp_path / "up", {"n_actions": 12})
    policy = log.targets["new"]
    np.testing.assert_allclose(policy.dense(np.arange(N)), wanted, rtol=1e-12, atol=0)
    np.testing.assert_allclose(policy.at(log.action), wanted[np.arange(N), log.action], rtol=1e-12)
    assert told["statistics"]["policies"]["target-new"]["rows"] <= 40


def test_policy_when_scipy_matrix_is_not_csr_then_refused(tmp_path: Path) -> None:
    from tests.kinds.bandit.uploads import refusal

    square = sparse.csc_matrix(np.eye(12))
    sparse.save_npz(upload(tmp_path) / "target_policy.npz", square)
    write_csv(tmp_path / "up" / "log.csv", columns(N))
    assert refusal(tmp_path / "up").code == "unsupported"


def test_long_policy_when_the_log_has_round_ids_then_matched_by_id(tmp_path: Path) -> None:
    names = np.array([f"r{k}" for k in np.random.default_rng(3).permutation(N)])
    write_csv(upload(tmp_path) / "log.csv", columns(N, round_id=names))
    order = np.random.default_rng(4).permutation(N)
    best = np.arange(N) % 12
    write_csv(tmp_path / "up" / "target_policy.csv", {"round": names[order], "action": best[order], "prob": np.ones(N)})
    log, _ = read(tmp_path / "up", {"n_actions": 12})
    np.testing.assert_array_equal(log.targets["target"].dense(np.arange(N)).argmax(axis=1), best)


def scorer(folder: Path, name: str = "target_policy.npz", **more: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    made = planted(rounds=N)
    weights = np.random.default_rng(5).normal(size=(4, 4)).astype("f4")
    np.savez(folder / name, weights=weights, **more)
    np.savez(folder / "action_embeddings.npz", embeddings=made["embeddings"])
    return made["x"][made["user"]], weights, made["embeddings"]


def test_scorer_when_uploaded_then_softmax_of_the_logs_contexts_and_embeddings(tmp_path: Path) -> None:
    x, weights, embeddings = scorer(upload(tmp_path), beta=2.0, bias=np.arange(12.0))
    write_csv(tmp_path / "up" / "log.csv", columns(N))
    log, _ = read(tmp_path / "up")
    scores = 2 * (x @ weights @ embeddings.T + np.arange(12.0))
    wanted = np.exp(scores - scores.max(axis=1, keepdims=True))
    wanted /= wanted.sum(axis=1, keepdims=True)
    assert isinstance(log.targets["target"].table, ScorerTable)
    np.testing.assert_allclose(log.targets["target"].dense(np.arange(N)), wanted, rtol=1e-4)


@pytest.mark.parametrize("how", ["softmax", "epsilon_greedy", "argmax"])
@pytest.mark.parametrize("form", ["dense", "sparse", "scorer"])
def test_scores_when_uploaded_then_the_declared_policy(tmp_path: Path, how: str, form: str) -> None:
    scores = np.random.default_rng(6).normal(size=(N, 12)).astype("f4").astype(float)
    folder = upload(tmp_path)
    if form == "scorer":
        x, weights, embeddings = scorer(folder, "target_scores.npz")
        scores = x @ weights @ embeddings.T
    elif form == "dense":
        np.savez(folder / "target_scores.npz", scores=scores)
    else:
        matrix = sparse.csr_array(scores)
        parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape}
        np.savez(folder / "target_scores.npz", **parts)
    write_csv(folder / "log.csv", columns(N))
    log, _ = read(folder, {"score_policy": how, "temperature": 0.5, "epsilon": 0.1})
    if how == "softmax":
        spread = 1 if form == "scorer" else scores.std(axis=1, keepdims=True)
        wanted = np.exp((scores - scores.max(axis=1, keepdims=True)) / (0.5 * spread))
        wanted /= wanted.sum(axis=1, keepdims=True)
    else:
        share = 0.1 if how == "epsilon_greedy" else 0.0
        wanted = np.full((N, 12), share / 12)
        wanted[np.arange(N), scores.argmax(axis=1)] += 1 - share
    tight = {"rtol": 1e-4} if form == "scorer" else {"rtol": 1e-10}
    np.testing.assert_allclose(log.targets["scores"].dense(np.arange(N)), wanted, **tight)


def test_logging_policy_when_declared_uniform_then_the_propensities_are_checked_against_it(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns(N, propensity=None))
    log, told = read(tmp_path / "up", {"logging_builtin": "uniform", "n_actions": 12})
    np.testing.assert_allclose(log.propensity, 1 / 12)
    assert told["statistics"]["propensity"]["source"] == "logging_policy"


@pytest.mark.parametrize(
    "policy",
    [
        dense(np.full((3, 4), 0.25), np.array([0, 2, 1, 1], np.int32)),
        dense(np.full((3, 4), 0.25, np.float32)),
        uniform(5, 7),
        epsilon_greedy(np.array([1, 0, 3]), 4, 0.2),
        Policy(ScorerTable(np.ones((3, 2), "f4"), np.ones((2, 5), "f4"), np.ones((4, 5), "f4"), None, 1.5)),
    ],
)
def test_write_policy_when_read_back_then_the_same(tmp_path: Path, policy: Policy) -> None:
    write_policy(policy, tmp_path / "p")
    again = read_policy(tmp_path / "p")
    assert type(again.table) is type(policy.table)
    np.testing.assert_array_equal(again.rows, policy.rows)
    np.testing.assert_array_equal(again.dense(np.arange(3)), policy.dense(np.arange(3)))


def test_compact_when_rows_repeat_then_each_is_stored_once_and_nothing_changes() -> None:
    rng = np.random.default_rng(0)
    few = rng.dirichlet(np.ones(20), 5)[rng.integers(0, 5, 300)]
    thin = np.where(few > np.quantile(few, 0.85), few, 0)
    thin /= thin.sum(axis=1, keepdims=True)
    for values, kind in ((few, DenseTable), (thin, SparseTable)):
        packed = compact(Policy(DenseTable(values)))
        assert isinstance(packed.table, kind)
        assert packed.table.n_rows == len(np.unique(values, axis=0)) == 5
        np.testing.assert_array_equal(packed.dense(np.arange(300)), values)


def test_compact_when_all_rows_differ_then_left_alone() -> None:
    values = np.random.default_rng(0).dirichlet(np.ones(6), 50)
    packed = compact(Policy(DenseTable(values)))
    assert packed.index is None
    np.testing.assert_array_equal(packed.dense(np.arange(50)), values)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_compact_when_most_actions_share_the_least_probability_then_stores_it_once_a_row(kind: type) -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.uniform(0.01, 0.02, 40)[:, None], 20, axis=1).astype(kind)
    values[np.arange(40), rng.integers(0, 20, 40)] += 0.7
    packed = compact(Policy(DenseTable(values)))
    assert isinstance(packed.table, SparseTable)
    assert packed.table.entries.nnz == 40
    np.testing.assert_allclose(packed.dense(np.arange(40)), values, rtol=2e-7 if kind is np.float32 else 1e-15)
