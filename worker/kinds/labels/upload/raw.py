"""Raw text of the Extreme Classification Repository: trn.json, tst.json and lbl.json, an object a line.

A document has `uid`, `title`, `content` and `target_ind`, the numbers of its labels; `target_rel` says how relevant
each is, of which 0 means not at all, and `weight`, as summaries have it, how much the document counts. A label has
`uid`, `title` and `content`, and its number is that of its line.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from worker.contract.errors import JobError
from worker.contract.text import storable
from worker.ingest.json_list import ObjectLines
from worker.ingest.limits import Meter
from worker.ingest.native import Lines
from worker.ingest.sources import Source
from worker.kinds.labels.texts import Texts
from worker.kinds.labels.upload.found import Found, bad_line, binary, check_labels, part_of_file
from worker.kinds.labels.upload.label_text import check_count, pairs_of, read_label_names

_HINT = 'Write one object a line, as in {"uid": "7", "title": "...", "content": "...", "target_ind": [3, 17]}.'
_RELEVANCE = "Write 1 for a label that counts and 0 for one that does not, or leave target_rel out."


def objects(source: Source, meter: Meter, *, listed: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with the numbers of their lines; of one that is `listed`, a list of objects, in it."""
    number = 0
    with source.open(meter) as stream:
        whole = ObjectLines(stream, source.name) if listed else Lines(stream, source.name)
        while block := whole.read(1 << 20):
            meter.tick()
            for line in block.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
                number += 1
                if not line.strip():
                    continue
                try:
                    record = json.loads(line.decode())
                except UnicodeDecodeError:
                    raise bad_line(source.name, number, "is not UTF-8", "Save the file as UTF-8.") from None
                except (ValueError, RecursionError):
                    record = None
                if not isinstance(record, dict):
                    raise bad_line(source.name, number, "is not a JSON object", _HINT)
                meter.rows_read(1, source.name)
                yield number, record
            number -= block.endswith(b"\n")


def read(
    documents: Sequence[Source], labels: Source | None, names: Source | None, filters: Sequence[Source], meter: Meter
) -> Found:
    """Documents of all files, and the text of labels; without it, as many labels as the highest number says."""
    ids: list[str] = []
    titles: list[str] = []
    bodies: list[str] = []
    weights: list[float] = []
    parts: list[np.ndarray] = []
    counts, flat = array("q", [0]), array("q")  # plain numbers: labels of documents are many
    first: dict[int, int] = {}
    sizes: dict[int, int] = {}
    label_titles, label_bodies = _labels(labels, meter)
    for source in documents:
        part, start = part_of_file(source.name), len(ids)
        for number, record in objects(source, meter):
            own = _targets(record, source.name, number)
            flat.extend(own)
            counts.append(len(own))
            if label_titles is not None and max(own, default=-1) >= len(label_titles):
                raise bad_line(
                    source.name, number, f"names the label {max(own):,}, but {labels.name if labels else 'it'} has "
                    f"{len(label_titles):,}", "Number labels by the lines of the label file, counted from 0.",
                )  # fmt: skip
            ids.append(str(record.get("uid", len(ids)))[:200])
            titles.append(_text(record, "title", source.name, number, meter))
            bodies.append(_text(record, "content", source.name, number, meter))
            weights.append(_weight(record, source.name, number))
        parts.append(np.full(len(ids) - start, part, np.int8))
        first.setdefault(part, start)
        sizes[part] = len(ids) - first[part]
    count = len(label_titles) if label_titles is not None else max(flat, default=-1) + 1
    check_labels(count)
    if names is not None and label_titles is None:
        label_titles = read_label_names(names, meter, count)
    return Found(
        "raw text of the Extreme Classification Repository",
        binary(np.cumsum(counts), np.array(flat, np.int64), count),
        np.concatenate(parts),
        ids=Texts.of([storable(one) for one in ids]),
        titles=Texts.of(titles) if any(titles) else None,
        bodies=Texts.of(bodies) if any(bodies) else None,
        label_titles=label_titles,
        label_bodies=label_bodies,
        weights=None if all(one == 1 for one in weights) else np.array(weights, np.float32),
        pairs=pairs_of(filters, meter, first, sizes, count),
    )


def _targets(record: dict[str, Any], name: str, line: int) -> list[int]:
    own: Any = record.get("target_ind", [])
    relevance: Any = record.get("target_rel")
    if not isinstance(own, list) or not all(type(one) is int and 0 <= one < 2**31 - 1 for one in own):
        raise bad_line(name, line, "has no list of label numbers in target_ind", _HINT)
    if relevance is None:
        return own
    if not isinstance(relevance, list) or len(relevance) != len(own):
        raise bad_line(name, line, "has another number of relevances (target_rel) than labels", _HINT)
    if not all(isinstance(one, int | float) and 0 <= one < math.inf for one in relevance):
        raise bad_line(name, line, "has a relevance (target_rel) that is no number of 0 or more", _RELEVANCE)
    return [label for label, worth in zip(own, relevance, strict=True) if worth]


def _weight(record: dict[str, Any], name: str, line: int) -> float:
    weight: Any = record.get("weight", 1.0)
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 < weight < 1e9:
        raise bad_line(name, line, "has a weight that is no positive number", "Write a number, or leave it out for 1.")
    return float(weight)


def _text(record: dict[str, Any], key: str, name: str, line: int, meter: Meter) -> str:
    value = record.get(key)
    value = "" if value is None else value
    if not isinstance(value, str):
        raise bad_line(name, line, f"has something other than text in {key}", _HINT)
    meter.cell_length(len(value), f"line {line:,} of {name}")
    return storable(value)


def _labels(source: Source | None, meter: Meter) -> tuple[Texts | None, Texts | None]:
    if source is None:
        return None, None
    titles: list[str] = []
    bodies: list[str] = []
    for number, record in objects(source, meter):
        titles.append(_text(record, "title", source.name, number, meter))
        bodies.append(_text(record, "content", source.name, number, meter))
    if not titles:
        raise JobError(
            "invalid_input", f"{source.name} holds no label.", hint="Upload the label file, or leave it out."
        )
    check_count(len(bodies), len(titles), source.name)
    return Texts.of(titles), Texts.of(bodies) if any(bodies) else None
