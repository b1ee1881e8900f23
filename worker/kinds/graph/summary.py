"""A condensed graph: few nodes, real or synthetic, that stand for all of a graph, in memory and as files.

condensed.npz, condensed.safetensors   the arrays: x (or CSR parts), edge_index, edge_weight, y, y_soft, train_mask,
                                       node_weight, node_source
edges.csv, nodes.parquet               edges once each; label, source, weight of every node
transform.json                         what must be done to the features of the original graph before predicting
teacher.safetensors                    the teacher, where one made the labels
load.py, README.md                     a loader for plain tensors and torch_geometric, a training example that runs
summary.json                           where it comes from
dataset/                               the same as canonical files of a dataset version, every node in the train part
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from safetensors.numpy import load_file, save_file
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin, Product
from worker.kinds.graph import bundle, dataset
from worker.kinds.graph.dataset import NONE, TRAIN, Graph, upper
from worker.kinds.graph.features import Features, Transform
from worker.kinds.graph.leaks import held_out_nodes
from worker.kinds.graph.training_graph import TrainingGraph
from worker.numerics.npz import write_npz

FORMAT, VERSION = "distillery-graph", 1
UPLOADED = "uploaded subset"  # the method of what was made elsewhere
Sees = Literal["train", "unlabelled", "all"]
MARKS: dict[Sees, str] = {
    "train": "",
    "unlabelled": "was made with guessed labels of nodes outside the parts",
    "all": "was made with features of held-out nodes",
}


@dataclass(frozen=True)
class CondensedGraph(Product):
    """What a distil or select job delivers.

    `x`: float32 (n, d), dense or CSR, already transformed. `adjacency`: float32 CSR (n, n), symmetric, no self-loops;
    None where a node has no edges and Â is the identity. `y`: int64 (n,) numbers into `classes`, -1 for nodes whose
    loss does not count. `soft`: float32 (n, C) probabilities of classes or None; `y` is then their argmax. `weight`:
    float32 (n,) or None. `source`: int64 (n,) numbers of the original nodes where they are real, else None.
    `transform`: what the features of the original graph need before anything is predicted. `whole`: all nodes of the
    original are here, with other edges (a sparsifier). `sees`: whose features made it, those of the train nodes and
    their neighbourhoods, of `unlabelled` nodes outside the parts as well, with guessed labels, or of `all` nodes,
    held-out ones included: the last two are marked, see `mark`. `teacher`: the parameters of the network that made the
    labels, by name.
    """

    type: ClassVar[str] = "graph"

    x: Features
    adjacency: sparse.csr_array | None
    y: np.ndarray
    classes: tuple[str, ...]
    soft: np.ndarray | None = None
    weight: np.ndarray | None = None
    source: np.ndarray | None = None
    transform: Transform = field(default_factory=Transform)
    whole: bool = False
    sees: Sees = "train"
    teacher: dict[str, np.ndarray] | None = None
    origin: Origin = field(default_factory=Origin)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """ValueError when the arrays do not fit together or hold what is no number."""
        n = len(self.y)
        values = self.x.data if sparse.issparse(self.x) else self.x
        if self.x.shape[0] != n or not np.isfinite(values).all():
            raise ValueError(f"features {self.x.shape} do not fit {n} nodes, or are not finite")
        if self.adjacency is not None and self.adjacency.shape != (n, n):
            raise ValueError(f"an adjacency {self.adjacency.shape} does not fit {n} nodes")
        if self.soft is not None and self.soft.shape != (n, len(self.classes)):
            raise ValueError(f"soft labels {self.soft.shape} do not fit {n} nodes and {len(self.classes)} classes")
        if not (self.y >= 0).any() or self.y.max(initial=0) >= len(self.classes):
            raise ValueError("no node has a label, or one has a class that there is not")

    def __len__(self) -> int:
        return len(self.y)

    @property
    def edges(self) -> int:
        """Undirected edges."""
        return 0 if self.adjacency is None else int(self.adjacency.nnz) // 2

    @property
    def mark(self) -> str:
        """What is said of it beside what train nodes make, to go on after "it"; "" where there is nothing."""
        if self.origin.method == UPLOADED:
            return "may have been made with features of held-out nodes"
        return MARKS[self.sees]

    def training(self) -> TrainingGraph:
        """What learners are trained on."""
        nodes = np.flatnonzero(self.y >= 0)
        weight = None if self.weight is None else self.weight[nodes]
        classes = len(self.classes)
        if self.soft is not None:
            return TrainingGraph(self.x, self.adjacency, nodes, classes, soft=self.soft[nodes], weight=weight)
        return TrainingGraph(self.x, self.adjacency, nodes, classes, y=self.y[nodes], weight=weight)

    def arrays(self) -> dict[str, np.ndarray]:
        """The delivered arrays by name."""
        return bundle.arrays(self.x, self.adjacency, self.y, soft=self.soft, weight=self.weight, source=self.source)

    def write(self, folder: Path, data: Graph | None = None) -> None:
        """Write all files into an existing folder; with `data`, sources are named by the ids of its nodes."""
        found = self.arrays()
        write_npz(folder / "condensed.npz", found)
        save_file(found, folder / "condensed.safetensors")
        self._write_tables(folder, data)
        _json(folder / "transform.json", self.transform.to_json())
        if self.teacher is not None:
            save_file(self.teacher, folder / "teacher.safetensors")
        (folder / "load.py").write_text(bundle.LOADER, encoding="utf-8")
        (folder / "README.md").write_text(self._readme(), encoding="utf-8")
        about = {
            "format": FORMAT,
            "version": VERSION,
            "classes": list(self.classes),
            "nodes": len(self),
            "edges": self.edges,
            "features": int(self.x.shape[1]),
            "sparse": bool(sparse.issparse(self.x)),
            "structure": self.adjacency is not None,
            "whole": self.whole,
            "sees": self.sees,
            "teacher": self.teacher is not None,
            "origin": self.origin.to_json(),
            "warnings": list(self.warnings),
        }
        _json(folder / "summary.json", about)
        (folder / "dataset").mkdir()
        split = np.where(self.y >= 0, TRAIN, NONE).astype(np.int8)
        adjacency = sparse.csr_array((len(self), len(self)), dtype=np.float32)
        version = Graph(
            self.x, adjacency if self.adjacency is None else self.adjacency, self.y, split, self.classes, options={}
        )
        dataset.save(version, folder / "dataset")

    def _write_tables(self, folder: Path, data: Graph | None) -> None:
        adjacency = sparse.csr_array((len(self), len(self))) if self.adjacency is None else self.adjacency
        (first, second), weights = upper(adjacency)
        lines = (f"{a},{b},{w:.9g}\n" for a, b, w in zip(first, second, weights, strict=True))
        (folder / "edges.csv").write_text("source,target,weight\n" + "".join(lines), encoding="utf-8")
        names = np.array([*self.classes, ""])
        columns: dict[str, Any] = {"id": np.arange(len(self)), "label": pa.array(names[self.y], pa.string())}
        if self.source is not None:
            columns["source"] = pa.array(self.source.astype(str) if data is None else data.names(self.source))
        if self.weight is not None:
            columns["weight"] = self.weight
        parquet.write_table(pa.table(columns), folder / "nodes.parquet")

    def _readme(self) -> str:
        size = self.origin.settings.get("size", {})
        edges = "It has no edges: train it with the identity in the place of the normalised adjacency."
        if self.adjacency is not None:
            edges = f"It has {self.edges} undirected edges, in both directions in `edge_index`, without self-loops."
        return bundle.README.format(
            nodes=len(self),
            all=size.get("all_nodes", "all"),
            rate_of_all=size.get("rate_of_all", float("nan")),
            rate=size.get("reduction_rate", float("nan")),
            method=self.origin.method,
            edges=edges,
            classes=len(self.classes),
        )

    @classmethod
    def read(cls, folder: Path) -> CondensedGraph:
        """The product back from its files. Raises `ValueError` for files that are not such a bundle."""
        about = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if about.get("format") != FORMAT or about.get("version") != VERSION:
            raise ValueError(f"{folder} is not a bundle of this kind and version")
        found = load_file(folder / "condensed.safetensors")
        x = bundle.features_from(found)
        if about["sparse"] != sparse.issparse(x):
            x = x.toarray() if sparse.issparse(x) else sparse.csr_array(x)
        y = found["y"].astype(np.int64)
        adjacency = None
        if about["structure"]:
            values = found.get("edge_weight", np.ones(found["edge_index"].shape[1], np.float32))
            adjacency = sparse.csr_array((values, tuple(found["edge_index"])), shape=(len(y), len(y)))
        source = found.get("node_source")
        return cls(
            x=x,
            adjacency=adjacency,
            y=y,
            classes=tuple(about["classes"]),
            soft=found.get("y_soft"),
            weight=found.get("node_weight"),
            source=None if source is None else source.astype(np.int64),
            transform=Transform.from_json(json.loads((folder / "transform.json").read_text(encoding="utf-8"))),
            whole=about["whole"],
            sees=about["sees"],
            teacher=load_file(folder / "teacher.safetensors") if about["teacher"] else None,
            origin=Origin.from_json(about["origin"]),
            warnings=tuple(about["warnings"]),
        )

    def judge(self, data: Graph, params: Any, ctx: Context) -> Any:
        """Measure it beside the whole graph and cheap reductions; see `worker.kinds.graph.judge`."""
        from worker.kinds.graph.judge import judge  # learners need torch, which reading a summary does not

        return judge(data, [self], params, ctx)


def adopt(data: Graph, other: Graph) -> CondensedGraph:
    """A dataset version as a condensed graph of `data`: all its nodes, with the labels of its train part alone.

    Nodes that have the features of a validation or test node of `data` lose their labels with a warning, since who was
    trained on the answers keeps more than the truth. Raises `JobError` `invalid_input` where features or classes are
    not those of `data`, or no label is left.
    """
    if other.d != data.d or not set(other.classes) <= set(data.classes):
        raise JobError(
            "invalid_input",
            f"The subset has {other.d} features and the classes {', '.join(other.classes[:10])}; the dataset has "
            f"{data.d} and {', '.join(data.classes[:10])}.",
            hint="Upload a graph over the same features and classes.",
            pointer="/inputs/summary",
        )
    number = np.array([data.classes.index(name) for name in other.classes], dtype=np.int64)
    y = np.where(other.split == TRAIN, number[np.maximum(other.y, 0)], -1)
    if not (y >= 0).any():
        raise JobError("invalid_input", "The subset has no labelled train node.", pointer="/inputs/summary")
    x = _in_terms_of(data, other)
    held_out = held_out_nodes(data, x) & (y >= 0)
    y = np.where(held_out, -1, y)
    if not (y >= 0).any():
        raise JobError(
            "invalid_input",
            "All labelled train nodes of the subset are validation or test nodes of the dataset.",
            hint="Make the subset of train nodes, with a split of its own that says so.",
            pointer="/inputs/summary",
        )
    said: tuple[str, ...] = ()
    if held_out.any():
        said = (
            f"{int(held_out.sum())} labelled nodes of the subset have the features of a validation or test node of the "
            "dataset; their labels were left out, since nothing may be trained on what it is asked.",
        )
    adjacency = other.adjacency if other.adjacency.nnz else None
    return CondensedGraph(
        x,
        adjacency,
        y,
        data.classes,
        transform=data.transform,
        origin=Origin(UPLOADED),
        warnings=said,
    )


def _in_terms_of(data: Graph, other: Graph) -> Features:
    """The features of another version as those of `data` are: an export of ours is so already, and what was uploaded
    raw goes through the transform of `data` and not through one fitted to the few rows of a subset."""
    done = other.transform
    if done.name == "standard" and done.mean is not None and done.scale is not None:
        if data.transform.mean is not None and np.array_equal(done.mean, data.transform.mean):
            return other.x
        return data.transform(np.asarray(other.x * done.scale + done.mean, dtype=np.float32))
    if done.name == "row" and data.transform.name != "row":
        raise JobError(
            "invalid_input",
            f"The rows of the subset were scaled to a sum of 1 and those of the dataset were not "
            f"({data.transform.name}), which cannot be undone.",
            hint="Upload the subset with normalize=standard, which is undone here, or with normalize=none where its "
            "features are as those of a summary of this dataset.",
            pointer="/inputs/summary",
        )
    return other.x


def _json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
