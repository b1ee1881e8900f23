"""Corpora of text: documents to select from, by quality, coverage or at random."""

from __future__ import annotations

from worker.contract.kind import Ingest, Kind
from worker.kinds.text import dataset, ingest
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.description import describe
from worker.kinds.text.summary import TextSummary, adopt

KIND: Kind[Corpus] = Kind(
    name="text",
    unit="document",
    units="documents",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest),
    load=dataset.load,
    describe=describe,
    products=(TextSummary,),
    adopt=adopt,
)
