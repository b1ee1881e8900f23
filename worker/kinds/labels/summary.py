"""A summary of documents with labels: a few documents, real or made, with weights, in memory and as files.

What is read back is, bit for bit, what was measured:

    documents.parquet, targets.npz, features.npz, labels.parquet, labels.json
                      the documents as canonical files of this kind, their titles and bodies among them
    trn_X_Xf.txt, trn_X_Y.txt
                      features and labels in the form of the Extreme Classification Repository, where there are features
    trn.json          text and labels in its raw form, an object a line, where there is text
    row_index.npy     of real documents: their numbers among all documents of the version, int64
    weights.npy       what each document counts, float32
    load.py           a loader that needs numpy, scipy and pyarrow
    summary.json      where it comes from
    dataset/          the same as canonical files of a dataset version, all for training
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin, Product
from worker.kinds.labels import dataset
from worker.kinds.labels.dataset import TRAIN, Csr, LabelledDocuments, LabelSet, csr
from worker.kinds.labels.delivered_text import lines, matrix_lines
from worker.kinds.labels.leaks import held_out_documents, nearly_held_out
from worker.kinds.labels.texts import Texts

FORMAT, VERSION = "distillery-labels", 1

LOADER = '''"""Load this summary: `labels` (csr, documents x labels), `weights`, `titles` and `bodies` (lists or None),
`features` (csr, documents x features) or None."""
import pathlib
import numpy as np, pyarrow.parquet as pq
from scipy.sparse import csr_matrix

here = pathlib.Path(__file__).resolve().parent


def _matrix(name, prefix=""):
    if not (here / name).exists():
        return None
    with np.load(here / name) as f:
        if prefix + "shape" not in f:
            return None
        indices = f[prefix + "indices"]
        data = f[prefix + "data"] if prefix + "data" in f else np.ones(len(indices), "f4")
        return csr_matrix((data, indices, f[prefix + "indptr"]), tuple(f[prefix + "shape"]))


_table = pq.read_table(here / "documents.parquet")
titles = _table["title"].to_pylist() if "title" in _table.column_names else None
bodies = _table["body"].to_pylist() if "body" in _table.column_names else None
labels, features, weights = _matrix("targets.npz"), _matrix("features.npz", "document_"), np.load(here / "weights.npy")
'''


@dataclass(frozen=True)
class LabelsSummary(Product):
    """What a method makes of documents: `version`, s documents, all for training, their weights float32 (s,) among
    them; `rows`: int64 (s,), the numbers of the real documents they are, None where documents were made."""

    type: ClassVar[str] = "documents"

    version: LabelledDocuments
    rows: np.ndarray | None = None
    origin: Origin = field(default_factory=Origin)
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.version)

    @property
    def documents(self) -> LabelSet:
        """What learners are trained on."""
        return self.version.everything

    def write(self, folder: Path, data: LabelledDocuments) -> None:
        """Write the delivered files."""
        dataset.save(self.version, folder)
        documents = self.documents
        if documents.titles is not None or documents.bodies is not None:
            with (folder / "trn.json").open("wb") as out:
                out.writelines(lines(replace(documents, features=None)))
        if documents.features is not None:
            _write_lines(folder / "trn_X_Xf.txt", matrix_lines(documents.features))
            _write_lines(folder / "trn_X_Y.txt", matrix_lines(documents.targets))
        if self.rows is not None:
            np.save(folder / "row_index.npy", self.rows, allow_pickle=False)
        np.save(folder / "weights.npy", documents.weights.astype(np.float32), allow_pickle=False)
        (folder / "load.py").write_text(LOADER, encoding="utf-8")
        about = {
            "format": FORMAT,
            "version": VERSION,
            "documents": len(self),
            "labels": documents.labels,
            "real_documents": self.rows is not None,
            "origin": self.origin.to_json(),
            "warnings": list(self.warnings),
        }
        text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        dataset.save(self.version, folder / "dataset")

    @classmethod
    def read(cls, folder: Path) -> LabelsSummary:
        """The summary back from its files. Raises `ValueError` for files that are not such a bundle."""
        about = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if about.get("format") != FORMAT or about.get("version") != VERSION:
            raise ValueError(f"{folder} is not a bundle of this kind and version")
        rows = np.load(folder / "row_index.npy", allow_pickle=False) if about["real_documents"] else None
        return cls(dataset.load(folder), rows, Origin.from_json(about["origin"]), tuple(about["warnings"]))

    def judge(self, data: LabelledDocuments, params: Any, ctx: Context) -> Any:
        """Measure it beside the full data and cheap picks; see `worker.kinds.labels.judge`."""
        from worker.kinds.labels.judge import judge  # learners are slow to import, and reading a summary needs none

        return judge(data, [self], params, ctx)


def of_rows(
    data: LabelledDocuments, rows: np.ndarray, origin: Origin, weights: np.ndarray | None = None
) -> LabelsSummary:
    """Real documents, by their numbers in the version (s,); `weights` (s,): what each counts, None for what it counts
    in the version."""
    version = _subset(data, rows)
    if weights is not None:
        version = replace(version, weights=weights.astype(np.float32))
    return LabelsSummary(version, rows.astype(np.int64), origin)


def _subset(data: LabelledDocuments, rows: np.ndarray) -> LabelledDocuments:
    return replace(
        data,
        ids=data.ids.take(rows),
        split=np.full(len(rows), TRAIN, np.int8),
        targets=data.targets[rows],
        features=None if data.features is None else data.features[rows],
        titles=None if data.titles is None else data.titles.take(rows),
        bodies=None if data.bodies is None else data.bodies.take(rows),
        pairs=np.empty((0, 2), np.int32),
        weights=None if data.weights is None else data.weights[rows],
    )


def adopt(data: LabelledDocuments, other: LabelledDocuments) -> LabelsSummary:
    """A dataset version as a summary of `data`: all its documents, labels matched by number or by name.

    Documents that say what a validation or test document of `data` says are left out with a warning, since who was
    trained on the answers keeps more than the truth. Raises `JobError` `invalid_input` where its features or labels are
    not those of `data`, it has no text where `data` has, or all of its documents are held out.
    """
    _check_form(data, other)
    targets = _matched(data, other)
    has = np.diff(targets.indptr) > 0
    version = replace(
        other, targets=targets, label_titles=data.label_titles, label_bodies=data.label_bodies,
        label_features=data.label_features, about=data.about, pairs=np.empty((0, 2), np.int32),
        split=np.full(len(other), TRAIN, np.int8), titles=None if data.titles is None else other.titles,
        bodies=None if data.bodies is None else other.bodies,
        features=None if data.features is None else other.features,
    )  # fmt: skip
    held_out = held_out_documents(data, version.everything)
    nearly = nearly_held_out(data, version.everything) & ~held_out
    kept = np.flatnonzero(has & ~held_out & ~nearly)
    if not len(kept):
        raise _unfit("holds nothing but validation and test documents of the dataset", "Make it of training documents.")
    said: tuple[str, ...] = ()
    if held_out.any():
        said += (
            f"{int(held_out.sum()):,} documents of the subset are validation or test documents of the dataset; they "
            "were left out, since nothing may be trained on what it is asked.",
        )
    if nearly.any():
        said += (
            f"{int(nearly.sum()):,} documents of the subset nearly equal validation or test documents of the dataset, "
            "and no training document so much; they were left out, since they give the answers.",
        )
    return LabelsSummary(_subset(version, kept), origin=Origin("uploaded subset"), warnings=said)


def _check_form(data: LabelledDocuments, other: LabelledDocuments) -> None:
    if data.features is not None and (other.features is None or other.features.shape[1] != data.features.shape[1]):
        found = "none" if other.features is None else f"{other.features.shape[1]:,}"
        raise _unfit(f"has {found} of the {data.features.shape[1]:,} features", "Number features as the dataset does.")
    for what, known, given in (("titles", data.titles, other.titles), ("bodies", data.bodies, other.bodies)):
        if known is not None and given is None:
            raise _unfit(f"has no {what}", "Upload a subset with all text that the dataset has.")


def _matched(data: LabelledDocuments, other: LabelledDocuments) -> Csr:
    """The targets of `other` over the labels of `data`."""
    ours, theirs = data.label_titles, other.label_titles
    if ours is not None and theirs is not None and list(ours) != list(theirs):
        place = {name: at for at, name in enumerate(ours)}
        names = list(theirs)
        lacking = [name for name in names if name not in place]
        if lacking or len(place) < len(ours):
            why = (
                f"has the label {lacking[0][:60]!r}, which is none of the dataset's" if lacking else "has other labels"
            )
            raise _unfit(why, "Write the labels as the dataset does, or upload text of all its labels in their order.")
        columns = np.array([place[name] for name in names], np.int64)
        coo = other.targets.tocoo()
        return csr(sparse.csr_matrix((coo.data, (coo.row, columns[coo.col])), (len(other), data.labels)))
    if other.labels != data.labels:
        raise _unfit(
            f"has {other.labels:,} labels, the dataset {data.labels:,}",
            "Number labels as the dataset does, and say how many there are in the header.",
        )
    return other.targets


def _unfit(what: str, hint: str) -> JobError:
    return JobError("invalid_input", f"The subset {what}.", hint=hint, pointer="/inputs/summary")


def _write_lines(file: Path, text: Iterable[str]) -> None:
    with file.open("w", encoding="ascii") as out:
        out.writelines(text)


def made(data: LabelledDocuments, documents: LabelledDocuments, origin: Origin) -> LabelsSummary:
    """Documents that were made of those of `data`, over its labels and features."""
    return LabelsSummary(
        replace(
            documents, label_titles=data.label_titles, label_bodies=data.label_bodies,
            label_features=data.label_features, about=data.about,
        ),
        None,
        origin,
    )  # fmt: skip


def ids_of_made(count: int) -> Texts:
    """Names of made documents."""
    return Texts.of([f"made-{number}" for number in range(count)])
