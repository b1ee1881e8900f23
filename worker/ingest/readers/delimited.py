"""CSV, TSV, MovieLens "::" files and blank-separated lines, with a header or without."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.csv

from worker.ingest.canonical import canonical
from worker.ingest.columns import Column, number
from worker.ingest.detected import Detected
from worker.ingest.limits import Meter
from worker.ingest.readers import native
from worker.contract.errors import JobError

_EXACT_FLOAT = 1 << 53


def read(detected: Detected, roles: Mapping[str, Column], meter: Meter) -> Iterator[pa.RecordBatch]:
    """Batches of the chosen columns, named by role: ids as text, ratings and times as float64 (dates as text).

    Raises `JobError` with the row number for ragged rows and cells of the wrong type.
    """
    try:
        yield from _batches(detected, roles, meter)
    except (pa.ArrowInvalid, UnicodeDecodeError) as invalid:
        raise _explained(detected, roles, meter, str(invalid)) from invalid


def _batches(
    detected: Detected, roles: Mapping[str, Column], meter: Meter, *, diagnose: bool = False
) -> Iterator[pa.RecordBatch]:
    """With `diagnose`, one thread (then Arrow says row numbers) and every cell as text."""
    before = meter.packed_done
    translated = detected.delimiter in {"::", " "}
    with native.native(detected.source, meter, delimiter=detected.delimiter, encoding=detected.encoding) as file:
        unquoted = translated or detected.format == "recbole"
        reader = pyarrow.csv.open_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(
                block_size=native.BLOCK_BYTES,
                column_names=[str(column.index) for column in detected.columns],
                skip_rows=detected.layout.get("skip", int(detected.header)),
                use_threads=not diagnose,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=native.SEPARATOR.decode() if translated else detected.delimiter,
                quote_char=False if unquoted else '"',
                newlines_in_values=not unquoted,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=[str(column.index) for column in roles.values()],
                column_types={
                    str(column.index): pa.string() if diagnose else _type(role, column)
                    for role, column in roles.items()
                },
                strings_can_be_null=False,
            ),
        )
        for batch in reader:
            native.advance(meter, detected.source, before, file)
            yield batch.rename_columns(list(roles))


def _type(role: str, column: Column) -> pa.DataType:
    if role == "rating" or column.numeric:
        return pa.float64()
    if role == "timestamp" and column.type in {"integer", "number"}:
        large = any(abs(number(example)) > _EXACT_FLOAT for example in column.examples)
        # float64 also takes the odd "881250949.0"; nanoseconds need all 64 bits
        return pa.int64() if large else pa.float64()
    return pa.string()


def _explained(detected: Detected, roles: Mapping[str, Column], meter: Meter, said: str) -> JobError:
    """Read again from the start, slowly, to say which row is at fault."""
    name = detected.source.name
    if "straddling" in said:
        return native.too_long(name)
    rows, numeric = 0, {role for role, column in roles.items() if column.numeric}
    try:
        for batch in _batches(detected, roles, Meter(meter.limits), diagnose=True):
            canonical(batch, Meter(meter.limits), rows, name, numeric)
            rows += batch.num_rows
    except JobError as located:
        return located
    except (pa.ArrowInvalid, UnicodeDecodeError) as invalid:
        said = str(invalid)
    if "UTF8" in said or "codec can't decode" in said:
        return JobError(
            "invalid_input",
            f"{name} is not {detected.encoding} text after row {rows:,}.",
            hint='Say the encoding, as in encoding="latin-1".',
            pointer="/options/encoding",
        )
    if "Empty CSV" in said:
        return JobError("invalid_input", f"{name} holds no rows.", hint="Upload a table with at least one row.")
    ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", said)
    if ragged:
        row = int(ragged[1]) - int(detected.header)
        return JobError(
            "invalid_input",
            f"Row {row:,} of {name} has {int(ragged[3])} columns, not {int(ragged[2])} like the others.",
            hint="Correct the row, or put quotes around cells that hold the delimiter.",
            pointer="/options/delimiter",
        )
    return JobError("invalid_input", f"{name} cannot be read as a table: {said[:200]}.")
