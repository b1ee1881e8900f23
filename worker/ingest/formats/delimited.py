"""CSV, TSV, MovieLens "::" files and blank-separated lines, with a header or without."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv

from worker.contract.errors import JobError
from worker.ingest import native, table_shape
from worker.ingest.arrow import Arrow, pc
from worker.ingest.cells import wrong_cell
from worker.ingest.columns import NUMERIC, Column, Wanted, number
from worker.ingest.format import Detected, Format
from worker.ingest.limits import Meter
from worker.ingest.sample import Sample, lines_of
from worker.ingest.values import convert

_COMMA_NUMBER = re.compile(r"^[+-]?\d+(,\d+)?$")
_THOUSANDS = re.compile(r"^[+-]?[1-9]\d{0,2}(,\d{3})+$")
_MISSING = [
    "", "#N/A", "#N/A N/A", "#NA", "-NaN", "-nan", "N/A", "n/a", "NA", "<NA>", "NULL", "null", "Null", "NaN", "nan",
    "NaT", "None", "none", "NONE", "\\N",
]  # fmt: skip
_WESTERN = {"cp1252", "latin-1"}
_EXACT_FLOAT = 1 << 53


def recognise(sample: Sample) -> bool:
    """Whether something separates columns, which the user may say."""
    return bool(sample.first) and _shape(sample) is not None


def describe(sample: Sample, meter: Meter) -> Detected:
    """Delimiter, header and columns from the first lines."""
    shape = _shape(sample)
    if shape is None:
        raise JobError("invalid_input", f"{sample.source.name} has no delimiter.", pointer="/options/delimiter")
    if shape.header and shape.cells == len(shape.columns) + 1:
        raise JobError(
            "invalid_input",
            f"The header of {sample.source.name} names {len(shape.columns)} columns, and its rows have {shape.cells} "
            "cells, as R writes tables with row names.",
            hint="Write it without them (`write.table(..., row.names=FALSE)`), or name the first column, too.",
            pointer="/options/header",
        )
    decimal = sample.hints.decimal or _decimal(shape.columns)
    layout = {
        "decimal": decimal,
        "skip": _lines_above(sample.text, shape.above),
        "quote": shape.quote,
        "multiline": shape.multiline,
        "checked": shape.multiline or sample.hints.quote is not None,
    }
    return Detected(
        sample.source, DELIMITED, shape.columns, sample.encoding, shape.delimiter, shape.header,
        warnings=_warnings(sample, shape), layout=layout,
    )  # fmt: skip


def _decimal(columns: Sequence[Column]) -> str:
    """A comma where a column holds numbers like 4,5, not only such as 1,500, which may as well be thousands, and no
    column holds numbers like 4.5.
    """
    if any(column.type == "number" and any("." in cell for cell in column.examples) for column in columns):
        return "."
    for column in columns:
        with_comma = [cell for cell in column.examples if "," in cell]
        if with_comma and all(_COMMA_NUMBER.match(cell) for cell in column.examples if cell):
            if all(_THOUSANDS.match(cell) for cell in with_comma):
                continue
            return ","
    return "."


def _lines_above(text: str, count: int) -> int:
    """Lines above the first row, blank ones too, of which `count` are not blank."""
    lines = lines_of(text)
    for place, line in enumerate(lines):
        if not line.strip():
            continue
        if not count:
            return place
        count -= 1
    return len(lines)


def _warnings(sample: Sample, shape: table_shape.Shape) -> list[str]:
    warnings: list[str] = []
    name = sample.source.name
    if shape.numbered:
        warnings.append(
            f"The first line of {name} is 0, 1, 2 ..., as pandas writes a header without names, and was not read as a "
            "row. With header=false it is a row."
        )
    if shape.titled:
        warnings.append(f"The line above the header of {name} has fewer cells, and was not read as a row.")
    if sample.encoding in _WESTERN and not sample.hints.encoding:
        warnings.append(
            f"{name} is not UTF-8 and was read as {sample.encoding}: where letters look wrong, say what it is, as in "
            "encoding=cp1251."
        )
    stray = next((n for n, line in enumerate(lines_of(sample.text), 1) if line.count('"') % 2), 0)
    if stray and not shape.quote and shape.delimiter not in {"::", " "} and sample.hints.quote is None:
        warnings.append(
            f"Line {stray:,} of {name} has a quotation mark that is not closed, and all lines have one number of cells "
            "without it: the marks were read as characters. With quote=double they are quotation marks around cells."
        )
    return warnings


def _shape(sample: Sample) -> table_shape.Shape | None:
    hints = sample.hints
    return table_shape.guess(
        sample.lines, sample.names, delimiter=hints.delimiter, header=hints.header, quote=hints.quote
    )


def read(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    """Ids, categories and dates as text, numbers and times that are numbers as float64.

    Raises `JobError` with the row number for ragged rows and cells of the wrong type.
    """
    try:
        yield from _batches(detected, wanted, meter)
    except (pa.ArrowInvalid, UnicodeDecodeError) as invalid:
        if "Empty CSV" not in str(invalid):
            raise _explained(detected, wanted, meter, str(invalid)) from invalid


def _batches(detected: Detected, wanted: Sequence[Wanted], meter: Meter, *, diagnose: bool = False) -> Iterator[Arrow]:
    """With `diagnose`, one thread (then Arrow says row numbers) and every cell as text."""
    before = meter.packed_done
    translated, layout = detected.delimiter in {"::", " "}, detected.layout
    with native.native(detected.source, meter, delimiter=detected.delimiter, encoding=detected.encoding) as file:
        if not layout["checked"]:
            _refuse_open_quote(file, layout["quote"], layout["skip"], detected.source.name)
        reader = pyarrow.csv.open_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(
                block_size=native.BLOCK_BYTES,
                column_names=[str(column.index) for column in detected.columns],
                skip_rows=layout["skip"],
                use_threads=not diagnose,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=native.SEPARATOR.decode() if translated else detected.delimiter,
                quote_char=layout["quote"] or False,
                newlines_in_values=layout["multiline"],
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=[str(one.column.index) for one in wanted],
                column_types={str(one.column.index): pa.string() if diagnose else _type(one) for one in wanted},
                strings_can_be_null=False,
                null_values=_MISSING,
                decimal_point="." if diagnose else layout.get("decimal", "."),
            ),
        )
        for batch in reader:
            native.advance(meter, detected.source, before, file)
            yield batch.rename_columns([one.name for one in wanted])


def _with_points(batch: Arrow, wanted: Sequence[Wanted]) -> Arrow:
    """Numbers as text with a point before their fraction."""
    columns = [
        pc.replace_substring(column, ",", ".") if one.content in NUMERIC else column
        for one, column in zip(wanted, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _refuse_points(batch: Arrow, wanted: Sequence[Wanted], first_row: int, where: str) -> None:
    for one, column in zip(wanted, batch.columns, strict=True):
        if one.content in NUMERIC and pc.any(pointed := pc.match_substring(column, ".")).as_py():
            at = pc.index(pointed, True).as_py()
            what = "a number with a decimal comma, as others are"
            raise wrong_cell(one.name, column, at, first_row, where, "invalid_input", what)


def _refuse_open_quote(file: Any, quote: str, skip: int, name: str) -> None:
    """Refuse a line in which quotation marks do not pair up, when the first lines have none: all rows up to the next
    mark would become one cell.
    """
    if not quote:
        return
    line = native.unpaired(file, quote.encode(), skip)
    file.seek(0)
    if line:
        raise JobError(
            "invalid_input",
            f"Line {line:,} of {name} has a quotation mark ({quote}) that is not closed in the line.",
            hint="If the marks are characters of the text, set quote=none; if quoted cells run over several lines, set "
            "quote=double.",
            pointer="/options/quote",
        )


def _type(wanted: Wanted) -> Arrow:
    if wanted.content in NUMERIC and wanted.column.type != "boolean":
        return pa.float64()
    if wanted.content == "time" and wanted.column.type in {"integer", "number"}:
        large = any(abs(number(example)) > _EXACT_FLOAT for example in wanted.column.examples)
        # float64 also takes the odd "881250949.0"; nanoseconds need all 64 bits
        return pa.int64() if large else pa.float64()
    return pa.string()


def _not_utf8(detected: Detected, meter: Meter) -> int:
    """The first line, from 1, that is not UTF-8; 0: there is none."""
    done = 0
    with detected.source.open(Meter(meter.limits)) as stream:
        lines = native.Lines(stream, detected.source.name)
        while block := lines.read(native.BLOCK_BYTES):
            try:
                block.decode()
            except UnicodeDecodeError as wrong:
                return done + block.count(b"\n", 0, wrong.start) + 1
            done += block.count(b"\n")
    return 0


def _explained(detected: Detected, wanted: Sequence[Wanted], meter: Meter, said: str) -> JobError:
    """Read again from the start, slowly, to say which row is at fault."""
    name = detected.source.name
    if "straddling" in said:
        return native.too_long(name)
    rows = 0
    try:
        for batch in _batches(detected, wanted, Meter(meter.limits), diagnose=True):
            if detected.layout.get("decimal") == ",":
                _refuse_points(batch, wanted, rows, name)
                batch = _with_points(batch, wanted)
            convert(batch, wanted, Meter(meter.limits), rows, name)
            rows += batch.num_rows
    except JobError as located:
        return located
    except (pa.ArrowInvalid, UnicodeDecodeError) as invalid:
        said = str(invalid)
    if "UTF8" in said or "codec can't decode" in said:
        line = _not_utf8(detected, meter) if detected.encoding == "utf-8" else 0
        return JobError(
            "invalid_input",
            f"Line {line:,} of {name} is not UTF-8 text."
            if line
            else f"{name} is not {detected.encoding} text after row {rows:,}.",
            hint='Correct it; if the whole file has another encoding, say which, as in encoding="latin-1".',
            pointer="/options/encoding",
        )
    ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", said)
    if ragged:
        row = int(ragged[1]) - int(detected.header)
        return JobError(
            "invalid_input",
            f"Row {row:,} of {name} has {int(ragged[3])} columns, not {int(ragged[2])} like the others.",
            hint="Correct the row, or put quotes around cells that hold the delimiter.",
            pointer="/options/delimiter",
        )
    return JobError(
        "invalid_input",
        f"{name} cannot be read as a table: {said[:200]}.",
        hint="Write it again as CSV, as `df.to_csv(path, index=False)` does, or as Parquet.",
    )


DELIMITED = Format("delimited", recognise, describe, read)
