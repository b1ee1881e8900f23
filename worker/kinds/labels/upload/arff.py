"""ARFF files of Mulan and MEKA, dense rows and sparse ones ("{0 1,17 0.5}").

Which attributes are labels is said by an XML file of Mulan (`<label name="...">`), or by MEKA's option in the name of
the relation: "@relation 'name: -C 6'" means the first 6 attributes, -C -6 the last 6. A cell of a label counts by what
it says, 1 or true and so on, in whichever order its attribute declares its values.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

import numpy as np
from scipy import sparse

from worker.contract.errors import JobError
from worker.contract.text import storable
from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.kinds.labels.dataset import Csr, csr
from worker.kinds.labels.texts import Texts
from worker.kinds.labels.upload.found import Found, bad_line, below, binary, check_labels, part_of_file
from worker.kinds.labels.upload.label_text import lines_of

_XML_BYTES = 32_000_000
_ATTRIBUTE = re.compile(r"@attribute\s+('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S+)\s+(.+)", re.IGNORECASE)
_MEKA = re.compile(r"-C\s+(-?\d+)")
_CELL = re.compile(r"\s*('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^,]*)\s*(?:,|$)")  # a line is gone through once
_SET = {
    **dict.fromkeys(("1", "true", "yes", "t", "y"), True),
    **dict.fromkeys(("0", "false", "no", "f", "n", "-1", "?", ""), False),
}
_LARGEST = float(np.finfo(np.float32).max)
_NUMERIC = ("numeric", "real", "integer")
_HINT = "Write rows as Weka does: values separated by commas, or {index value, ...} with indices counted from 0."


@dataclass
class _Header:
    """`names`: attributes in order; `words`: of nominal ones, by their number, their values; `text`: numbers of
    string attributes; `relation`: the relation's name; `unknown`: cells that say "?"."""

    relation: str = ""
    names: list[str] = field(default_factory=list[str])
    words: dict[int, dict[str, int]] = field(default_factory=dict[int, dict[str, int]])
    text: list[int] = field(default_factory=list[int])
    unknown: int = 0


def read(sources: Sequence[Source], xml: Source | None, meter: Meter) -> Found:
    """Documents of all files. Raises `JobError` when nothing says which attributes are labels."""
    marked = None if xml is None else label_names(xml, meter)
    files = [_read(source, marked, meter) for source in sources]
    for source, (header, *_) in zip(sources, files, strict=True):
        if header.names != files[0][0].names or header.words != files[0][0].words:
            raise JobError(
                "invalid_input",
                f"{source.name} has other attributes than {sources[0].name}.",
                hint="Upload files of one dataset.",
            )
    header, labels = files[0][0], files[0][1]
    check_labels(len(labels))
    rows = [len(one[4]) for one in files]
    bodies = [text for one in files for text in one[4]]
    return Found(
        "ARFF",
        below([one[2] for one in files]),
        np.repeat(np.array([part_of_file(source.name) for source in sources], np.int8), rows),
        ids=Texts.of([str(row) for row in range(sum(rows))]),
        bodies=Texts.of(bodies) if header.text else None,
        features=below([one[3] for one in files]) if files[0][3].shape[1] else None,
        label_titles=Texts.of([header.names[label] for label in labels]),
        warnings=_doubts(sum(one[0].unknown for one in files)),
    )


def _doubts(unknown: int) -> tuple[str, ...]:
    if not unknown:
        return ()
    return (f'{unknown:,} cells say "?": labels were taken as not there, features as 0.',)


