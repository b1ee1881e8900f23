"""Features of items beside a table of events: read from every form, stored, shown, and refused with a cure."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.ingest.test_interactions import digests, grid, refused, run, table
from worker.contract.context import Context
from worker.kinds.interactions.dataset import load
from worker.kinds.interactions.item_features import ItemFeatures

TAGS = ["a|b", "b", "", "c|a", "b|b|c"]


def features_of(out: Path) -> ItemFeatures:
    read = load(out).item_features
    assert read is not None
    return read()


def items_csv(folder: Path, extra: str = "") -> Path:
    """Tags and years of five of six items, one that no event has, and a second row of an item."""
    path = folder / "items.csv"
    lines = [f"i{number},Film {number},{tags},{1990 + number}" for number, tags in enumerate(TAGS)]
    path.write_text("\n".join(["item_id,title,tags,year", *lines, "i99,Other,z,1900", "i0,Again,z,1800", extra]))
    return path


def test_features_when_a_table_of_tags_lies_beside_then_stored_and_shown(tmp_path: Path) -> None:
    result, out = run([table(tmp_path, grid()), items_csv(tmp_path)], item_features="items.csv")
    found = features_of(out)
    assert found.names.tolist() == ["tags=a", "tags=b", "tags=c"]
    assert found.tags.all()
    assert found.values.toarray().tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 1, 1], [0, 0, 0]]
    assert result["statistics"]["item_features"] == 3
    assert result["statistics"]["items_with_features"] == 4
    assert result["detection"]["item_features"] == {"file": "items.csv", "columns": ["tags"]}
    assert result["detection"]["titles"] == "items.csv"
    assert load(out).titles[1] == "Film 1"
    assert set(result["schema"]) >= {"item_features.parquet", "features.parquet"}
    assert any("2 of 6 items have no features in items.csv" in warning for warning in result["warnings"])


def test_features_when_nobody_asks_then_none_and_statistics_say_so(tmp_path: Path) -> None:
    result, out = run([table(tmp_path, grid()), items_csv(tmp_path)])
    assert load(out).item_features is None
    assert result["statistics"]["item_features"] == 0
    assert not (out / "item_features.parquet").exists()


def test_features_when_columns_are_named_then_numbers_too(tmp_path: Path) -> None:
    upload = [table(tmp_path, grid()), items_csv(tmp_path, extra="i5,Last,c,")]
    result, out = run(upload, item_features="items*", item_feature_columns="year,tags", file="t*.csv")
    found = features_of(out)
    assert found.names.tolist() == ["year", "tags=a", "tags=b", "tags=c"]
    assert found.tags.tolist() == [False, True, True, True]
    assert found.values.toarray()[:, 0].tolist() == [1990, 1991, 1992, 1993, 1994, 1992], (
        "the mean, where none is known"
    )
    assert any("'year'" in warning and "mean" in warning for warning in result["warnings"])
    scores = found.inputs().toarray()
    np.testing.assert_allclose(scores[:, -1].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(scores[:, :3].sum(axis=1), [1, 1, 0, 1, 1, 1])


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv.gz", "recbole"])
def test_features_when_in_another_form_then_the_same_files(tmp_path: Path, form: str) -> None:
    plain = run([table(tmp_path, grid()), items_csv(tmp_path)], item_features="items.csv")[1]
    columns = {"item_id": [f"i{n}" for n in range(5)], "title": [f"Film {n}" for n in range(5)], "tags": TAGS}
    path = tmp_path / f"described.{form}"
    if form == "parquet":
        pq.write_table(pa.table(columns), path)
    elif form == "jsonl":
        rows = zip(*columns.values(), strict=True)
        path.write_text("".join(f'{{"item_id": "{i}", "title": "{t}", "tags": "{g}"}}\n' for i, t, g in rows))
    elif form == "csv.gz":
        path.write_bytes(gzip.compress(items_csv(tmp_path).read_bytes()))
    else:
        path = tmp_path / "ml.item"
        lines = [f"i{n}\tFilm {n}\t{tags.replace('|', ' ')}" for n, tags in enumerate(TAGS)]
        path.write_text("\n".join(["item_id:token\ttitle:token_seq\ttags:token_seq", *lines]) + "\n")
    same = run([table(tmp_path, grid()), path], item_features=path.name.removesuffix(".gz"))[1]
    for name in ("item_features.parquet", "features.parquet", "items.parquet"):
        assert digests(same)[name] == digests(plain)[name]


@pytest.mark.parametrize("order", ["C", "F"])
def test_features_when_numpy_vectors_then_row_r_is_item_r(tmp_path: Path, order: str) -> None:
    lines = [f"u{u},{item},3,{u}" for u in range(12) for item in (0, 2, 3, 5, 9, 11)]
    vectors = np.random.default_rng(0).normal(size=(10, 4))
    np.save(tmp_path / "vectors.npy", np.asarray(vectors, order=order))
    if order == "F":
        problem = refused(
            "unsupported", "", [table(tmp_path, lines), tmp_path / "vectors.npy"], item_features="vectors.npy"
        )
        assert "vectors.npy" in problem.detail
        return
    result, out = run([table(tmp_path, lines), tmp_path / "vectors.npy"], item_features="vectors.npy")
    found = features_of(out)
    np.testing.assert_allclose(found.values.toarray()[:5], vectors[[0, 2, 3, 5, 9]].astype(np.float32))
    assert not found.values.toarray()[5].any()
    assert found.names.tolist() == ["vector_0", "vector_1", "vector_2", "vector_3"]
    assert not found.tags.any()
    assert result["statistics"]["items_with_features"] == 5


def test_features_when_rare_items_go_then_those_of_the_others_stay_with_them(tmp_path: Path) -> None:
    lines = [line for line in grid() if ",i1," not in line or line.startswith("u00")]
    _, out = run([table(tmp_path, lines), items_csv(tmp_path)], item_features="items.csv", min_item_events=2)
    assert load(out).item_ids.tolist() == ["i0", "i2", "i3", "i4", "i5"]
    assert features_of(out).values.toarray()[2].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("text", "options", "pointer", "said"),
    [
        ("item_id,tags\nx1,a\n", {}, "/options/item_features", "nothing of any item"),
        ("film,year\ni1,1990\n", {}, "/options/item_features", "item ids"),
        ("item_id,style\ni1,a\n", {}, "/options/item_feature_columns", "known to hold tags"),
        ("item_id,tags\ni1,a\n", {"item_feature_columns": ["mood"]}, "/options/item_feature_columns", "'mood'"),
        ("item_id,tags\ni1,a\n", {"item_features": "nothing.csv"}, "/options/item_features", "No file matches"),
        ("item_id,tags\ni1,a\n", {"item_features": "*.csv"}, "/options/item_features", "Several files"),
        ("item_id,size\ni1,1e300\n", {}, "/options/item_features", "32 bits"),
    ],
)
def test_features_when_they_cannot_be_read_then_refused_by_the_option(
    tmp_path: Path, text: str, options: dict[str, object], pointer: str, said: str
) -> None:
    (tmp_path / "items.csv").write_text(text)
    given = {"item_features": "items.csv"} | options
    problem = refused("invalid_input", pointer, [table(tmp_path, grid()), tmp_path / "items.csv"], **given)
    assert said in problem.detail
    assert problem.hint or said == "No file matches"  # which lists the files


def test_features_when_lists_in_json_then_refused_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"item_id": "i1", "tags": ["a", "b"]}\n{"item_id": "i2", "tags": ["a"]}\n')
    upload = [table(tmp_path, grid()), tmp_path / "items.jsonl"]
    problem = refused("invalid_input", "/options/item_feature_columns", upload, item_features="items.jsonl")
    assert "str.join" in problem.hint


def test_features_when_an_array_is_no_table_of_numbers_then_refused(tmp_path: Path) -> None:
    for name, values, code in (
        ("flat.npy", np.ones(5), "invalid_input"),
        ("infinite.npy", np.full((9, 2), np.inf), "invalid_input"),
        ("objects.npy", np.array([[{}]], dtype=object), "unsafe_format"),
    ):
        np.save(tmp_path / name, values, allow_pickle=True)
        lines = [f"u{u},{item},3,{u}" for u in range(12) for item in range(6)]
        pointer = "" if code == "unsafe_format" else "/options/item_features"
        refused(code, pointer, [table(tmp_path, lines), tmp_path / name], item_features=name)


def test_features_when_described_then_cancelling_leaves_nothing(tmp_path: Path) -> None:
    alone = items_csv(tmp_path)
    problem = refused("invalid_input", "/options/item_features", alone, item_features="items.csv")
    assert "events" in problem.hint
    assert run([table(tmp_path, grid()), alone], Context(), item_features="items.csv")[0]["statistics"]["events"] == 72


def test_features_when_all_numbers_of_an_item_are_0_then_they_are_known(tmp_path: Path) -> None:
    lines = ["item_id,action,drama", "i0,0,0", "i1,1,0", "i2,1,1", "i3,0,1", "i4,0,0"]
    (tmp_path / "items.csv").write_text("\n".join(lines))
    result, out = run([table(tmp_path, grid()), tmp_path / "items.csv"], item_features="items.csv")
    assert result["statistics"]["items_with_features"] == 5
    assert any("1 of 6 items have no features" in warning for warning in result["warnings"])
    score = np.sqrt(2 / 3)  # 2 of 5 have it: (0 - 0.4) / sqrt(0.24)
    expected = [[-score, -score], [1 / score, -score], [1 / score, 1 / score], [-score, 1 / score], [-score, -score]]
    np.testing.assert_allclose(features_of(out).inputs().toarray(), [*expected, [0, 0]], rtol=1e-6)


def test_features_when_a_vector_is_0_then_it_is_known(tmp_path: Path) -> None:
    lines = [f"u{u},{item},3,{u}" for u in range(12) for item in range(6)]
    np.save(tmp_path / "vectors.npy", np.array([[0.0, 0], [1, 2], [2, 1], [3, 3], [4, 0]]))
    result, out = run([table(tmp_path, lines), tmp_path / "vectors.npy"], item_features="vectors.npy")
    assert result["statistics"]["items_with_features"] == 5
    np.testing.assert_allclose(
        features_of(out).inputs().toarray()[:, 0], [*(np.arange(5) - 2) / np.sqrt(2), 0], rtol=1e-6
    )
