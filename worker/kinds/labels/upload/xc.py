"""Files of the Extreme Classification Repository: one matrix of features and one of labels for each part."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.kinds.labels.dataset import PARTS, TEST, TRAIN, VALIDATION, Csr
from worker.kinds.labels.texts import Texts
from worker.kinds.labels.upload import sparse_text
from worker.kinds.labels.upload.found import NO_PART, Found, bad_line, below, check_labels, part_of_file
from worker.kinds.labels.upload.label_text import pairs_of, read_label_names

_TARGETS = re.compile(r"(^|[._\- ])(x_y|y|labels?|lbl)$")
_NAMED_SO = re.compile(r"(^|[._\- ])x_(xf|y)$")
_NAMES = "trn_X_Xf.txt, trn_X_Y.txt, tst_X_Xf.txt, tst_X_Y.txt and, where labels have features, Yf.txt"


_VALUE = "Write 1 where a document has a label, and nothing, or 0, where it has not."


def is_named_so(name: str) -> bool:
    """Whether a file has a name that only these files have (trn_X_Xf.txt, tst_X_Y.txt)."""
    return bool(_NAMED_SO.search(_stem(name)))


def _stem(name: str) -> str:
    return name.rpartition("/")[2].lower().removesuffix(".txt").removesuffix(".gz").removesuffix(".txt")


def role_of(name: str) -> tuple[int, str]:
    """The part, and `features`, `targets` or `label features`, that the name of a matrix says."""
    stem = _stem(name)
    part = part_of_file(name)
    if part == NO_PART:
        return part, "label features" if re.match(r"(lbl|labels?|y)", stem) else ""
    return part, "targets" if _TARGETS.search(stem) else "features"


def read(matrices: Sequence[Source], names: Source | None, filters: Sequence[Source], meter: Meter) -> Found:
    """Documents of all parts. Raises `JobError` for a matrix without its other half, and shapes that do not fit."""
    by_role: dict[tuple[int, str], Source] = {}
    for source in matrices:
        role = role_of(source.name)
        if not role[1] or role in by_role:
            other = f" like {by_role[role].name}" if role in by_role else ""
            raise JobError(
                "invalid_input",
                f"The name of {source.name}{other} does not say which matrix it is.",
                hint=f"Name the files as the Extreme Classification Repository does: {_NAMES}.",
            )
        by_role[role] = source
    parts = [part for part in (TRAIN, VALIDATION, TEST) if (part, "targets") in by_role]
    lonely = [role for role in by_role if role[1] == "features" and role[0] not in parts]
    if lonely or not parts:
        which = by_role[lonely[0]].name if lonely else "the upload"
        raise JobError(
            "invalid_input",
            f"There is no file with the labels of {which}.",
            hint=f"Upload it, too. The files are {_NAMES}.",
        )
    features, targets = _matrices(by_role, parts, meter)
    sizes = {part: matrix.shape[0] for part, matrix in zip(parts, targets, strict=True)}
    first = dict(zip(parts, np.concatenate([[0], np.cumsum(list(sizes.values()))]).tolist(), strict=False))
    labels = targets[0].shape[1]
    check_labels(labels)
    label_features = _label_features(by_role, labels, features[0].shape[1], meter)
    return Found(
        "files of the Extreme Classification Repository",
        below(targets),
        np.repeat(np.array(parts, np.int8), list(sizes.values())),
        ids=Texts.of([f"{PARTS[part]}-{row}" for part in parts for row in range(sizes[part])]),
        features=below(features),
        label_titles=None if names is None else read_label_names(names, meter, labels),
        label_features=label_features,
        pairs=pairs_of(filters, meter, first, sizes, labels),
    )


def _matrices(
    by_role: Mapping[tuple[int, str], Source], parts: Sequence[int], meter: Meter
) -> tuple[list[Csr], list[Csr]]:
    features: list[Csr] = []
    targets: list[Csr] = []
    for part in parts:
        labelled = by_role[part, "targets"]
        featured = by_role.get((part, "features"))
        if featured is None:
            raise JobError(
                "invalid_input",
                f"There is no file with the features of {labelled.name}.",
                hint=f"Upload it, too. The files are {_NAMES}.",
            )
        x = sparse_text.read(featured, meter, labelled=False).values
        y = sparse_text.read(labelled, meter, labelled=False).values
        if (negative := np.flatnonzero(y.data < 0)).size:
            row = int(np.searchsorted(y.indptr, negative[0], side="right")) - 1
            raise bad_line(labelled.name, row + 2, "has a negative value of a label", _VALUE)
        y.data[:] = 1
        if x.shape[0] != y.shape[0]:
            raise JobError(
                "invalid_input",
                f"{featured.name} has {x.shape[0]:,} documents, but {labelled.name} {y.shape[0]:,}.",
                hint="Upload the two files of the same documents.",
            )
        for matrix, others, source in ((x, features, featured), (y, targets, labelled)):
            if others and matrix.shape[1] != others[0].shape[1]:
                raise JobError(
                    "invalid_input",
                    f"{source.name} has {matrix.shape[1]:,} columns, the training file {others[0].shape[1]:,}.",
                    hint="Number features and labels alike in all files, and say so in their headers.",
                )
            others.append(matrix)
    return features, targets


def _label_features(by_role: Mapping[tuple[int, str], Source], labels: int, width: int, meter: Meter) -> Csr | None:
    source = by_role.get((NO_PART, "label features"))
    if source is None:
        return None
    matrix = sparse_text.read(source, meter, labelled=False).values
    if matrix.shape != (labels, width):
        raise JobError(
            "invalid_input",
            f"{source.name} is {matrix.shape[0]:,} x {matrix.shape[1]:,}, but there are {labels:,} labels and "
            f"{width:,} features.",
            hint="Label features have a row for each label, over the same columns as the documents.",
        )
    return matrix
