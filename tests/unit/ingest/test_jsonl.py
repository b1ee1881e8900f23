from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.ingest.tables import read, refusal


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "t.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_jsonl_when_amazon_keys_then_roles(tmp_path: Path) -> None:
    record = {
        "reviewerID": "A1",
        "asin": "B1",
        "helpful": [0, 0],
        "reviewText": "ok",
        "overall": 5.0,
        "unixReviewTime": 7,
    }
    detection, found = read(write(tmp_path, json.dumps(record) + "\n" + json.dumps(record | {"asin": "B2"}) + "\n"))
    assert detection["files"][0]["columns"][3]["role"] == "text"
    assert found == {"user": ["A1", "A1"], "item": ["B1", "B2"], "rating": [5.0, 5.0], "timestamp": [7, 7]}


def test_jsonl_when_ids_are_numbers_and_a_mark_leads_then_read(tmp_path: Path) -> None:
    _, found = read(write(tmp_path, b'\xef\xbb\xbf{"user": 1, "item": 2}\r\n{"item": 3, "user": 1}\r\n'))
    assert found == {"user": ["1", "1"], "item": ["2", "3"]}


def test_jsonl_when_a_key_lacks_then_row_is_named(tmp_path: Path) -> None:
    assert "row 2 " in refusal(write(tmp_path, '{"user": 1, "item": 2}\n{"item": 3}\n'), "invalid_input").detail


def test_jsonl_when_type_changes_later_then_line_is_named(tmp_path: Path) -> None:
    text = '{"user": 1, "item": 2}\n' * 20_000 + '{"user": "x", "item": 2}\n'
    problem = refusal(write(tmp_path, text), "invalid_input")
    assert "Line 20,001 " in problem.detail
    assert "'user'" in problem.detail


@pytest.mark.parametrize(
    "text",
    ['[{"user": 1, "item": 2}', '{"user": 1,\n "item": 2}\n', '{"user": 1, "item": 2\n', '{"a": ' + "[" * 100_000],
)
def test_jsonl_when_not_one_object_a_line_then_refused(tmp_path: Path, text: str) -> None:
    assert refusal(write(tmp_path, text), "invalid_input").hint


def test_jsonl_when_deeply_nested_late_then_refused_or_ignored_without_crash(tmp_path: Path) -> None:
    deep = '{"user": 1, "item": 2, "x": ' + "[" * 500_000 + "]" * 500_000 + "}\n"
    _, found = read(write(tmp_path, '{"user": 1, "item": 2}\n' * 20_000 + deep))
    assert len(found["user"]) == 20_001


def test_jsonl_when_the_item_is_a_list_then_refused(tmp_path: Path) -> None:
    problem = refusal(write(tmp_path, '{"user": 1, "item": [2]}\n'), "unsupported")
    assert problem.pointer == "/columns/item"


def test_jsonl_when_an_object_is_longer_than_a_block_then_refused(tmp_path: Path) -> None:
    long = json.dumps({"user": 1, "item": 2, "text": "x" * (9 << 20)})
    refusal(write(tmp_path, '{"user": 1, "item": 2}\n' * 20_000 + long + "\n"), "decoded_too_large")


@pytest.mark.parametrize("count", [2, 199, 201])
def test_list_of_objects_when_of_any_length_then_read(tmp_path: Path, count: int) -> None:
    rows = [{"user": f"u{row}", "item": f"i{row}"} for row in range(count)]
    for text in (json.dumps(rows), json.dumps(rows, indent=1) + "\n"):
        _, found = read(write(tmp_path, text))
        assert found == {name: [row[name] for row in rows] for name in ("user", "item")}


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85"])
def test_jsonl_when_text_holds_what_unicode_calls_a_line_end_then_the_object_goes_on(tmp_path: Path, end: str) -> None:
    text = f'{{"user": "a{end}b", "item": 2}}\n{{"user": "c", "item": 3}}\n'
    _, found = read(write(tmp_path, text))
    assert found == {"user": [f"a{end}b", "c"], "item": ["2", "3"]}
