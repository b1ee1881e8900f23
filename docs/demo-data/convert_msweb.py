"""Convert UCI's Anonymous Microsoft Web Data to the Parquet file that the demo uploads.

    python docs/demo-data/convert_msweb.py anonymous-msweb.data distillery/data/msweb.parquet

The input is the DST text of the UCI Machine Learning Repository: `A,id,1,"title","/url"` names an area of
the site, `C,"user",user` opens a user and the `V,area,1` lines below it are that user's visits. Only the
training file is used: the test file numbers other people with the same identifiers.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def read_dst(path: Path) -> pa.Table:
    """The visits as a table user_id, item_id, title, url (strings), in the order of the file."""
    areas: dict[str, tuple[str, str]] = {}
    visits: list[tuple[str, str]] = []
    user = ""
    with path.open(encoding="latin-1", newline="") as lines:
        for row in csv.reader(lines):
            match row:
                case ["A", area, _, title, url]:
                    areas[area] = (title, url)
                case ["C", _, user_id]:
                    user = user_id
                case ["V", area, *_]:
                    visits.append((user, area))
    columns = {
        "user_id": [user for user, _ in visits],
        "item_id": [area for _, area in visits],
        "title": [areas[area][0] for _, area in visits],
        "url": [areas[area][1] for _, area in visits],
    }
    return pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))


def main(source: str, target: str) -> None:
    """Convert `source` to `target`; the same input gives the same bytes."""
    pq.write_table(read_dst(Path(source)), target, compression="zstd", compression_level=19)


if __name__ == "__main__":
    main(*sys.argv[1:])
