"""Real logs that lie beside the clone, read as uploads are: for tests marked slow and for benchmarks."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

from tests.shared_data import shared
from worker.contract.context import Context
from worker.kinds.sequences import dataset, ingest
from worker.kinds.sequences.dataset import Sequences


def magazine() -> Sequences:
    """Amazon Magazine Subscriptions 2018, users of three items or more, leave-one-out."""
    return _read(shared("seq-amazon-magazine") / "magazine.inter.gz", 1)


def ml_100k() -> Sequences:
    """MovieLens-100k, items of five ratings or more, leave-one-out."""
    return _read(shared("ml-100k") / "ml-100k.inter", 5)


def _read(file: Path, min_item_count: int) -> Sequences:
    with tempfile.TemporaryDirectory() as folder:
        plain, out = Path(folder) / "log.inter", Path(folder) / "canonical"
        plain.write_bytes(gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes())
        out.mkdir()
        options = {"min_item_count": min_item_count, "split": "leave_one_out"}
        ingest.ingest([("log.inter", plain)], options, out, Context(), {})
        return dataset.load(out)
