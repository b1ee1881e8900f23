from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.sequences import dataset, ingest
from worker.kinds.sequences.dataset import Sequences

ITEMS = 50
LISTS = [np.random.default_rng(seed).permutation(ITEMS)[: 3 + seed % 6].tolist() for seed in range(40)]
EVENTS = [(user, item, 978_300_760 + place) for user, row in enumerate(LISTS) for place, item in enumerate(row)]


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def lines(
    header: str, delimiter: str, *, of: Callable[[int, int, int], tuple[Any, ...]] = lambda u, i, t: (u, i, t)
) -> str:
    rows = [delimiter.join(map(str, of(*event))) for event in EVENTS]
    return "\n".join(([header] if header else []) + rows) + "\n"


def table(folder: Path) -> Path:
    parquet.write_table(pa.table({"user_id": list(range(40)), "item_ids": LISTS}), folder / "lists.parquet")
    return folder / "lists.parquet"


def arrays(folder: Path) -> Path:
    np.savez(folder / "rows.npz", indptr=np.cumsum([0] + [len(row) for row in LISTS]), items=np.concatenate(LISTS))
    return folder / "rows.npz"


FORMS: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "recbole": (
        lambda f: write(f / "a.inter", lines("user_id:token\titem_id:token\ttimestamp:float", "\t")),
        {},
    ),
    "u.data": (lambda f: write(f / "u.data", lines("", "\t", of=lambda u, i, t: (u, i, 4, t))), {}),
    "ratings.dat": (lambda f: write(f / "ratings.dat", lines("", "::", of=lambda u, i, t: (u, i, 5, t))), {}),
    "ratings.csv": (
        lambda f: write(
            f / "ratings.csv", lines("userId,movieId,rating,timestamp", ",", of=lambda u, i, t: (u, i, 3.5, t))
        ),
        {},
    ),
    "amazon": (
        lambda f: write(
            f / "Magazine.csv",
            lines("", ",", of=lambda u, i, t: (f"B{i:09d}", f"A{u:013d}", 5.0, t)),
        ),
        {},
    ),
    "pairs": (
        lambda f: write(f / "pairs.txt", lines("", " ", of=lambda u, i, _: (u, i))),
        {"rows_in_time_order": True},
    ),
    "one sequence a line": (
        lambda f: write(f / "s3.txt", "".join(" ".join(map(str, [u + 1, *row])) + "\n" for u, row in enumerate(LISTS))),
        {},
    ),
    "list column": (table, {}),
    "json lists": (
        lambda f: write(
            f / "a.jsonl", "".join(json.dumps({"sequence": [f"i{x}" for x in row]}) + "\n" for row in LISTS)
        ),
        {},
    ),
    "npz": (arrays, {}),
}


def ingested(folder: Path, files: list[Path], **options: Any) -> tuple[Sequences, dict[str, Any]]:
    out = folder / "out"
    out.mkdir()
    said = ingest.ingest([(path.name, path) for path in files], options, out, Context())
    return dataset.load(out), said


@pytest.mark.parametrize("form", FORMS)
def test_log_when_in_any_form_then_gives_the_same_sequences(form: str, tmp_path: Path):
    make, options = FORMS[form]
    data, said = ingested(tmp_path, [make(tmp_path)], **options)
    assert len(data) == 40
    assert said["statistics"]["events"] == len(EVENTS)
    number = [
        [int("".join(filter(str.isdigit, name))) for name in data.vocabulary[data.rows.row(r)]] for r in range(40)
    ]
    assert number == LISTS


def test_rows_when_shuffled_then_times_order_them_and_ties_keep_the_order_of_the_upload(tmp_path: Path):
    rows = ["u,i,t"] + [f"{u},{u + place},{place // 2}" for place in (1, 0, 3, 2, 4) for u in range(6)]
    file = write(tmp_path / "a.csv", "\n".join(rows) + "\n")
    data, _ = ingested(tmp_path, [file], columns={"user": "u", "item": "i", "timestamp": "t"})
    assert data.vocabulary[data.rows.row(2)].tolist() == ["3", "2", "5", "4", "6"]
    assert data.times is not None


@pytest.mark.parametrize(("dedup", "kept"), [("last", "bcad"), ("first", "abcd"), ("none", "abcad")])
def test_repeated_items_when_there_are_some_then_dedup_decides(dedup: str, kept: str, tmp_path: Path):
    read = ["abcad"] * 6 + ["dcb"] * 4
    rows = [
        "user_id,item_id,timestamp",
        *(f"{u},{item},{at}" for u, row in enumerate(read) for at, item in enumerate(row)),
    ]
    data, said = ingested(tmp_path, [write(tmp_path / "a.csv", "\n".join(rows) + "\n")], dedup=dedup)
    assert "".join(data.vocabulary[data.rows.row(0)]) == kept
    assert said["statistics"]["duplicates_removed"] == (0 if dedup == "none" else 6)


