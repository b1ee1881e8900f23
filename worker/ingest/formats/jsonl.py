"""JSON lines: one object a line, as in Amazon's review files, or one list of objects. A key inside an object is the
column `outer.inner`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.json

from worker.contract.errors import JobError
from worker.ingest import native
from worker.ingest.arrow import Arrow
from worker.ingest.columns import NUMERIC, Column, Wanted, holds_lists
from worker.ingest.format import Detected, Format
from worker.ingest.json_list import ObjectLines
from worker.ingest.limits import Meter
from worker.ingest.sample import Sample
from worker.ingest.table_shape import type_of
from worker.ingest.typed import LEVELS, Path, at

_SEARCHED, _SAMPLED = 500_000, 200
_INT64 = 1 << 63


def recognise(sample: Sample) -> bool:
    """Whether the file begins as an object or a list does."""
    return sample.first in {"{", "["}


def describe(sample: Sample, meter: Meter) -> Detected:
    """The keys of the first objects, in order of appearance, with the type of their values; `layout["paths"]`: the keys
    that lead to each column.
    """
    name = sample.source.name
    if sample.encoding != "utf-8":
        raise JobError("invalid_input", f"{name} is JSON but not in UTF-8.", hint="Save it as UTF-8.")
    is_list = sample.first == "["
    values: dict[Path, list[Any]] = {}
    for number, line in enumerate(_of_list(sample) if is_list else sample.lines, 1):
        for path, value in _leaves(_record(name, number, line)):
            values.setdefault(path, []).append(value)
    columns = [_column(".".join(path), place, seen) for place, (path, seen) in enumerate(values.items())]
    return Detected(sample.source, JSONL, columns, sample.encoding, layout={"paths": list(values), "list": is_list})


def _of_list(sample: Sample) -> list[str]:
    lines = ObjectLines(io.BytesIO(sample.head), sample.source.name, partial=not sample.whole).read()
    return lines.decode().split("\n")[:-1][:_SAMPLED]  # each ends with its line


def _leaves(record: dict[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, value in record.items():
        path = (*above, key)
        if isinstance(value, dict) and value and len(path) < LEVELS:
            yield from _leaves(value, path)
        else:
            yield path, value


def _record(name: str, number: int, line: str) -> dict[str, Any]:
    hint = "Write one JSON object a line, as `df.to_json(path, orient='records', lines=True)` does."
    try:
        record = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError) as invalid:
        raise JobError(
            "invalid_input", f"Line {number} of {name} is not a JSON object: {invalid}.", hint=hint
        ) from None
    if not isinstance(record, dict):
        raise JobError("invalid_input", f"Line {number} of {name} is JSON but not an object.", hint=hint)
    return record


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
        raise ValueError(f"it has the key {twice!r} twice")
    return found


def _column(key: str, place: int, seen: list[Any]) -> Column:
    present = [value for value in seen if value is not None]
    if any(isinstance(value, list | dict) for value in present):
        kind = "nested"
    elif present and all(isinstance(value, bool) for value in present):
        kind = "boolean"
    elif present and all(isinstance(value, int | float) for value in present):
        kind = "integer" if all(isinstance(value, int) for value in present) else "number"
    else:
        kind = "datetime" if type_of([str(value) for value in present]) == "datetime" else "text"
    return Column(key, place, kind, [str(value)[:80] for value in present[:20]])


def read(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    """Numbers as float64 or int64, all else as text; a key that is absent from an object is null there."""
    paths, types, schema = wanted_schema(detected, wanted)
    before = meter.packed_done
    try:
        with native.native(detected.source, meter, as_lines=ObjectLines if detected.layout["list"] else None) as file:
            reader = pyarrow.json.open_json(
                file,
                read_options=pyarrow.json.ReadOptions(block_size=native.BLOCK_BYTES),
                parse_options=pyarrow.json.ParseOptions(
                    explicit_schema=schema, unexpected_field_behavior="ignore", newlines_in_values=False
                ),
            )
            for batch in reader:
                native.advance(meter, detected.source, before, file)
                yield pa.RecordBatch.from_arrays(
                    [at(batch, path) for path in paths], names=[one.name for one in wanted]
                )
    except (pa.ArrowInvalid, UnicodeDecodeError) as invalid:
        raise _explained(detected, dict(zip(paths, types, strict=True)), meter, str(invalid)) from invalid


def wanted_schema(detected: Detected, wanted: Sequence[Wanted]) -> tuple[list[Path], list[Arrow], Arrow]:
    """The keys that lead to each wanted column, its type, and the schema of objects that have all of them."""
    paths: list[Path] = [detected.layout["paths"][one.column.index] for one in wanted]
    types = [_type(one, detected.source.name) for one in wanted]
    return paths, types, _schema(dict(zip(paths, types, strict=True)))


def _schema(types: Mapping[Path, Arrow]) -> Arrow:
    """The schema of objects in which these paths lead to these types."""
    tops: dict[str, dict[Path, Arrow]] = {}
    for path, kind in types.items():
        tops.setdefault(path[0], {})[path[1:]] = kind
    return pa.schema(
        [(key, inner[()] if () in inner else pa.struct(list(_schema(inner)))) for key, inner in tops.items()]
    )


def _type(wanted: Wanted, where: str) -> Arrow:
    column = wanted.column
    if wanted.content == "vector":
        return pa.list_(pa.float32())
    if column.type == "nested":
        raise holds_lists(column, wanted.name, where)
    if column.type == "boolean" and wanted.content != "text":
        return pa.bool_()
    if wanted.content == "text" or column.type not in {"integer", "number"}:
        return pa.string()
    if wanted.content in NUMERIC or column.type == "number":
        return pa.float64()
    whole = (
        example for example in column.examples if example.lstrip("-").isdecimal()
    )  # true and false may be among them
    large = any(not -_INT64 <= int(example) < _INT64 for example in whole)
    return pa.decimal128(38, 0) if large else pa.int64()


def _explained(detected: Detected, types: Mapping[Path, Arrow], meter: Meter, said: str) -> JobError:
    """Look line by line for the object that cannot be read as the first ones were."""
    name, number = detected.source.name, 0
    if "straddling" in said:
        return native.too_long(name)
    try:
        for number, line in enumerate(islice(_lines(detected, meter), _SEARCHED), 1):
            if not line.strip():
                continue
            record = _record(name, number, line.decode("utf-8-sig"))
            if _has_halves(record):
                return JobError(
                    "invalid_input",
                    f"Line {number:,} of {name} holds half of a character (a lone surrogate, as in \\ud800).",
                    hint="Write text with `json.dumps(..., ensure_ascii=False)` in UTF-8, which refuses such text.",
                )
            for path, kind in types.items():
                wrong = _mismatch(kind, _value(record, path))
                if wrong:
                    return JobError(
                        "invalid_input",
                        f"Line {number:,} of {name}: {'.'.join(path)!r} {wrong}.",
                        hint="Write one type of value in all lines, or map another column.",
                    )
    except JobError as located:
        return located
    except UnicodeDecodeError:
        return JobError("invalid_input", f"Line {number:,} of {name} is not UTF-8.", hint="Save it as UTF-8.")
    return JobError(
        "invalid_input",
        f"{name} cannot be read as JSON lines: {said[:200]}.",
        hint="Write one JSON object a line, with one type of value for each key.",
    )


def _lines(detected: Detected, meter: Meter) -> Iterator[bytes]:
    with detected.source.open(Meter(meter.limits)) as stream:
        if detected.layout["list"]:
            lines = ObjectLines(stream, detected.source.name)
            while block := lines.read():
                yield from block.splitlines()
        while line := stream.readline(native.BLOCK_BYTES):
            yield line


def _has_halves(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_halves(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(_has_halves(part) for part in value)
    return isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value)


def _value(record: Any, path: Path) -> object:
    for key in path:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def _mismatch(kind: Arrow, value: object) -> str:
    if value is None:
        return ""
    if pa.types.is_string(kind):
        return "" if isinstance(value, str) else "is not text as in the first lines"
    if pa.types.is_list(kind):
        fine = isinstance(value, list) and all(type(one) in {int, float, type(None)} for one in value)
        return "" if fine else "is not a list of numbers as in the first lines"
    if pa.types.is_boolean(kind):
        return "" if isinstance(value, bool) else "is not true or false as in the first lines"
    if pa.types.is_int64(kind) and isinstance(value, int) and not -_INT64 <= value < _INT64:
        return f"is {str(value)[:30]}, beyond 64 bits: write such ids as text"
    whole = pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    return "" if number else f"is not a {'whole ' if whole else ''}number as in the first lines"


JSONL = Format("jsonl", recognise, describe, read)
