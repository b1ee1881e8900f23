"""The raw layout of OGB node prediction (arXiv:2005.00687): `edge.csv.gz`, `node-feat.csv.gz`, `node-label.csv.gz`,
`num-node-list.csv.gz`, and a split in `split/<type>/{train,valid,test}.csv.gz`. Tables have no header."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.kinds.graph.upload.raw import RawGraph

PARTS = {"train": "train", "valid": "validation", "test": "test"}
_KNOWN = {
    "edge.csv", "edge-weight.csv", "node-feat.csv", "node-label.csv", "num-node-list.csv",
    *(f"{name}.csv" for name in PARTS),
}  # fmt: skip
_BLOCK = 4 << 20


def recognises(sources: Sequence[Source]) -> bool:
    """Whether there are an edge.csv and a node-feat.csv or num-node-list.csv."""
    names = set(_named(sources))
    return "edge.csv" in names and bool(names & {"node-feat.csv", "num-node-list.csv"})


def _named(sources: Sequence[Source]) -> dict[str, Source]:
    return {name: many[0] for name, many in _by_name(sources).items()}


def _by_name(sources: Sequence[Source]) -> dict[str, list[Source]]:
    found: dict[str, list[Source]] = {}
    for source in sources:
        found.setdefault(PurePosixPath(source.name).name.removesuffix(".gz"), []).append(source)
    return found


def read(sources: Sequence[Source], options: Any, meter: Meter) -> RawGraph:
    """The graph of such files."""
    files = _named(sources)
    if repeated := sorted(name for name, many in _by_name(sources).items() if name in _KNOWN and len(many) > 1):
        shown = ", ".join(source.name for source in _by_name(sources)[repeated[0]][:5])
        raise JobError(
            "invalid_input",
            f"The upload has several files {repeated[0]}: {shown}.",
            hint="Upload one raw folder and one folder of split.",
            pointer="/files",
        )
    if {"triplet-type-list.csv", "num-node-dict.csv"} & files.keys():
        raise JobError(
            "unsupported",
            "The upload holds a heterogeneous graph of OGB, which is not read here.",
            hint="Upload a graph with nodes and edges of one sort.",
            pointer="/files",
        )
    edges = numbers(files["edge.csv"], meter)
    if edges.shape[1] != 2:
        raise JobError(
            "invalid_input",
            f"{files['edge.csv'].name} has {edges.shape[1]} columns; an edge is a source and a target.",
            hint="Upload OGB's raw edge.csv.gz, two columns without a header.",
            pointer="/files",
        )
    x = numbers(files["node-feat.csv"], meter) if "node-feat.csv" in files else None
    labels = numbers(files["node-label.csv"], meter) if "node-label.csv" in files else None
    n = int(numbers(files["num-node-list.csv"], meter).sum()) if "num-node-list.csv" in files else len(x)
    weights = numbers(files["edge-weight.csv"], meter) if "edge-weight.csv" in files else None
    parts = {part: _nodes(files[f"{name}.csv"], meter) for name, part in PARTS.items() if f"{name}.csv" in files}
    return RawGraph(
        n=n,
        edges=edges.T,
        x=x,
        labels=labels,
        weights=weights,
        parts=parts or None,
        layout="ogb",
        files=tuple(source.name for source in sources),
    )


def _nodes(source: Source, meter: Meter) -> np.ndarray:
    """Numbers of nodes of a part, int64 (m,)."""
    found = numbers(source, meter)
    if found.shape[1] != 1 or found.dtype.kind != "i":
        raise JobError(
            "invalid_input",
            f"{source.name} is not one column of whole numbers of nodes.",
            hint="Upload OGB's split files as they are: one number of a node a line.",
            pointer="/files",
        )
    return found[:, 0]


def numbers(source: Source, meter: Meter) -> np.ndarray:
    """A table of numbers without a header, (rows, columns): int64 where all are whole, else float32."""
    columns: list[list[np.ndarray]] = []
    try:
        with source.open(meter) as stream:
            reader = csv.open_csv(
                pa.PythonFile(stream, mode="r"),
                csv.ReadOptions(autogenerate_column_names=True, block_size=_BLOCK, use_threads=False),
                convert_options=csv.ConvertOptions(strings_can_be_null=False),
            )
            for batch in reader:
                columns = columns or [[] for _ in batch.columns]
                meter.columns(len(columns), source.name)
                meter.rows_read(batch.num_rows, source.name)
                for place, column in enumerate(batch.columns):
                    columns[place].append(_cells(column, source.name))
                meter.tick()
    except (pa.ArrowException, UnicodeDecodeError) as broken:
        raise JobError(
            "invalid_input",
            f"{source.name} is not a table of numbers without a header: {str(broken)[:200]}.",
            hint="Upload OGB's raw files as they are, gzip or plain.",
            pointer="/files",
        ) from broken
    whole = [np.concatenate(parts) for parts in columns]
    integer = all(part.dtype.kind == "i" for part in whole)
    return np.stack(whole, axis=1).astype(np.int64 if integer else np.float64, copy=False)


def _cells(column: Any, where: str) -> np.ndarray:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        raise JobError(
            "invalid_input",
            f"{where} holds {kind}, not numbers, or has a header.",
            hint="Upload OGB's raw files as they are: numbers without a header.",
            pointer="/files",
        )
    if column.null_count or pa.types.is_null(kind):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return column.to_numpy(zero_copy_only=False)
