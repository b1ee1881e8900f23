from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.api.problem_codes import CODES
from tests.kinds.bandit.uploads import columns, read, refusal, upload, write_csv
from worker.contract.errors import JobError


def changed(name: str, row: int, value: float, rounds: int = 200) -> np.ndarray:
    values = columns(rounds)[name].astype(float)
    values[row] = value
    return values


@pytest.mark.parametrize(
    ("code", "pointer", "changes"),
    [
        ("propensity_missing", "/columns/propensity", {"propensity": None}),
        ("propensity_missing", "/columns/propensity", {"propensity": changed("propensity", 3, np.nan)}),
        ("propensity_nonpositive", "/columns/propensity", {"propensity": changed("propensity", 3, 0.0)}),
        ("propensity_nonpositive", "/columns/propensity", {"propensity": changed("propensity", 3, -0.1)}),
        ("propensity_above_one", "/columns/propensity", {"propensity": changed("propensity", 3, 1.01)}),
        ("nan_reward", "/columns/reward", {"reward": changed("reward", 3, np.nan)}),
        ("nan_reward", "/columns/reward", {"reward": changed("reward", 3, np.inf)}),
        ("invalid_input", "/columns/weight", {"round_weight": np.full(200, -1.0)}),
        ("invalid_input", "/columns/position", {"position": np.full(200, 1.5)}),
        ("unknown_column", "/columns/action", {"action": None}),
        ("unknown_column", "/columns/reward", {"reward": None}),
    ],
)
def test_ingest_when_a_column_is_wrong_then_its_code_and_pointer(
    tmp_path: Path, code: str, pointer: str, changes: dict[str, Any]
) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns(**changes))
    refused = refusal(tmp_path / "up")
    assert (refused.code, refused.pointer) == (code, pointer)
    assert code in CODES


def test_ingest_when_a_cell_is_no_number_then_its_row(tmp_path: Path) -> None:
    table = {name: values.astype("U32") for name, values in columns().items()}
    table["propensity"][6] = "often"
    table["context_1"][1] = ""
    write_csv(upload(tmp_path) / "log.csv", table)
    refused = refusal(tmp_path / "up")
    assert refused.pointer == "/columns/propensity"
    assert "row 7 " in refused.detail


def test_ingest_when_too_few_rounds_then_refused(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns(29))
    assert refusal(tmp_path / "up").code == "too_few_rounds"
    write_csv(upload(tmp_path, "enough") / "log.csv", columns(30))
    assert read(tmp_path / "enough")[0].n == 30


def test_ingest_when_propensity_differs_from_policy_then_the_row(tmp_path: Path) -> None:
    table = columns()
    policy = np.full((200, 12), 0.0)
    policy[np.arange(200), table["action"]] = table["propensity"]
    policy[np.arange(200), (table["action"] + 1) % 12] = 1 - table["propensity"]
    table["propensity"] = changed("propensity", 5, table["propensity"][5] * (1 + 3e-6))
    write_csv(upload(tmp_path) / "log.csv", table)
    np.savez(tmp_path / "up" / "logging_policy.npz", probabilities=policy)
    refused = refusal(tmp_path / "up")
    assert refused.code == "propensity_mismatch"
    assert "Row 6 " in refused.detail
    read(upload_without(tmp_path, table), {})


def upload_without(tmp_path: Path, table: dict[str, np.ndarray]) -> Path:
    """The same upload without its propensity column: the policy says it."""
    folder = upload(tmp_path, "without")
    write_csv(folder / "log.csv", {name: values for name, values in table.items() if name != "propensity"})
    (folder / "logging_policy.npz").write_bytes((tmp_path / "up" / "logging_policy.npz").read_bytes())
    return folder


def test_ingest_when_policy_gives_the_logged_action_nothing_then_refused(tmp_path: Path) -> None:
    table = columns(propensity=None)
    policy = np.zeros((200, 12))
    policy[np.arange(200), (table["action"] + 1) % 12] = 1
    write_csv(upload(tmp_path) / "log.csv", table)
    np.savez(tmp_path / "up" / "logging_policy.npz", probabilities=policy)
    assert refusal(tmp_path / "up").code == "propensity_nonpositive"


@pytest.mark.parametrize("value", [0.2, np.nan, -0.2])
def test_ingest_when_a_policy_is_no_distribution_then_refused(tmp_path: Path, value: float) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns())
    policy = np.full((200, 12), 1 / 12)
    policy[7, 0] = value
    np.savez(tmp_path / "up" / "target_policy.npz", probabilities=policy)
    refused = refusal(tmp_path / "up")
    assert refused.code == "policy_not_normalised"
    if value == 0.2:
        assert "Row 7 " in refused.detail
        assert refused.pointer == "/options/renormalise"


