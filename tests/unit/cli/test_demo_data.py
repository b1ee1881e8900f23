from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet as pq

from tests.shared_data import shared

ROOT = Path(__file__).resolve().parents[3]
BUNDLED = files("distillery") / "data" / "msweb.parquet"


def test_bundled_data_when_read_then_has_the_visits_it_says() -> None:
    visits = pq.read_table(str(BUNDLED))
    assert visits.column_names == ["user_id", "item_id", "title", "url"]
    counts = [visits.num_rows, *(len(visits[name].unique()) for name in ("user_id", "item_id"))]
    attribution = (files("distillery") / "data" / "README.md").read_text(encoding="utf-8")
    assert all(f"{count:,}" in attribution for count in counts)
    assert "Creative Commons Attribution 4.0" in attribution


def test_bundled_data_when_converted_again_then_holds_the_same_rows(tmp_path: Path) -> None:
    source = shared("msweb") / "anonymous-msweb.data"
    script = ROOT / "docs" / "demo-data" / "convert_msweb.py"
    made = tmp_path / "msweb.parquet"
    subprocess.run([sys.executable, str(script), str(source), str(made)], check=True)
    assert pq.read_table(made).equals(pq.read_table(str(BUNDLED)))
