"""What a form of upload reads into: documents of all files, one below the other, before anything is left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.labels.dataset import TEST, TRAIN, VALIDATION, Csr, csr
from worker.kinds.labels.texts import Texts

NO_PART = -1
MOST_LABELS = 10_000_000
_WORDS = {
    "train": TRAIN, "trn": TRAIN, "training": TRAIN, "tr": TRAIN,
    "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION, "vld": VALIDATION,
    "test": TEST, "tst": TEST, "testing": TEST,
}  # fmt: skip


@dataclass
class Found:
    """n documents of L labels.

    `form`: what the files were taken for, in words. `part`: int8 (n,), `NO_PART` where nothing says it. `weights`:
    float32 (n,), what documents count, None for 1. `pairs`: int64 (p, 2), document and label that may not be together.
    `files`: what was read; `ignored`: {file, why}; `warnings`: what was taken in a way that may be wrong. The others
    are those of `LabelledDocuments`.
    """

    form: str
    targets: Csr
    part: np.ndarray
    ids: Texts | None = None
    titles: Texts | None = None
    bodies: Texts | None = None
    features: Csr | None = None
    label_titles: Texts | None = None
    label_bodies: Texts | None = None
    label_features: Csr | None = None
    weights: np.ndarray | None = None
    pairs: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    files: tuple[str, ...] = ()
    ignored: tuple[dict[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.targets.shape[0]

    def keep(self, rows: np.ndarray) -> Found:
        """Only these documents (bool (n,)), pairs renumbered with them."""
        number = np.cumsum(rows) - 1
        pairs = self.pairs[rows[self.pairs[:, 0]]] if len(self.pairs) else self.pairs
        pairs = np.column_stack([number[pairs[:, 0]], pairs[:, 1]]) if len(pairs) else pairs
        return replace(
            self,
            targets=self.targets[rows],
            part=self.part[rows],
            ids=None if self.ids is None else self.ids.take(rows),
            titles=None if self.titles is None else self.titles.take(rows),
            bodies=None if self.bodies is None else self.bodies.take(rows),
            features=None if self.features is None else self.features[rows],
            weights=None if self.weights is None else self.weights[rows],
            pairs=pairs,
        )


def part_of_file(name: str) -> int:
    """The part that a file's name says it is (trn_X_Y.txt, eurlex-test.arff), `NO_PART` where it says none."""
    words = re.split(r"[^a-z]+", name.rpartition("/")[2].lower())
    found = {_WORDS[word] for word in words if word in _WORDS}
    return found.pop() if len(found) == 1 else NO_PART


def binary(indptr: np.ndarray, indices: np.ndarray, labels: int) -> Csr:
    """Which document has which label, as csr of ones (n, L)."""
    found = csr(sparse.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), (len(indptr) - 1, labels)))
    found.data[:] = 1
    return found


def below(matrices: Sequence[Csr], columns: int | None = None) -> Csr:
    """Sparse matrices one below the other; with `columns`, each as wide as that."""
    for matrix in matrices if columns is not None else ():
        matrix.resize(matrix.shape[0], columns)
    return csr(sparse.vstack(matrices, format="csr"))


def check_labels(count: int) -> None:
    """Refuse more labels than are served."""
    if count > MOST_LABELS:
        raise JobError(
            "decoded_too_large",
            f"The upload has {count:,} labels; the limit is {MOST_LABELS:,}.",
            hint="Leave out labels of few documents.",
        )


def bad_line(name: str, line: int, what: str, hint: str) -> JobError:
    """The refusal of a line, counted from 1."""
    return JobError("invalid_input", f"Line {line:,} of {name} {what}.", hint=hint)