def test_rare_items_and_short_sequences_when_left_out_then_both_minima_hold(tmp_path: Path):
    file = write(tmp_path / "a.csv", lines("user_id,item_id,timestamp", ","))
    data, said = ingested(tmp_path, [file], min_item_count=3, min_user_len=4)
    assert np.bincount(data.items).min() >= 3
    assert data.rows.lengths.min() >= 4
    assert said["statistics"]["sequences_dropped"] == 40 - len(data)


def test_split_when_a_column_or_file_names_say_it_then_is_kept(tmp_path: Path):
    parts = {0: "train", 1: "train"}
    rows = [(u, i, t, parts.get(u % 4, "valid" if u % 4 == 2 else "test")) for u, i, t in EVENTS]
    text = "\n".join(["user_id,item_id,timestamp,part", *(",".join(map(str, row)) for row in rows)]) + "\n"
    data, _ = ingested(tmp_path, [write(tmp_path / "a.csv", text)], columns={"split": "part"})
    assert data.options["split"] == "given"
    assert len(data.training()) == 20
    assert len(data.cases("test")) == len(data.held("validation")) == 10
    (tmp_path / "files").mkdir()
    for part in ("train", "valid", "test"):
        chosen = [",".join(map(str, row[:3])) for row in rows if row[3] == part]
        write(tmp_path / "files" / f"{part}.csv", "\n".join(["user_id,item_id,timestamp", *chosen]) + "\n")
    again, _ = ingested(tmp_path / "files", sorted((tmp_path / "files").iterdir()))
    assert again.options["split"] == "given"
    assert len(again.training()) == 20


def test_items_when_a_table_lies_beside_then_have_titles_and_columns(tmp_path: Path):
    events = write(tmp_path / "ratings.csv", lines("userId,movieId,timestamp", ","))
    films = (
        "\n".join(["movieId,title,genres", *(f"{x},Film {x},{'A|B' if x % 2 else 'C'}" for x in range(ITEMS))]) + "\n"
    )
    data, said = ingested(tmp_path, [events, write(tmp_path / "movies.csv", films)])
    assert data.titles is not None
    assert data.titles[data.items[0]] == f"Film {LISTS[0][0]}"
    assert data.features is not None
    assert data.features.form == "columns"
    assert data.features.names is not None
    assert data.features.names.tolist() == ["genres=A|B", "genres=C"]
    assert said["detection"]["items"] == ["movies.csv"]
    assert said["preview"][0]["events"][0] == f"Film {LISTS[0][0]}"


def test_items_when_attributes_or_vectors_lie_beside_then_are_theirs_and_missing_ones_are_refused(tmp_path: Path):
    events = write(tmp_path / "ratings.csv", lines("userId,movieId,timestamp", ","))
    attributes = {str(x): [x % 3, 10 + x % 2] for x in range(ITEMS)}
    data, _ = ingested(tmp_path, [events, write(tmp_path / "sets.json", json.dumps(attributes))])
    assert data.features is not None
    assert data.features.sets is not None
    assert data.features.names is not None
    item = int(data.items[0])
    names = data.features.names[data.features.sets.row(item)].tolist()
    assert names == sorted(map(str, attributes[data.vocabulary[item]]), key=int)
    vectors = np.arange(ITEMS * 2, dtype=np.float32).reshape(ITEMS, 2)
    np.save(tmp_path / "v.npy", vectors)
    (tmp_path / "more").mkdir()
    again, _ = ingested(tmp_path / "more", [events, tmp_path / "v.npy"])
    assert again.features is not None
    assert again.features.vectors is not None
    seen = np.array(sorted(set(np.concatenate(LISTS).tolist())))
    assert np.array_equal(again.features.vectors, vectors[seen])
    del attributes[str(LISTS[0][0])]
    for name, make in (
        ("sets", lambda f: write(f / "few.json", json.dumps(attributes))),
        ("vectors", lambda f: (np.save(f / "w.npy", vectors[:20]), f / "w.npy")[1]),
    ):
        (tmp_path / name).mkdir()
        with pytest.raises(JobError) as refused:
            ingested(tmp_path / name, [events, make(tmp_path / name)])
        assert refused.value.hint


