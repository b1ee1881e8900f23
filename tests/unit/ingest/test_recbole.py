from __future__ import annotations

from pathlib import Path

from tests.shared_data import shared
from tests.unit.ingest.tables import read


def test_inter_when_header_is_typed_then_types_are_stripped(tmp_path: Path) -> None:
    path = tmp_path / "x.inter"
    path.write_text('user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t"a\t3.5\t5\n2\tb"\t1\t6.75\n')
    detection, found = read(path)
    assert detection["format"] == "recbole"
    assert detection["columns"]["user"] == "user_id"
    assert found == {"user": ["1", "2"], "item": ['"a', 'b"'], "rating": [3.5, 1.0], "timestamp": [5.0, 6.75]}


def test_inter_when_ml_100k_then_same_rows_as_u_data() -> None:
    folder = shared("ml-100k")
    _, inter = read(folder / "ml-100k.inter")
    _, raw = read(folder / "u.data.gz")
    assert len(inter["user"]) == 100_000
    assert inter == raw
