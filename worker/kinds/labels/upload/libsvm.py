"""Rows that begin with their labels, with a header "documents features labels" or without: "3,17 5:0.25 9:1"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.kinds.labels.texts import Texts
from worker.kinds.labels.upload import sparse_text
from worker.kinds.labels.upload.found import Found, below, check_labels, part_of_file
from worker.kinds.labels.upload.label_text import pairs_of, read_label_names


def read(sources: Sequence[Source], names: Source | None, filters: Sequence[Source], meter: Meter) -> Found:
    """Documents of all files; features and labels are as many as the widest of them has."""
    rows = [sparse_text.read(source, meter, labelled=True) for source in sources]
    parts = [part_of_file(source.name) for source in sources]
    features = [one.values for one in rows]
    targets = [one.labels for one in rows if one.labels is not None]
    labels = max(matrix.shape[1] for matrix in targets)
    check_labels(labels)
    starts = np.concatenate([[0], np.cumsum([len_of(one) for one in features])])
    first: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for part, start, end in zip(parts, starts[:-1], starts[1:], strict=True):
        first.setdefault(part, int(start))
        sizes[part] = int(end) - first[part]
    return Found(
        "rows of labels and features (libsvm)",
        below(targets, labels),
        np.repeat(np.array(parts, np.int8), [len_of(one) for one in features]),
        ids=Texts.of([str(row) for row in range(int(starts[-1]))]),
        features=below(features, max(matrix.shape[1] for matrix in features)),
        label_titles=None if names is None else read_label_names(names, meter, labels),
        pairs=pairs_of(filters, meter, first, sizes, labels),
    )


def len_of(matrix: sparse_text.Csr) -> int:
    """Rows of a sparse matrix."""
    return int(matrix.shape[0])
