from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.ingest.tables import csv_text, read, refusal, rows


def write(folder: Path, data: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_csv_when_named_columns_then_roles_and_values(tmp_path: Path) -> None:
    detection, found = read(write(tmp_path, "x,movieId,userId,rating,ts\n9,a,u1,4.5,100\n9,b,u2,3,101.0\n"))
    assert detection["columns"] == {"user": "userId", "item": "movieId", "rating": "rating", "timestamp": "ts"}
    assert found == {"user": ["u1", "u2"], "item": ["a", "b"], "rating": [4.5, 3.0], "timestamp": [100, 101]}


def test_csv_when_quotes_hold_delimiters_and_line_breaks_then_cells_stay_whole(tmp_path: Path) -> None:
    text = 'user,title,item\n"a,b","one\ntwo","say ""hi"""\nc,"x",d\n'
    _, found = read(write(tmp_path, text))
    assert found == {"user": ["a,b", "c"], "item": ['say "hi"', "d"]}


def test_csv_when_ids_are_padded_then_trimmed(tmp_path: Path) -> None:
    _, found = read(write(tmp_path, "user,item\n a ,1\na,2 \n"))
    assert found == {"user": ["a", "a"], "item": ["1", "2"]}


def test_csv_when_latin1_then_detected_and_decoded(tmp_path: Path) -> None:
    detection, found = read(write(tmp_path, "user,item\nJosé,1\nZoë,2\n".encode("latin-1")))
    assert detection["files"][0]["encoding"] == "latin-1"
    assert found["user"] == ["José", "Zoë"]


def test_csv_when_latin1_begins_after_the_sample_then_refused_with_the_option(tmp_path: Path) -> None:
    text = "user,item\n" + "u,i\n" * 100_000 + "José,1\n"
    path = write(tmp_path, text.encode("latin-1"))
    assert refusal(path, "invalid_input").pointer == "/options/encoding"
    assert read(path, encoding="latin-1")[1]["user"][-1] == "José"


def test_headerless_when_four_columns_then_user_item_rating_time(tmp_path: Path) -> None:
    detection, found = read(write(tmp_path, "196\t242\t3\t881250949\n186\t302\t3\t891717742\n", "u.data"))
    assert detection["files"][0]["header"] is False
    assert found == {
        "user": ["196", "186"], "item": ["242", "302"], "rating": [3.0, 3.0], "timestamp": [881250949, 891717742],
    }  # fmt: skip


def test_headerless_when_two_columns_then_pairs(tmp_path: Path) -> None:
    _, found = read(write(tmp_path, "1 6393\n1 13504\n2 6393\n", "Video.txt"))
    assert found == {"user": ["1", "1", "2"], "item": ["6393", "13504", "6393"]}


def test_headerless_when_amazon_item_first_then_swapped(tmp_path: Path) -> None:
    text = "B00005N7NQ,A5QQOOZJOVPSF,4.0,1353612262\nB00005N7OJ,A3RHJEMZ4EGY2U,5.0,1356912000\n"
    _, found = read(write(tmp_path, text))
    assert found["user"] == ["A5QQOOZJOVPSF", "A3RHJEMZ4EGY2U"]
    assert found["rating"] == [4.0, 5.0]


def test_headerless_when_three_columns_with_times_then_no_rating(tmp_path: Path) -> None:
    _, found = read(write(tmp_path, "1,2,1353612262\n3,4,1356912000\n"))
    assert set(found) == {"user", "item", "timestamp"}


def test_double_colon_when_many_rows_then_same_as_csv(tmp_path: Path) -> None:
    table = rows(300, 40)
    _, dat = read(write(tmp_path, csv_text(table, "::", header=""), "ratings.dat"))
    _, csv = read(write(tmp_path, csv_text(table)))
    assert dat == csv


def test_column_map_when_given_by_name_and_position_then_obeyed(tmp_path: Path) -> None:
    path = write(tmp_path, "who,what,stars\na,x,1\nb,y,2\n")
    _, found = read(path, columns='{"user": "who", "item": 1, "rating": ""}')
    assert found == {"user": ["a", "b"], "item": ["x", "y"]}


def test_column_map_when_name_is_unknown_then_lists_columns_and_nearest(tmp_path: Path) -> None:
    problem = refusal(
        write(tmp_path, "who,what\na,x\nb,y\n"), "unknown_column", columns={"user": "whoo", "item": "what"}
    )
    assert problem.pointer == "/columns/user"
    assert "'who', 'what'" in problem.detail
    assert "Nearest match: 'who'" in problem.detail


def test_header_when_no_user_column_then_unknown_column(tmp_path: Path) -> None:
    problem = refusal(write(tmp_path, "userr,item\na,x\nb,y\n"), "unknown_column")
    assert problem.pointer == "/columns/user"
    assert "Nearest match: 'userr'" in problem.detail


def test_dates_when_iso_then_milliseconds(tmp_path: Path) -> None:
    _, found = read(write(tmp_path, "user,item,date\na,x,2020-01-01\nb,y,2020-01-02\n"))
    assert found["timestamp"] == [1577836800000, 1577923200000]
    _, found = read(write(tmp_path, "user,item,time\na,x,2020-01-01T00:00:01.5Z\nb,y,\n"))
    assert found["timestamp"] == [1577836801500, None]


def test_rating_when_not_a_number_late_in_the_file_then_row_is_named(tmp_path: Path) -> None:
    text = "user,item,rating\n" + "u,i,3\n" * 200_000 + "u,i,great\n"
    problem = refusal(write(tmp_path, text), "non_numeric_label")
    assert "row 200,001" in problem.detail
    assert "'great'" in problem.detail
    assert problem.pointer == "/columns/rating"


@pytest.mark.parametrize("cell", ["", "nan", "inf"])
def test_rating_when_missing_or_infinite_then_refused(tmp_path: Path, cell: str) -> None:
    assert "row 2 " in refusal(write(tmp_path, f"user,item,rating\na,x,1\nb,y,{cell}\n"), "non_numeric_label").detail


@pytest.mark.parametrize("missing", ["", "NaN", "null", "None", "NA", "  "])
@pytest.mark.parametrize("role", ["user", "item"])
def test_id_when_missing_then_row_is_named(tmp_path: Path, missing: str, role: str) -> None:
    bad = f"{missing},x" if role == "user" else f"a,{missing}"
    problem = refusal(write(tmp_path, f"user,item\na,x\nb,y\n{bad}\nc,z\n"), "invalid_input")
    assert problem.pointer == f"/columns/{role}"
    assert "row 3 " in problem.detail


def test_rows_when_ragged_then_row_is_named(tmp_path: Path) -> None:
    problem = refusal(write(tmp_path, "user,item,rating\na,x,1\nb,y,2\nc,z\nd,w,3\n"), "invalid_input")
    assert "Row 3 " in problem.detail
    problem = refusal(write(tmp_path, "1\t2\t3\n4\t5\t1\n4\t5\t3\n" + "7\t8\n", "u.data"), "invalid_input")
    assert "Row 4 " in problem.detail


def test_quote_when_never_closed_then_refused(tmp_path: Path) -> None:
    text = "user,item,note\na,x,y\nb,y,z\n" + 'c,"z\n' + "d,e,f\n" * 2_000_000
    assert "quote" in refusal(write(tmp_path, text), "decoded_too_large").hint


@pytest.mark.parametrize("text", ["user,item\n", "user_id:token\titem_id:token\n", "user,item\n\n\n"])
def test_table_when_only_a_header_then_refused(tmp_path: Path, text: str) -> None:
    assert "no rows" in refusal(write(tmp_path, text), "invalid_input").detail


def test_id_when_longer_than_the_limit_then_refused(tmp_path: Path) -> None:
    problem = refusal(write(tmp_path, "user,item\na,x\n" + "b" * 2000 + ",y\n"), "decoded_too_large")
    assert "DISTILLERY_INGEST_ID_BYTES" in problem.detail


def test_headerless_when_a_time_is_missing_then_still_a_time(tmp_path: Path) -> None:
    _, found = read(write(tmp_path, "1,2,NA\n3,4,1356912000\n5,6,1356912001\n"))
    assert found["timestamp"] == [None, 1356912000, 1356912001]


@pytest.mark.parametrize("before", [20, 60_000])
def test_csv_when_utf8_but_for_one_line_then_that_is_named_and_no_letter_is_wrong(tmp_path: Path, before: int) -> None:
    good = "user,item\n" + "".join(f"größe{row},café\n" for row in range(before))
    problem = refusal(write(tmp_path, good.encode() + b"bad\xff,1\n"), "invalid_input")
    assert problem.detail == f"Line {before + 2:,} of t.csv is not UTF-8 text."
    _, found = read(write(tmp_path, good.encode("latin-1")))  # of which no letter is UTF-8
    assert found["user"][3] == "größe3"


def test_csv_when_a_cell_holds_what_unicode_calls_a_line_end_then_the_row_goes_on(tmp_path: Path) -> None:
    _, found = read(write(tmp_path, "user,item\na\u2028b,1\nc\x0cd,2\ne\x85f,3\n"))
    assert found["user"] == ["a\u2028b", "c\x0cd", "e\x85f"]


@pytest.mark.parametrize(("mark", "said"), [("\0", "NUL characters"), ("\x1b", "control characters such as '\\x1b'")])
def test_text_when_it_holds_stray_characters_then_they_and_their_line_are_named(
    tmp_path: Path, mark: str, said: str
) -> None:
    problem = refusal(write(tmp_path, f"user,item\na,1\nb{mark},2\n"), "invalid_input")
    assert problem.detail == f"t.csv looks like text, but holds {said}, first in line 3."
    assert "tr -d" in problem.hint
