from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.kinds.bandit.uploads import columns, read, upload, write_csv
from tests.planted_bandit import planted, tiny_bandit
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit import canonical
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.ingest import ingest


def write(folder: Path, form: str, table: dict[str, np.ndarray]) -> None:
    rows = [dict(zip(table, row, strict=True)) for row in zip(*(v.tolist() for v in table.values()), strict=True)]
    text = write_csv(folder / "log.csv", table).read_bytes()
    if form == "csv":
        return
    (folder / "log.csv").unlink()
    if form == "csv.gz":
        (folder / "log.csv.gz").write_bytes(gzip.compress(text))
    elif form == "zip":
        with zipfile.ZipFile(folder / "log.zip", "w") as archive:
            archive.writestr("log.csv", text)
    elif form == "jsonl":
        (folder / "log.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    elif form == "parquet":
        parquet.write_table(
            pa.table({name: pa.array(values) for name, values in table.items()}), folder / "log.parquet"
        )
    else:
        np.savez(folder / "log.npz", **table)


def same(first: BanditLog, second: BanditLog) -> None:
    for name in ("action", "reward", "propensity", "x", "user", "split"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    assert first.n_actions == second.n_actions


@pytest.mark.parametrize("form", ["csv.gz", "zip", "jsonl", "parquet"])
def test_ingest_when_another_format_then_the_same_log(tmp_path: Path, form: str) -> None:
    table = columns()
    logs = []
    for name in ("csv", form):
        folder = upload(tmp_path, name.replace(".", "-"))
        write(folder, name, table)
        logs.append(read(folder)[0])
    same(*logs)
    np.testing.assert_array_equal(logs[0].propensity, table["propensity"])
    np.testing.assert_array_equal(logs[0].x, np.column_stack([table[f"context_{d}"] for d in range(4)]).astype("f4"))


def test_ingest_when_npz_of_columns_then_the_same_log_as_csv(tmp_path: Path) -> None:
    table = columns()
    write(a := upload(tmp_path, "a"), "csv", table)
    context = np.column_stack([table[f"context_{d}"] for d in range(4)])
    np.savez(
        upload(tmp_path, "b") / "log.npz", context=context, **{k: v for k, v in table.items() if k[:8] != "context_"}
    )
    same(read(a)[0], read(tmp_path / "b")[0])


def test_ingest_when_other_names_then_detected_and_echoed(tmp_path: Path) -> None:
    table = columns()
    names = {"action": "arm", "reward": "click", "propensity": "pscore", "user_id": "uid"}
    renamed = {names.get(name, name.replace("context_", "user_feature_")): values for name, values in table.items()}
    write_csv(upload(tmp_path) / "log.csv", renamed)
    log, told = read(tmp_path / "up")
    assert told["detection"]["columns"] == {"action": "arm", "reward": "click", "propensity": "pscore", "user": "uid"}
    assert told["detection"]["context_columns"] == [f"user_feature_{d}" for d in range(4)]
    np.testing.assert_array_equal(log.reward, table["reward"])


def test_ingest_when_columns_are_mapped_then_the_map_wins(tmp_path: Path) -> None:
    table = columns() | {"gain": columns()["reward"] * 3}
    write_csv(upload(tmp_path) / "log.csv", table)
    log, _ = read(tmp_path / "up", {"columns": {"reward": "gain"}, "context_columns": "context_0,context_3"})
    np.testing.assert_array_equal(log.reward, table["gain"])
    assert log.contexts.shape[1] == 2


def test_ingest_when_obp_dictionary_then_every_part_is_there(tmp_path: Path) -> None:
    made = planted(rounds=120)
    user, action = made["user"], made["action"]
    np.savez(
        upload(tmp_path) / "log.npz", n_rounds=120, n_actions=12, context=made["x"][user], action=action,
        reward=made["reward"], position=np.zeros(120, int), pscore=made["logging"][user, action],
        action_context=np.asfortranarray(made["embeddings"]), expected_reward=made["q"][user],
        pi_b=made["logging"][user][:, :, None],
    )  # fmt: skip
    log, told = read(tmp_path / "up")
    assert log.logging is not None
    assert log.truth is not None
    assert log.embeddings is not None
    np.testing.assert_allclose(log.logging.dense(np.arange(120)), made["logging"][user], rtol=1e-12)
    np.testing.assert_allclose(log.embeddings, made["embeddings"], rtol=1e-6)
    np.testing.assert_allclose(log.truth.values[log.truth.rows], made["q"][user], rtol=1e-6)
    exact = (made["logging"][user] * made["q"][user]).sum(axis=1).mean()
    assert told["statistics"]["true_values"]["logging"] == pytest.approx(exact, rel=1e-6)
    assert len(log.contexts) == len(np.unique(user))


def test_ingest_when_contexts_repeat_then_each_is_stored_once(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns(rounds=600))
    log, _ = read(tmp_path / "up")
    assert log.contexts.shape == (40, 4)
    assert log.context_index is not None


def test_ingest_when_no_two_contexts_are_equal_then_no_index(tmp_path: Path) -> None:
    table = columns() | {"context_9": np.random.default_rng(0).normal(size=200)}
    write_csv(upload(tmp_path) / "log.csv", table)
    log, _ = read(tmp_path / "up")
    assert log.context_index is None
    np.testing.assert_array_equal(log.contexts[:, 4], table["context_9"].astype("f4"))


def test_ingest_when_no_context_then_one_empty_context(tmp_path: Path) -> None:
    table = {name: values for name, values in columns().items() if not name.startswith("context")}
    write_csv(upload(tmp_path) / "log.csv", table)
    log, _ = read(tmp_path / "up")
    assert log.contexts.shape == (1, 0)
    assert log.x.shape == (200, 0)


def test_ingest_when_contexts_are_words_then_one_hot_or_hashed(tmp_path: Path) -> None:
    words = np.array([f"w{k % 5}" for k in range(200)])
    many = np.array([f"m{k}" for k in range(200)])
    table = {"action": np.arange(200) % 3, "reward": np.arange(200) % 2, "propensity": np.full(200, 1 / 3)}
    write_csv(
        upload(tmp_path) / "log.csv", table | {"context_a": words, "context_b": many, "context_c": np.arange(200) % 7}
    )
    log, told = read(tmp_path / "up", {"max_categories": 10, "hash_columns": 8, "categorical_columns": "context_c"})
    assert log.contexts.shape[1] == 5 + 8 + 7
    assert set(np.unique(log.x)) == {0, 1}
    np.testing.assert_array_equal(log.x.sum(axis=1), 3)
    np.testing.assert_array_equal(log.x[:, :5].argmax(axis=1), np.arange(200) % 5)
    assert told["preview"][0]["context"]["context_a=w0"] == 1


def test_ingest_when_a_context_number_is_missing_then_the_mean_and_a_warning(tmp_path: Path) -> None:
    text = write_csv(upload(tmp_path) / "log.csv", columns()).read_text().splitlines()
    cells = text[1].split(",")
    text[1] = ",".join([*cells[:4], "", *cells[5:]])
    (tmp_path / "up" / "log.csv").write_text("\n".join(text))
    log, told = read(tmp_path / "up")
    assert np.isfinite(log.contexts).all()
    assert any("missing numbers" in warning for warning in told["warnings"])


def test_ingest_when_action_ids_are_numbers_then_in_numeric_order(tmp_path: Path) -> None:
    ids = np.array([5, 10, 9, 100])[np.arange(200) % 4]
    write_csv(upload(tmp_path) / "log.csv", columns(action=ids))
    log, _ = read(tmp_path / "up")
    assert log.action_ids is not None
    assert log.action_ids.tolist() == ["5", "9", "10", "100"]
    np.testing.assert_array_equal(log.action_ids[log.action].astype(int), ids)


def test_ingest_when_embeddings_name_more_actions_then_all_of_them_count(tmp_path: Path) -> None:
    names = np.array(["b", "a", "d", "c"])
    write_csv(upload(tmp_path) / "log.csv", columns(action=names[:3][np.arange(200) % 3]))
    sizes = {"item_id": names, "size": np.array([2.0, 1, 4, 3]), "kind": np.array(["x", "y", "x", "x"])}
    write_csv(tmp_path / "up" / "action_embeddings.csv", sizes)
    tree = {"action": names, "top": np.array(["p", "p", "q", "q"]), "leaf": np.array(["1", "2", "1", "1"])}
    write_csv(tmp_path / "up" / "action_hierarchy.csv", tree)
    log, _ = read(tmp_path / "up")
    assert log.n_actions == 4
    assert log.embeddings is not None
    np.testing.assert_array_equal(log.embeddings, [[1, 0, 1], [2, 1, 0], [3, 1, 0], [4, 1, 0]])
    assert log.hierarchy is not None
    coarse, fine = log.hierarchy
    assert coarse[0] == coarse[1] != coarse[2] == coarse[3]
    assert fine[2] == fine[3]
    assert len(np.unique(fine)) == 3


def test_ingest_when_policies_go_by_position_then_rows_of_named_embeddings_number_the_actions(tmp_path: Path) -> None:
    names = np.array(["b", "a", "c"])
    write_csv(upload(tmp_path) / "log.csv", columns(action=names[np.arange(200) % 3]))
    write_csv(tmp_path / "up" / "action_embeddings.csv", {"item_id": names, "size": np.array([2.0, 1, 3])})
    np.savez(tmp_path / "up" / "target_policy.npz", probabilities=np.array([[0.5, 0.25, 0.25]]))
    log, _ = read(tmp_path / "up")
    assert log.action_ids is not None
    assert log.action_ids.tolist() == ["b", "a", "c"]
    np.testing.assert_array_equal(log.targets["target"].at(log.action)[:3], [0.5, 0.25, 0.25])


def test_ingest_when_vw_then_costs_become_rewards_and_actions_count_from_one(tmp_path: Path) -> None:
    lines = [
        f"{k % 3 + 1}:{-(k % 2)}:{0.25 if k % 3 else 0.5} |user age:{k % 4} city=ny |n x{k % 2}" for k in range(60)
    ]
    (upload(tmp_path) / "log.vw").write_text("\n".join(lines) + "\n")
    log, told = read(tmp_path / "up", {"n_actions": 3})
    assert told["detection"]["format"] == "vw"
    np.testing.assert_array_equal(log.action, np.arange(60) % 3)
    np.testing.assert_array_equal(log.reward, np.arange(60) % 2)
    np.testing.assert_array_equal(log.propensity, np.where(np.arange(60) % 3, 0.25, 0.5))
    assert log.contexts.shape[1] == 4
    np.testing.assert_array_equal(log.x[:, 0], np.arange(60) % 4)
    assert told["preview"][0]["action"] == "1"


def test_ingest_when_costs_then_the_sign_turns(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "log.csv", table := columns())
    np.testing.assert_array_equal(read(tmp_path / "up", {"reward_is_cost": True})[0].reward, -table["reward"])


def test_ingest_when_round_weights_then_kept(tmp_path: Path) -> None:
    weight = np.random.default_rng(1).integers(1, 4, 200).astype(float)
    write_csv(upload(tmp_path) / "log.csv", table := columns(round_weight=weight))
    log, told = read(tmp_path / "up")
    np.testing.assert_array_equal(log.round_weight, weight)
    assert told["statistics"]["reward"]["mean"] == pytest.approx(np.average(table["reward"], weights=weight))


def test_ingest_when_one_position_is_wanted_then_only_its_rounds(tmp_path: Path) -> None:
    place = np.arange(200) % 4 + 1
    write_csv(upload(tmp_path) / "log.csv", table := columns(position=place))
    np.savez(tmp_path / "up" / "target_policy.npz", probabilities=np.eye(12)[np.arange(200) % 12])
    log, _ = read(tmp_path / "up", {"only_position": 2})
    np.testing.assert_array_equal(log.action, table["action"][place == 2])
    np.testing.assert_array_equal(
        log.targets["target"].dense(np.arange(50)).argmax(axis=1), (np.arange(200) % 12)[place == 2]
    )


def test_ingest_when_position_is_context_then_four_more_columns(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns(position=np.arange(200) % 4 + 1))
    assert read(tmp_path / "up", {"position": "context"})[0].contexts.shape[1] == 8


def test_split_when_random_then_whole_users_in_seventy_ten_twenty(tmp_path: Path) -> None:
    log = canonical.load(tiny_bandit(tmp_path))
    assert log.split is not None
    assert log.user is not None
    parts = {int(u): set(log.split[log.user == u].tolist()) for u in np.unique(log.user)}
    assert all(len(part) == 1 for part in parts.values())
    counts = np.bincount([next(iter(part)) for part in parts.values()])
    assert counts.tolist() == [28, 4, 8]


def test_split_when_by_time_then_parts_follow_one_another(tmp_path: Path) -> None:
    when = np.random.default_rng(0).permutation(200) // 2
    write_csv(upload(tmp_path) / "log.csv", columns(timestamp=when))
    log, _ = read(tmp_path / "up", {"split": "time"})
    assert log.split is not None
    assert [int((log.split == code).sum()) for code in range(3)] == [140, 20, 40]
    assert (
        when[log.split == 0].max()
        < when[log.split == 1].min()
        <= when[log.split == 1].max()
        < when[log.split == 2].min()
    )


def test_split_when_published_then_as_published(tmp_path: Path) -> None:
    part = np.array(["train", "val", "test"])[np.arange(200) % 3]
    write_csv(upload(tmp_path) / "log.csv", columns(part=part))
    log, _ = read(tmp_path / "up", {"split": "column:part"})
    np.testing.assert_array_equal(log.split, np.arange(200) % 3)


def test_estimate_propensity_when_asked_then_near_the_truth_and_marked(tmp_path: Path) -> None:
    made = planted(rounds=6000, actions=4)
    user, action = made["user"], made["action"]
    np.savez(upload(tmp_path) / "log.npz", action=action, reward=made["reward"], context=made["x"][user], n_actions=4)
    log, told = read(tmp_path / "up", {"estimate_propensity": True})
    truth = made["logging"][user, action]
    assert np.abs(log.propensity - truth).mean() < 0.02
    assert np.mean(1 / log.propensity) == pytest.approx(4, abs=0.1)
    assert told["statistics"]["propensity"]["source"] == "estimated"
    assert any("estimated by a logistic model" in warning for warning in log.warnings)
    assert log.logging is not None


def test_attest_propensities_when_said_then_the_log_and_its_manifest_know(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns())
    log, told = read(tmp_path / "up", {"attest_propensities": True})
    assert log.attested
    assert log.take(np.arange(50)).attested
    assert told["statistics"]["propensity"]["source"] == "attested"
    with pytest.raises(JobError, match="exclude each other"):
        ingest([], {"attest_propensities": True, "estimate_propensity": True}, tmp_path / "none", Context())


def test_support_when_uploaded_then_known(tmp_path: Path) -> None:
    table = columns()
    write_csv(upload(tmp_path) / "log.csv", table)
    pairs = {
        "round": np.repeat(np.arange(200), 2),
        "action": np.stack([table["action"], (table["action"] + 1) % 12], 1).ravel(),
    }
    write_csv(tmp_path / "up" / "support.csv", pairs)
    log, _ = read(tmp_path / "up")
    assert log.support is not None
    assert log.support.counts.tolist() == [2] * 200
    assert log.support.has(np.arange(200), log.action).all()


def test_ingest_when_repeated_then_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = tiny_bandit(tmp_path / "a"), tiny_bandit(tmp_path / "b")
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)


def test_describe_when_called_then_what_ingest_said(tmp_path: Path) -> None:
    told = canonical.describe(tiny_bandit(tmp_path))
    json.dumps(told)
    assert told["statistics"]["rounds"] == 600
    assert told["statistics"]["policies"]["logging"]["rows"] == 40
    assert told["statistics"]["true_values"]["target"] > told["statistics"]["true_values"]["logging"]
    assert len(told["preview"]) == 20
