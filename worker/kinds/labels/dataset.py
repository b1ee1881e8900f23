"""Documents with labels, each of which may have any number of thousands of labels: in memory and as canonical files.

Canonical files of a version:

    documents.parquet   `id`, `split` (int8), where there is text `title` and `body`, in versions made of summaries
                        `weight`
    targets.npz         which document has which label: a sparse matrix of documents x labels; `barred`: pairs
                        (document, label) that count neither as truth nor as prediction
    features.npz        the features of documents, and of labels where they were given, as sparse matrices
    labels.parquet      `title` and `body` of every label, where there is text of labels
    labels.json         where the split is from, and the constants of the propensities

The split lies in the version, so every job on a version holds out the same documents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from scipy import sparse

from worker.kinds.labels.texts import Texts
from worker.numerics.npz import write_npz

Csr: TypeAlias = Any
"""`scipy.sparse.csr_matrix` of float32, whose rows have sorted, distinct columns."""

TRAIN, VALIDATION, TEST = 0, 1, 2
PARTS = ("train", "validation", "test")
DOCUMENTS, TARGETS, FEATURES, LABELS, ABOUT = (
    "documents.parquet", "targets.npz", "features.npz", "labels.parquet", "labels.json",
)  # fmt: skip
LEAST_POINTS = 2
"""Training points that a label needs to be asked for on validation documents. A label whose points were split between
the two is known to occur in the other part: to be asked for it would measure that knowledge."""


@dataclass(frozen=True)
class LabelSet:
    """What learners are trained on, and what they are asked about: n documents, L labels.

    `features`: csr float32 (n, v) as uploaded, None where there is text alone; `titles`, `bodies`: (n,), None where
    there is none. `targets`: csr float32 of 0 and 1 (n, L). `label_titles`, `label_bodies`: (L,) or None;
    `label_features`: csr float32 (L, v), over the columns of `features`, or None. `weights`: float64 (n,), 1 where
    documents have none. `candidates`: bool (L,), the labels that a model asked about these documents may predict;
    `barred`: csr (n, L), nonzero where a document may not be given a label, None where there are no such pairs.
    """

    features: Csr | None
    titles: Sequence[str] | None
    bodies: Sequence[str] | None
    targets: Csr
    label_titles: Sequence[str] | None
    label_bodies: Sequence[str] | None
    weights: np.ndarray
    candidates: np.ndarray
    label_features: Csr | None = None
    barred: Csr | None = None

    def __len__(self) -> int:
        return self.targets.shape[0]

    @property
    def labels(self) -> int:
        """L."""
        return self.targets.shape[1]

    @cached_property
    def counts(self) -> np.ndarray:
        """Documents of each label, int64 (L,), whatever their weights."""
        return np.bincount(self.targets.indices, minlength=self.labels)

    def take(self, rows: np.ndarray) -> LabelSet:
        """Some of the documents, by int64 numbers (in their order) or a bool mask (n,)."""
        numbers = np.flatnonzero(rows) if rows.dtype == bool else np.asarray(rows, np.int64)
        return replace(
            self,
            features=None if self.features is None else self.features[numbers],
            titles=_taken(self.titles, numbers),
            bodies=_taken(self.bodies, numbers),
            targets=self.targets[numbers],
            weights=self.weights[numbers],
            barred=None if self.barred is None else self.barred[numbers],
        )


def asked(documents: LabelSet, training_counts: np.ndarray, least: int = LEAST_POINTS) -> LabelSet:
    """Documents as validation: labels with fewer than `least` training points (L,) are neither truth nor candidates,
    and documents that are left without truth are left out."""
    kept = training_counts >= least
    targets = sparse.csr_matrix(documents.targets @ sparse.diags(kept.astype(np.float32)))
    targets.eliminate_zeros()
    filtered = replace(documents, targets=targets, candidates=documents.candidates & kept)
    return filtered.take(np.diff(targets.indptr) > 0)


@dataclass(frozen=True)
class About:
    """What is known of a version beside its arrays. `split`: where the split is from, in words; `drawn`: whether its
    validation documents were drawn from the training documents of the upload; `a`, `b`: the constants of the
    propensities (see `worker.kinds.labels.metrics`)."""

    split: str = "random"
    drawn: bool = True
    a: float = 0.55
    b: float = 1.5

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"split": self.split, "drawn": self.drawn, "a": self.a, "b": self.b}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> About:
        """Back from its JSON."""
        return cls(**stored)


@dataclass(frozen=True)
class LabelledDocuments:
    """A version: n documents, L labels. `ids`: (n,); `split`: int8 (n,), see `PARTS`; `pairs`: int32 (p, 2), the
    documents and labels of barred pairs; `weights`: float32 (n,) in versions made of summaries, else None. The others
    are those of `LabelSet`."""

    ids: Texts
    split: np.ndarray
    targets: Csr
    features: Csr | None = None
    titles: Texts | None = None
    bodies: Texts | None = None
    label_titles: Texts | None = None
    label_bodies: Texts | None = None
    label_features: Csr | None = None
    pairs: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int32))
    weights: np.ndarray | None = None
    about: About = field(default_factory=About)

    def __len__(self) -> int:
        return self.targets.shape[0]

    @property
    def labels(self) -> int:
        """L."""
        return self.targets.shape[1]

    def rows(self, *parts: int) -> np.ndarray:
        """Numbers of the documents of some parts, int64, ascending."""
        return np.flatnonzero(np.isin(self.split, parts))

    @cached_property
    def everything(self) -> LabelSet:
        """All documents, all labels as candidates."""
        weights = np.ones(len(self)) if self.weights is None else self.weights.astype(np.float64)
        barred = None
        if len(self.pairs):
            ones = np.ones(len(self.pairs), np.float32)
            barred = sparse.csr_matrix((ones, (self.pairs[:, 0], self.pairs[:, 1])), self.targets.shape)
        return LabelSet(
            self.features, self.titles, self.bodies, self.targets, self.label_titles, self.label_bodies, weights,
            np.ones(self.labels, bool), self.label_features, barred,
        )  # fmt: skip

    @cached_property
    def train(self) -> LabelSet:
        """The training part, from which summaries are made."""
        return self.everything.take(self.rows(TRAIN))

    @cached_property
    def known_counts(self) -> np.ndarray:
        """Documents of each label (L,) behind the propensities of the test part: those of the training part, and the
        validation documents that were drawn from it, which are training documents to whoever made the upload."""
        parts = (TRAIN, VALIDATION) if self.about.drawn else (TRAIN,)
        return np.bincount(self.targets[self.rows(*parts)].indices, minlength=self.labels)

    @cached_property
    def known_documents(self) -> int:
        """How many documents `known_counts` counts over."""
        return len(self.rows(*((TRAIN, VALIDATION) if self.about.drawn else (TRAIN,))))

    def part(self, part: int) -> LabelSet:
        """The documents of one part; of the validation part as `asked`. Barred pairs are no truth."""
        if part == TRAIN:
            return self.train
        held_out = without_barred(self.everything.take(self.rows(part)))
        return asked(held_out, self.train.counts) if part == VALIDATION else held_out


def without_barred(documents: LabelSet) -> LabelSet:
    """The documents, barred pairs taken out of their truth."""
    if documents.barred is None:
        return documents
    targets = sparse.csr_matrix(documents.targets - documents.targets.multiply(documents.barred))
    targets.eliminate_zeros()
    return replace(documents, targets=targets)


def csr(matrix: Any) -> Csr:
    """A sparse matrix as float32 csr, int32 indices, rows sorted and without duplicates."""
    found = sparse.csr_matrix(matrix, dtype=np.float32)
    found.sum_duplicates()
    found.sort_indices()
    return found


def save(data: LabelledDocuments, folder: Path) -> None:
    """Write the canonical files."""
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Any] = {"id": data.ids.column, "split": pa.array(data.split, pa.int8())}
    for name, texts in (("title", data.titles), ("body", data.bodies)):
        if texts is not None:
            columns[name] = texts.column
    if data.weights is not None:
        columns["weight"] = pa.array(data.weights, pa.float32())
    parquet.write_table(pa.table(columns), folder / DOCUMENTS, compression="zstd")
    write_npz(folder / TARGETS, packed(data.targets) | {"barred": data.pairs.astype(np.int32)})
    features: dict[str, np.ndarray] = {}
    for prefix, matrix in (("document_", data.features), ("label_", data.label_features)):
        if matrix is not None:
            features |= packed(matrix, prefix)
    if features:
        write_npz(folder / FEATURES, features)
    names = {"title": data.label_titles, "body": data.label_bodies}
    if any(texts is not None for texts in names.values()):
        known = {name: texts.column for name, texts in names.items() if texts is not None}
        parquet.write_table(pa.table(known), folder / LABELS, compression="zstd")
    (folder / ABOUT).write_text(json.dumps(data.about.to_json(), indent=1, sort_keys=True) + "\n", "utf-8")


def load(folder: Path) -> LabelledDocuments:
    """Read the canonical files."""
    table = parquet.read_table(folder / DOCUMENTS)
    texts = {name: Texts(table[name]) for name in ("title", "body") if name in table.column_names}
    names: dict[str, Texts] = {}
    if (folder / LABELS).exists():
        named = parquet.read_table(folder / LABELS)
        names = {name: Texts(named[name]) for name in named.column_names}
    features: dict[str, np.ndarray] = {}
    if (folder / FEATURES).exists():
        with np.load(folder / FEATURES) as stored:
            features = dict(stored)
    with np.load(folder / TARGETS) as stored:
        targets, pairs = unpacked(stored), stored["barred"]
    return LabelledDocuments(
        Texts(table["id"]),
        table["split"].to_numpy().astype(np.int8),
        targets,
        unpacked(features, "document_") if "document_shape" in features else None,
        texts.get("title"),
        texts.get("body"),
        names.get("title"),
        names.get("body"),
        unpacked(features, "label_") if "label_shape" in features else None,
        pairs,
        table["weight"].to_numpy().astype(np.float32) if "weight" in table.column_names else None,
        About.from_json(json.loads((folder / ABOUT).read_text(encoding="utf-8"))),
    )


def packed(matrix: Csr, prefix: str = "") -> dict[str, np.ndarray]:
    """A csr matrix as arrays by name; values that are all 1 are left out."""
    arrays = {
        f"{prefix}shape": np.array(matrix.shape, np.int64),
        f"{prefix}indptr": matrix.indptr.astype(np.int64),
        f"{prefix}indices": matrix.indices.astype(np.int32),
    }
    if (matrix.data != 1).any():
        arrays[f"{prefix}data"] = matrix.data.astype(np.float32)
    return arrays


def unpacked(arrays: Mapping[str, np.ndarray], prefix: str = "") -> Csr:
    """Back from `packed`."""
    indices, indptr = arrays[f"{prefix}indices"], arrays[f"{prefix}indptr"]
    data = arrays[f"{prefix}data"] if f"{prefix}data" in arrays else np.ones(len(indices), np.float32)
    shape = tuple(int(size) for size in arrays[f"{prefix}shape"])
    return csr(sparse.csr_matrix((data, indices, indptr), shape))


def _taken(texts: Sequence[str] | None, rows: np.ndarray) -> Sequence[str] | None:
    if texts is None or isinstance(texts, Texts):
        return None if texts is None else texts.take(rows)
    return [texts[int(row)] for row in rows]
