"""Files beside the documents: text of labels, and pairs that count neither as truth nor as prediction."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence

import numpy as np

from worker.contract.errors import JobError
from worker.contract.text import storable
from worker.ingest.limits import Meter
from worker.ingest.native import Lines
from worker.ingest.sources import Source
from worker.kinds.labels.dataset import TEST
from worker.kinds.labels.texts import Texts
from worker.kinds.labels.upload.found import NO_PART, bad_line, part_of_file

_LABEL_NAME = re.compile(r"^(lbl|labels?|y|tags?|classes)([._\- ].*)?\.(txt|tsv|map)$")
_FILTER_NAME = re.compile(r"filter")


def is_label_names(name: str) -> bool:
    """Whether a plain text file of this name lists labels, one a line (labels.txt, Y.txt, label_names.txt)."""
    return bool(_LABEL_NAME.match(name.rpartition("/")[2].lower()))


def is_filter(name: str) -> bool:
    """Whether a file of this name lists pairs that are left out (filter_labels_test.txt)."""
    return bool(_FILTER_NAME.search(name.rpartition("/")[2].lower()))


def lines_of(source: Source, meter: Meter) -> Iterator[tuple[int, str]]:
    """Lines of UTF-8 text with their numbers from 1."""
    number = 0
    with source.open(meter) as stream:
        whole = Lines(stream, source.name)
        while block := whole.read(1 << 20):
            meter.tick()
            lines = block.removeprefix(b"\xef\xbb\xbf").split(b"\n")
            for line in lines[:-1] if not lines[-1] else lines:
                number += 1
                try:
                    yield number, storable(line.decode("utf-8").removesuffix("\r"))
                except UnicodeDecodeError:
                    raise bad_line(source.name, number, "is not UTF-8", "Save the file as UTF-8.") from None


def read_label_names(source: Source, meter: Meter, labels: int) -> Texts:
    """The text of every label, in the order of their numbers."""
    names = [line.strip() for _, line in lines_of(source, meter)]
    check_count(len(names), labels, source.name)
    meter.cell_length(max(map(len, names), default=0), source.name)
    return Texts.of(names)


def check_count(found: int, labels: int, name: str) -> None:
    """Refuse texts of another number of labels than the documents have."""
    if found != labels:
        raise JobError(
            "invalid_input",
            f"{name} holds the text of {found:,} labels, but the documents have {labels:,}.",
            hint="Give one line for each label, in the order of their numbers, or leave the file out.",
        )


def read_pairs(source: Source, meter: Meter, documents: int, labels: int) -> np.ndarray:
    """Pairs "document label" of one part's files, numbers from 0: int64 (p, 2)."""
    found = array("q")  # plain numbers: pairs are many
    for number, line in lines_of(source, meter):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or not all(word.isascii() and word.isdigit() and len(word) < 12 for word in words):
            raise bad_line(source.name, number, "is not a pair of document and label", 'Write lines such as "12 345".')
        document, label = int(words[0]), int(words[1])
        if document >= documents or label >= labels:
            raise bad_line(
                source.name, number, f"names document {document:,} and label {label:,}; there are {documents:,} and "
                f"{labels:,}, counted from 0", "Upload the pairs that belong to these documents.",
            )  # fmt: skip
        found.extend((document, label))
        meter.rows_read(1, source.name)
    return np.array(found, np.int64).reshape(-1, 2)


def pairs_of(
    sources: Sequence[Source], meter: Meter, first: dict[int, int], sizes: dict[int, int], labels: int
) -> np.ndarray:
    """Pairs of all such files, documents renumbered: the document i of a part is `first[part]` + i. A file whose name
    says no part is one of the test part."""
    found: list[np.ndarray] = [np.empty((0, 2), np.int64)]
    for source in sources:
        part = part_of_file(source.name)
        part = TEST if part == NO_PART else part
        if part not in first:
            raise JobError("invalid_input", f"{source.name} belongs to a part of which there is no document.")
        pairs = read_pairs(source, meter, sizes[part], labels)
        pairs[:, 0] += first[part]
        found.append(pairs)
    return np.concatenate(found)
