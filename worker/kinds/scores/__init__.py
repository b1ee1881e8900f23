"""Score tables: what runs reach on benchmarks at two stages, and which benchmarks predict the second by the first."""

from __future__ import annotations

from worker.contract.kind import Ingest, Kind
from worker.kinds.scores import dataset, ingest
from worker.kinds.scores.dataset import ScoreTable

KIND: Kind[ScoreTable] = Kind(
    name="scores",
    unit="run",
    units="runs",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest),
    load=dataset.load,
    describe=dataset.describe,
)
