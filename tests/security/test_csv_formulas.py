"""Exported CSV: text that a spreadsheet would run is quoted, numbers and Parquet are left alone."""

from __future__ import annotations

import csv
import io

import pyarrow.parquet
import pytest

from tests.security.fort import Fort
from tests.security.hostile import FORMULAS

pytestmark = pytest.mark.security
STARTS = ("=", "+", "-", "@", "\t", "\r")


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def dangerous(table: str) -> list[str]:
    """Cells that a spreadsheet would evaluate."""
    rows = csv.reader(io.StringIO(table, newline=""))
    return [cell for row in rows for cell in row if cell.startswith(STARTS) and not is_number(cell)]


def test_exports_when_ids_are_formulas_then_no_cell_is_one(fort: Fort, hostile: dict[str, str]) -> None:
    summary, report = f"/v1/summaries/{hostile['summary_id']}", f"/v1/reports/{hostile['report_id']}"
    names = [file["path"] for file in fort.request("GET", summary).json()["files"]]
    exported = [f"{summary}/files/{name}" for name in names if name.endswith(".csv")]
    tables = [table["name"] for table in fort.request("GET", report).json()["tables"]]
    exported += [f"{report}/tables/{name}.csv" for name in tables]
    assert len(exported) > len(tables) > 3
    for path in exported:
        answer = fort.request("GET", path)
        assert dangerous(answer.content.decode()) == [], path
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_item_map_when_ids_are_formulas_then_quoted_and_recoverable(fort: Fort, hostile: dict[str, str]) -> None:
    table = fort.request("GET", f"/v1/summaries/{hostile['summary_id']}/files/item_map.csv").content.decode()
    ids = [row[1] for row in csv.reader(io.StringIO(table, newline=""))]
    for formula in (text for text in FORMULAS if not text[0].isspace()):
        assert any(text.startswith(f"'{formula}") for text in ids), formula


def test_parquet_export_when_ids_are_formulas_then_untouched(fort: Fort, hostile: dict[str, str]) -> None:
    answer = fort.request("GET", f"/v1/summaries/{hostile['summary_id']}/files/dataset/items.parquet")
    ids = pyarrow.parquet.read_table(io.BytesIO(answer.content))["item_id"].to_pylist()
    assert any(text.startswith("=cmd|") for text in ids)
    assert not any(text.startswith("'=") for text in ids)
