"""The formats that uploads of every kind are read from: one file each, and one line here."""

from __future__ import annotations

from worker.ingest.format import Format
from worker.ingest.formats.adjacency import ADJACENCY
from worker.ingest.formats.arrow_ipc import ARROW_IPC
from worker.ingest.formats.delimited import DELIMITED
from worker.ingest.formats.hdf5 import HDF5
from worker.ingest.formats.jsonl import JSONL
from worker.ingest.formats.npz import NPZ
from worker.ingest.formats.parquet import PARQUET
from worker.ingest.formats.recbole import RECBOLE

FORMATS: tuple[Format, ...] = (PARQUET, ARROW_IPC, NPZ, HDF5, JSONL, RECBOLE, ADJACENCY, DELIMITED)
"""In the order in which they are tried: what shows itself by a mark first, a table of any delimiter last."""
