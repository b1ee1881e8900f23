"""Documents, each of which has some of thousands of labels."""

from __future__ import annotations

from worker.contract.kind import Ingest, Kind
from worker.kinds.labels import dataset, ingest
from worker.kinds.labels.dataset import LabelledDocuments
from worker.kinds.labels.description import describe

KIND: Kind[LabelledDocuments] = Kind(
    name="labels",
    unit="document",
    units="documents",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest),
    load=dataset.load,
    describe=describe,
)