def label_names(source: Source, meter: Meter) -> list[str]:
    """Names of labels in a Mulan XML file; declarations of entities are refused, since they can unfold without end."""
    content = b""
    with source.open(meter) as stream:
        while chunk := stream.read(1 << 20):
            content += chunk
            if len(content) > _XML_BYTES:
                raise JobError("decoded_too_large", f"{source.name} is above {_XML_BYTES:,} bytes.")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content or b"\0" in content:
        raise JobError(
            "unsafe_format",
            f"{source.name} declares entities or a document type; it was not read.",
            hint="Leave only the elements <label name=...> in it.",
        )
    try:
        elements = ElementTree.fromstring(content).iter()  # noqa: S314 - without entities there is nothing to unfold
    except ElementTree.ParseError as broken:
        raise JobError(
            "invalid_input", f"{source.name} is not XML: {broken}.", hint="Upload Mulan's XML file."
        ) from None
    names = [one.get("name", "") for one in elements if one.tag.endswith("label")]
    if not any(names):
        raise JobError("invalid_input", f"{source.name} names no label.", hint='Write <label name="..."/> for each.')
    return names


def _read(source: Source, marked: list[str] | None, meter: Meter) -> tuple[_Header, list[int], Csr, Csr, list[str]]:
    lines = lines_of(source, meter)
    header = _header(lines, source.name)
    labels = _labels(header, marked, source.name)
    is_label = {attribute: place for place, attribute in enumerate(labels)}
    column, width = _columns(header, is_label)
    unwritten = _unwritten(header, is_label)
    indptr, indices, values = array("q", [0]), array("q"), array("d")
    label_indptr, label_indices = array("q", [0]), array("q")
    texts: list[str] = []
    for number, line in lines:
        line = line.strip()
        if not line or line.startswith("%"):
            continue
        said: list[str] = []
        for attribute, cell in _cells(line, header, unwritten, number, source.name):
            header.unknown += cell == "?"
            if attribute in is_label:
                if _is_set(cell, number, source.name):
                    label_indices.append(is_label[attribute])
                continue
            if attribute in header.text:
                said.append(cell)
                continue
            value = _value(cell, header.words.get(attribute), number, source.name)
            if attribute in header.words and len(header.words[attribute]) > 2:
                indices.append(column[attribute] + int(value))
                values.append(1.0)
            elif value:
                indices.append(column[attribute])
                values.append(value)
        indptr.append(len(indices))
        label_indptr.append(len(label_indices))
        texts.append(storable(" ".join(said)))
        meter.rows_read(1, source.name)
    if not texts:
        raise JobError("invalid_input", f"{source.name} has no rows.", hint="Upload a file with rows below @data.")
    shape = (len(texts), width)
    features = csr(sparse.csr_matrix((np.array(values), np.array(indices, np.int64), np.array(indptr)), shape))
    targets = binary(np.array(label_indptr), np.array(label_indices, np.int64), len(labels))
    return header, labels, targets, features, texts


def _header(lines: Iterator[tuple[int, str]], name: str) -> _Header:
    found = _Header()
    for number, line in lines:
        line = line.strip()
        lower = line[:20].lower()
        if lower.startswith("@relation"):
            found.relation = line[9:].strip()
        elif lower.startswith("@attribute"):
            match = _ATTRIBUTE.match(line)
            if match is None:
                raise bad_line(name, number, "is no @attribute with a name and a type", "Write @attribute NAME TYPE.")
            place = len(found.names)
            found.names.append(_unquoted(match[1]))
            kind = match[2].strip()
            if kind.startswith("{"):
                words = [_unquoted(one) for one in _parts(kind.strip("{} ")) if one]
                found.words[place] = {word: at for at, word in enumerate(words)}
            elif kind.lower().startswith("string"):
                found.text.append(place)
            elif not kind.lower().startswith(_NUMERIC):
                raise bad_line(
                    name, number, f"has an attribute of the type {kind[:40]!r}, which is not read",
                    "Leave dates and relational attributes out.",
                )  # fmt: skip
        elif lower.startswith("@data"):
            return found
    raise JobError("invalid_input", f"{name} has no @data.", hint="Upload the whole ARFF file.")