def test_ingest_when_renormalised_then_rows_sum_to_one(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns(propensity=None))
    np.savez(tmp_path / "up" / "target_policy.npz", probabilities=np.random.default_rng(0).random((200, 12)))
    np.savez(tmp_path / "up" / "logging_policy.npz", probabilities=np.full((1, 12), 0.5))
    log, told = read(tmp_path / "up", {"renormalise": True})
    np.testing.assert_allclose(log.targets["target"].dense(np.arange(200)).sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(log.propensity, 1 / 12, rtol=1e-12)
    assert any("rescaled" in warning for warning in told["warnings"])


@pytest.mark.parametrize("form", ["log", "n_actions", "csr", "two widths", "long"])
def test_ingest_when_an_action_is_out_of_range_then_refused(tmp_path: Path, form: str) -> None:
    table = columns()
    options: dict[str, Any] = {}
    folder = upload(tmp_path)
    uniform = np.full((1, 12), 1 / 12)
    if form == "log":
        table["action"] = table["action"].copy()
        table["action"][4] = 12
        np.savez(folder / "target_policy.npz", probabilities=uniform)
    elif form == "n_actions":
        options = {"n_actions": 5}
    elif form == "csr":
        np.savez(
            folder / "target_policy.npz",
            data=np.ones(1),
            indices=np.array([12]),
            indptr=np.array([0, 1]),
            shape=[1, 12],
        )
    elif form == "two widths":
        np.savez(folder / "target_policy.npz", probabilities=uniform)
        np.savez(folder / "action_embeddings.npz", embeddings=np.ones((13, 2)))
    else:
        del table["propensity"]
        np.savez(folder / "logging_policy.npz", probabilities=uniform)
        long = {"round": np.arange(200), "action": np.full(200, 40), "prob": np.ones(200)}
        write_csv(folder / "target_policy.csv", long)
    write_csv(folder / "log.csv", table)
    assert refusal(folder, options).code == "action_out_of_range"


def test_ingest_when_an_action_has_no_embedding_then_named(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns())
    write_csv(tmp_path / "up" / "action_embeddings.csv", {"action": np.arange(11), "size": np.arange(11.0)})
    refused = refusal(tmp_path / "up")
    assert refused.code == "embedding_missing_action"
    assert "11" in refused.detail


def test_ingest_when_a_dense_policy_is_too_large_then_refused_unread(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("worker.kinds.bandit.upload.dictionary.DENSE_BYTES", 200 * 12 * 8 - 1)
    write_csv(upload(tmp_path) / "log.csv", columns())
    np.savez(tmp_path / "up" / "target_policy.npz", probabilities=np.full((200, 12), 1 / 12))
    refused = refusal(tmp_path / "up")
    assert refused.code == "dense_too_large"
    assert "CSR" in refused.hint


def test_split_when_times_cannot_be_cut_then_refused(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns(timestamp=np.arange(200) // 150))
    assert refusal(tmp_path / "up", {"split": "time"}).code == "timestamps_overlap_split"


def test_split_when_published_but_not_in_time_then_refused_only_if_asked(tmp_path: Path) -> None:
    part = np.array(["train", "validation", "test"])[np.arange(200) % 3]
    write_csv(upload(tmp_path) / "log.csv", columns(timestamp=np.arange(200), part=part))
    refused = refusal(upload_copy(tmp_path), {"split": "column:part", "split_in_time": True})
    assert (refused.code, refused.pointer) == ("timestamps_overlap_split", "/options/split_in_time")
    assert read(tmp_path / "up", {"split": "column:part"})[0].n == 200


def upload_copy(tmp_path: Path) -> Path:
    folder = upload(tmp_path, "copy")
    (folder / "log.csv").write_bytes((tmp_path / "up" / "log.csv").read_bytes())
    return folder


def test_ingest_when_no_times_then_no_split_by_time(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns())
    refused = refusal(tmp_path / "up", {"split": "time"})
    assert (refused.code, refused.pointer) == ("invalid_input", "/columns/timestamp")


def test_ingest_when_an_array_is_pickled_then_refused_with_the_cure(tmp_path: Path) -> None:
    table = columns()
    np.savez(upload(tmp_path) / "log.npz", position=None, allow_pickle=True, **table)
    refused = refusal(tmp_path / "up")
    assert refused.code == "unsafe_format"
    assert "is not None" in refused.hint


def test_ingest_when_a_side_table_is_pickled_then_refused(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns())
    np.savez(tmp_path / "up" / "target_policy.npz", probabilities=np.array([[{}]], dtype=object))
    assert refusal(tmp_path / "up").code == "unsafe_format"
    (tmp_path / "up" / "target_policy.npz").write_bytes(b"\x80\x04K\x01.")
    assert refusal_again(tmp_path).code == "unsafe_format"


def refusal_again(tmp_path: Path) -> JobError:
    (tmp_path / "up").rename(tmp_path / "again")
    return refusal(tmp_path / "again")


@pytest.mark.parametrize(
    "arrays",
    [
        {"data": np.ones(2), "indices": np.array([0, 1]), "indptr": np.array([0, 3]), "shape": [1, 12]},
        {"data": np.ones(2), "indices": np.array([0, 1]), "indptr": np.array([1, 2]), "shape": [1, 12]},
        {"data": np.ones(2), "indices": np.array([0]), "indptr": np.array([0, 2]), "shape": [1, 12]},
        {"data": np.ones(2) / 2, "indices": np.array([3, 3]), "indptr": np.array([0, 2]), "shape": [1, 12]},
        {"data": np.ones(2), "indices": np.array([0, -1]), "indptr": np.array([0, 2]), "shape": [1, 12]},
        {"probabilities": np.full((3, 12), 1 / 12)},
        {"probabilities": np.full((3, 12), 1 / 12), "index": np.full(200, 3)},
        {"weights": np.ones((3, 3)), "embeddings": np.ones((12, 3))},
        {"something": np.ones(4)},
    ],
)
def test_ingest_when_a_policy_does_not_fit_together_then_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns())
    np.savez(tmp_path / "up" / "target_policy.npz", **arrays)
    assert refusal(tmp_path / "up").code in {"invalid_input", "action_out_of_range"}


def test_ingest_when_support_lacks_a_logged_action_then_refused(tmp_path: Path) -> None:
    table = columns()
    write_csv(upload(tmp_path) / "log.csv", table)
    write_csv(tmp_path / "up" / "support.csv", {"round": np.arange(200), "action": (table["action"] + 1) % 12})
    assert refusal(tmp_path / "up").code == "propensity_nonpositive"


def test_ingest_when_a_long_policy_names_no_round_then_its_row(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns())
    long = {"round": np.arange(1, 201), "action": np.zeros(200, int), "prob": np.ones(200)}
    write_csv(tmp_path / "up" / "target_policy.csv", long)
    refused = refusal(tmp_path / "up")
    assert refused.code == "invalid_input"
    assert "Row 200 " in refused.detail


def test_ingest_when_several_logs_then_asked_for_one(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "a.csv", columns())
    np.savez(tmp_path / "up" / "b.npz", **columns())
    assert refusal(tmp_path / "up").pointer == "/options/file"
    (tmp_path / "up").rename(tmp_path / "again")
    assert read(tmp_path / "again", {"file": "a.csv"})[0].n == 200


def test_ingest_when_only_a_policy_is_uploaded_then_the_log_is_missed(tmp_path: Path) -> None:
    np.savez(upload(tmp_path) / "target_policy.npz", probabilities=np.ones((1, 1)))
    assert "no log" in refusal(tmp_path / "up").detail


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({"propensity": np.full(200, 0.5)}, {}, "is not one in 12 actions"),
        ({"propensity": np.full(200, 1.0)}, {}, "deterministic"),
        ({"propensity": changed("propensity", 4, 1e-7)}, {}, "Row 5 alone"),
        ({"reward": changed("reward", 0, 7.0)}, {"r_min": 0, "r_max": 1}, "outside the declared bounds"),
        ({"timestamp": np.zeros(200, int), "action": np.zeros(200, int)}, {}, "repeat another round"),
        (
            {"propensity": np.full(200, 1 / 12), "action": np.where(np.arange(200) < 180, 0, np.arange(200) % 12)},
            {"n_actions": 12},
            "not logged equally often",
        ),
        ({"propensity": np.full(200, 1 / 12)}, {"builtin_targets": ["uniform"]}, "equals the logging policy"),
    ],
)
def test_ingest_when_a_log_is_odd_then_a_warning(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns(**changes))
    _, told = read(tmp_path / "up", options)
    assert any(said in warning for warning in told["warnings"]), told["warnings"]


def test_options_when_unknown_or_contradictory_then_refused(tmp_path: Path) -> None:
    write_csv(upload(tmp_path) / "log.csv", columns())
    assert refusal(tmp_path / "up", {"propensities": "x"}).code == "invalid_input"
    (tmp_path / "up-canonical").rmdir()
    assert refusal(tmp_path / "up", {"r_min": 2, "r_max": 1}).code == "invalid_input"
    (tmp_path / "up-canonical").rmdir()
    assert refusal(tmp_path / "up", {"split": "column:nowhere"}).code == "unknown_column"
