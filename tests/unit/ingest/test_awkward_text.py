"""Text tables as people write them: quotes, lists in cells, lines above the table, blanks between columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.ingest.test_awkward_files import (
    EACH,
    USERS,
    WHOLE,
    advised,
    counts,
    events,
    plain,
    refused,
    saying,
    table_text,
    write,
)  # fmt: skip
from tests.unit.ingest.test_interactions import digests, run


def test_quotes_when_they_are_characters_then_all_rows_and_told(tmp_path: Path) -> None:
    titles = ['"Tape' if n == 60 else '"Single' if n == 300 else f"title {n}" for n in range(USERS * EACH)]
    lines = [f"{u}\t{i}\t{r}\t{title}" for (u, i, r, _), title in zip(events(), titles, strict=True)]
    path = write(tmp_path, table_text(lines, "user_id\titem_id\trating\ttitle"), "t.tsv")
    result, _ = run(path)
    assert counts(result) == WHOLE
    warning = saying(result, "quotation mark")
    assert "Line 62 " in warning
    assert advised(warning) == {"quote": "double"}
    assert run(path, quote="double")[0]["statistics"]["rows"] == 320 - 240
    assert not any("quotation" in text for text in run(path, quote="none")[0]["warnings"])


def test_quotes_when_one_opens_after_the_sample_then_refused_by_line_and_the_hint_works(tmp_path: Path) -> None:
    lines = [f"{n % 50},{n % 31},title" for n in range(90_000)]
    lines[70_000] = '1,2,"Tape'
    lines[80_000] = '1,2,"Single'
    path = write(tmp_path, table_text(lines, "user_id,item_id,title"))
    problem = refused(path)
    assert (problem.pointer, "Line 70,002 " in problem.detail) == ("/options/quote", True)
    assert advised(problem.hint.split(";")[0]) == {"quote": "none"}
    assert run(path, quote="none")[0]["statistics"]["rows"] == 90_000
    assert run(path, quote="double")[0]["statistics"]["rows"] == 80_000


def test_quotes_when_cells_run_over_lines_then_whole_rows(tmp_path: Path) -> None:
    lines = [f'{u},{i},{r},"first line, good\nsecond line; nice\n\nthird"' for u, i, r, _ in events()]
    assert counts(run(write(tmp_path, table_text(lines, "user_id,item_id,rating,review")))[0]) == WHOLE


@pytest.mark.parametrize(("separator", "header"), [("|", True), ("|", False), (";", True)])
def test_delimiter_when_cells_are_lists_then_the_one_of_the_columns(
    tmp_path: Path, separator: str, header: bool
) -> None:
    lines = [f"{u},{i},{r},Action{separator}Comedy" for u, i, r, _ in events()]
    text = table_text(lines, "user_id,item_id,rating,genres") if header else "\n".join(lines)
    result, _ = run(write(tmp_path, text))
    assert counts(result) == WHOLE
    assert len(result["detection"]["files"][0]["columns"]) == 4


@pytest.mark.parametrize(
    "above", ["# exported 2024\n", "# exported, by hand\n\n# twice\n", "sep=,\n", '"sep=,"\r\n', "\n\n# x\n"]
)
def test_lines_above_when_comments_or_excels_then_no_rows(tmp_path: Path, above: str) -> None:
    expected = digests(run(write(tmp_path, table_text(plain()), "plain.csv"))[1])
    assert digests(run(write(tmp_path, above + table_text(plain())))[1]) == expected


def test_lines_above_when_a_comment_names_the_columns_then_the_header(tmp_path: Path) -> None:
    text = "# made by numpy\n# item_id user_id\n" + "\n".join(f"{i} {u}" for u, i, *_ in events())
    result, _ = run(write(tmp_path, text, "t.txt"))
    assert counts(result) == WHOLE
    assert result["detection"]["columns"] == {"user": "user_id", "item": "item_id"}


def test_ids_when_they_begin_with_a_hash_then_rows(tmp_path: Path) -> None:
    lines = [f"#{u},{i}" for u, i, *_ in events()]
    assert counts(run(write(tmp_path, "\n".join(lines)))[0]) == WHOLE
    assert counts(run(write(tmp_path, table_text(lines, "user,item")))[0]) == WHOLE


@pytest.mark.parametrize("delimiter", ["", "whitespace", "space"])
def test_delimiter_when_runs_of_blanks_then_one(tmp_path: Path, delimiter: str) -> None:
    lines = [f"  {u:>4} {i:>5}\t{r}   {t}  " for u, i, r, t in events()]
    path = write(tmp_path, table_text(lines, "user_id item_id  rating timestamp"), "t.txt")
    assert digests(run(path, delimiter=delimiter)[1]) == digests(run(write(tmp_path, table_text(plain())))[1])


def test_separator_line_when_it_names_another_delimiter_then_that_one(tmp_path: Path) -> None:
    text = "sep=;\n" + table_text(plain()).replace(",", ";")
    assert counts(run(write(tmp_path, text))[0]) == WHOLE
