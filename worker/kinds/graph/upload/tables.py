"""Nodes and edges as tables, in any format that tables are read from: CSV, Parquet, JSON lines, Arrow.

Edges: source, target, perhaps weight. Nodes: id, label, perhaps split, and features: every other column of numbers, or
in Parquet one column of lists called `features`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from worker.contract.errors import JobError
from worker.ingest.columns import Wanted
from worker.ingest.detect import detect
from worker.ingest.formats import FORMATS
from worker.ingest.limits import Meter
from worker.ingest.sample import Sample
from worker.ingest.sources import Source
from worker.ingest.table import Columns, Role, Schema, as_table, read_columns
from worker.kinds.graph.upload.attributes import LISTS, PART_NAMES, parts
from worker.kinds.graph.upload.raw import RawGraph

NODES = Schema(
    "a table of nodes",
    (
        Role("id", "id", ("id", "node", "node_id", "nodeid", "paper_id"), required=True),
        Role("label", "category", ("label", "y", "class", "target", "category")),
        Role("split", "split", ("split", "part", "set", "fold")),
    ),
)
EDGES = Schema(
    "a table of edges",
    (
        Role("source", "id", ("source", "src", "from", "u", "node1", "head"), required=True),
        Role("target", "id", ("target", "dst", "to", "v", "node2", "tail", "destination"), required=True),
        Role("weight", "number", ("weight", "w", "edge_weight")),
    ),
)
_EDGES_NAME = re.compile(r"(edge|link|relation)", re.IGNORECASE)
_TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".jsonl", ".ndjson", ".arrow", ".feather")


def recognises(sources: Sequence[Source]) -> bool:
    """Whether all files are tables by their names, and one of them is of edges."""
    tables = [source for source in sources if source.name.lower().removesuffix(".gz").endswith(_TABLES)]
    return bool(tables) and any(_is_edges(source) for source in tables)


def _is_edges(source: Source) -> bool:
    return bool(_EDGES_NAME.search(PurePosixPath(source.name).name))


def read(sources: Sequence[Source], options: Any, meter: Meter) -> RawGraph:
    """The graph of such tables. Raises `JobError` where nodes or edges are missing or do not fit together."""
    files = [source for source in sources if source.name.lower().removesuffix(".gz").endswith(_TABLES)]
    of_edges = [source for source in files if _is_edges(source)]
    of_nodes = [source for source in files if not _is_edges(source)]
    if not of_nodes:
        raise JobError(
            "invalid_input",
            f"There is a table of edges ({of_edges[0].name}) and none of nodes.",
            hint="Upload nodes.csv beside it: id, label, split and one column for each feature.",
            pointer="/files",
        )
    named = next((one for one in of_nodes if "node" in PurePosixPath(one.name).name.lower()), of_nodes[0])
    if len(of_edges) > 1:
        raise JobError(
            "unsupported",
            f"There are several tables of edges: {', '.join(one.name for one in of_edges[:10])}.",
            hint="Upload edges of one sort in one table.",
            pointer="/files",
        )
    numbers, ids, x, labels, split, warnings = _nodes(named, options, meter)
    table = as_table(_detected(of_edges[0], EDGES, options, meter), options.columns, EDGES)
    columns = read_columns([table], meter)
    ends = [_numbered(columns, role, numbers, table.name) for role in ("source", "target")]
    return RawGraph(
        n=len(ids),
        edges=np.stack(ends),
        x=x,
        labels=labels,
        weights=columns.numbers.get("weight"),
        parts=parts(split) if split is not None else None,
        ids=None if ids.tolist() == [str(place) for place in range(len(ids))] else ids,
        layout="tables",
        files=(named.name, of_edges[0].name),
        warnings=warnings,
    )


def _detected(source: Source, schema: Schema, options: Any, meter: Meter) -> Any:
    head, whole = source.head(meter)
    return detect(Sample(source, head, whole, options.hints(), schema.names), FORMATS, meter)


def _nodes(
    source: Source, options: Any, meter: Meter
) -> tuple[dict[str, int], np.ndarray, np.ndarray | None, np.ndarray | None, list[str] | None, list[str]]:
    """Numbers of nodes by id, ids (n,), features, labels, parts by name, and warnings."""
    detected = _detected(source, NODES, options, meter)
    table = as_table(detected, options.columns, NODES)
    taken = {column.index for column in table.columns.values()}
    free = [column for column in detected.columns if column.index not in taken]
    features = [column for column in free if column.type in ("integer", "number", "boolean")]
    lists = next((column for column in free if column.type == "nested" and column.name in LISTS), None)
    wanted = tuple(Wanted(f"feature {column.index}", column, "feature") for column in features)
    columns = read_columns([replace(table, wanted=(*table.wanted, *wanted))], meter)
    warnings = [] if features or lists else [f"No column of {source.name} is a feature."]
    skipped = [column.name for column in free if column not in features and column is not lists]
    if skipped:
        warnings.append(f"Columns of {source.name} that are no numbers were left out: {', '.join(skipped[:10])}.")
    words = columns.words["id"]
    ids = np.array(words.words.to_pylist(), dtype=str)[words.codes]
    numbers = {name: place for place, name in enumerate(ids.tolist())}
    if len(numbers) < len(ids):
        repeated = next(name for place, name in enumerate(ids.tolist()) if numbers[name] != place)
        raise JobError(
            "invalid_input",
            f"The node {repeated[:80]!r} is given twice in {source.name}.",
            hint="Give each node one row.",
            pointer="/columns/id",
        )
    x = None
    if lists is not None:
        x = _lists(source, lists.name, meter)
    elif features:
        x = np.stack([columns.numbers[one.name] for one in wanted], axis=1)
    return numbers, ids, x, _labels(columns), _split(columns), warnings


def _labels(columns: Columns) -> np.ndarray | None:
    if "label" not in columns.words:
        return None
    found = columns.words["label"]
    names = np.array(found.words.to_pylist(), dtype=str)
    if all(re.fullmatch(r"-?\d{1,9}", name) for name in names if name):
        return np.array([int(name) if name else -1 for name in names], dtype=np.int64)[found.codes]
    return names[found.codes]


def _split(columns: Columns) -> list[str] | None:
    if "split" not in columns.words:
        return None
    found = columns.words["split"]
    names = found.words.to_pylist()
    unknown = [
        name for name in names if name and name.strip().lower() not in {*PART_NAMES, "none", "unlabelled", "unlabeled"}
    ]
    if unknown:
        raise JobError(
            "invalid_input",
            f"The split of a node is {unknown[0][:40]!r}.",
            hint='Say train, validation or test, or nothing; or leave the column out with columns={"split": ""}.',
            pointer="/columns/split",
        )
    return [names[code] for code in found.codes.tolist()]


def _numbered(columns: Columns, role: str, numbers: dict[str, int], where: str) -> np.ndarray:
    words = columns.words[role]
    place = np.array([numbers.get(name, -1) for name in words.words.to_pylist()], dtype=np.int64)
    found = place[words.codes]
    if (found < 0).any():
        name = words.words[int(words.codes[int(np.argmax(found < 0))])].as_py()
        raise JobError(
            "invalid_input",
            f"{where} names the node {name[:80]!r}, which the table of nodes has not.",
            hint="Add the node, or drop the edge.",
            pointer=f"/columns/{role}",
        )
    return found


def _lists(source: Source, name: str, meter: Meter) -> np.ndarray:
    """A Parquet column of lists of numbers, all of one length: (n, d)."""
    pieces: list[np.ndarray] = []
    try:
        with source.seekable(meter) as raw:
            for batch in parquet.ParquetFile(raw).iter_batches(16_384, columns=[name]):
                column = batch.column(0)
                meter.decoded(column.nbytes, source.name)
                meter.tick()
                flat = column.flatten()
                if column.null_count or flat.null_count or len(flat) % max(1, len(column)):
                    raise _unequal(source.name, name)
                lengths = np.diff(column.offsets.to_numpy()) if hasattr(column, "offsets") else np.array([0])
                if len(np.unique(lengths)) > 1:
                    raise _unequal(source.name, name)
                pieces.append(flat.to_numpy(zero_copy_only=False).reshape(len(column), -1))
    except (pa.ArrowException, OSError) as broken:
        raise JobError("invalid_input", f"{source.name} is damaged: {str(broken)[:200]}.", pointer="/files") from broken
    if len({piece.shape[1] for piece in pieces}) != 1:
        raise _unequal(source.name, name)
    return np.concatenate(pieces)


def _unequal(where: str, name: str) -> JobError:
    return JobError(
        "invalid_input",
        f"The lists of {name!r} in {where} differ in length, or some are missing.",
        hint="Give every node as many features.",
        pointer="/files",
    )
