"""Tables as files, ingested in this process."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.kinds.table import dataset
from worker.kinds.table.dataset import Table
from worker.kinds.table.ingest import ingest


def csv_file(file: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Columns as CSV."""
    with file.open("w", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(columns)
        lines.writerows(zip(*columns.values(), strict=True))
    return file


def ingested(files: Path | Sequence[Path], out: Path, **options: Any) -> tuple[Table, dict[str, Any]]:
    """The version that an upload becomes, and what ingest says of it."""
    sources = [files] if isinstance(files, Path) else list(files)
    said = ingest([(file.name, file) for file in sources], options, out, Context(), {})
    return dataset.load(out), said


def bundled(folder: Path, name: str, *, rows: int = 0, **options: Any) -> Table:
    """A dataset that scikit-learn ships (digits, wine, breast_cancer, diabetes), as a table."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if rows:
        chosen = np.random.default_rng(0).permutation(len(y))[:rows]
        x, y = x[chosen], y[chosen]
    columns = {f"f{place}": x[:, place].tolist() for place in range(x.shape[1])} | {"label": y.tolist()}
    return ingested(csv_file(folder / f"{name}.csv", columns), folder / f"{name}-version", **options)[0]
