"""Files as people bring them: each is read rightly, or refused with a cure that works when it is followed."""

from __future__ import annotations

import datetime as dt
import json
import re
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from tests.unit.ingest.tables import read
from tests.unit.ingest.test_interactions import digests, run
from worker.contract.errors import JobError
from worker.kinds.interactions.dataset import load

USERS, ITEMS, EACH = 40, 30, 8


def events(users: int = USERS, each: int = EACH) -> list[tuple[int, int, int, int]]:
    """(user, item, rating, seconds) rows, every item used."""
    rng = np.random.default_rng(7)
    return [
        (user, int(item), int(rng.integers(1, 6)), 1_600_000_000 + int(rng.integers(10**7)))
        for user in range(users)
        for item in rng.choice(ITEMS, each, replace=False)
    ]


def write(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def table_text(lines: list[str], header: str = "user_id,item_id,rating,timestamp") -> str:
    return "\n".join([header, *lines]) + "\n"


def plain() -> list[str]:
    return [f"{u},{i},{r},{t}" for u, i, r, t in events()]


def refused(path: Path | list[Path], **options: object) -> JobError:
    with pytest.raises(JobError) as caught:
        run(path, **options)
    assert caught.value.hint, caught.value.detail
    return caught.value


def advised(text: str) -> dict[str, object]:
    """The options that a hint or a warning names: a column map as JSON, and NAME=VALUE."""
    columns = re.search(r"columns=(\{.*?\})", text)
    found: dict[str, object] = {"columns": json.loads(columns[1])} if columns else {}
    return found | {name: value for name, value in re.findall(r"\b([a-z_]+)=(\w+(?:\.\w+)*)", text)}


def saying(result: dict, words: str) -> str:
    """The one warning with these words."""
    (found,) = [warning for warning in result["warnings"] if words in warning]
    return found


def counts(result: dict) -> tuple[int, int, int]:
    found = result["statistics"]
    return found["rows"], found["users"], found["items"]


WHOLE = (USERS * EACH, USERS, ITEMS)


# --- ids


@pytest.mark.parametrize("mixed", [True, False])
def test_ids_when_written_with_a_point_then_the_whole_numbers_and_told(tmp_path: Path, mixed: bool) -> None:
    lines = [f"{u if mixed and n % 2 else f'{u}.0'},{i},{r},{t}" for n, (u, i, r, t) in enumerate(events())]
    result, out = run(write(tmp_path, table_text(lines)))
    assert counts(result) == WHOLE
    assert load(out).user_ids.tolist() == [str(u) for u in range(USERS)]
    assert f"{160 if mixed else 320} user ids" in saying(result, "written like 12.0")


def test_ids_when_versions_are_names_then_kept(tmp_path: Path) -> None:
    lines = [f"{u},v{i}.0,{r},{t}" for u, i, r, t in events()]
    assert load(run(write(tmp_path, table_text(lines)))[1]).item_ids[0] == "v0.0"


@pytest.mark.parametrize("form", ["float64", "float32", "csv", "exponent", "npz", "jsonl"])
def test_ids_when_floats_have_lost_digits_then_refused_by_row(tmp_path: Path, form: str) -> None:
    users = [76561197960287930 + 3 * u if form != "float32" else 2**25 + u for u, *_ in events()]
    items = [i for _, i, *_ in events()]
    if form in {"float64", "float32"}:
        pq.write_table(pa.table({"user_id": np.array(users, form), "item_id": items}), tmp_path / "t.parquet")
        path = tmp_path / "t.parquet"
    elif form == "npz":
        path = tmp_path / "t.npz"
        np.savez(path, user=np.array(users, float), item=np.array(items))
    elif form == "jsonl":
        rows = [json.dumps({"user": float(u), "item": i}) for u, i in zip(users, items, strict=True)]
        path = write(tmp_path, "\n".join(rows), "t.jsonl")
    else:
        cells = [f"{float(u):.1f}" if form == "csv" else repr(float(u)) for u in users]
        lines = [f"{u},{i}" for u, i in zip(cells, items, strict=True)]
        path = write(tmp_path, table_text(lines, "user_id,item_id"))
    problem = refused(path)
    assert (problem.code, problem.pointer) == ("invalid_input", "/columns/user")
    assert "row 1 " in problem.detail
    assert "lost digits" in problem.detail
    pq.write_table(pa.table({"user_id": users, "item_id": items}), tmp_path / "whole.parquet")
    assert run(tmp_path / "whole.parquet")[0]["statistics"]["users"] == USERS


def test_ids_when_decimals_then_whole_numbers(tmp_path: Path) -> None:
    users, items, *_ = zip(*events(), strict=True)
    path = tmp_path / "t.parquet"
    for scale in (0, 2):
        ids = pa.array([Decimal(u) for u in users], pa.decimal128(20, scale))
        pq.write_table(pa.table({"user_id": ids, "item_id": items}), path)
        assert load(run(path)[1]).user_ids.tolist() == [str(u) for u in range(USERS)]
    halves = pa.array([Decimal(u) + Decimal("0.5") for u in users], pa.decimal128(20, 1))
    pq.write_table(pa.table({"user_id": halves, "item_id": items}), path)
    assert refused(path).pointer == "/columns/user"


# --- times


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl", "iso"])
def test_times_when_they_have_fractions_then_ordered_by_them(tmp_path: Path, form: str) -> None:
    rows = [(u, i, 1_700_000_000 + u + (EACH - n % EACH) / 10) for n, (u, i, *_) in enumerate(events())]
    last = {u: i for u, i, _ in reversed(rows)}
    users, items, seconds = zip(*rows, strict=True)
    if form == "csv":
        lines = [f"{u},{i},{t}" for u, i, t in rows]
        path = write(tmp_path, table_text(lines, "user_id,item_id,timestamp"))
    elif form == "parquet":
        path = tmp_path / "t.parquet"
        pq.write_table(pa.table({"user_id": users, "item_id": items, "timestamp": seconds}), path)
    elif form == "jsonl":
        lines = [json.dumps({"user": u, "item": i, "timestamp": t}) for u, i, t in rows]
        path = write(tmp_path, "\n".join(lines), "t.jsonl")
    else:
        lines = [f"{u},{i},{dt.datetime.fromtimestamp(t, dt.UTC).isoformat()}" for u, i, t in rows]
        path = write(tmp_path, table_text(lines, "user_id,item_id,timestamp"))
    result, out = run(path, split="leave_2")
    data = load(out)
    test = data.events.split == 2
    found = dict(zip(data.user_ids[data.events.user[test]], data.item_ids[data.events.item[test]], strict=True))
    assert found == {str(u): str(i) for u, i in last.items()}
    assert result["statistics"]["time_range"] == [1_700_000_000_100, 1_700_000_039_800]


@pytest.mark.parametrize(("unit", "scale"), [("us", 10**6), ("ns", 10**9)])
def test_times_when_finer_than_milliseconds_then_no_two_become_one(tmp_path: Path, unit: str, scale: int) -> None:
    users, items, *_ = zip(*events(), strict=True)
    ticks = [1_700_000_000 * scale + n for n in range(len(users))]
    path = tmp_path / "t.parquet"
    table = {"user_id": users, "item_id": items, "timestamp": pa.array(ticks, pa.timestamp(unit))}
    pq.write_table(pa.table(table), path)
    assert sorted(load(run(path)[1]).events.timestamp.tolist()) == ticks


def test_times_when_iso_text_in_parquet_then_as_in_csv(tmp_path: Path) -> None:
    rows = [(u, i, str(dt.datetime.fromtimestamp(t, dt.UTC))[:19]) for u, i, _, t in events()]
    users, items, when = zip(*rows, strict=True)
    pq.write_table(pa.table({"user_id": users, "item_id": items, "timestamp": when}), tmp_path / "t.parquet")
    text = table_text([f"{u},{i},{t}" for u, i, t in rows], "user_id,item_id,timestamp")
    assert digests(run(tmp_path / "t.parquet")[1]) == digests(run(write(tmp_path, text))[1])


def test_times_when_some_have_a_zone_then_the_others_are_utc_and_told(tmp_path: Path) -> None:
    when = ["2020-01-01T10:00:00", "2020-01-01T12:00:00+01:00", "2020-01-01T12:00:00Z", "2020-01-01 13:00"]
    lines = [f"{u},{i},{when[n % 4]}" for n, (u, i, *_) in enumerate(events())]
    result, out = run(write(tmp_path, table_text(lines, "user_id,item_id,timestamp")))
    assert sorted(set(load(out).events.timestamp.tolist())) == [1577872800000 + hour * 3_600_000 for hour in range(4)]
    assert "160 cells of timestamp have no time zone and 160 have one" in saying(result, "UTC")


def test_times_when_hours_stand_beside_a_date_then_refused_and_the_hint_works(tmp_path: Path) -> None:
    lines = [f"{u},{i},2020-01-{1 + t % 28:02},{t % 24}" for u, i, _, t in events()]
    path = write(tmp_path, table_text(lines, "user_id,item_id,date,time"))
    problem = refused(path, split="leave_2")
    assert problem.pointer == "/columns/timestamp"
    result, _ = run(path, split="leave_2", **advised(problem.hint))
    assert result["detection"]["columns"]["timestamp"] == "date"


@pytest.mark.parametrize(("shift", "words"), [(-1_700_000_000, "negative"), (0, "less than a day")])
def test_times_when_they_are_unlikely_then_doubted_and_can_be_left_out(tmp_path: Path, shift: int, words: str) -> None:
    lines = [f"{u},{i},{1_600_000_000 + shift + t % 100}" for u, i, _, t in events()]
    path = write(tmp_path, table_text(lines, "user_id,item_id,timestamp"))
    result, _ = run(path)
    warning = saying(result, words)
    assert warning in result["detection"]["warnings"]
    assert load(run(path, **advised(warning))[1]).events.timestamp is None


# --- columns without names, or with the names of others


def test_headerless_when_gowalla_then_the_place_is_the_item(tmp_path: Path) -> None:
    rows = [
        f"{u}\t2010-10-{1 + t % 28:02}T{t % 24:02}:00:00Z\t{30 + i / 10:.4f}\t{-97 - i / 10:.4f}\t{22800 + i}"
        for u, i, _, t in events()
    ]
    result, _ = run(write(tmp_path, "\n".join(rows), "t.txt"))
    assert result["detection"]["columns"] == {"user": "0", "item": "4", "timestamp": "1"}
    assert counts(result) == WHOLE


def test_headerless_when_seconds_stand_between_the_ids_then_no_id(tmp_path: Path) -> None:
    result, _ = run(write(tmp_path, "\n".join(f"{u} {t} {1000 + i}" for u, i, _, t in events()), "t.txt"))
    assert result["detection"]["columns"] == {"user": "0", "item": "2", "timestamp": "1"}
    assert counts(result) == WHOLE


def test_header_when_pandas_wrote_numbers_then_no_row_and_told(tmp_path: Path) -> None:
    path = write(tmp_path, table_text([f"{u},{i},{r}" for u, i, r, _ in events()], "0,1,2"))
    result, _ = run(path)
    assert counts(result) == WHOLE
    as_row, _ = run(path, **advised(saying(result, "pandas")))
    assert as_row["statistics"]["rows"] == USERS * EACH + 1


def test_header_when_pandas_wrote_numbers_and_an_index_then_the_index_is_no_user(tmp_path: Path) -> None:
    lines = [f"{n},{u},{i},{r}" for n, (u, i, r, _) in enumerate(events())]
    assert counts(run(write(tmp_path, table_text(lines, ",0,1,2")))[0]) == WHOLE


def test_book_crossing_when_its_names_then_read(tmp_path: Path) -> None:
    lines = [f'"{u}";"{i:05}X";"{r}"' for u, i, r, _ in events()]
    result, _ = run(write(tmp_path, table_text(lines, '"User-ID";"ISBN";"Book-Rating"')))
    assert result["detection"]["columns"] == {"user": "User-ID", "item": "ISBN", "rating": "Book-Rating"}


def test_column_when_unknown_then_the_hint_names_one_that_is_free(tmp_path: Path) -> None:
    path = write(tmp_path, table_text([f"{u},{i}" for u, i, *_ in events()], "user_id,place"))
    problem = refused(path)
    assert problem.pointer == "/columns/item"
    assert counts(run(path, **advised(problem.hint))[0]) == WHOLE


@pytest.mark.parametrize("role", ["user", "item"])
def test_ids_when_they_are_times_or_of_every_row_then_doubted(tmp_path: Path, role: str) -> None:
    other = "item" if role == "user" else "user"
    lines = [f"2020-01-01 00:{n // 60:02}:{n % 60:02},{n % 12}" for n in range(360)]
    result, _ = run(write(tmp_path, table_text(lines, f"{role},{other}")), min_user_events=1)
    assert saying(result, "holds times")
    assert saying(result, "nearly every row has its own") in result["detection"]["warnings"]


# --- ratings


@pytest.mark.parametrize("form", ["csv", "npz", "parquet"])
def test_ratings_when_some_are_0_then_events_and_told_with_what_drops_them(tmp_path: Path, form: str) -> None:
    users, items, stars, _ = (np.array(column) for column in zip(*events(), strict=True))
    liked = (stars > 2).astype(float)
    if form == "csv":
        path = write(tmp_path, table_text([f"{u},{i},{r:g}" for u, i, r in zip(users, items, liked, strict=True)],
                                          "user_id,item_id,rating"))  # fmt: skip
    elif form == "npz":
        path = tmp_path / "t.npz"
        sparse.save_npz(path, sparse.coo_array((liked, (users, items))).tocsr())
    else:
        path = tmp_path / "t.parquet"
        pq.write_table(pa.table({"user_id": users, "item_id": items, "rating": liked == 1}), path)
    result, _ = run(path)
    assert counts(result) == WHOLE
    zeros = int((liked == 0).sum())
    warning = saying(result, "rated 0")
    assert warning.startswith(f"{zeros} of 320 rows")
    cured, _ = run(path, min_user_events=1, **advised(warning))
    assert cured["statistics"]["below_threshold"] == zeros
    assert not any("rated 0" in text for text in cured["warnings"])


@pytest.mark.parametrize("write_truth", [str, lambda truth: str(truth).lower(), lambda truth: str(int(truth))])
def test_ratings_when_true_or_false_then_1_or_0_in_every_format(tmp_path: Path, write_truth: object) -> None:
    rows = [(u, i, r > 2) for u, i, r, _ in events()]
    path = write(tmp_path, table_text([f"{u},{i},{write_truth(r)}" for u, i, r in rows], "user_id,item_id,rating"))
    lines = [json.dumps({"user_id": u, "item_id": i, "rating": r}) for u, i, r in rows]
    as_json = write(tmp_path, "\n".join(lines), "t.jsonl")
    assert digests(run(path)[1]) == digests(run(as_json)[1])


# --- objects in JSON lines


def test_json_when_ids_are_inside_objects_then_known_or_named_with_a_point(tmp_path: Path) -> None:
    lines = [
        {"user": {"id": u, "age": None}, "what": {"item": {"code": f"i{i}"}}, "rating": r, "tags": [1]}
        for u, i, r, _ in events()
    ]
    lines[3]["user"]["name"] = {"first": "x"}
    path = write(tmp_path, "".join(json.dumps(line) + "\n" for line in lines), "t.jsonl")
    problem = refused(path)
    assert problem.pointer == "/columns/item"
    result, out = run(path, columns="item=what.item.code")
    assert counts(result) == WHOLE
    assert result["detection"]["columns"] == {"user": "user.id", "item": "what.item.code", "rating": "rating"}
    assert load(out).item_ids[0] == "i0"


def test_json_when_an_object_lacks_late_then_the_row_is_named(tmp_path: Path) -> None:
    good, bad = {"user": {"id": 1}, "item": 2}, {"user": None, "item": 2}
    text = (json.dumps(good) + "\n") * 20_000
    assert "row 20,001 " in refused(write(tmp_path, text + json.dumps(bad), "null.jsonl")).detail
    worse = json.dumps({"user": {"id": "x"}, "item": 2})
    assert "'user.id' is not a whole number" in refused(write(tmp_path, text + worse, "text.jsonl")).detail


# --- several files


def zipped(folder: Path, members: dict[str, bytes | str], name: str = "t.zip") -> Path:
    with zipfile.ZipFile(folder / name, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return folder / name


def test_spark_when_a_part_is_empty_then_the_others_and_no_marks(tmp_path: Path) -> None:
    users, items, *_ = zip(*events(), strict=True)
    parts = {}
    for n, rows in enumerate((slice(0, 100), slice(0, 0), slice(100, None))):
        table = pa.table({"user_id": pa.array(users[rows], pa.int64()), "item_id": pa.array(items[rows], pa.int64())})
        pq.write_table(table, tmp_path / "part")
        parts[f"out.parquet/part-{n:05}.snappy.parquet"] = (tmp_path / "part").read_bytes()
        parts[f"out.parquet/.part-{n:05}.snappy.parquet.crc"] = b"crc\0\0\0"
    result, _ = run(zipped(tmp_path, {"out.parquet/_SUCCESS": b""} | parts))
    assert counts(result) == WHOLE
    assert "part-00001" in saying(result, "Files without rows")
    assert not any("Not read" in warning for warning in result["warnings"])


def test_split_when_published_as_files_then_told_and_kept_with_the_option(tmp_path: Path) -> None:
    parts = {
        "train.csv": table_text([line for n, line in enumerate(plain()) if n % 8 < 6]),
        "valid.csv": table_text([line for n, line in enumerate(plain()) if n % 8 == 6]),
        "test.csv": table_text([line for n, line in enumerate(plain()) if n % 8 == 7]),
    }
    path = zipped(tmp_path, parts)
    result, _ = run(path)
    assert result["statistics"]["rows"] == 240
    warning = saying(result, "parts of a published split")
    assert advised(warning) == {"split": "files"}
    kept, _ = run(path, **advised(warning))
    assert counts(kept) == WHOLE
    assert [kept["statistics"]["events_per_split"][name] for name in ("train", "validation", "test")] == [240, 40, 40]
    alone = refused(write(tmp_path, table_text(plain())), split="files")
    assert alone.pointer == "/options/split"
    assert run(tmp_path / "t.csv", **advised(alone.hint))[0]["statistics"]["rows"] == 320


def test_split_when_published_then_whole_unless_minima_are_asked_for_and_told(tmp_path: Path) -> None:
    parts = ["train", "train", "validation", "test"]
    lines = [f"{line},{parts[n % 4]}" for n, line in enumerate(plain())] + ["once,1,1,1600000000,test"]
    path = write(tmp_path, table_text(lines, "user_id,item_id,rating,timestamp,fold"))
    whole, _ = run(path, split="column:fold")
    assert whole["statistics"]["users"] == USERS + 1
    assert not any("left out" in text for text in whole["warnings"])
    result, _ = run(path, split="column:fold", min_user_events=3)
    warning = saying(result, "events of the published split were left out")
    assert warning.startswith("1 events")
    kept, _ = run(path, split="column:fold", **advised(warning.split(": ")[1]))
    assert kept["statistics"]["users"] == USERS + 1
    assert not any("left out" in text for text in kept["warnings"])


# --- hints of refused cells and columns


def test_read_when_a_column_is_used_for_two_roles_then_the_hint_works(tmp_path: Path) -> None:
    path = write(tmp_path, table_text(plain()))
    problem = refused(path, columns={"item": "item_id", "rating": "item_id"})
    assert problem.pointer == "/columns/rating"
    assert counts(run(path, **advised(problem.hint))[0]) == WHOLE


@pytest.mark.parametrize("cell", ["noon", "20:15:00"])
def test_cell_when_no_time_then_the_row_and_the_hint_works(tmp_path: Path, cell: str) -> None:
    lines = plain()
    lines[41] = ",".join([*lines[41].split(",")[:3], cell])
    path = write(tmp_path, table_text(lines))
    problem = refused(path)
    assert "row 42 " in problem.detail
    assert counts(run(path, **advised(problem.hint))[0]) == WHOLE
    assert read(path, columns={"timestamp": ""})[1].keys() == {"user", "item", "rating"}
