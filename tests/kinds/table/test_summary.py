"""Summaries come back in the columns and types of the upload; made rows hold nothing that no row has; weights restore
the prior."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from tests.kinds.table.planted import customers_csv
from tests.kinds.table.uploaded import csv_file, ingested
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.table.dataset import TEST, TRAIN, Table
from worker.kinds.table.methods.k_means import KMeansParams, k_means
from worker.kinds.table.methods.kip_fc import KipParams, kip_fc
from worker.kinds.table.methods.random_rows import RandomParams, random_rows
from worker.kinds.table.snap import snapped
from worker.kinds.table.summary import TableSummary, adopt, csv_bytes


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("customers")
    return ingested(customers_csv(folder / "a.csv"), folder / "v", columns={"label": "churn"})[0]


def test_rows_when_written_then_every_column_is_the_uploads_and_rows_are_those_of_the_upload(
    table: Table, tmp_path: Path
):
    summary = random_rows(table, RandomParams(budget=40), Context(seed=3))
    summary.write(tmp_path, table)
    stored = parquet.read_table(tmp_path / "summary.parquet")
    assert stored.drop_columns(["__weight__"]).schema.equals(table.frame.schema)
    rows = np.loadtxt(tmp_path / "rows.csv", skiprows=1, dtype=int)
    assert stored.drop_columns(["__weight__"]).equals(table.frame.take(pa.array(rows)))
    assert (table.split[rows] == TRAIN).all()
    text = csv.read_csv(tmp_path / "summary.csv")
    assert text["visits"].to_pylist() == stored["visits"].to_pylist()


def test_weights_when_a_balanced_summary_counts_by_them_then_classes_have_the_shares_of_the_source(table: Table):
    summary = random_rows(table, RandomParams(budget=40), Context())
    target = summary.encoded.y
    assert np.bincount(target).tolist() == [20, 20]
    share = np.bincount(target, summary.weights) / summary.weights.sum()
    assert share == pytest.approx(table.masses / table.masses.sum())
    assert summary.weights.mean() == pytest.approx(1)


@pytest.mark.parametrize("made", ["k-means", "kip-fc"])
def test_made_rows_when_delivered_then_every_cell_is_one_that_a_training_row_has(table: Table, made: str):
    if made == "k-means":
        summary = k_means(table, KMeansParams(budget=30), Context())
    else:
        summary = kip_fc(table, KipParams(budget=30, steps=20, learning_rate=0.3), Context())
    train = table.frame.take(pa.array(np.flatnonzero(table.split == TRAIN)))
    assert summary.frame.schema.equals(table.frame.schema)
    for name in table.frame.column_names:
        assert set(summary.frame[name].to_pylist()) <= set(train[name].to_pylist())
    assert summary.rows is None


def test_real_rows_when_snapped_then_are_themselves(table: Table):
    train = table.frame.take(pa.array(np.flatnonzero(table.split == TRAIN)[:100]))
    again = snapped(table, table.train.x[:100])
    for name in table.schema.kinds:
        assert again[name].to_pylist() == train[name].to_pylist()


def test_loader_when_a_column_is_hashed_skewed_or_a_date_then_encodes_as_the_judge_does(tmp_path: Path):
    rng = np.random.default_rng(0)
    rows = 4_000
    columns = {
        "user": [f"u{value}" for value in rng.integers(0, 1500, rows)],
        "paid": [f"{value:.4f}" for value in rng.lognormal(0, 2, rows)],
        "day": [str(np.datetime64("2024-01-01") + int(value)) for value in rng.integers(0, 400, rows)],
        "rare": ["x" if value > 2e-4 else f"y{value}" for value in rng.random(rows)],
        "label": [str(value) for value in rng.integers(0, 3, rows)],
    }
    table, _ = ingested(csv_file(tmp_path / "a.csv", columns), tmp_path / "v")
    summary = random_rows(table, RandomParams(budget=300), Context())
    assert {type(code).__name__ for code in table.encoding.codes} == {"NumberCode", "CategoryCode"}
    assert any(getattr(code, "buckets", 0) for code in table.encoding.codes)
    assert any(getattr(code, "log", False) for code in table.encoding.codes)
    (tmp_path / "out").mkdir()
    summary.write(tmp_path / "out", table)
    code = "import load, numpy; numpy.save('x.npy', load.encode(load.table))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "out", check=True)
    assert np.array_equal(np.load(tmp_path / "out" / "x.npy"), summary.encoded.x)


def test_version_when_it_lacks_a_column_or_has_an_unknown_class_then_is_no_summary(table: Table, tmp_path: Path):
    other, _ = ingested(
        customers_csv(tmp_path / "a.csv", leave_out=("spent", "age")), tmp_path / "v", columns={"label": "churn"}
    )
    with pytest.raises(JobError, match="lacks the column 'age'"):
        adopt(table, other)


def test_summary_when_a_version_of_it_is_adopted_then_is_the_same_rows(table: Table, tmp_path: Path):
    from worker.kinds.table import dataset

    summary = random_rows(table, RandomParams(budget=40), Context())
    summary.write(tmp_path, table)
    back = adopt(table, dataset.load(tmp_path / "dataset"))
    assert back.frame.equals(summary.frame)
    assert np.array_equal(back.weights, summary.weights)
    assert isinstance(back, TableSummary)


def test_budget_when_below_the_classes_or_above_the_rows_then_is_refused_with_what_would_do(table: Table):
    with pytest.raises(JobError) as small:
        random_rows(table, RandomParams(budget=1), Context())
    assert (small.value.code, small.value.pointer) == ("budget_too_small", "/params/budget")
    with pytest.raises(JobError) as large:
        random_rows(table, RandomParams(budget=360), Context())
    assert large.value.code == "budget_too_large"
    assert len(random_rows(table, RandomParams(budget="10%"), Context())) == 36
    sized = random_rows(table, RandomParams(budget="2kB"), Context())
    assert len(csv_bytes(sized.frame, sized.weights)) == pytest.approx(2_000, rel=0.15)


def test_adopted_version_then_leaves_out_rows_that_the_table_holds_out(table: Table):
    other = replace(table, split=np.full(len(table), TRAIN, np.int8), fitted=table.encoding)
    taken = adopt(table, other)
    assert taken.frame.equals(table.frame.take(pa.array(np.flatnonzero(table.split == TRAIN))))
    assert f"{int((table.split != TRAIN).sum())} rows of the subset are validation or test rows" in taken.warnings[0]


def test_adopted_version_of_held_out_rows_alone_then_is_refused(table: Table):
    rows = np.flatnonzero(table.split == TEST)
    other = Table(table.frame.take(pa.array(rows)), table.schema, np.full(len(rows), TRAIN, np.int8))
    with pytest.raises(JobError, match="nothing but validation and test rows"):
        adopt(table, other)


def test_adopted_version_when_a_column_was_taken_for_ids_then_the_cure_works(table: Table, tmp_path: Path):
    rows = [line.split(",") for line in customers_csv(tmp_path / "a.csv").read_text().splitlines()]
    train = [rows[1 + at] for at in np.flatnonzero(table.split == TRAIN)]
    kept = sorted({row[1]: row for row in train}.values(), key=lambda row: int(row[1]))  # ages count up
    (tmp_path / "b.csv").write_text("\n".join(",".join(row) for row in [rows[0], *kept]))
    options = {"columns": {"label": "churn"}}
    with pytest.raises(JobError, match="lacks the column 'age'") as refused:
        adopt(table, ingested(tmp_path / "b.csv", tmp_path / "v", **options)[0])
    assert 'keep_columns=["age"]' in refused.value.hint
    taken = adopt(table, ingested(tmp_path / "b.csv", tmp_path / "w", keep_columns=["age"], **options)[0])
    assert len(taken) == len(kept)


def test_adopted_version_when_its_words_or_weights_are_others_then_says_so_and_weighs_by_shares(table: Table):
    rows = pa.array(np.flatnonzero(table.split == TRAIN)[:60])
    city = table.frame.column_names.index("city")
    frame = table.frame.take(rows)
    frame = frame.set_column(city, "city", pa.array(["ROME", *frame["city"].to_pylist()[1:]]))
    weights = np.full(60, 50, np.float32)
    taken = adopt(table, Table(frame, table.schema, np.full(60, TRAIN, np.int8), weights))
    assert "'city' of the subset has words that the dataset does not have, such as 'ROME'" in taken.warnings[0]
    assert taken.weights.tolist() == [1.0] * 60


def test_loader_when_a_duration_is_a_category_then_encodes_as_the_judge_does(tmp_path: Path):
    frame = pa.table(
        {
            "took": pa.array([place % 3 for place in range(200)], pa.int64()).cast(pa.duration("s")),
            "label": [("no", "yes")[place % 2] for place in range(200)],
        }
    )
    parquet.write_table(frame, tmp_path / "a.parquet")
    table, _ = ingested(tmp_path / "a.parquet", tmp_path / "v", categorical_columns=["took"])
    summary = random_rows(table, RandomParams(budget=10), Context())
    (tmp_path / "out").mkdir()
    summary.write(tmp_path / "out", table)
    code = "import load, numpy; numpy.save('x.npy', load.encode(load.table))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "out", check=True)
    assert np.array_equal(np.load(tmp_path / "out" / "x.npy"), summary.encoded.x)
