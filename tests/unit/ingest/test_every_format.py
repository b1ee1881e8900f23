"""One table, with every type of id, time, rating and missing value, is one version whatever the format."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from tests.unit.ingest.tables import write_stream
from tests.unit.ingest.test_awkward_files import events, saying, table_text, write
from tests.unit.ingest.test_interactions import digests, run


def test_table_when_times_are_missing_then_the_same_in_every_format(tmp_path: Path) -> None:
    rows = [(f"u{u}", i, r / 2, None if n % 5 == 0 else t) for n, (u, i, r, t) in enumerate(events())]
    names = ("user_id", "item_id", "rating", "timestamp")
    text = table_text([f"{u},{i},{r},{'' if t is None else t}" for u, i, r, t in rows])
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    columns = dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    files = [
        write(tmp_path, text),
        write(tmp_path, "\ufeff" + text.replace(",\n", ",NaN\n"), "nan.csv"),
        write(tmp_path, text.replace(",", "\t"), "t.tsv"),
        write(tmp_path, "\n".join(lines), "t.jsonl"),
        tmp_path / "t.parquet",
    ]
    found = [run(path) for path in files]
    assert len({json.dumps(digests(out)) for _, out in found}) == 1
    assert all(saying(result, "64 of 320 rows have no time") for result, _ in found)


def as_arrow(table: pa.Table, folder: Path) -> list[Path]:
    """A table as Arrow files and streams, with dictionaries and without, compressed and not, and inside a struct."""
    packed = table.select([]).append_column("row", table.to_struct_array())
    coded = pa.table({name: column.combine_chunks().dictionary_encode() for name, column in
                      zip(table.column_names, table.columns, strict=True)})  # fmt: skip
    feather.write_feather(table, str(folder / "typed.feather"), chunksize=33)
    feather.write_feather(coded, str(folder / "coded.feather"), compression="zstd")
    feather.write_feather(packed, str(folder / "struct.arrow"), compression="uncompressed")
    pq.write_table(packed, folder / "struct.parquet")
    streams = [write_stream(coded, folder / "coded.arrows"), write_stream(table, folder / "t.arrows", "lz4")]
    (folder / "t.arrows.gz").write_bytes(gzip.compress(streams[1].read_bytes()))
    return [folder / name for name in ("typed.feather", "coded.feather", "struct.arrow", "struct.parquet",
                                       "t.arrows.gz")] + streams  # fmt: skip


IDS = {"whole": lambda n: n, "text": lambda n: f"id {n}", "zeros": lambda n: f"{n:05}", "negative": lambda n: -n - 1}
WHEN = {
    "seconds": lambda t: t,
    "milliseconds": lambda t: t * 1000 + 7,
    "fractions": lambda t: t + 0.25,
    "dates": lambda t: dt.date.fromordinal(737_000 + t % 300),
    "instants": lambda t: dt.datetime.fromtimestamp(t, dt.UTC).replace(tzinfo=None),
    "zoned": lambda t: dt.datetime.fromtimestamp(t, dt.UTC),
}
RATINGS = {"stars": lambda r: r, "halves": lambda r: r / 2, "truth": lambda r: r > 2, "none": None}


@pytest.mark.parametrize("rating", RATINGS)
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("ids", IDS)
def test_table_when_written_in_every_format_then_one_version(tmp_path: Path, ids: str, when: str, rating: str) -> None:
    columns: dict[str, list] = {
        "user_id": [IDS[ids](u) for u, *_ in events(20)],
        "item_id": [IDS[ids](i) for _, i, *_ in events(20)],
        "timestamp": [WHEN[when](t) for *_, t in events(20)],
    }
    if RATINGS[rating] is not None:
        columns["rating"] = [RATINGS[rating](r) for *_, r, _ in events(20)]
    cells = [[str(value) for value in row] for row in zip(*columns.values(), strict=True)]
    plain_json = [
        {name: value if isinstance(value, int | float | str) else value.isoformat() for name, value in
         zip(columns, row, strict=True)}
        for row in zip(*columns.values(), strict=True)
    ]  # fmt: skip
    texts = {
        f"{name}.txt": "\n".join(delimiter.join(row) for row in [list(columns), *cells]) + "\n"
        for name, delimiter in (("comma", ","), ("tab", "\t"), ("semicolon", ";"), ("pipe", "|"))
    }
    texts["quoted.csv"] = "".join(",".join(f'"{cell}"' for cell in row) + "\r\n" for row in [list(columns), *cells])
    texts["lines.jsonl"] = "".join(json.dumps(row) + "\n" for row in plain_json)
    files = [write(tmp_path, text, name) for name, text in texts.items()]
    pq.write_table(pa.table(columns), tmp_path / "typed.parquet")
    pq.write_table(
        pa.table({name: [row[n] for row in cells] for n, name in enumerate(columns)}), tmp_path / "t.parquet"
    )
    files += [tmp_path / "typed.parquet", tmp_path / "t.parquet"]
    files += as_arrow(pa.table(columns), tmp_path)
    if when in {"seconds", "milliseconds", "fractions"}:
        np.savez(tmp_path / "arrays.npz", **{name: np.array(values) for name, values in columns.items()})
        files.append(tmp_path / "arrays.npz")
    mapped = {role: f"row.{name}" for role, name in zip(("user", "item", "timestamp", "rating"), columns, strict=False)}
    found = {path.name: digests(run(path, columns=mapped if path.stem == "struct" else {})[1]) for path in files}
    assert len({json.dumps(digest) for digest in found.values()}) == 1, found
