"""What an upload becomes: types, gaps, ids, splits; and what is refused, with a cure that works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.kinds.table.planted import customers, customers_csv
from tests.kinds.table.uploaded import csv_file, ingested
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.table.dataset import TEST, TRAIN, VALIDATION
from worker.kinds.table.methods.k_means import KMeansParams, k_means
from worker.kinds.table.summary import TableSummary

ROWS = 200
YES_NO = [("no", "yes")[place % 2] for place in range(ROWS)]


def columns(**more: Any) -> dict[str, Any]:
    """A number and a label, and more."""
    return {"size": [f"{place * 0.37 % 7:.2f}" for place in range(ROWS)], "label": YES_NO} | more


def test_csv_when_ingested_then_cells_have_types_gaps_are_missing_and_ids_are_dropped_with_a_word(tmp_path: Path):
    table, said = ingested(customers_csv(tmp_path / "a.csv"), tmp_path / "v", columns={"label": "churn"})
    types = {name: str(kind) for name, kind in zip(table.frame.column_names, table.frame.schema.types, strict=True)}
    assert types == {
        "age": "int64", "income": "double", "visits": "int64", "city": "string", "plan": "string", "churn": "string"
    }  # fmt: skip
    assert any("'customer'" in warning and 'keep_columns=["customer"]' in warning for warning in said["warnings"])
    cells = customers(600)
    assert table.frame["visits"].null_count == cells["visits"].count("")
    assert table.frame["plan"].null_count == cells["plan"].count("?")
    assert said["statistics"]["missing_cells"] == cells["visits"].count("") + cells["plan"].count("?")
    assert table.schema.classes == ("no", "yes")
    assert said["statistics"]["labels"] == {"no": cells["churn"].count("no"), "yes": cells["churn"].count("yes")}


def test_id_when_the_user_keeps_it_then_it_stays(tmp_path: Path):
    file = customers_csv(tmp_path / "a.csv")
    table, _ = ingested(file, tmp_path / "v", columns={"label": "churn"}, keep_columns=["customer"])
    assert "customer" in table.frame.column_names


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["007", "010", "120"], "string"),  # names, not numbers
        (["7", "-10", "+3"], "int64"),
        (["1", "2.5", "1e3"], "double"),
        (["true", "False", "TRUE"], "bool"),
        (["2024-01-31", "2023-02-28", "1999-12-01"], "date32[day]"),
        (["2024-02-30", "2023-02-28", "1999-12-01"], "string"),  # there is no such day
        (["2024-01-31 12:30:00", "2023-02-28 00:00:01", "1999-12-01 23:59:59"], "timestamp[ms]"),
        (["nan", "?", "5"], "int64"),
        (["1e999", "2", "3"], "string"),  # beyond every float
        (["12345678901234567890", "2", "12345678901234567891"], "string"),  # no float tells these apart
    ],
)
def test_column_of_text_when_all_cells_are_one_thing_then_is_that(tmp_path: Path, cells: list[str], kind: str):
    file = csv_file(tmp_path / "a.csv", columns(x=[cells[place % 3] for place in range(ROWS)]))
    table, _ = ingested(file, tmp_path / "v")
    assert str(table.frame["x"].type) == kind
    assert np.isfinite(table.train.x).all()


def test_number_far_down_the_file_that_is_none_when_ingested_then_the_column_is_text(tmp_path: Path):
    cells = [str(place % 50) for place in range(2_000)]
    cells[-1] = "none of these"
    label = [("no", "yes")[place % 2] for place in range(2_000)]
    table, _ = ingested(csv_file(tmp_path / "a.csv", {"x": cells, "label": label}), tmp_path / "v")
    assert str(table.frame["x"].type) == "string"


def test_decimal_comma_when_ingested_then_is_a_number(tmp_path: Path):
    lines = ["size;label", *(f"{place % 7},{place % 9};{YES_NO[place]}" for place in range(ROWS))]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    table, _ = ingested(tmp_path / "a.csv", tmp_path / "v")
    assert table.frame["size"][8].as_py() == pytest.approx(1.8)


def test_parquet_when_ingested_then_every_type_is_kept(tmp_path: Path):
    rng = np.random.default_rng(0)
    frame = pa.table(
        {
            "small": pa.array(rng.integers(0, 99, ROWS), pa.int16()),
            "half": pa.array(rng.random(ROWS), pa.float32()),
            "flag": pa.array(rng.random(ROWS) < 0.5),
            "when": pa.array(rng.integers(0, 10**6, ROWS), pa.timestamp("us")),
            "label": pa.array(np.arange(ROWS) % 3, pa.uint8()),
        }
    )
    parquet.write_table(frame, tmp_path / "a.parquet")
    table, _ = ingested(tmp_path / "a.parquet", tmp_path / "v")
    assert table.frame.schema.equals(frame.schema)
    assert table.frame.equals(frame)
    assert table.schema.kinds == {"small": "number", "half": "number", "flag": "number", "when": "number"}


def test_parquet_when_it_holds_every_plain_type_then_all_are_learned_from_and_come_back(tmp_path: Path):
    rng = np.random.default_rng(0)
    some = rng.integers(0, 50, ROWS)
    kinds = [
        pa.float16(), pa.uint64(), pa.date32(), pa.date64(), pa.time32("s"), pa.time64("us"), pa.duration("s"),
        pa.timestamp("ns", "UTC"), pa.large_string(), pa.string(), pa.bool_(), pa.decimal128(14, 2),
        pa.dictionary(pa.int8(), pa.string()),
    ]  # fmt: skip
    columns = {f"c{place}": _as(kind, some) for place, kind in enumerate(kinds)}
    beside = {"raw": pa.array([b"x"] * ROWS), "none": pa.nulls(ROWS), "lists": pa.array([[1]] * ROWS)}
    parquet.write_table(pa.table(columns | beside | {"label": YES_NO}), tmp_path / "a.parquet")
    table, said = ingested(tmp_path / "a.parquet", tmp_path / "v")
    assert set(table.schema.kinds) == set(columns)
    assert all(any(f"{name!r}" in warning for warning in said["warnings"]) for name in beside)
    assert np.isfinite(table.train.x).all()
    assert table.train.x.std(axis=0).min() > 0
    summary = k_means(table, KMeansParams(budget=10), Context())
    (tmp_path / "out").mkdir()
    summary.write(tmp_path / "out", table)
    assert TableSummary.read(tmp_path / "out").frame.schema == table.frame.schema


def _as(kind: pa.DataType, some: np.ndarray) -> pa.Array:
    if pa.types.is_float16(kind):
        return pa.array(some.astype(np.float16))
    if pa.types.is_temporal(kind):
        width = pa.int32() if kind.bit_width == 32 else pa.int64()
        scale = 86_400_000 if pa.types.is_date64(kind) else 1
        return pa.array(some * scale, width).cast(kind)
    if pa.types.is_boolean(kind):
        return pa.array(some % 2 == 0)
    if pa.types.is_dictionary(kind):
        return pa.array([str(value % 5) + "x" for value in some]).dictionary_encode().cast(kind)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.array([f"w{value % 7}" for value in some], kind)
    return pa.array(some).cast(pa.int32()).cast(kind)


def test_split_when_drawn_then_has_every_class_in_every_part_and_only_the_seed_decides(tmp_path: Path):
    file = customers_csv(tmp_path / "a.csv")
    one, _ = ingested(file, tmp_path / "1", columns={"label": "churn"})
    same, _ = ingested(file, tmp_path / "2", columns={"label": "churn"})
    other, _ = ingested(file, tmp_path / "3", columns={"label": "churn"}, seed=1)
    assert np.array_equal(one.split, same.split)
    assert not np.array_equal(one.split, other.split)
    for part in (TRAIN, VALIDATION, TEST):
        assert set(one.target[one.split == part]) == {0, 1}


def test_split_when_a_column_or_files_say_it_then_is_that(tmp_path: Path):
    parts = [("train", "test", "dev")[place % 3] for place in range(ROWS)]
    table, _ = ingested(csv_file(tmp_path / "a.csv", columns(fold=parts)), tmp_path / "v", split="column:fold")
    assert table.split.tolist() == [{"train": TRAIN, "test": TEST, "dev": VALIDATION}[part] for part in parts]
    assert "fold" not in table.frame.column_names
    files = [csv_file(tmp_path / f"{name}.csv", columns()) for name in ("train", "test")]
    table, said = ingested(files, tmp_path / "w", split="files")
    assert (table.split[ROWS:] == TEST).all()
    assert (table.split[:ROWS] == VALIDATION).mean() == pytest.approx(0.2)
    assert any("a fifth of its training rows" in warning for warning in said["warnings"])


def test_number_to_predict_when_ingested_then_is_regression_spread_over_bins(tmp_path: Path):
    file = customers_csv(tmp_path / "a.csv", leave_out=("churn",))
    table, said = ingested(file, tmp_path / "v", columns={"label": "spent"})
    assert said["statistics"]["task"] == "regression"
    assert table.target.dtype == np.float64
    assert np.bincount(table.strata).tolist() == [72] * 5


def test_rows_that_cannot_be_used_when_ingested_then_are_left_out_with_a_word(tmp_path: Path):
    label = [*YES_NO[:-6], "", "", "rare", "rare", "rare", "rare"]
    table, said = ingested(csv_file(tmp_path / "a.csv", columns(label=label)), tmp_path / "v")
    assert len(table) == ROWS - 6
    assert any("2 rows without a label" in warning for warning in said["warnings"])
    assert any("'rare'" in warning for warning in said["warnings"])


def test_weights_when_given_then_are_read_and_train_by_them(tmp_path: Path):
    table, _ = ingested(csv_file(tmp_path / "a.csv", columns(__weight__=[1, 3] * (ROWS // 2))), tmp_path / "v")
    assert table.weights is not None
    assert table.masses[1] == pytest.approx(3 * table.masses[0])


@pytest.mark.parametrize(
    ("given", "options", "code", "pointer", "cure"),
    [
        ({"label": ["a"] * ROWS}, {}, "invalid_input", "/columns/label", {"columns": {"label": "size"}}),
        ({"label": list(range(ROWS))}, {"task": "classification"}, "invalid_input", "/columns/label",
         {"task": "regression"}),
        ({}, {"task": "regression"}, "non_numeric_label", "/columns/label", {"task": "auto"}),
        ({}, {"columns": {"label": "nobody"}}, "unknown_column", "/columns/label", {"columns": {"label": "label"}}),
        ({}, {"split": "column:nobody"}, "unknown_column", "/options/split", {"split": "random"}),
        ({"fold": ["somewhere"] * ROWS}, {"split": "column:fold"}, "invalid_input", "/options/split",
         {"split": "random"}),
        ({}, {"split": "files"}, "invalid_input", "/options/split", {"split": "random"}),
        ({"__weight__": [-1.0] * ROWS}, {}, "invalid_input", "/columns/weight", {"columns": {"weight": ""}}),
        ({"size": [f"id{place}" for place in range(ROWS)]}, {}, "invalid_input", "/options/keep_columns",
         {"keep_columns": ["size"]}),
        ({}, {"bins": 1}, "invalid_input", "/options/bins", {"bins": 2}),
    ],
)  # fmt: skip
def test_upload_when_it_cannot_be_a_table_then_is_refused_and_the_cure_works(
    tmp_path: Path, given: dict[str, Any], options: dict[str, Any], code: str, pointer: str, cure: dict[str, Any]
):
    file = csv_file(tmp_path / "a.csv", columns(**given))
    with pytest.raises(JobError) as refused:
        ingested(file, tmp_path / "v", **options)
    assert (refused.value.code, refused.value.pointer) == (code, pointer)
    assert refused.value.hint or code == "unknown_column" or pointer == "/options/bins"
    ingested(file, tmp_path / "w", **(options | cure))


def test_table_without_a_known_label_when_ingested_then_says_how_to_name_it(tmp_path: Path):
    file = customers_csv(tmp_path / "a.csv")
    with pytest.raises(JobError) as refused:
        ingested(file, tmp_path / "v")
    assert refused.value.pointer == "/columns/label"
    assert "columns=" in refused.value.hint


def test_few_rows_when_ingested_then_are_refused(tmp_path: Path):
    (tmp_path / "a.csv").write_text("x,label\n1,a\n2,b\n")
    with pytest.raises(JobError, match="at least 40"):
        ingested(tmp_path / "a.csv", tmp_path / "v")


def test_numbers_with_marks_between_thousands_when_ingested_then_are_words_with_a_word(tmp_path: Path):
    file = csv_file(tmp_path / "a.csv", columns(paid=[("1,234", "20", "3,000.5")[place % 3] for place in range(ROWS)]))
    table, said = ingested(file, tmp_path / "v")
    assert table.schema.kinds["paid"] == "category"
    assert any("'paid' holds numbers with marks" in warning for warning in said["warnings"])


def test_decimal_commas_when_a_column_has_points_then_they_are_no_fractions(tmp_path: Path):
    lines = ["size;paid;label", *(f"{place % 7},5;1.234,{place % 9};{YES_NO[place]}" for place in range(ROWS))]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    table, said = ingested(tmp_path / "a.csv", tmp_path / "v", decimal="comma")
    assert table.schema.kinds == {"size": "number", "paid": "category"}
    assert any("'paid' holds numbers with marks" in warning for warning in said["warnings"])
    lines = ["size;paid;label", *(f"{place % 7},5;{place % 9}.234;{YES_NO[place]}" for place in range(ROWS))]
    (tmp_path / "b.csv").write_text("\n".join(lines))
    table, _ = ingested(tmp_path / "b.csv", tmp_path / "w", decimal="comma")
    assert table.schema.kinds["paid"] == "category"  # 1.234 is no 1.234 here


def test_cells_of_several_lines_when_ingested_then_stay_whole(tmp_path: Path):
    file = csv_file(
        tmp_path / "a.csv", columns(note=[("one\ntwo, three", 'a "b"')[place % 2] for place in range(ROWS)])
    )
    table, _ = ingested(file, tmp_path / "v")
    assert len(table) == ROWS
    assert set(table.frame["note"].to_pylist()) == {"one\ntwo, three", 'a "b"'}


def test_numbers_beyond_what_floats_square_when_ingested_then_are_left_out_with_a_word(tmp_path: Path):
    file = csv_file(tmp_path / "a.csv", columns(far=[f"{place}e200" for place in range(ROWS)]))
    table, said = ingested(file, tmp_path / "v")
    assert "far" not in table.schema.kinds
    assert any("'far' was left out: it holds numbers beyond 1e+100" in warning for warning in said["warnings"])


def test_rows_of_weight_0_when_ingested_then_are_left_out_with_a_word(tmp_path: Path):
    weights = [0.0] * 50 + [1e-30, 3e38] * 75
    table, said = ingested(csv_file(tmp_path / "a.csv", columns(__weight__=weights)), tmp_path / "v")
    assert len(table) == ROWS - 50
    assert any("50 rows of weight 0" in warning for warning in said["warnings"])
    assert table.train.weight.mean() == pytest.approx(1)


@pytest.mark.parametrize("weight", ["1e39", "nan", ""])
def test_weights_when_one_is_no_number_of_32_bits_then_are_refused(tmp_path: Path, weight: str):
    file = csv_file(tmp_path / "a.csv", columns(__weight__=["1"] * (ROWS - 1) + [weight]))
    with pytest.raises(JobError) as refused:
        ingested(file, tmp_path / "v")
    assert refused.value.pointer == "/columns/weight"


@pytest.mark.parametrize(
    ("label", "message"),
    [(["2.5"] * ROWS, "one value only"), (["1e200", "2.5"] * (ROWS // 2), "beyond 1e"), ([""] * ROWS, "is missing")],
)
def test_label_that_no_model_can_be_measured_on_when_ingested_then_is_refused(
    tmp_path: Path, label: list[str], message: str
):
    with pytest.raises(JobError, match=message) as refused:
        ingested(csv_file(tmp_path / "a.csv", columns(label=label)), tmp_path / "v")
    assert refused.value.pointer == "/columns/label"


@pytest.mark.parametrize("label", [["a"] * 50 + ["a", "b"] * 75, ["1.5"] * 50 + ["1.5", "2.5"] * 75])
def test_given_test_rows_when_all_alike_then_are_refused(tmp_path: Path, label: list[str]):
    fold = ["test"] * 50 + ["train"] * 150
    file = csv_file(tmp_path / "a.csv", columns(label=label, fold=fold))
    with pytest.raises(JobError, match="All test rows are of one") as refused:
        ingested(file, tmp_path / "v", split="column:fold")
    assert refused.value.pointer == "/options/split"
    ingested(file, tmp_path / "w", ignore_columns=["fold"])


def test_names_in_options_when_no_column_has_them_then_is_said_and_brackets_are_no_pattern(tmp_path: Path):
    given = {"x[1]": list(range(ROWS)), "y": [place % 9 for place in range(ROWS)], "label": YES_NO}
    file = csv_file(tmp_path / "a.csv", given)
    table, said = ingested(file, tmp_path / "v", keep_columns=["x[1]"], ignore_columns=["z*"])
    assert "x[1]" in table.schema.kinds
    assert any("'z*' in ignore_columns" in warning for warning in said["warnings"])


def test_encoding_when_fitted_then_knows_training_rows_alone(tmp_path: Path):
    fold = ["train"] * 100 + ["validation"] * 50 + ["test"] * 50
    size = [place % 10 for place in range(100)] + [9_999] * 50 + [""] * 50
    city = ["Oslo", "Rome"] * 50 + ["Bonn"] * 100
    label = YES_NO
    file = csv_file(tmp_path / "a.csv", {"size": size, "city": city, "fold": fold, "label": label})
    table, _ = ingested(file, tmp_path / "v", split="column:fold")
    number, category = table.encoding.to_json()
    assert (number["median"], number["mean"], number["missing"]) == (4.5, 4.5, False)
    assert (category["levels"], category["rare"]) == (("Oslo", "Rome"), False)
    assert table.rows(np.arange(150, 200)).x == pytest.approx(0)
