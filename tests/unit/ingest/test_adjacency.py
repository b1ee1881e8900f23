from __future__ import annotations

from pathlib import Path

from tests.unit.ingest.tables import read, refusal


def test_adjacency_when_lines_differ_in_length_then_one_row_an_item(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("0 1 2 3\n1 2\n2\n3 9 8 7 6 5 \n")
    detection, found = read(path)
    assert detection["format"] == "adjacency"
    assert list(zip(found["user"], found["item"], strict=True)) == [
        ("0", "1"), ("0", "2"), ("0", "3"), ("1", "2"), ("3", "9"), ("3", "8"), ("3", "7"), ("3", "6"), ("3", "5"),
    ]  # fmt: skip


def test_adjacency_when_ids_are_words_then_only_if_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"ann x y z\r\nbob x\r\ncid y z\r\n")
    _, found = read(path, format="adjacency")
    assert found["user"] == ["ann"] * 3 + ["bob"] + ["cid"] * 2
    assert found["item"] == ["x", "y", "z", "x", "y", "z"]


def test_adjacency_when_bytes_are_not_text_then_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    lines = "".join(f"{user} " + "1 " * (user % 5 + 1) + "\n" for user in range(50_000))
    path.write_bytes(lines.encode() + b"\xff\xfe 1\n")
    assert "not utf-8" in refusal(path, "invalid_input").detail
