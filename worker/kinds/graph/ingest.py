"""Uploaded graphs to a dataset version: nodes, edges, features, classes and a split, each checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from worker.contract.context import Context
from worker.ingest.limits import Limits, Meter
from worker.ingest.options import ColumnMap, Maybe, ReadOptions, column_map, parse_options
from worker.ingest.sources import Source
from worker.ingest.upload import Files
from worker.kinds.graph import dataset, description
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import Features, Transform, usual
from worker.kinds.graph.upload import checks, conversions, layouts, splitting
from worker.kinds.graph.upload.raw import RawGraph
from worker.kinds.graph.upload.structure_features import FORMS, made_features, within_parts
from worker.kinds.graph.upload.tables import EDGES, NODES


class IngestOptions(ReadOptions):
    """How an attributed graph becomes a dataset version."""

    columns: ColumnMap = column_map(NODES, EDGES, example='{"label": "field", "source": "from"}')
    layout: Literal[("auto", *layouts.NAMES)] = Field(
        "auto", description="Layout of the upload; `auto` looks at its files."
    )
    setting: Literal["transductive", "inductive"] = Field(
        "transductive",
        description="transductive: condensing may look at all nodes and edges, and at the labels of the train part; "
        "inductive: at the subgraph of the train part alone.",
    )
    make_undirected: bool = Field(True, description="Let every edge count in both directions.")
    normalize: Literal["auto", "row", "standard", "none"] = Field(
        "auto",
        description="What is done to features: row (each row over the sum of its absolute values), standard (mean 0 "
        "and deviation 1 over the train nodes), none; auto: row for sparse features none of which is below 0, else "
        "standard.",
    )
    features: Literal[("given", *FORMS)] = Field(
        "given",
        description="The features of the upload, or, for a graph without any, features made of its structure: "
        "degree_onehot, or spectral64 (64 eigenvectors of the normalised adjacency).",
    )
    split: Literal["auto", "given", "random"] = Field(
        "auto", description="The split of the upload, or one that is drawn; auto: the given one where there is one."
    )
    split_ratios: Maybe[list[float]] = Field(
        None, description="Shares of train, validation and test nodes of each class, for a random split."
    )
    train_per_class: int = Field(20, ge=1, le=100_000, description="Train nodes of each class of a random split.")
    validation_nodes: int = Field(500, ge=0, le=10_000_000, description="Validation nodes of a random split.")
    test_nodes: int = Field(1000, ge=0, le=10_000_000, description="Test nodes of a random split.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of a random split.")
    remap_labels: bool = Field(False, description="Number labels anew where they are not 0 to C - 1.")


def ingest(
    sources: Files,
    options: Mapping[str, Any] | IngestOptions,
    out: Path,
    ctx: Context,
    limits: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Write the canonical files of a version to `out`; returns statistics, preview, warnings, schema, detection.

    Raises `JobError` whose pointer names the option or the files at fault.
    """
    given = parse_options(IngestOptions, options)
    meter = Meter(Limits(**(limits or {})))
    files = conversions.opened(sources, meter)
    _report(meter, files, ctx)
    meter.tick()
    raw = layouts.read(files, given, meter)
    for warning in raw.warnings:
        ctx.warn(warning)
    ctx.progress(0, 3, phase="check")
    graph, x, decided = _checked(raw, given, ctx)
    ctx.progress(1, 3, phase="write")
    dataset.save(graph, out, x)
    ctx.progress(2, 3, phase="describe")
    described = description.describe(out)
    ctx.progress(3, 3, phase="describe")
    return {
        "statistics": described["statistics"],
        "preview": described["preview"],
        "warnings": list(ctx.warnings),
        "schema": _schema(graph),
        "detection": {"layout": raw.layout, "files": list(raw.files), **decided},
    }


def _report(meter: Meter, files: Sequence[Source], ctx: Context) -> None:
    total = max(1, sum(source.packed_bytes for source in files))
    meter.tick = lambda: ctx.progress(min(int(meter.packed_done), total), total, phase="read")


def _checked(raw: RawGraph, given: IngestOptions, ctx: Context) -> tuple[Graph, Features, dict[str, Any]]:
    """The graph, its features as uploaded, and what was decided."""
    checks.sized(raw)
    adjacency = checks.edges_of(raw, given.make_undirected, ctx)
    x = checks.features_of(raw)
    if given.features == "given" and (x is None or not x.shape[1]):
        raise checks.refuse(
            "The graph has no features.",
            "Say features=degree_onehot or features=spectral64 to make some of its structure.",
            "/options/features",
        )
    y, classes = checks.labels_of(raw, given.remap_labels)
    split, how = _split(raw, y, given, ctx)
    checks.need_trainable(split, y, classes, ctx)
    if given.features != "given" or x is None:
        x = _of_structure(given, adjacency, split)
    name = usual(x) if given.normalize == "auto" else given.normalize
    kept = {"split": how, "seed": given.seed, "features": given.features}
    transform = Transform(name)
    graph = Graph(x, adjacency, y, split, classes, given.setting, transform, raw.ids, kept)
    return graph, x, {"split": how, "normalize": name, "setting": given.setting, "classes": list(classes[:100])}


def _of_structure(given: IngestOptions, adjacency: sparse.csr_array, split: np.ndarray) -> Features:
    if given.setting == "transductive":
        return made_features(given.features, adjacency)
    if given.features == "spectral64":
        raise checks.refuse(
            "Eigenvectors are of the whole graph, held-out nodes included, which the setting inductive forbids.",
            "Say features=degree_onehot, which counts neighbours within a part, or setting=transductive.",
            "/options/features",
        )
    return made_features(given.features, within_parts(adjacency, split))


def _split(raw: RawGraph, y: np.ndarray, given: IngestOptions, ctx: Context) -> tuple[np.ndarray, str]:
    """The split int8 (n,), and how it came about."""
    if given.split == "given" and raw.parts is None:
        raise checks.refuse(
            "The upload has no split.", "Say split=random, or add train_idx, val_idx and test_idx.", "/options/split"
        )
    if raw.parts is not None and given.split != "random":
        return checks.split_of(raw.parts, y, raw.n, ctx), "given"
    if given.split_ratios is not None:
        return splitting.by_ratios(y, given.split_ratios, given.seed), f"random {given.split_ratios}"
    counts = (given.train_per_class, given.validation_nodes, given.test_nodes)
    asked = {"train_per_class", "validation_nodes", "test_nodes"} & given.model_fields_set
    if not asked and not splitting.fits(y, *counts):
        ctx.warn("The graph is too small for 20 train nodes of each class, 500 and 1,000: shares were drawn instead.")
        return splitting.by_ratios(y, splitting.RATIOS, given.seed), f"random {list(splitting.RATIOS)}"
    said = f"random, {counts[0]} train nodes of each class, {counts[1]} for validation, {counts[2]} for testing"
    return splitting.by_counts(y, *counts, given.seed), said


def _schema(graph: Graph) -> dict[str, Any]:
    return {
        "node": {"features": graph.d, "classes": list(graph.classes[:100])},
        "edge": {"directed": False, "weighted": bool((graph.adjacency.data != 1).any())},
    }