FULL, NO_TIME = "user_id,item_id,timestamp", "user_id,item_id"
REFUSED: list[tuple[str, Callable[[int, int, int], tuple[Any, ...]], dict[str, Any], str, str]] = [
    (NO_TIME, lambda u, i, _: (u, i), {}, "in which order", "/columns/timestamp"),
    (FULL, lambda u, i, t: (u, i, f"day {t}"), {}, "not a time", "/columns/timestamp"),
    (FULL, lambda u, i, t: (u, i, "" if u == 3 else t), {}, "have no time", "/columns/timestamp"),
    (FULL, lambda u, i, t: (f"{u}-{i}", i, t), {"min_user_len": 1}, "fewer than 2 events", "/columns/user"),
    (FULL, lambda u, i, t: (u, i, t), {"min_user_len": 100}, "0 sequences", "/options/min_user_len"),
    (FULL, lambda u, i, t: (u, i, t), {"split": "given"}, "needs a split column", "/options/split"),
    (FULL, lambda u, i, t: (u, i, 7), {"split": "temporal"}, "same time", "/options/split"),
    ("who,item_id,timestamp", lambda u, i, t: (u, i, t), {}, "No user column", "/columns/user"),
    (FULL, lambda u, i, t: (u, i, t), {"max_len": 1}, "max_len", "/options/max_len"),
    (FULL, lambda u, i, t: (u, f"{u}-{i}", t), {}, "no training event has", "/options/min_item_count"),
]


@pytest.mark.parametrize(("header", "of", "options", "said", "pointer"), REFUSED)
def test_log_when_it_cannot_be_used_then_says_what_is_wrong_and_what_cures_it(
    header: str, of: Any, options: dict[str, Any], said: str, pointer: str, tmp_path: Path
):
    with pytest.raises(JobError, match=said) as refused:
        ingested(tmp_path, [write(tmp_path / "a.csv", lines(header, ",", of=of))], **options)
    assert refused.value.pointer == pointer


def test_lists_when_times_do_not_match_items_then_the_row_is_named(tmp_path: Path):
    rows = [{"items": [1, 2, 3], "timestamps": [1, 2, 3]}, {"items": [1, 2, 3], "timestamps": [1, 2]}]
    file = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(JobError, match=r"row 2 .* differ in length"):
        ingested(tmp_path, [file])


def test_npz_when_indptr_does_not_cut_the_items_then_is_refused(tmp_path: Path):
    np.savez(tmp_path / "a.npz", indptr=np.array([0, 5, 3]), items=np.arange(5))
    with pytest.raises(JobError, match="does not cut"):
        ingested(tmp_path, [tmp_path / "a.npz"])


