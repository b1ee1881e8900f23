"""A wrong line in a file of any form: the refusal says which one, or what was taken in a doubtful way is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kinds.labels.planted import LABELS, documents, write_json, xc_files
from tests.kinds.labels.uploaded import ingested, refused, written

RECORDS = documents(60, 1)


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("trn_X_Xf.txt", "hello world", "Line 6 of trn_X_Xf.txt is not a row"),
        ("trn_X_Xf.txt", "-1:2 5:1", "Line 6 of trn_X_Xf.txt is not a row"),
        ("trn_X_Y.txt", "3 17", "Line 6 of trn_X_Y.txt is not a row"),
        ("trn_X_Y.txt", "3:-1 7:1", "Line 6 of trn_X_Y.txt has a negative value"),
        ("trn_X_Y.txt", f"{LABELS}:1", f"Line 6 of trn_X_Y.txt has the index {LABELS}"),
    ],
)
def test_matrix_when_a_line_is_wrong_then_it_is_named(file: str, line: str, said: str, tmp_path: Path):
    files = xc_files(tmp_path / "up")
    path = dict(files)[file]
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:5], line, *lines[6:]]))
    assert said in refused(files, tmp_path / "v").detail


def test_matrix_when_without_header_then_it_is_asked_for(tmp_path: Path):
    files = xc_files(tmp_path / "up")
    path = dict(files)["tst_X_Y.txt"]
    path.write_text(path.read_text().partition("\n")[2])
    assert refused(files, tmp_path / "v").detail == "Line 1 of tst_X_Y.txt is no header."


def test_rows_when_one_is_wrong_then_it_is_named(tmp_path: Path):
    rows = [f"{row % 3} 0:{row + 1} 2:1" for row in range(40)]
    rows[7] = "1 qid:3 0:2"
    assert "Line 8 of" in refused(written(tmp_path / "up", rows__txt="\n".join(rows)), tmp_path / "v").detail


@pytest.mark.parametrize("relevance", [float("nan"), None, -1.0, "0", "high"])
def test_relevance_when_no_number_from_nought_then_refused(relevance: object, tmp_path: Path):
    records = [*RECORDS[:3], RECORDS[3] | {"target_ind": [5, 6], "target_rel": [1.0, relevance]}, *RECORDS[4:]]
    problem = refused([("trn.json", write_json(tmp_path / "trn.json", records))], tmp_path / "v")
    assert "Line 4 of trn.json has a relevance" in problem.detail


def test_object_when_not_utf8_or_a_title_that_is_no_text_then_refused_as_that(tmp_path: Path):
    path = write_json(tmp_path / "trn.json", RECORDS)
    path.write_bytes(path.read_bytes() + b'{"title": "\xff", "content": "", "target_ind": [1]}\n')
    assert refused([("trn.json", path)], tmp_path / "v").detail == "Line 61 of trn.json is not UTF-8."
    write_json(path, [RECORDS[0] | {"title": 0}, *RECORDS[1:]])
    assert "other than text in title" in refused([("trn.json", path)], tmp_path / "w").detail


def test_list_of_objects_with_lists_of_labels_when_ingested_then_read(tmp_path: Path):
    rows = [{"text": one["content"], "labels": [f"L{label}" for label in one["target_ind"]]} for one in RECORDS]
    listed, _ = ingested(written(tmp_path / "up", d__json=json.dumps(rows)), tmp_path / "v")
    lines, _ = ingested(written(tmp_path / "up", d__jsonl="\n".join(map(json.dumps, rows))), tmp_path / "w")
    assert (listed.targets != lines.targets).nnz == 0
    assert listed.targets.nnz == sum(len(one["target_ind"]) for one in RECORDS)


def test_unknown_cells_and_labels_joined_in_two_ways_when_ingested_then_told(tmp_path: Path):
    head = "@relation 'x: -C 2'\n@attribute a {0,1}\n@attribute b {0,1}\n@attribute f numeric\n@data\n"
    rows = [f"{row % 2},1,{row}" for row in range(40)] + ["?,1,?"]
    _, said = ingested(written(tmp_path / "up", a__arff=head + "\n".join(rows)), tmp_path / "v")
    assert said["warnings"][0] == '2 cells say "?": labels were taken as not there, features as 0.'
    table = "text,labels\n" + "".join(f"word{row},{'a|b' if row % 4 else 'c;d'}\n" for row in range(40))
    _, said = ingested(written(tmp_path / "up2", d__csv=table), tmp_path / "w")
    assert said["warnings"][0].startswith("1 labels hold ';' (such as 'c;d')")
