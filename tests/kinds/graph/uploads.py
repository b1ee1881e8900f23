"""One small graph in every layout that is accepted."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from scipy import sparse

from tests.planted_graph import as_npz, planted
from worker.kinds.graph.dataset import TEST, TRAIN, VALIDATION, Graph, upper
from worker.numerics.npz import write_npz

Files = list[tuple[str, Path]]
NAMES = {TRAIN: "train", VALIDATION: "valid", TEST: "test", -1: ""}


def small() -> Graph:
    """30 nodes of two classes, four features that text holds exactly."""
    graph = planted(30, classes=2, features=4, degree=4, parts=(0.4, 0.3, 0.3), seed=3)
    return Graph((graph.x * 4).round() / 4, graph.adjacency, graph.y, graph.split, graph.classes)


def npz(graph: Graph, folder: Path) -> Files:
    return [("graph.npz", as_npz(graph, folder / "graph.npz"))]


def _csr(matrix: sparse.csr_array, prefix: str) -> dict[str, np.ndarray]:
    return {
        f"{prefix}data": matrix.data, f"{prefix}indices": matrix.indices, f"{prefix}indptr": matrix.indptr,
        f"{prefix}shape": np.array(matrix.shape),
    }  # fmt: skip


def gnn_benchmark(graph: Graph, folder: Path) -> Files:
    features = sparse.csr_array(graph.x)
    write_npz(folder / "g.npz", _csr(graph.adjacency, "adj_") | _csr(features, "attr_") | {"labels": graph.y})
    return [("g.npz", folder / "g.npz")]


def ogb(graph: Graph, folder: Path) -> Files:
    edges, _ = upper(graph.adjacency)
    tables = {"raw/edge.csv.gz": edges.T, "raw/node-feat.csv.gz": graph.x, "raw/node-label.csv.gz": graph.y[:, None],
              "raw/num-node-list.csv.gz": np.array([[graph.n]])}  # fmt: skip
    tables |= {f"split/time/{NAMES[part]}.csv.gz": graph.nodes(part)[:, None] for part in (TRAIN, VALIDATION, TEST)}
    files = []
    for name, table in tables.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = "\n".join(",".join(f"{cell:g}" for cell in row) for row in table.tolist())
        file.write_bytes(gzip.compress((lines + "\n").encode(), mtime=0))
        files.append((name, file))
    return files


def saint(graph: Graph, folder: Path) -> Files:
    matrix = _csr(graph.adjacency, "") | {"format": np.array(b"csr")}
    write_npz(folder / "adj_full.npz", matrix)
    np.save(folder / "feats.npy", graph.x)
    (folder / "class_map.json").write_text(json.dumps({str(i): int(y) for i, y in enumerate(graph.y)}))
    roles = {
        "tr": graph.nodes(TRAIN).tolist(),
        "va": graph.nodes(VALIDATION).tolist(),
        "te": graph.nodes(TEST).tolist(),
    }
    (folder / "role.json").write_text(json.dumps(roles))
    return [(name, folder / name) for name in ("adj_full.npz", "feats.npy", "class_map.json", "role.json")]


def _edges_csv(graph: Graph, folder: Path) -> tuple[str, Path]:
    edges, _ = upper(graph.adjacency)
    lines = "\n".join(f"n{a},n{b}" for a, b in edges.T)
    (folder / "edges.csv").write_text(f"source,target\n{lines}\n")
    return "edges.csv", folder / "edges.csv"


def csv(graph: Graph, folder: Path) -> Files:
    rows = [
        f"n{i},c{graph.y[i]},{NAMES[int(graph.split[i])]}," + ",".join(f"{v:g}" for v in graph.x[i])
        for i in range(graph.n)
    ]
    (folder / "nodes.csv").write_text("id,label,split,f0,f1,f2,f3\n" + "\n".join(rows) + "\n")
    return [("nodes.csv", folder / "nodes.csv"), _edges_csv(graph, folder)]


def lists(graph: Graph, folder: Path) -> Files:
    table = pa.table({
        "id": [f"n{i}" for i in range(graph.n)], "label": [f"c{y}" for y in graph.y],
        "split": [NAMES[int(s)] for s in graph.split], "features": graph.x.tolist(),
    })  # fmt: skip
    parquet.write_table(table, folder / "nodes.parquet")
    return [("nodes.parquet", folder / "nodes.parquet"), _edges_csv(graph, folder)]


def graphml(graph: Graph, folder: Path) -> Files:
    edges, _ = upper(graph.adjacency)
    keys = ['<key id="l" for="node" attr.name="label" attr.type="long"/>',
            '<key id="s" for="node" attr.name="split" attr.type="string"/>',
            *(f'<key id="f{k}" for="node" attr.name="f{k}" attr.type="double"/>' for k in range(4))]  # fmt: skip
    nodes = [
        f'<node id="n{i}"><data key="l">{graph.y[i]}</data><data key="s">{NAMES[int(graph.split[i])]}</data>'
        + "".join(f'<data key="f{k}">{graph.x[i, k]}</data>' for k in range(4)) + "</node>"
        for i in range(graph.n)
    ]  # fmt: skip
    links = [f'<edge source="n{a}" target="n{b}"/>' for a, b in edges.T]
    head = '<?xml version="1.0" encoding="UTF-8"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
    text = head + "".join(keys) + '<graph edgedefault="undirected">' + "".join(nodes + links) + "</graph></graphml>"
    (folder / "g.graphml").write_text(text)
    return [("g.graphml", folder / "g.graphml")]


def node_link(graph: Graph, folder: Path) -> Files:
    edges, _ = upper(graph.adjacency)
    nodes = [
        {"id": i, "label": int(graph.y[i]), "split": NAMES[int(graph.split[i])]}
        | {f"f{k}": float(graph.x[i, k]) for k in range(4)}
        for i in range(graph.n)
    ]  # fmt: skip
    links = [{"source": int(a), "target": int(b)} for a, b in edges.T]
    (folder / "g.json").write_text(json.dumps({"directed": False, "nodes": nodes, "links": links}))
    return [("g.json", folder / "g.json")]


LAYOUTS: dict[str, Callable[[Graph, Path], Files]] = {
    "npz": npz, "gnn-benchmark": gnn_benchmark, "ogb": ogb, "graphsaint": saint, "csv": csv, "lists": lists,
    "graphml": graphml, "node-link": node_link,
}  # fmt: skip
