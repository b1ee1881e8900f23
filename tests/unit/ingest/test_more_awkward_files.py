"""Further files as people bring them, one table in many dresses: the right value, or a refusal by row with its cure."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from tests.unit.ingest.test_awkward_files import (
    WHOLE,
    advised,
    counts,
    events,
    plain,
    refused,
    saying,
    table_text,
    write,
)
from tests.unit.ingest.test_interactions import digests, run
from worker.contract.errors import JobError
from worker.kinds.interactions.dataset import load

TEXT = table_text(plain())
USERS, ITEMS, STARS, TIMES = (list(column) for column in zip(*events(), strict=True))


def rows(line: Callable[[int, int, int, int], str], header: str = "user_id,item_id,rating,timestamp") -> str:
    return table_text([line(*event) for event in events()], header)


def zipped(members: dict[str, bytes | str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def parquet(columns: dict, **options: object) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, **options)
    return stream.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def at(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


# --- one table, in dresses that change nothing

LIST = [{"user": u, "item": i, "rating": r, "timestamp": t} for u, i, r, t in events()]
DRESSES: dict[str, str | bytes] = {
    "utf16.csv": TEXT.encode("utf-16"), "utf16-without-mark.csv": TEXT.encode("utf-16-le"),
    "utf16-big.csv": TEXT.encode("utf-16-be"), "mark.csv": TEXT.encode("utf-8-sig"),
    "old-mac.csv": TEXT.replace("\n", "\r"), "two-line-ends.csv": TEXT.replace("\n", "\r\n", 100),
    "open-end.csv": TEXT.rstrip("\n"), "blank-lines.csv": TEXT.replace("\n", "\n\n", 50),
    "blanks-after-commas.csv": TEXT.replace(",", ", "), "bars.csv": TEXT.replace(",", " | "),
    "hive.txt": TEXT.replace(",", "\x01"), "colons.csv": TEXT.replace(",", "::"),
    "runs-of-blanks.txt": TEXT.replace(",", "    "), "upper.csv": TEXT.replace("user_id,item_id", "USER ID,Item-Id"),
    "units.csv": TEXT.replace("rating,timestamp", "Rating (1-5),Timestamp [UTC]"),
    "ends-with-commas.csv": rows(lambda u, i, r, t: f"{u},{i},{r},{t},"),
    "all-end-with-commas.csv": rows(lambda u, i, r, t: f"{u},{i},{r},{t},", "user_id,item_id,rating,timestamp,"),
    "header-ends-with-comma.csv": rows(lambda u, i, r, t: f"{u},{i},{r},{t}", "user_id,item_id,rating,timestamp,"),
    "index.csv": rows(lambda u, i, r, t: f"{u * 99 + i},{u},{i},{r},{t}", ",user_id,item_id,rating,timestamp"),
    "unnamed.csv": rows(lambda u, i, r, t: f"{u},{u},{i},{r},{t}", "Unnamed: 0,user_id,item_id,rating,timestamp"),
    "single-quotes.csv": rows(lambda u, i, r, t: f"'{u}','{i}','{r}','{t}'",
                              "'user_id','item_id','rating','timestamp'"),
    "title.csv": "Export of May 2024\n\n" + TEXT, "pointed.csv": rows(lambda u, i, r, t: f"{u},{i},{r}.0,{t}.0"),
    "list.json": json.dumps(LIST), "indented.json": "\n" + json.dumps(LIST, indent=2),
    "blank.jsonl": "\r\n\r\n".join(map(json.dumps, LIST)),
    "mac.zip": zipped({"x/__MACOSX/._a.csv": b"\0\1", "__MACOSX/x/._a.csv": b"\0", "x/.DS_Store": b"\0\0",
                       "x/a.csv": TEXT}),
    "unsigned.parquet": parquet({"user": pa.array(USERS, pa.uint64()), "item": ITEMS, "rating": STARS,
                                 "timestamp": pa.array(TIMES, pa.uint64())}),
    "narrow.parquet": parquet({"user": pa.array(USERS, pa.float16()), "item": ITEMS,
                               "rating": pa.array(STARS, pa.float16()), "timestamp": TIMES}),
    "decimals.parquet": parquet({"user": pa.array(map(Decimal, USERS), pa.decimal256(60, 2)), "item": ITEMS,
                                 "rating": pa.array(map(Decimal, STARS), pa.decimal128(38, 4)), "timestamp": TIMES}),
    "long.npz": npz(user=np.array(USERS), item=np.array(ITEMS), rating=np.array(STARS, np.longdouble),
                    timestamp=np.array(TIMES)),
}  # fmt: skip


@pytest.mark.parametrize("name", DRESSES)
def test_table_when_dressed_otherwise_then_the_same_version(tmp_path: Path, name: str) -> None:
    plain_one = digests(run(write(tmp_path, TEXT, "plain.csv"))[1])
    assert digests(run(write(tmp_path, DRESSES[name], name))[1]) == plain_one


TIMED: dict[str, str | bytes] = {
    "iso.csv": rows(lambda u, i, r, t: f"{u},{i},{at(t).isoformat()}", "user,item,time"),
    "utc.csv": rows(lambda u, i, r, t: f"{u},{i},{at(t):%Y-%m-%d %H:%M:%S} UTC", "user,item,time"),
    "postgres.csv": rows(lambda u, i, r, t: f"{u},{i},{at(t):%Y-%m-%d %H:%M:%S}+00", "user,item,time"),
    "blank-zone.csv": rows(lambda u, i, r, t: f"{u},{i},{at(t + 3600):%Y-%m-%d %H:%M:%S} +0100", "user,item,time"),
    "slashes.csv": rows(lambda u, i, r, t: f"{u},{i},{at(t):%Y/%m/%d %H:%M:%S}", "user,item,time"),
    "logging.csv": rows(lambda u, i, r, t: f'{u},{i},"{at(t):%Y-%m-%d %H:%M:%S},000"', "user,item,time"),
    "milliseconds.csv": rows(lambda u, i, r, t: f"{u},{i},{t * 1000}", "user,item,time"),
    "dated.npz": npz(user=np.array(USERS), item=np.array(ITEMS), time=np.array(TIMES, "datetime64[s]")),
    "zoned.parquet": parquet({"user": USERS, "item": ITEMS,
                              "time": pa.array(map(at, TIMES), pa.timestamp("us", "America/New_York"))}),
}  # fmt: skip


@pytest.mark.parametrize("name", TIMED)
def test_times_when_written_otherwise_then_the_same_milliseconds(tmp_path: Path, name: str) -> None:
    found = load(run(write(tmp_path, TIMED[name], name))[1]).events.timestamp
    assert sorted(found.tolist()) == sorted(1000 * time for time in TIMES)


@pytest.mark.parametrize("scale", [10**6, 10**9])
def test_times_when_whole_numbers_of_any_unit_then_kept(tmp_path: Path, scale: int) -> None:
    found = run(write(tmp_path, rows(lambda u, i, r, t: f"{u},{i},{r},{t * scale + u}")))[1]
    assert sorted(load(found).events.timestamp.tolist()) == sorted(t * scale + u for u, _, _, t in events())


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        (lambda u: f"{-u - 1}", 40), (lambda u: f"{'0' * (u % 2)}{u // 2}", 40),
        (lambda u: f"{'aA'[u % 2]}{u // 2}", 40),
        (lambda u: f"{u // 2}{' ' * (u % 2)}", 20), (lambda u: f"{10**25 + u}", 40), (lambda u: f"+{u}", 40),
        (lambda u: f'"{u},x"', 40), (lambda u: f"user_{u}", 40), (lambda u: f"🦊{u}", 40),
    ],
)  # fmt: skip
def test_ids_when_they_are_alike_then_only_blanks_around_them_are_nothing(
    tmp_path: Path, cells: Callable[[int], str], kept: int
) -> None:
    text = rows(lambda u, i, r, t: f"{cells(u)},{i},{r},{t}")
    assert run(write(tmp_path, text))[0]["statistics"]["users"] == kept


def test_ids_when_above_64_bits_then_whole(tmp_path: Path) -> None:
    for large in (2**63, 2**70):
        lines = "\n".join(json.dumps({"user": large + u, "item": i}) for u, i in zip(USERS, ITEMS, strict=True))
        assert load(run(write(tmp_path, lines, "t.jsonl"))[1]).user_ids[0] == str(large)
    data = parquet({"user": pa.array([2**63 + u for u in USERS], pa.uint64()), "item": ITEMS})
    assert load(run(write(tmp_path, data, "t.parquet"))[1]).user_ids[0] == str(2**63)
    large = [Decimal(10**27 + u) for u in USERS]
    data = parquet({"user": pa.array(large, pa.decimal128(38, 0)), "item": ITEMS})
    assert run(write(tmp_path, data, "t.parquet"))[0]["statistics"]["users"] == 40


def test_ids_when_categories_are_not_used_then_they_are_no_ids(tmp_path: Path) -> None:
    words = [f"u{n}" for n in range(40)] + ["", "nan", "7.6E+16", "1e5", "x\0"]
    users = pa.DictionaryArray.from_arrays(pa.array(USERS, pa.int32()), words)
    feather.write_feather(pa.table({"user": users, "item": ITEMS}), str(tmp_path / "t.feather"))
    assert counts(run(tmp_path / "t.feather")[0]) == WHOLE


@pytest.mark.parametrize(
    "text",
    [
        rows(lambda u, i, r, t: f"{u};{i};{r},5;{t}", "user_id;item_id;rating;timestamp"),
        rows(lambda u, i, r, t: f'{u},{i},"{r},5",{t}'),
        rows(lambda u, i, r, t: f"{u}\t{i}\t{r},50\t{t}", "user_id\titem_id\trating\ttimestamp"),
    ],
)
def test_ratings_when_the_comma_is_a_decimal_point_then_halves(tmp_path: Path, text: str) -> None:
    assert digests(run(write(tmp_path, text))[1]) == digests(
        run(write(tmp_path, rows(lambda u, i, r, t: f"{u},{i},{r}.5,{t}"), "plain.csv"))[1]
    )


def test_folders_when_they_say_columns_then_read_like_others(tmp_path: Path) -> None:
    parts = {
        f"data/date=2024-01-0{day + 1}/part-0.parquet": parquet({"user_id": USERS[day::4], "item_id": ITEMS[day::4]})
        for day in range(4)
    }
    result, out = run(write(tmp_path, zipped(parts), "t.zip"), split="leave_2")
    assert result["detection"]["columns"]["timestamp"] == "date"
    days = {int(dt.datetime(2024, 1, day, tzinfo=dt.UTC).timestamp()) * 1000 for day in range(1, 5)}
    assert set(load(out).events.timestamp.tolist()) == days


# --- what is doubtful is told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (rows(lambda u, i, r, t: f'{u},"[1, {i}]",{r},{t}'), "holds lists such as '[1, "),
        (rows(lambda u, i, r, t: f"{u if u % 5 else '?'},{i},{r},{t}"), "user ids '?'"),
        (rows(lambda u, i, r, t: f"ж{u},{i},{r},{t}").encode("cp1251"), "encoding=cp1251"),
        (rows(lambda u, i, r, t: f"{u},{i},{r},{at(t):%Y%m%d}"), "less than a day"),
        ("An export\n" + TEXT, "above the header"),
    ],
)
def test_table_when_doubtful_then_told(tmp_path: Path, text: str | bytes, words: str) -> None:
    assert saying(run(write(tmp_path, text))[0], words)


def test_encoding_when_said_then_the_letters_are_right(tmp_path: Path) -> None:
    for encoding in ("cp1251", "shift_jis", "gb18030", "utf-16"):
        path = write(tmp_path, rows(lambda u, i, r, t: f"ж{u},{i},{r},{t}").encode(encoding))
        assert load(run(path, encoding=encoding)[1]).user_ids[0][0] == "ж"


# --- refused, with a cure that works when it is followed

BROKEN = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 3], np.int32)), pa.py_buffer(b"4\xff\xfe")]
)
REFUSED: dict[str, tuple[str, str | bytes, str, str]] = {
    # name: file name, data, pointer, words of the refusal
    "day first": ("t.csv", rows(lambda u, i, r, t: f"{u},{i},{r},{at(t):%d/%m/%Y}"), "/columns/timestamp", "row 1 "),
    "twelve hours": ("t.csv", rows(lambda u, i, r, t: f"{u},{i},{r},{at(t):%Y-%m-%d %I:%M %p}"),
                     "/columns/timestamp", "row 1 "),
    "zone by name": ("t.csv", rows(lambda u, i, r, t: f"{u},{i},{r},{at(t):%Y-%m-%d %H:%M} Europe/Berlin"),
                     "/columns/timestamp", "row 1 "),
    "only a time of the day": ("t.parquet", parquet({"user": USERS, "item": ITEMS, "time": [dt.time(1)] * 320}),
                               "/columns/timestamp", "time64"),
    "a span of time": ("t.parquet", parquet({"user": USERS, "item": ITEMS, "time": [dt.timedelta(1)] * 320}),
                       "/columns/timestamp", "duration"),
    "time above 64 bits": ("t.parquet", parquet({"user": USERS, "item": ITEMS,
                           "time": pa.array([0, 2**63 + 9] * 160, pa.uint64())}), "/columns/timestamp", "row 2 "),
    "stars in words": ("t.csv", rows(lambda u, i, r, t: f"{u},{i},{r} stars,{t}"), "/columns/rating", "row 1 "),
    "yes and no": ("t.csv", rows(lambda u, i, r, t: f"{u},{i},{'yes' if r > 2 else 'no'},{t}"),
                   "/columns/rating", "row 1 "),
    "of five": ("t.csv", rows(lambda u, i, r, t: f"{u},{i},{r}/5,{t}"), "/columns/rating", "row 1 "),
    "thousands": ("t.csv", rows(lambda u, i, r, t: f'{u},{i},"{r},000",{t}'), "/columns/rating", "row 1 "),
    "points among commas": ("t.csv", rows(lambda u, i, r, t: f"{u};{i};{'4.5' if u > 30 else '4,5'};{t}",
                            "user_id;item_id;rating;timestamp"), "/columns/rating", "row 249 "),
    "missing rating": ("t.csv", rows(lambda u, i, r, t: f"{u},{i},{'None' if u == 1 else r},{t}"),
                       "/columns/rating", "row 9 of t.csv is missing"),
    "rating above 32 bits": ("t.csv", rows(lambda u, i, r, t: f"{u},{i},{'1e308' if u == 1 else r},{t}"),
                             "/columns/rating", "row 9 "),
    "infinite rating": ("t.parquet", parquet({"user": USERS, "item": ITEMS, "rating": [1.0, float("-inf")] * 160}),
                        "/columns/rating", "row 2 "),
    "rating that is no text": ("t.parquet", parquet({"user": USERS, "item": ITEMS,
                               "rating": pa.concat_arrays([BROKEN] * 160)}), "/columns/rating", "row 2 "),
    "time that is no text": ("t.parquet", parquet({"user": USERS, "item": ITEMS,
                             "time": pa.concat_arrays([BROKEN] * 160)}), "/columns/timestamp", "row 2 "),
    "two columns of one name": ("t.csv", rows(lambda u, i, r, t: f"{u},{i},{r},{u}", "user_id,item_id,rating,user_id"),
                                "/columns/user", "2 columns 'user_id'"),
    "a column without a name": ("t.csv", rows(lambda u, i, r, t: f"{u},{i},{r}", "user_id,,rating"),
                                "/columns/item", "No item column"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_file_when_refused_then_by_row_or_column_and_the_hint_works(tmp_path: Path, name: str) -> None:
    file, data, pointer, words = REFUSED[name]
    path = write(tmp_path, data, file)
    problem = refused(path)
    assert problem.pointer == pointer
    assert words in problem.detail
    cured = advised(problem.hint)
    assert cured["columns"], problem.hint
    assert counts(run(path, columns=cured["columns"])[0]) == WHOLE


REPLACED: dict[str, tuple[str, str | bytes, str]] = {
    # name: file name, data, words of the refusal; the cure is another file
    "header in the middle": ("t.csv", TEXT + TEXT, "Row 321 of t.csv repeats the header"),
    "header in the middle of pairs": ("t.csv", 2 * rows(lambda u, i, r, t: f"{u},{i}", "user_id,item_id"), "Row 321 "),
    "row names of R": ("t.csv", rows(lambda u, i, r, t: f"{i},{u},{i},{r}", "user_id,item_id,rating"), "row names"),
    "id that is no text": ("t.parquet", parquet({"user": pa.concat_arrays([BROKEN] * 160), "item": ITEMS}), "row 2 "),
    "NUL in an id": ("t.parquet", parquet({"user": [f"{u}\0" for u in USERS], "item": ITEMS}), "row 1 "),
    "NUL in a name": ("t.parquet", parquet({"user\0": USERS, "item": ITEMS}), "user"),
    "NUL in npz": ("t.npz", npz(user=np.array([f"u\0{u}" for u in USERS]), item=np.array(ITEMS)), "Text 1 "),
    "half of a character in npz": ("t.npz", npz(user=np.array([f"{u}\ud800" for u in USERS]), item=np.array(ITEMS)),
                                   "Text 1 "),
    "what is no character in npz": ("t.npz", npz(user=np.full(320, 2**31 - 1, np.uint32).view("<U1"),
                                                 item=np.array(ITEMS)), "Text 1 "),
    "bytes that are no text in npz": ("t.npz", npz(user=np.array([b"\xff%d" % u for u in USERS]),
                                                   item=np.array(ITEMS)), "row 1 "),
    "half of a character in JSON": ("t.jsonl", '{"user": 1, "item": 2, "x": "\\ud800"}\n' * 9, "Line 1 "),
    "NUL in JSON": ("t.jsonl", '{"user": "a\\u0000", "item": 2}\n' * 9, "row 1 "),
    "a key twice in JSON": ("t.jsonl", '{"user": 1, "item": 2, "user": 3}\n' * 9, "'user' twice"),
    "a broken list": ("t.json", '[{"user": 1, "item": 2}, {"user": 1, "it', "Object 2 "),
    "a list of numbers": ("t.json", "[1, 2, 3]", "Object 1 "),
    "baskets": ("t.parquet", parquet({"user": [1, 2], "items": [[1, 2], [3]]}), "'items' of t.parquet is nested"),
    "truths as ids": ("t.parquet", parquet({"user": [True, False], "item": [1, 2]}), "bool"),
    "complex numbers": ("t.npz", npz(user=np.array(USERS), item=np.array(ITEMS, complex)), "complex128"),
    "web page": ("t.csv", "\n<!DOCTYPE html><html><body>404, not found</body></html>\n", "web page"),
    "XML": ("t.xml", "<?xml version='1.0'?><r/>", "XML"),
    "pointer of Git": ("t.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "Git LFS"),
    "UTF-32": ("t.csv", TEXT.encode("utf-32"), "UTF-32"),
    "gzip in gzip in a zip": (
        "t.zip",
        zipped({"a.csv.gz": gzip.compress(gzip.compress(TEXT.encode()))}),
        "archive inside an archive",
    ),
    "zip in gzip in a zip": (
        "t.zip",
        zipped({"a.csv.gz": gzip.compress(zipped({"a.csv": TEXT}))}),
        "archive inside an archive",
    ),
    "zip in a zip": ("t.zip", zipped({"a.zip": zipped({"a.csv": TEXT})}), "archive inside an archive"),
    "Feather 1": ("t.feather", b"FEA1" + bytes(40), "Feather of version 1"),
    "nothing": ("t.csv", "", "is empty"), "only a header": ("t.csv", table_text([]), "no rows"),
    "one row": ("t.csv", table_text(plain()[:1]), "1 users"),
    "one user": ("t.csv", rows(lambda u, i, r, t: f"7,{i},{r},{t}"), "1 users"),
    "one item": ("t.csv", rows(lambda u, i, r, t: f"{u},7,{r},{t}"), "1 items"),
    "a sum below": ("t.csv", TEXT + "Total,,,\n", "row 321 "),
    "sum of ratings above 32 bits": ("t.csv", table_text([f"{u},{i},3e38,1" for u, i, *_ in events()] * 2), "3.4e38"),
}  # fmt: skip


@pytest.mark.parametrize("name", REPLACED)
def test_file_when_only_another_file_helps_then_refused_by_name(tmp_path: Path, name: str) -> None:
    file, data, words = REPLACED[name]
    options = {"dedup": "sum"} if name.startswith("sum") else {}
    with pytest.raises(JobError) as caught:
        run(write(tmp_path, data, file), **options)
    assert words in caught.value.detail
    assert caught.value.hint


def test_detection_when_unused_cells_and_names_are_no_text_then_shown_as_json_can(tmp_path: Path) -> None:
    data = npz(user=np.array(USERS), item=np.array(ITEMS), note=np.array([f"{u}\ud800" for u in USERS]))
    files = [write(tmp_path, data, "t.npz")]
    files.append(write(tmp_path, parquet({"user": USERS, "item": ITEMS, "no\0te": USERS}), "t.parquet"))
    lines = "\n".join(json.dumps({"user": u, "item": i, "no\0te": "\0"}) for u, i in zip(USERS, ITEMS, strict=True))
    files.append(write(tmp_path, lines, "t.jsonl"))
    for path in files:
        shown = json.dumps(run(path)[0], ensure_ascii=False)
        assert "\\u0000" not in shown
        assert shown.encode()
