"""Tables: break-even arithmetic, what each table holds, and an export no spreadsheet runs."""

from __future__ import annotations

import csv
import io

import pytest

from tests.unit.evidence.made_up import measurements
from worker.evidence import tables
from worker.evidence.comparison import Comparison
from worker.evidence.measurements import DistilCost
from worker.evidence.table import Column, Table


@pytest.mark.parametrize(
    ("distil", "full", "summary", "after"),
    [
        (100.0, 11.0, 1.0, 10),
        (100.1, 11.0, 1.0, 11),
        (0.3, 0.2, 0.1, 3),
        (0.0, 2.0, 1.0, 1),
        (5.0, 1.0, 1.0, "never"),
        (5.0, 1.0, 2.0, "never"),
        (None, 11.0, 1.0, None),
    ],
)
def test_break_even_counts_the_trainings_that_repay_distilling(
    distil: float | None, full: float, summary: float, after: object
) -> None:
    assert tables.break_even(distil, full, summary) == after


def test_break_even_is_the_first_count_at_which_the_summary_is_not_dearer() -> None:
    after = tables.break_even(37.0, 3.1, 0.4)
    assert 37.0 + after * 0.4 <= after * 3.1
    assert 37.0 + (after - 1) * 0.4 > (after - 1) * 3.1


def test_fidelity_table_has_a_row_per_learner_and_set_with_mean_interval_and_n() -> None:
    table = tables.fidelity(Comparison(measurements()))
    assert len(table.rows) == 12
    row = next(r for r in table.rows if r["learner"] == "∞-AE" and r["set"] == "random users")
    assert row["metric"] == pytest.approx(27.0)
    assert row["metric_low"] < row["metric"] < row["metric_high"]
    assert row["kept"] == pytest.approx(100 * 0.27 / 0.33)
    assert row["lead"] == pytest.approx(5.0)
    assert row["n"] == 2000
    assert row["seeds"] == 1


def test_cost_table_without_a_known_cost_says_unknown() -> None:
    row = tables.cost(measurements(), DistilCost()).rows[0]
    assert row["pays"] == "unknown"
    assert tables.cost(measurements(), DistilCost(23.0)).rows[0]["break_even"] == 2


def test_cross_learner_table_leaves_out_the_full_data_and_marks_the_learner_aimed_at() -> None:
    table = tables.cross_learner(Comparison(measurements()))
    assert [row["set"] for row in table.rows] == ["this summary", "random users", "head users"]
    assert any("made for it" in column.label for column in table.columns)


def test_pooled_metric_stands_without_an_interval() -> None:
    table = tables.metrics(Comparison(measurements()))
    row = next(r for r in table.rows if r["metric"] == "AUC, pooled")
    assert row["value"] == pytest.approx(90.0)
    assert table.to_json()["rows"][table.rows.index(row)]["value_low"] is None


def test_every_number_column_of_every_table_has_a_unit_or_a_unit_column() -> None:
    c = Comparison(measurements())
    for table in tables.all_tables(c, DistilCost(1.0)):
        named = {column.key for column in table.columns}
        for column in table.columns:
            if column.kind == "number":
                excused = column.key in ("seed", "value") or "unit" in named
                assert column.unit or excused, (table.name, column.key)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_cell_that_starts_a_formula_gets_a_quote(start: str) -> None:
    table = Table("t", "t", (Column("a", "A", "text"), Column("b", "B")), ({"a": f"{start}1+1", "b": -1.5},))
    rows = list(csv.reader(io.StringIO(table.to_csv(), newline="")))
    assert rows[1] == [f"'{start}1+1", "-1.5"]


def test_csv_header_is_formula_safe_and_missing_values_are_empty() -> None:
    table = Table("t", "t", (Column("a", "=HYPERLINK()", "text"), Column("b", "B", unit="s")), ({"b": float("nan")},))
    rows = list(csv.reader(io.StringIO(table.to_csv())))
    assert rows == [["'=HYPERLINK()", "B (s)"], ["", ""]]
