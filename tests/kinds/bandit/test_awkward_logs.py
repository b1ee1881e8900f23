"""Logs as people bring them: each is read rightly, or refused with a cure that works."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from tests.kinds.bandit.uploads import columns, read, refusal, upload, write_csv


def test_context_when_it_is_vectors_as_text_then_one_column_a_number(tmp_path: Path) -> None:
    table = columns()
    inputs = [table.pop(f"context_{d}") for d in range(4)]
    plain, text = upload(tmp_path, "plain"), upload(tmp_path, "text")
    write_csv(plain / "log.csv", table | {f"context_{d}": values for d, values in enumerate(inputs)})
    vectors = [f'"[{", ".join(f"np.float64({x!r})" for x in row)}]"' for row in np.stack(inputs, axis=1).tolist()]
    write_csv(text / "log.csv", table | {"context": np.array(vectors)})
    (first, _), (second, told) = read(plain), read(text)
    np.testing.assert_array_equal(first.x, second.x)
    assert told["detection"]["context_columns"] == ["context"]


@pytest.mark.parametrize("cell", ["[0.5]", '"[0.5, often]"'])
def test_context_when_a_vector_is_unlike_the_others_then_refused(tmp_path: Path, cell: str) -> None:
    cells = np.array(["[0.5 1.25]"] * 199 + [cell])
    table = {name: values for name, values in columns().items() if not name.startswith("context")}
    write_csv(upload(tmp_path) / "log.csv", table | {"context": cells})
    assert refusal(tmp_path / "up").pointer == "/options/context_columns"


def test_context_when_it_is_a_list_in_json_lines_then_refused_and_without_it_read(tmp_path: Path) -> None:
    rows = [
        {"action": 1, "reward": 0, "propensity": 0.5, "context": [0.5, 1], "x_0": 0.25},
        {"action": 0, "reward": 1, "propensity": 0.5, "context": [1, 0], "x_0": 0.75},
    ]
    (upload(tmp_path) / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 20))
    assert "context_0" in refusal(tmp_path / "up").hint
    log, _ = read_again(tmp_path, {"context_columns": "x_0"})
    assert log.x.shape == (40, 1)


def read_again(tmp_path: Path, options: dict) -> tuple:
    """The same upload under a new name: `read` writes beside its folder."""
    folder = tmp_path / "again"
    (tmp_path / "up").rename(folder)
    return read(folder, options)


@pytest.mark.parametrize("write", ["csv", "jsonl"])
def test_reward_when_it_is_true_or_false_then_1_or_0(tmp_path: Path, write: str) -> None:
    table = columns()
    truth = table["reward"] > np.median(table["reward"])
    if write == "csv":
        write_csv(upload(tmp_path) / "log.csv", table | {"reward": truth})
    else:
        rows = zip(*({**table, "reward": truth}[name].tolist() for name in table), strict=True)
        text = "".join(json.dumps(dict(zip(table, row, strict=True))) + "\n" for row in rows)
        (upload(tmp_path) / "log.jsonl").write_text(text)
    np.testing.assert_array_equal(read(tmp_path / "up")[0].reward, truth.astype(float))


def test_vw_when_a_line_has_two_labels_then_refused_by_line(tmp_path: Path) -> None:
    lines = ["1:0:0.5 | a:1", "2:-1:0.5 | b:1"] * 20
    (upload(tmp_path) / "log.vw").write_text("\n".join([*lines, "1:0:0.5 2:-1:0.25 | a:1"]) + "\n")
    refused = refusal(tmp_path / "up")
    assert "Line 41 " in refused.detail
    assert "2 labels" in refused.detail
    (upload(tmp_path, "one") / "log.vw").write_text("\n".join([*lines, "1:0:0.5 | a:1"]) + "\n")
    assert read(tmp_path / "one")[0].n == 41


@pytest.mark.parametrize(
    "example",
    ["shared |s x:0.5\n|a k0\n0:-1:0.25 |a k1\n|a k2\n\n", "|a k0\n0:-1:0.25 |a k1\n|a k2\n\n", "0:1:0.5 |a\n|b\n\n"],
)
def test_vw_when_an_example_takes_several_lines_then_refused_by_its_name(tmp_path: Path, example: str) -> None:
    (upload(tmp_path) / "log.vw").write_text(example * 40)
    refused = refusal(tmp_path / "up")
    assert "cb_adf" in refused.detail
    assert "Export a table" in refused.hint


def test_propensity_when_two_columns_look_like_it_then_told_and_the_other_can_be_taken(tmp_path: Path) -> None:
    table = columns()
    alone = table.pop("propensity")
    joint = alone / 2
    write_csv(upload(tmp_path) / "log.csv", table | {"pscore": joint, "pscore_item_position": alone})
    log, told = read(tmp_path / "up")
    np.testing.assert_array_equal(log.propensity, joint)
    warning = next(text for text in told["warnings"] if "look like propensities" in text)
    asked = json.loads(warning[warning.index("{") : warning.index("}") + 1])
    other, told = read_again(tmp_path, {"columns": asked})
    np.testing.assert_array_equal(other.propensity, alone)
    assert any("'pscore'" in text for text in told["warnings"])


def test_actions_when_floats_in_the_log_and_whole_in_the_policy_then_the_same(tmp_path: Path) -> None:
    table = columns()
    rounds = np.repeat(np.arange(200), 12)
    policy = {"round": rounds, "action": np.tile(np.arange(12), 200), "prob": np.full(2400, 1 / 12)}
    logs = []
    for name, action in (("whole", table["action"]), ("floats", table["action"].astype(float))):
        folder = upload(tmp_path, name)
        write_csv(folder / "log.csv", table | {"action": action})
        (folder / "target_policies").mkdir()
        write_csv(folder / "target_policies" / "new.csv", policy)
        logs.append(read(folder))
    (whole, _), (floats, told) = logs
    assert whole.n_actions == floats.n_actions == 12
    np.testing.assert_array_equal(whole.targets["new"].at(whole.action), floats.targets["new"].at(floats.action))
    assert any("200 action ids" in text for text in told["warnings"])


def test_actions_when_floats_have_lost_digits_then_refused(tmp_path: Path) -> None:
    table = columns()
    np.savez(upload(tmp_path) / "log.npz", **(table | {"action": table["action"] + 2.0**60}))
    assert "lost digits" in refusal(tmp_path / "up").detail
    write_csv(upload(tmp_path, "csv") / "log.csv", table | {"action": table["action"] + 2.0**60})
    assert "lost digits" in refusal(tmp_path / "csv").detail
    np.savez(upload(tmp_path, "whole") / "log.npz", **(table | {"action": table["action"] + 2**60}))
    assert read(tmp_path / "whole")[0].n_actions == 12


def test_policy_when_it_names_no_logged_action_then_told(tmp_path: Path) -> None:
    table = columns()
    write_csv(upload(tmp_path) / "log.csv", table)
    (tmp_path / "up" / "target_policies").mkdir()
    policy = {"round": np.arange(200), "action": np.full(200, "a0"), "prob": np.ones(200)}
    write_csv(tmp_path / "up" / "target_policies" / "new.csv", policy)
    assert any("new gives no logged action any probability" in text for text in read(tmp_path / "up")[1]["warnings"])


def test_log_when_it_has_no_context_then_read(tmp_path: Path) -> None:
    table = {name: values for name, values in columns().items() if name in {"action", "reward", "propensity"}}
    write_csv(upload(tmp_path) / "log.csv", table)
    log, told = read(tmp_path / "up", {"builtin_targets": ["uniform"]})
    assert (log.n, log.x.shape[1], list(log.targets)) == (200, 0, ["uniform"])
    assert told["detection"]["context_columns"] == []


def test_times_when_hours_beside_a_date_then_refused_and_the_date_can_be_chosen(tmp_path: Path) -> None:
    days = np.array([f"2020-01-{1 + n % 28:02}" for n in range(200)])
    write_csv(upload(tmp_path) / "log.csv", columns() | {"date": days, "time": np.arange(200) % 24})
    refused = refusal(tmp_path / "up", {"split": "time"})
    assert refused.pointer == "/columns/timestamp"
    hint = refused.hint
    asked = json.loads(hint[hint.index("{") : hint.index("}") + 1])
    log, _ = read_again(tmp_path, {"split": "time", "columns": asked})
    assert len(np.unique(log.timestamp)) == 28


def test_options_when_written_as_on_a_command_line_then_understood(tmp_path: Path) -> None:
    table = columns()
    names = {f"context_{d}": f"f{d}" for d in range(4)}
    folder = upload(tmp_path)
    renamed = {names.get(name, name): values for name, values in table.items()}
    (folder / "log.csv").write_text(write_csv(tmp_path / "x.csv", renamed).read_text().replace(",", "\t"))
    log, told = read(
        folder,
        {"delimiter": "tab", "header": "auto", "n_actions": "auto", "context_columns": "f0,f1", "quote": "double"},
    )
    assert told["detection"]["context_columns"] == ["f0", "f1"]
    assert log.x.shape == (200, 2)


BROKEN = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 3], np.int32)), pa.py_buffer(b"4\xff\xfe")]
)


def with_one(name: str, value: float) -> np.ndarray:
    """A column of the log, as float64, with one other value in its fourth row."""
    changed = columns()[name].astype(float)
    changed[3] = value
    return changed


@pytest.mark.parametrize(
    ("name", "column", "words"),
    [
        ("reward", with_one("reward", 1e308), "row 4 is 1e+308"),
        ("reward", with_one("reward", np.inf), "row 4"),
        ("context_0", with_one("context_0", 1e39), "'context_0'"),
        ("propensity", with_one("propensity", np.nan), "row 4"),
        ("action", pa.array([f"{n}\0" for n in range(200)]), "row 1"),
        ("action", pa.concat_arrays([BROKEN] * 100), "row 2"),
        ("context_0", pa.concat_arrays([BROKEN] * 100), "row 2"),
        ("timestamp", pa.array([2**63] * 200, pa.uint64()), "row 1"),
        ("timestamp", pa.array([5] * 200, pa.time64("us")), "time64"),
        ("position", pa.array([2**63] * 200, pa.uint64()), "row 1"),
        ("position", np.arange(200) / 2, "row 2"),
        ("context_\0", np.arange(200.0), "no text"),
        ("reward", pa.array([{"clicks": 1}] * 200), "reward"),
    ],
)
def test_log_when_a_cell_cannot_be_then_refused_by_its_row(
    tmp_path: Path, name: str, column: np.ndarray | pa.Array, words: str
) -> None:
    pq.write_table(pa.table({**columns(), name: column}), tmp_path / "log.parquet")
    problem = refusal(tmp_path, {"builtin_targets": "uniform"})
    assert words in problem.detail
    assert problem.hint
    assert problem.code != "internal"


def test_log_when_a_needed_cell_is_wrong_then_the_hint_does_not_leave_its_column_out(tmp_path: Path) -> None:
    words = np.array(["often", "never"] * 100)
    for name, hint in {"reward": "Correct the row.", "propensity": 'columns={"propensity": ""}.'}.items():
        folder = upload(tmp_path, name)
        write_csv(folder / "log.csv", {**columns(), name: words})
        assert refusal(folder).hint.endswith(hint)


def test_embeddings_when_in_feather_then_as_in_csv(tmp_path: Path) -> None:
    found = []
    for name in ("csv", "feather"):
        folder = upload(tmp_path, name)
        write_csv(folder / "log.csv", columns())
        table = {"action": np.arange(12), "e0": np.arange(12) / 8, "e1": np.arange(12) % 3}
        if name == "csv":
            write_csv(folder / "action_embeddings.csv", table)
        else:
            feather.write_feather(pa.table(table), str(folder / "action_embeddings.feather"))
        found.append(read(folder)[0].embeddings)
    np.testing.assert_array_equal(*found)


def test_log_when_arrow_a_list_or_in_structs_then_as_in_csv(tmp_path: Path) -> None:
    table = columns()
    expected, _ = read(write_csv(upload(tmp_path, "csv") / "log.csv", table).parent)
    feather.write_feather(pa.table(table), str(upload(tmp_path, "arrow") / "log.feather"))
    rows = [dict(zip(table, row, strict=True)) for row in zip(*(c.tolist() for c in table.values()), strict=True)]
    (upload(tmp_path, "list") / "log.json").write_text(json.dumps(rows))
    for folder in ("arrow", "list"):
        log, _ = read(tmp_path / folder)
        np.testing.assert_array_equal(log.x, expected.x)
        np.testing.assert_array_equal(log.reward, expected.reward)
    inside = {name: c for name, c in table.items() if not name.startswith("context")}
    seen = pa.array([{name: row[name] for name in row if name.startswith("context")} for row in rows])
    pq.write_table(pa.table({**inside, "seen": seen}), upload(tmp_path, "struct") / "log.parquet")
    log, _ = read(tmp_path / "struct", {"context_columns": "seen.*"})
    np.testing.assert_array_equal(log.x, expected.x)