def test_users_when_most_have_too_few_events_then_the_warning_counts_them(tmp_path: Path):
    rows = [f"long{u},{item},{at}" for u in range(8) for at, item in enumerate("abcd" if u % 2 else "dcba")]
    rows += [f"short{u},a,5" for u in range(30)]
    file = write(tmp_path / "a.csv", "\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    _, said = ingested(tmp_path, [file])
    assert any("30 of 38 sequences have fewer than 3 events" in warning for warning in said["warnings"])


def test_uploads_when_users_are_shuffled_then_the_version_is_the_same(tmp_path: Path):
    rows = lines("", ",").splitlines()
    order = np.random.default_rng(0).permutation(len(rows))
    found = []
    for number, chosen in enumerate((rows, [rows[at] for at in order])):
        (tmp_path / str(number)).mkdir()
        file = write(tmp_path / str(number) / "a.csv", "\n".join(["user_id,item_id,timestamp", *chosen]) + "\n")
        found.append(ingested(tmp_path / str(number), [file])[0])
    assert found[0].vocabulary.tolist() == found[1].vocabulary.tolist()
    assert np.array_equal(found[0].items, found[1].items)


def shard(folder: Path, name: str, rows: list[list[int]], **columns: Any) -> Path:
    parquet.write_table(pa.table({"item_ids": rows} | columns), folder / name)
    return folder / name


def test_lists_when_in_several_files_without_users_then_rows_of_different_files_are_different_sequences(tmp_path: Path):
    data, _ = ingested(tmp_path, [shard(tmp_path, "a.parquet", LISTS[:25]), shard(tmp_path, "b.parquet", LISTS[25:])])
    assert [data.vocabulary[data.rows.row(row)].astype(int).tolist() for row in range(len(data))] == LISTS
    assert data.ids[[0, 25]].tolist() == ["a.parquet:0", "b.parquet:0"]


def test_lists_when_files_name_their_parts_and_there_are_no_users_then_no_row_lies_in_two_parts(tmp_path: Path):
    parts = {"test.parquet": LISTS[:8], "train.parquet": LISTS[8:30], "valid.parquet": LISTS[30:]}
    data, _ = ingested(tmp_path, [shard(tmp_path, name, rows) for name, rows in parts.items()])
    assert (len(data), len(data.training()), len(data.cases("test")), len(data.cases("validation"))) == (40, 22, 8, 10)


def test_parts_when_files_come_in_any_order_then_held_out_events_come_last(tmp_path: Path):
    files = []
    for part, at in (("test", slice(-1, None)), ("train", slice(0, -2)), ("valid", slice(-2, -1))):
        rows = "".join(f"{user} {item}\n" for user, row in enumerate(LISTS) for item in row[at])
        files.append(write(tmp_path / f"{part}.txt", rows))
    data, said = ingested(tmp_path, files, rows_in_time_order=True)
    assert [data.vocabulary[data.rows.row(row)].astype(int).tolist() for row in range(40)] == LISTS
    assert len(data.cases("test")) == len(data.cases("validation")) == 40
    assert not any("places" in warning for warning in said["warnings"])


def test_parts_when_training_events_follow_on_held_out_ones_then_the_warning_counts_the_places(tmp_path: Path):
    rows = [(u, i, 978_300_760 - t % 60, "test" if LISTS[u][-1] == i else "train") for u, i, t in EVENTS]
    text = "\n".join(["user_id,item_id,timestamp,split", *(",".join(map(str, row)) for row in rows)]) + "\n"
    data, said = ingested(tmp_path, [write(tmp_path / "a.csv", text)])
    assert data.options["split"] == "given"
    places = int((np.diff(data.split)[np.diff(data.rows.owners()) == 0] < 0).sum())
    assert places > 0
    assert any(f"In {places:,} places" in warning for warning in said["warnings"])


def test_parts_when_no_test_event_has_a_history_then_a_warning_says_that_nothing_can_be_measured(tmp_path: Path):
    rows = [["test" if place == 0 else "train" for place in range(len(row))] for row in LISTS]
    _, said = ingested(tmp_path, [shard(tmp_path, "a.parquet", LISTS, split=rows, timestamps=[
        list(range(978_300_760, 978_300_760 + 86_400 * len(row), 86_400)) for row in LISTS
    ])])  # fmt: skip
    assert any("nothing can be measured" in warning for warning in said["warnings"])


def test_times_when_most_are_tied_then_a_warning_says_whose_order_it_is(tmp_path: Path):
    tied = write(tmp_path / "a.csv", lines(FULL, ",", of=lambda u, i, t: (u, i, 978_300_760 + 86_400 * u)))
    data, said = ingested(tmp_path, [tied])
    assert any(f"{100 * (1 - 40 / len(data.items)):.0f} % of events have the time" in one for one in said["warnings"])


def test_lists_when_times_are_missing_then_says_that_the_order_is_that_of_the_upload(tmp_path: Path):
    times = [
        [None if user == 3 else 978_300_760 - place for place in range(len(row))] for user, row in enumerate(LISTS)
    ]
    data, said = ingested(tmp_path, [shard(tmp_path, "a.parquet", LISTS, timestamps=times)])
    assert data.vocabulary[data.rows.row(5)].astype(int).tolist() == LISTS[5]
    assert any(f"{len(LISTS[3])} of {len(EVENTS)} events have no time" in warning for warning in said["warnings"])


def test_lists_when_all_of_one_size_then_are_read_like_others(tmp_path: Path):
    short = [row[:3] for row in LISTS]
    data, _ = ingested(tmp_path, [shard(tmp_path, "a.parquet", pa.array(short, pa.list_(pa.int64(), 3)))])
    assert [data.vocabulary[data.rows.row(row)].astype(int).tolist() for row in range(40)] == short


@pytest.mark.parametrize(
    "wrong",
    [
        {"items": np.zeros((9, 2), int)},
        {"items": np.int64(3)},
        {"indptr": np.array([[0], [9]])},
        {"times": np.arange(4)},
    ],
)
def test_npz_when_an_array_is_not_one_value_an_event_then_is_refused(wrong: dict[str, Any], tmp_path: Path):
    np.savez(tmp_path / "a.npz", **({"indptr": np.array([0, 4, 9]), "items": np.arange(9)} | wrong))
    with pytest.raises(JobError, match=f"The array {next(iter(wrong))} .* has the shape"):
        ingested(tmp_path, [tmp_path / "a.npz"])


def test_items_when_all_test_events_are_new_then_no_hint_names_the_split_that_is_in_use(tmp_path: Path):
    rows = [f"{u},{i},{978_300_760 + i}" for u in range(30) for i in range(5)]
    file = write(tmp_path / "a.csv", "\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    with pytest.raises(JobError) as refused:
        ingested(tmp_path, [file])
    assert refused.value.hint
    assert "leave_one_out" not in refused.value.hint


@pytest.mark.parametrize(
    ("vectors", "said"), [(np.zeros((ITEMS, 0)), "not a table"), (np.full((ITEMS, 2), np.nan), "not finite")]
)
def test_vectors_when_they_say_nothing_then_are_refused(vectors: np.ndarray, said: str, tmp_path: Path):
    np.save(tmp_path / "v.npy", vectors)
    with pytest.raises(JobError, match=said):
        ingested(tmp_path, [write(tmp_path / "a.csv", lines(FULL, ",")), tmp_path / "v.npy"])
