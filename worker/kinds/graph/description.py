"""What a user is told about a graph: statistics and preview of a version, plots, tables and warnings of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from worker.evidence.measurements import TrainedResult
from worker.evidence.plot import Plot, Series
from worker.evidence.statistics import value_of
from worker.evidence.table import Column, Table
from worker.kinds.graph import copies, structure
from worker.kinds.graph.dataset import PARTS, TEST, TRAIN, Graph, load, upper
from worker.kinds.graph.held import Held
from worker.kinds.graph.summary import UPLOADED, CondensedGraph
from worker.numerics.quantiles import spread

LOW_HOMOPHILY = 0.5
_SHOWN_NEIGHBOURS = 12


def edge_homophily(graph: Graph, known: np.ndarray | None = None) -> float | None:
    """Share of edges between nodes of one class, over edges whose both classes are known; None where there is none.

    `known`: bool (N,), the nodes whose labels may be looked at; all that have one by default.
    """
    (first, second), _ = upper(graph.adjacency)
    known = graph.y >= 0 if known is None else known & (graph.y >= 0)
    both = known[first] & known[second]
    return float((graph.y[first[both]] == graph.y[second[both]]).mean()) if both.any() else None


def statistics(graph: Graph) -> dict[str, Any]:
    """Sizes, parts, degrees, classes and homophily of a version; `graph` as uploaded, features not transformed."""
    degrees = np.diff(graph.adjacency.indptr)
    filled = graph.x.nnz if sparse.issparse(graph.x) else int(np.count_nonzero(graph.x))
    return {
        "nodes": graph.n,
        "edges": graph.edges,
        "features": graph.d,
        "feature_density": filled / max(1, graph.n * graph.d),
        "classes": graph.n_classes,
        "train_nodes": len(graph.train),
        "test_nodes": int((graph.split == TEST).sum()),
        "nodes_per_part": {name: int((graph.split == code).sum()) for name, code in PARTS.items()},
        "train_nodes_per_class": dict(zip(graph.classes, graph.train_counts.tolist(), strict=True)),
        "unlabelled_nodes": int((graph.y < 0).sum()),
        "isolated_nodes": int((degrees == 0).sum()),
        "weighted": bool(graph.adjacency.nnz) and not bool((graph.adjacency.data == 1).all()),
        "degree": spread(degrees),
        "homophily": edge_homophily(graph),
        "setting": graph.setting,
        "transform": graph.transform.name,
        "options": dict(graph.options),
    }  # fmt: skip


def histograms(graph: Graph) -> dict[str, Any]:
    """Nodes by degree (bins that double) and by class."""
    degrees = np.diff(graph.adjacency.indptr)
    top = int(degrees.max(initial=0))
    edges = [0, *(2**k for k in range(max(1, top.bit_length()) + 1))]
    counts = np.histogram(degrees, bins=np.array(edges, float) - 0.5)[0]
    return {
        "degree": {"from": edges[:-1], "nodes": counts.tolist()},
        "class": {name: int((graph.y == c).sum()) for c, name in enumerate(graph.classes)},
    }


def neighbourhood(graph: Graph) -> dict[str, Any]:
    """A node of middling degree with some of its neighbours and the edges between them, for a small drawing: x and y
    lie on two circles in [0, 1]."""
    degrees = np.diff(graph.adjacency.indptr)
    filled = np.flatnonzero(degrees)
    if not len(filled):
        return {"nodes": [], "edges": []}
    centre = int(filled[np.argsort(degrees[filled], kind="stable")[int(0.75 * (len(filled) - 1))]])
    ring = graph.adjacency[[centre]].indices[:_SHOWN_NEIGHBOURS].astype(np.int64)
    nodes = np.concatenate([[centre], ring])
    angle = 2 * np.pi * np.arange(len(ring)) / max(1, len(ring))
    places = np.concatenate([[[0.5, 0.5]], 0.5 + 0.4 * np.stack([np.cos(angle), np.sin(angle)], axis=1)])
    (first, second), _ = upper(sparse.csr_array(graph.adjacency[nodes][:, nodes]))
    names = [*graph.classes, ""]
    return {
        "nodes": [
            {"id": str(name), "label": names[graph.y[node]], "x": round(float(x), 4), "y": round(float(y), 4)}
            for name, node, (x, y) in zip(graph.names(nodes), nodes.tolist(), places, strict=True)
        ],
        "edges": np.stack([first, second], axis=1).tolist(),
    }


def describe(folder: Path) -> dict[str, Any]:
    """Statistics, preview and warnings of canonical files."""
    graph = load(folder, transformed=False)
    found = statistics(graph)
    shown = [
        {
            "node": str(graph.names(np.array([node]))[0]),
            "label": [*graph.classes, ""][graph.y[node]],
            "part": next((name for name, code in PARTS.items() if code == graph.split[node]), ""),
            "degree": int(graph.adjacency.indptr[node + 1] - graph.adjacency.indptr[node]),
        }
        for node in range(min(20, graph.n))
    ]
    found |= {"histograms": histograms(graph), "neighbourhood": neighbourhood(graph)}
    return {"statistics": found, "preview": shown, "warnings": []}


def warnings(data: Graph, summary: CondensedGraph) -> list[str]:
    """What a report on a condensed graph must say before anyone acts on it."""
    seen = data.visible()
    said: list[str] = []
    homophily = edge_homophily(data, (data.split == TRAIN) | (data.split == 1))
    if homophily is None:
        homophily = edge_homophily(data)
    if homophily is not None and homophily < LOW_HOMOPHILY:
        said.append(
            f"Only {homophily:.0%} of the edges join nodes of one class: where homophily is this low, propagated "
            "features mix the classes, and everything that is made of them may keep little. Compare the MLP, which "
            "knows no edges."
        )
    if summary.sees == "unlabelled":
        said.append(
            "This summary was made with nodes outside train, validation and test, whose labels were guessed. Figures "
            "of methods that know the labels of train nodes alone are no like for like."
        )
    if summary.sees == "all":
        said.append(
            "This summary is transductive: it was made with the features and edges of validation and test nodes (not "
            "their labels). Figures of methods that see only the train nodes are no like for like."
        )
    if summary.origin.method == UPLOADED:
        said.append(
            "This summary was uploaded: whether features of validation or test nodes went into it is not known here, "
            "and if they did, figures of methods that see only the train nodes are no like for like."
        )
    if summary.adjacency is not None and not summary.adjacency.nnz:
        said.append("The condensed graph was to have edges and has none.")
    counts = np.bincount(summary.y[summary.y >= 0], minlength=data.n_classes)
    lone = [name for name, count in zip(data.classes, counts.tolist(), strict=True) if count == 1]
    absent = [name for name, count in zip(data.classes, counts.tolist(), strict=True) if count == 0]
    if lone:
        said.append(f"Classes with a single condensed node: {_list(lone)}.")
    if absent:
        said.append(f"Classes without a condensed node: {_list(absent)}. They cannot be predicted.")
    if summary.source is None and not summary.whole:
        said += copies.said(data, summary)
    scale = _scale(summary.x) / max(_scale(seen.x), 1e-12)
    if not 0.5 <= scale <= 2 and not summary.whole:
        said.append(
            f"Features of the condensed nodes are {scale:.2g} times as large as those of the original graph: what is "
            "learned on them may not carry over."
        )
    return said


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _scale(x: Any) -> float:
    """The mean over rows of the sum of absolute values."""
    return float(abs(x).sum() / max(1, x.shape[0]))


def of_results(data: Graph, results: Sequence[TrainedResult]) -> list[str]:
    """What the figures themselves warn of."""
    runs: dict[str, list[float]] = {}
    for one in results:
        if one.set == "full":
            runs.setdefault(one.learner, []).append(value_of(one.scores["test"]["accuracy"]))
    full = {learner: float(np.mean(values)) for learner, values in runs.items()}
    networks = {name: value for name, value in full.items() if name not in ("mlp", "majority")}
    if networks and full.get("mlp", 0.0) >= max(networks.values()):
        return ["On the whole graph the MLP, which knows no edges, is as good as the networks: the edges say nothing."]
    return []


def plots(data: Graph, summary: CondensedGraph) -> tuple[Plot, ...]:
    """Classes of the train nodes and of the condensed ones."""
    train, made = data.train_counts, np.bincount(summary.y[summary.y >= 0], minlength=data.n_classes)
    names = data.classes[:30]
    series = (
        Series("train nodes", names, tuple((train / max(1, train.sum()))[:30].tolist())),
        Series("condensed nodes", names, tuple((made / max(1, made.sum()))[:30].tolist())),
    )
    return (
        Plot(
            "classes",
            "Classes",
            "Share of each class among the train nodes and among the condensed nodes.",
            "bar",
            "class",
            "share",
            series,
        ),
    )


def tables(data: Graph, summaries: Sequence[CondensedGraph], test: Held) -> tuple[Table, ...]:
    """The size of every summary in all customary forms, and a teacher where one made labels."""
    rows = []
    for number, one in enumerate(summaries, 1):
        size = one.origin.settings.get("size", {})
        rows.append(
            {
                "summary": f"{number}: {one.origin.method}" if len(summaries) > 1 else one.origin.method,
                "nodes": len(one),
                "of_train": 100 * len(one) / max(1, len(data.train)),
                "of_all": 100 * len(one) / max(1, data.n),
                "edges": one.edges,
                "bytes": int(size.get("bytes", 0)) or None,
                "sees": _sees(one),
            }
        )
    sizes = Table(
        "condensed_sizes",
        "The size in every customary form: the reduction rate of published code is one of train nodes, that of "
        "published tables one of all nodes",
        (
            Column("summary", "Summary", "text"),
            Column("nodes", "Nodes", decimals=0),
            Column("of_train", "Of the train nodes", unit="%", decimals=2),
            Column("of_all", "Of all nodes", unit="%", decimals=3),
            Column("edges", "Edges", decimals=0),
            Column("bytes", "Bytes", unit="B", decimals=0),
            Column("sees", "Made with features of", "text"),
        ),
        tuple(rows),
        heading="Size",
    )
    named = [(str(row["summary"]), one) for row, one in zip(rows, summaries, strict=True)]
    graphs = [(name, one.adjacency, one.whole) for name, one in named if one.adjacency is not None]
    found = (sizes, structure.table(data.visible().adjacency, graphs)) if graphs else (sizes,)
    taught = [row for one in summaries if (row := _teacher(data, one, test)) is not None]
    if not taught:
        return found
    teachers = Table(
        "teachers",
        "The teacher that made the soft labels, itself: trained on the whole graph, it predicts the test nodes",
        (
            Column("summary", "Of the summary", "text"),
            Column("accuracy", "Accuracy", unit="points", interval=("low", "high")),
            Column("low", "Accuracy, low", unit="points", shown=False),
            Column("high", "Accuracy, high", unit="points", shown=False),
            Column("bytes", "Its parameters", unit="B", decimals=0),
            Column("summary_bytes", "The summary", unit="B", decimals=0),
        ),
        tuple(taught),
        note="Who wants one model of this graph and no summary has it here. The interval is that of a share of "
        f"{len(test)} test nodes (Wilson).",
        heading="The teacher",
    )
    return (*found, teachers)


def _sees(summary: CondensedGraph) -> str:
    if summary.origin.method == UPLOADED:
        return "not known"
    return {
        "train": "train nodes",
        "unlabelled": "train nodes and nodes outside the parts, with guessed labels",
        "all": "all nodes (transductive)",
    }[summary.sees]


def _teacher(data: Graph, summary: CondensedGraph, test: Held) -> dict[str, str | int | float | bool | None] | None:
    """The row of a teacher; None where none made the labels."""
    if summary.teacher is None:
        return None
    from worker.kinds.graph.networks.grand import several  # needs torch, which describing a version does not

    p = several(summary.teacher, data.x, data.operator)[test.ids]  # it looks further than networks do
    n, share = len(test), float((p.argmax(axis=1) == test.y).mean())
    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return {
        "summary": summary.origin.method,
        "accuracy": 100 * share,
        "low": 100 * float(middle - half),
        "high": 100 * float(middle + half),
        "bytes": sum(array.nbytes for array in summary.teacher.values()),
        "summary_bytes": int(summary.origin.settings.get("size", {}).get("bytes", 0)) or None,
    }
