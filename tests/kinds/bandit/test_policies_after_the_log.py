"""Policies uploaded after the log: every form reads as if it had been uploaded with it, or is refused with a cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from tests.kinds.bandit.uploads import columns, upload, write_csv
from tests.planted_bandit import planted
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit import KIND
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.ingest import ingest
from worker.kinds.bandit.methods.policy_convolution import policy_convolution
from worker.kinds.bandit.targets import with_uploaded
from worker.kinds.bandit.uploaded_policies import UploadedPolicies

ROUNDS = 200


def version(folder: Path, options: dict[str, Any] | None = None) -> Path:
    """Ingest every file of a folder; where its canonical files lie."""
    sources = [(path.relative_to(folder).as_posix(), path) for path in sorted(folder.rglob("*")) if path.is_file()]
    out = folder.parent / f"{folder.name}-canonical"
    out.mkdir()
    ingest(sources, options or {}, out, Context())
    return out


def after(folder: Path, **options: Any) -> UploadedPolicies:
    """The files of a folder as policies without a log."""
    assert KIND.load_input is not None
    return KIND.load_input(version(folder, {"contents": "policies", **options}))


def a_log(folder: Path, *, words: bool = False, policy: dict[str, Any] | None = None) -> BanditLog:
    """The planted log; `words`: its actions have names; `policy`: an npz uploaded with it as `given`."""
    table = columns(ROUNDS)
    up = upload(folder, f"log-{words}-{policy is not None}")
    if words:
        table["action"] = np.array([f"ad {a:02d}" for a in table["action"]])
    write_csv(up / "log.csv", table)
    if policy is not None:
        (up / "target_policies").mkdir()
        np.savez(up / "target_policies" / "given.npz", **policy)
    return KIND.load(version(up, {} if words else {"n_actions": 12}))


def numbers() -> np.ndarray:
    made = planted(rounds=ROUNDS)
    return made["target"][made["user"]]


def forms() -> dict[str, dict[str, Any]]:
    pi = numbers()
    listed = sparse.csr_array(np.where(pi > 0.1, pi, 0))
    listed = sparse.csr_array(listed / listed.sum(axis=1)[:, None])
    made = planted(rounds=ROUNDS)
    rng = np.random.default_rng(0)
    return {
        "dense": {"probabilities": pi},
        "grouped": {"probabilities": made["target"], "index": made["user"]},
        "csr": {"data": listed.data, "indices": listed.indices, "indptr": listed.indptr, "shape": listed.shape},
        "scorer": {"weights": rng.normal(size=(4, 3)), "embeddings": rng.normal(size=(12, 3)), "beta": 2.0},
    }


@pytest.mark.parametrize("form", ["dense", "grouped", "csr", "scorer"])
def test_policy_when_uploaded_after_the_log_then_is_the_one_uploaded_with_it(tmp_path: Path, form: str):
    arrays = forms()[form]
    with_it = a_log(tmp_path, policy=arrays).targets["given"]
    folder = upload(tmp_path)
    np.savez(folder / "next_week.npz", **arrays)
    log = a_log(tmp_path)
    found = after(folder).on(log)
    assert [*found] == ["next_week"]
    every = np.arange(ROUNDS)
    np.testing.assert_array_equal(found["next_week"].dense(every), with_it.dense(every))


def test_policy_when_a_long_table_of_words_then_finds_the_logs_actions(tmp_path: Path):
    log, pi = a_log(tmp_path, words=True), numbers()
    ids = [*log.action_ids]
    folder = upload(tmp_path)
    lines = [f"{i},{ids[a]},{pi[i, a]!r}" for i in range(ROUNDS) for a in (3, 0, 7)]
    (folder / "next.csv").write_text(
        "\n".join(["round,action,prob", *lines]).replace("np.float64(", "").replace(")", "")
    )
    found = after(folder, renormalise=True).on(log)["next"]
    want = np.zeros_like(pi)
    want[:, [0, 3, 7]] = pi[:, [0, 3, 7]] / pi[:, [0, 3, 7]].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.dense(np.arange(ROUNDS)), want, atol=1e-9)


@pytest.mark.parametrize("form", ["dense", "csr", "scorer"])
def test_policy_when_its_columns_have_ids_then_they_go_where_the_log_has_them(tmp_path: Path, form: str):
    log = a_log(tmp_path, words=True)
    arrays = forms()[form]
    order = np.random.default_rng(1).permutation(12)
    shuffled = dict(arrays)
    if form == "dense":
        shuffled["probabilities"] = arrays["probabilities"][:, order]
    elif form == "csr":
        back = np.argsort(order)
        shuffled["indices"] = back[arrays["indices"]]
    else:
        shuffled["embeddings"] = arrays["embeddings"][order]
    folder = upload(tmp_path)
    np.savez(folder / "next.npz", **shuffled, action_ids=np.array(log.action_ids)[order])
    plain = upload(tmp_path, "plain")
    np.savez(plain / "next.npz", **arrays)
    want = after(plain).on(a_log(tmp_path))["next"]
    every = np.arange(ROUNDS)
    np.testing.assert_allclose(after(folder).on(log)["next"].dense(every), want.dense(every), atol=1e-12)


def test_policy_when_scores_then_become_a_policy_by_the_options(tmp_path: Path):
    folder = upload(tmp_path)
    np.savez(folder / "target_scores_new.npz", scores=planted(rounds=ROUNDS)["q"][planted(rounds=ROUNDS)["user"]])
    found = after(folder, score_policy="epsilon_greedy", epsilon=0.12).on(a_log(tmp_path))["new"]
    every = found.dense(np.arange(ROUNDS))
    np.testing.assert_allclose(np.sort(every, axis=1)[:, [0, -1]], np.tile([0.01, 0.89], (ROUNDS, 1)), atol=1e-9)


def test_policies_when_written_twice_then_are_the_same_bytes_and_describe_themselves(tmp_path: Path):
    for name in ("a", "b"):
        np.savez(upload(tmp_path, name) / "next.npz", **forms()["dense"])
    first, second = (version(tmp_path / name, {"contents": "policies"}) for name in ("a", "b"))
    files = sorted(path.relative_to(first).as_posix() for path in first.rglob("*") if path.is_file())
    assert files == ["policies.json", "policies/next/table.npy"]
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)
    about = KIND.describe(first)["statistics"]["policies"]["next"]
    assert about == {"role": "target", "form": "dense", "rounds": ROUNDS, "actions": 12}


def test_log_when_policies_alone_are_named_as_the_dataset_then_says_where_they_belong(tmp_path: Path):
    folder = upload(tmp_path)
    np.savez(folder / "next.npz", **forms()["dense"])
    with pytest.raises(JobError) as refused:
        KIND.load(version(folder, {"contents": "policies"}))
    assert "targets" in refused.value.hint


def test_policies_when_uploaded_without_saying_so_then_the_option_is_named(tmp_path: Path):
    folder = upload(tmp_path)
    np.savez(folder / "target_policy.npz", **forms()["dense"])
    with pytest.raises(JobError) as refused:
        version(folder)
    assert "contents" in refused.value.hint


def refused_on(tmp_path: Path, log: BanditLog, **arrays: Any) -> JobError:
    folder = upload(tmp_path)
    np.savez(folder / "next.npz", **arrays)
    with pytest.raises(JobError) as refused:
        after(folder).on(log)
    assert refused.value.hint or refused.value.pointer
    return refused.value


def test_policy_when_it_is_of_other_rounds_or_actions_then_is_refused(tmp_path: Path):
    pi = numbers()
    assert "rows for 200 rounds" in refused_on(tmp_path, a_log(tmp_path), probabilities=pi[:-1]).detail
    narrow = pi[:, :11] / pi[:, :11].sum(axis=1, keepdims=True)
    (tmp_path / "x").mkdir()
    assert "11 actions, the log 12" in refused_on(tmp_path / "x", a_log(tmp_path / "x"), probabilities=narrow).detail
    (tmp_path / "y").mkdir()
    log = a_log(tmp_path / "y", words=True)
    assert "action_ids" in refused_on(tmp_path / "y", log, probabilities=pi).hint


def test_policy_when_it_does_not_sum_to_one_then_is_refused_at_upload(tmp_path: Path):
    folder = upload(tmp_path)
    np.savez(folder / "next.npz", probabilities=numbers() * 0.9)
    with pytest.raises(JobError) as refused:
        version(folder, {"contents": "policies"})
    assert refused.value.code == "policy_not_normalised"


def test_estimate_when_targets_are_an_input_then_finds_what_it_finds_of_uploaded_ones(tmp_path: Path):
    arrays = forms()["dense"]
    folder = upload(tmp_path)
    np.savez(folder / "given.npz", **arrays)
    params = EstimateParams.model_validate({"reward_model": "ridge"})
    with_it = policy_convolution(a_log(tmp_path, policy=arrays), params, Context())
    later = policy_convolution(a_log(tmp_path), params, Context(inputs={"targets": [after(folder)]}))
    assert later.verdict.to_json() == with_it.verdict.to_json()


def test_input_when_a_name_is_taken_or_it_is_a_log_then_is_refused(tmp_path: Path):
    folder = upload(tmp_path)
    np.savez(folder / "given.npz", **forms()["dense"])
    policies, log = after(folder), a_log(tmp_path, policy=forms()["dense"])
    for given, said in (([policies], "two target policies given"), ([log], "no upload of policies")):
        with pytest.raises(JobError) as refused:
            with_uploaded(log, Context(inputs={"targets": given}))
        assert said in refused.value.detail
