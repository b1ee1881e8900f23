"""UCI Adult, which lies beside the clone, read as an upload is: for tests marked slow and for benchmarks."""

from __future__ import annotations

import gzip
from pathlib import Path

from tests.kinds.table.uploaded import ingested
from tests.shared_data import shared
from worker.kinds.table.dataset import Table

NAMES = (
    "age,workclass,fnlwgt,education,education_num,marital_status,occupation,relationship,race,sex,capital_gain,"
    "capital_loss,hours_per_week,native_country,income"
)


def adult(folder: Path) -> Table:
    """Its two files, with names for the columns and without the points behind the labels of the test part."""
    files: list[Path] = []
    for part in ("train", "test"):
        text = gzip.decompress((shared("adult") / f"adult-{part}.csv.gz").read_bytes()).decode()
        lines = [line.replace(", ", ",").rstrip(".") for line in text.split("\n") if line.count(",") == 14]
        files.append(folder / f"{part}.csv")
        files[-1].write_text("\n".join([NAMES, *lines]) + "\n")
    options = {"columns": {"label": "income"}, "split": "files", "ignore_columns": ["fnlwgt"]}
    return ingested(files, folder / "version", **options)[0]