def _labels(header: _Header, marked: list[str] | None, name: str) -> list[int]:
    """Numbers of the attributes that are labels."""
    if marked is not None:
        place = {attribute: at for at, attribute in enumerate(header.names)}
        lacking = [one for one in marked if one not in place]
        if lacking:
            raise JobError(
                "invalid_input",
                f"The label {lacking[0][:60]!r} of the XML file is no attribute of {name}.",
                hint="Upload the XML file that belongs to the ARFF files.",
            )
        return [place[one] for one in marked]
    option = _MEKA.search(header.relation)
    count = int(option[1]) if option else 0
    if not count or abs(count) > len(header.names):
        raise JobError(
            "invalid_input",
            f"Nothing says which attributes of {name} are labels.",
            hint="Upload Mulan's XML file with it, or name the relation as MEKA does: @relation 'name: -C 6'.",
        )
    return list(range(count)) if count > 0 else list(range(len(header.names) + count, len(header.names)))


def _columns(header: _Header, is_label: dict[int, int]) -> tuple[dict[int, int], int]:
    """The first column of every attribute that is a feature, and how many columns there are. A nominal attribute of
    more than two values has a column for each of them."""
    column: dict[int, int] = {}
    width = 0
    for attribute in range(len(header.names)):
        if attribute in is_label or attribute in header.text:
            continue
        column[attribute] = width
        words = header.words.get(attribute)
        width += len(words) if words is not None and len(words) > 2 else 1
    return column, width


def _unwritten(header: _Header, is_label: dict[int, int]) -> dict[int, str]:
    """What attributes are that a sparse row does not write, where that is not 0: a nominal one's first value."""
    first = {attribute: next(iter(words), "") for attribute, words in header.words.items()}
    return {
        attribute: word
        for attribute, word in first.items()
        if (_SET.get(word.lower(), True) if attribute in is_label else len(header.words[attribute]) > 2)
    }


def _cells(line: str, header: _Header, unwritten: dict[int, str], number: int, name: str) -> Iterator[tuple[int, str]]:
    """Attribute and cell; of a sparse row those that are written, and `unwritten` ones."""
    if not line.startswith("{"):
        cells = _parts(line)
        cells = cells[: len(header.names)] if len(cells) == len(header.names) + 1 and not cells[-1] else cells
        if len(cells) != len(header.names):
            raise bad_line(name, number, f"has {len(cells):,} values for {len(header.names):,} attributes", _HINT)
        yield from ((at, _unquoted(cell)) for at, cell in enumerate(cells))
        return
    written: set[int] = set()
    for part in _parts(line.strip("{} ")):
        index, _, cell = part.partition(" ")
        if not index:
            continue
        if not index.isdigit() or int(index) >= len(header.names) or not cell or int(index) in written:
            raise bad_line(name, number, f"has {part[:40]!r}, which is no attribute with a value", _HINT)
        written.add(int(index))
        yield int(index), _unquoted(cell.strip())
    yield from ((attribute, word) for attribute, word in unwritten.items() if attribute not in written)


def _parts(line: str) -> list[str]:
    """What stands between commas, quoted or not."""
    return [match[1].strip() for match in _CELL.finditer(line)]


def _is_set(cell: str, number: int, name: str) -> bool:
    """Whether a document has a label, by what its cell says."""
    found = _SET.get(cell.lower())
    if found is None:
        try:
            found = {0.0: False, 1.0: True}.get(float(cell))
        except ValueError:
            found = None
    if found is None:
        raise bad_line(
            name, number, f"has the value {cell[:40]!r} of a label, which is neither yes nor no",
            "Write 1 where a document has a label and 0 where not; labels of more values: one attribute for each.",
        )  # fmt: skip
    return found


def _value(cell: str, words: dict[str, int] | None, number: int, name: str) -> float:
    if cell in ("?", ""):
        return 0.0
    if words is not None and cell in words:
        return float(words[cell])
    try:
        value = float(cell)
    except ValueError:
        value = np.nan
    if not abs(value) < _LARGEST or (words is not None and value):
        raise bad_line(name, number, f"has the value {cell[:40]!r}, which its attribute does not take", _HINT)
    return value


def _unquoted(cell: str) -> str:
    if len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", cell[1:-1])
    return cell
