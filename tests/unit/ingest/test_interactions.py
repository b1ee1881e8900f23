from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.shared_data import shared
from tests.unit.ingest.tables import csv_text, rows, save_csr, write_all
from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.kinds.interactions.dataset import load
from worker.kinds.interactions.ingest import ingest
from worker.kinds.interactions.options import IngestOptions

_folders = itertools.count()


def run(
    paths: Path | list[Path], ctx: Context | None = None, limits: dict[str, int] | None = None, **options: object
) -> tuple:
    """Result and folder of an ingest."""
    paths = [paths] if isinstance(paths, Path) else paths
    out = paths[0].parent / f"out{next(_folders)}"
    if not paths[0].parent.is_dir() or "shared" in str(paths[0]):
        raise AssertionError("give run a writable folder")
    out.mkdir()
    return ingest(paths, options, out, ctx or Context(), limits), out


def table(folder: Path, lines: list[str], header: str = "user,item,rating,timestamp") -> Path:
    path = folder / f"t{next(_folders)}.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def grid(users: int = 12, items: int = 6) -> list[str]:
    return [f"u{u:02},i{i},{1 + (u + i) % 5},{100 * u + i}" for u in range(users) for i in range(items)]


def refused(code: str, pointer: str, paths: Path | list[Path], **options: object) -> JobError:
    with pytest.raises(JobError) as caught:
        run(paths, **options)
    assert (caught.value.code, caught.value.pointer) == (code, pointer), caught.value.detail
    return caught.value


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_ingest_when_the_same_data_in_every_format_then_the_same_bytes(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    results = {}
    for name, path in write_all(rows(), sources).items():
        results[name] = digests(run(path)[1])
        path.unlink()
    assert len(results) == 21
    assert len({json.dumps(result) for result in results.values()}) == 1, results
    assert set(results["ratings.csv"]) == {"interactions.parquet", "users.parquet", "items.parquet"}


def test_ingest_when_sparse_matrix_then_the_same_bytes_as_csv_without_times(tmp_path: Path) -> None:
    found = rows()
    save_csr(found, tmp_path / "m.npz")
    (tmp_path / "t.csv").write_text(csv_text(found))
    _, csr = run(tmp_path / "m.npz")
    _, csv = run(tmp_path / "t.csv", columns={"timestamp": ""})
    assert digests(csr) == digests(csv)


def test_ingest_when_rows_are_shuffled_then_the_same_bytes(tmp_path: Path) -> None:
    found = rows()
    (tmp_path / "a.csv").write_text(csv_text(found))
    (tmp_path / "b.csv").write_text(csv_text(found[::-1]))
    assert digests(run(tmp_path / "a.csv")[1]) == digests(run(tmp_path / "b.csv")[1])


def test_ingest_when_read_in_tiny_batches_then_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text(csv_text(rows()))
    whole = digests(run(tmp_path / "a.csv")[1])
    monkeypatch.setattr("worker.ingest.native.BLOCK_BYTES", 300)
    monkeypatch.setattr("worker.ingest.ids._MERGE_AT", 5)
    assert digests(run(tmp_path / "a.csv")[1]) == whole


def test_ingest_when_done_then_files_keep_the_contract(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(csv_text(rows()))
    result, out = run(tmp_path / "a.csv", seed="7")
    events = pq.read_table(out / "interactions.parquet")
    assert {field.name: str(field.type) for field in events.schema} == {
        "user": "int32", "item": "int32", "split": "int8", "rating": "float", "timestamp": "int64",
    }  # fmt: skip
    pairs = list(zip(events["user"].to_pylist(), events["item"].to_pylist(), strict=True))
    assert pairs == sorted(set(pairs))
    data = load(out)
    assert data.user_ids.tolist() == [str(n) for n in range(1, 31)]
    assert data.item_ids.tolist() == [str(n) for n in range(1, 21)]
    assert result["schema"]["interactions.parquet"]["rating"] == "float32"
    assert len(result["preview"]) == 20
    assert result["statistics"]["options"]["seed"] == 7
    known = {(u, i): (r, t) for u, i, r, t in rows()}
    for line in result["preview"]:
        assert known[int(line["user_id"]), int(line["item_id"])] == (line["rating"], line["timestamp"])
    json.dumps(result)


def test_ingest_when_done_then_every_row_is_accounted_for(tmp_path: Path) -> None:
    lines = [*grid(), "u00,i0,5,0", "lonely,i1,5,7", "u01,i1,1,9999"]
    result, _ = run(table(tmp_path, lines))
    found = result["statistics"]
    assert (found["rows"], found["duplicates_removed"], found["users_dropped"], found["events"]) == (75, 2, 1, 72)
    assert (found["users"], found["items"], found["density"]) == (12, 6, 1.0)
    assert sum(found["events_per_split"].values()) == 72
    assert found["time_range"] == [0, 1105]
    assert found["top_1_percent_item_share"] == pytest.approx(1 / 6)


@pytest.mark.parametrize(("how", "rating", "time"), [("first", 1.0, 10), ("last", 3.0, 30), ("sum", 6.0, 10)])
def test_dedup_when_a_pair_comes_three_times_then_by_time_not_by_row(
    tmp_path: Path, how: str, rating: float, time: int
) -> None:
    lines = ["a,x,2,20", "a,x,3,30", "a,x,1,10", *grid()]
    result, out = run(table(tmp_path, lines), dedup=how, min_user_events=1)
    data = load(out)
    at = data.events.user.tolist().index(data.user_ids.tolist().index("a"))
    assert data.item_ids[data.events.item[at]] == "x"
    assert (float(data.events.rating[at]), int(data.events.timestamp[at])) == (rating, time)
    assert result["statistics"]["duplicates_removed"] == 2


def test_dedup_when_no_times_then_by_row_and_sum_counts(tmp_path: Path) -> None:
    lines = ["a,x", "a,x", *[line.rsplit(",", 2)[0] for line in grid()]]
    path = table(tmp_path, lines, header="user,item")
    _, out = run(path, dedup="sum", min_user_events=1)
    data = load(out)
    assert data.events.rating[data.events.user == data.user_ids.tolist().index("a")] == [2.0]
    lines = ["a,x,2", "a,x,3", *[line.rsplit(",", 1)[0] for line in grid()]]
    path = table(tmp_path, lines, header="user,item,rating")
    for how, rating in (("first", 2.0), ("last", 3.0)):
        data = load(run(path, dedup=how, min_user_events=1)[1])
        assert data.events.rating[data.events.user == 0] == [rating]


def test_dedup_when_keys_do_not_fit_64_bits_then_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.kinds.interactions import cleaning as module

    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 9, 500).astype(np.int32), rng.integers(0, 9, 500).astype(np.int32)
    events = module.Events(user, item, np.arange(500, dtype=np.int32))
    narrow = module._by_pair(events, 9, 9)
    wide = module._by_pair(events, 2**31, 2**31)
    assert narrow[0].tolist() == wide[0].tolist()
    assert len(set(zip(narrow[1].tolist(), user[narrow[0]], item[narrow[0]], strict=True))) == len(
        set(narrow[1].tolist())
    )


def test_threshold_when_given_as_text_then_only_events_at_or_above(tmp_path: Path) -> None:
    result, out = run(table(tmp_path, grid(40)), binarize_threshold="4", min_user_events="1")
    assert load(out).events.rating.min() == 4.0
    assert result["statistics"]["below_threshold"] == sum(float(line.split(",")[2]) < 4 for line in grid(40))
    assert run(table(tmp_path, grid()), binarize_threshold="null")[0]["statistics"]["below_threshold"] == 0


def test_threshold_when_no_ratings_then_refused(tmp_path: Path) -> None:
    path = table(tmp_path, [line.rsplit(",", 2)[0] for line in grid()], header="user,item")
    refused("invalid_input", "/options/binarize_threshold", path, binarize_threshold=3)


def test_minima_when_dropping_an_item_makes_a_user_rare_then_both_hold(tmp_path: Path) -> None:
    lines = [*grid(), "rare,i0,1,1", "rare,i1,1,1", "rare,once,1,1"]
    _, out = run(table(tmp_path, lines), min_item_events=2)
    data = load(out)
    assert "rare" not in data.user_ids
    assert "once" not in data.item_ids
    assert np.bincount(data.events.user).min() >= 3


def test_split_when_a_column_says_then_those_parts(tmp_path: Path) -> None:
    parts = itertools.cycle(["train", "train", "valid", "test", "dropped", "train"])
    lines = [f"{line},{next(parts)}" for line in grid()]
    result, _ = run(table(tmp_path, lines, header="user,item,rating,timestamp,fold"), split="column:fold")
    assert result["statistics"]["events_per_split"]["train"] == 36
    assert result["statistics"]["events_per_split"]["validation"] == 12
    assert result["statistics"]["rows"] == 60


def test_split_when_the_column_is_unknown_or_odd_then_refused(tmp_path: Path) -> None:
    path = table(tmp_path, grid())
    problem = refused("unknown_column", "/columns/split", path, split="column:ratin")
    assert "Nearest match: 'rating'" in problem.detail
    refused("invalid_input", "/options/split", path, split="column:rating")
    refused("invalid_input", "/options/split", path, split="thirds")


def test_split_when_pairs_lie_in_two_parts_then_warned(tmp_path: Path) -> None:
    lines = [f"{line},train" for line in grid()] + ["u00,i0,1,5,test"]
    result, _ = run(table(tmp_path, lines, header="user,item,rating,timestamp,split"), split="column:split")
    assert any("1 pairs in two parts" in warning for warning in result["warnings"])


def test_leave_2_when_times_tie_then_rows_decide(tmp_path: Path) -> None:
    lines = [f"u{u:02},i{i},1,5" for u in range(12) for i in (3, 1, 4, 0, 2)]
    data = load(run(table(tmp_path, lines), split="leave_2")[1])
    assert data.events.split[data.events.user == 0].tolist() == [1, 0, 2, 0, 0]


@pytest.mark.parametrize("lines", [grid(), [*grid(), "u00,i9,1,"]])
def test_leave_2_when_times_are_missing_then_refused(tmp_path: Path, lines: list[str]) -> None:
    options: dict = {"columns": {"timestamp": ""}} if not lines[-1].endswith(",") else {}
    refused("invalid_input", "/columns/timestamp", table(tmp_path, lines), split="leave_2", **options)


def test_times_when_some_are_missing_then_left_out_with_a_warning(tmp_path: Path) -> None:
    result, out = run(table(tmp_path, [*grid(), "u00,i9,1,"]))
    assert load(out).events.timestamp is None
    assert any("1 of 73 rows have no time" in warning for warning in result["warnings"])


def test_leave_2_when_rows_are_in_time_order_then_needs_no_times(tmp_path: Path) -> None:
    path = table(tmp_path, [line.rsplit(",", 2)[0] for line in grid()], header="user,item")
    data = load(run(path, split="leave_2", rows_in_time_order="true")[1])
    assert data.events.split.reshape(12, 6).tolist() == [[0, 0, 0, 0, 1, 2]] * 12


@pytest.mark.parametrize("split", ["paper", "clean", "leave_2", "strong"])
def test_split_when_the_seed_is_the_same_then_the_same_bytes(tmp_path: Path, split: str) -> None:
    path = table(tmp_path, grid(40, 12))
    first, again, other = (digests(run(path, split=split, seed=seed)[1]) for seed in (1, 1, 2))
    assert first == again
    assert first["interactions.parquet"] != other["interactions.parquet"]


def test_too_few_when_users_or_items_lack_then_refused(tmp_path: Path) -> None:
    assert "9 users" in refused("too_few_rows", "", table(tmp_path, grid(9))).detail
    assert "4 items" in refused("too_few_rows", "", table(tmp_path, grid(12, 4))).detail
    problem = refused("too_few_rows", "/options/min_user_events", table(tmp_path, grid()), min_user_events=7)
    assert "All 12 users" in problem.detail
    refused("too_few_rows", "/options/binarize_threshold", table(tmp_path, grid()), binarize_threshold=6)


def test_bomb_when_millions_of_equal_rows_then_refused_before_they_are_sorted(tmp_path: Path) -> None:
    zeros = np.zeros(3_000_000, np.int64)
    path = tmp_path / "zeros.parquet"
    pq.write_table(pa.table({"user": zeros, "item": zeros}), path)
    assert path.stat().st_size < 200_000
    refused("too_few_rows", "", path)


def test_options_when_wrong_then_the_option_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, grid())
    refused("invalid_input", "/options/min_user_events", path, min_user_events="0")
    refused("invalid_input", "/options/dedup", path, dedup="mean")
    assert "min_user_events" in refused("invalid_input", "/options/min_users", path, min_users=1).hint
    refused("invalid_input", "/columns", path, columns="{nonsense")
    refused("unknown_column", "/columns/user", path, columns="user=nobody")


def test_options_when_shown_then_every_one_is_described() -> None:
    schema = IngestOptions.model_json_schema()
    assert all("description" in found for found in schema["properties"].values())
    assert {"enum": ["auto", "none", "null", ""]} in schema["properties"]["min_user_events"]["anyOf"]


def test_ids_when_one_long_among_many_then_fixed_width_is_refused(tmp_path: Path) -> None:
    lines = [f"{n},x{n % 9},1,1" for n in range(2000)] + ["y" * 1000 + ",x,1,1"]
    with pytest.raises(JobError) as caught:
        run(table(tmp_path, lines), limits={"decoded_bytes": 10_000_000})
    assert caught.value.code == "decoded_too_large"


def test_progress_when_reading_then_bytes_and_phases(tmp_path: Path) -> None:
    seen = []

    class Watched(Context):
        def report_progress(self, step: int, total: int, phase: str, *rest: object) -> None:
            seen.append((phase, step, total))

    path = table(tmp_path, grid())
    run(path, Watched())
    assert seen[0] == ("read", path.stat().st_size, path.stat().st_size)
    assert [phase for phase, _ in itertools.groupby(phase for phase, _, _ in seen)] == [
        "read",
        "clean",
        "split",
        "write",
    ]


def test_cancel_when_asked_for_then_stops_and_writes_nothing(tmp_path: Path) -> None:
    ctx = Context()
    ctx.stop()
    path = table(tmp_path, grid())
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(Cancelled):
        ingest([path], {}, out, ctx)
    assert not list(out.iterdir())


def test_sources_when_named_by_the_user_then_names_are_shown(tmp_path: Path) -> None:
    path = table(tmp_path, grid())
    out = tmp_path / "out"
    out.mkdir()
    result = ingest([("logs/ratings.csv", path)], {}, out, Context())
    assert result["detection"]["files"][0]["file"] == "logs/ratings.csv"


def test_titles_when_an_item_file_lies_beside_then_kept(tmp_path: Path) -> None:
    ratings = table(tmp_path, grid())
    (tmp_path / "movies.csv").write_text("movieId,title\n" + "".join(f"i{i},Film {i}\n" for i in range(5)))
    result, out = run([ratings, tmp_path / "movies.csv"])
    assert load(out).titles.tolist() == ["Film 0", "Film 1", "Film 2", "Film 3", "Film 4", ""]
    assert result["preview"][0]["title"] == "Film 0"
    assert result["detection"]["titles"] == "movies.csv"


def test_titles_when_long_then_cut_and_when_huge_then_refused(tmp_path: Path) -> None:
    ratings = table(tmp_path, grid())
    movies = tmp_path / "movies.csv"
    movies.write_text("movieId,title\n" + "".join(f"i{i},{'x' * 5000}\n" for i in range(6)))
    assert set(load(run([ratings, movies])[1]).titles) == {"x" * 200}
    movies.write_text("movieId,title\n" + f"i1,{'x' * 1_000_001}\n")
    with pytest.raises(JobError) as caught:
        run([ratings, movies])
    assert "DISTILLERY_INGEST_TEXT_CELL_BYTES" in caught.value.detail


def test_ingest_when_web_areas_then_warned_about_little_validation(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{u},{area}" for u in range(800) for area in np.unique((294 * rng.random(4) ** 3).astype(int))]
    result, _ = run(table(tmp_path, lines, header="user_id,item_id"))
    assert result["statistics"]["users_dropped"] > 0
    assert any("validation events" in warning for warning in result["warnings"])


def test_ingest_when_two_files_are_one_table_then_warned(tmp_path: Path) -> None:
    lines = grid()
    result, _ = run([table(tmp_path, lines[:30]), table(tmp_path, lines[30:])])
    assert result["statistics"]["rows"] == len(lines)
    assert "2 files of one form were read as one table." in result["warnings"]


def copied(source: Path, folder: Path) -> Path:
    (folder / source.name).write_bytes(source.read_bytes())
    return folder / source.name


def test_ingest_when_ml_100k_as_inter_and_as_raw_then_the_same_bytes(tmp_path: Path) -> None:
    folder = shared("ml-100k")
    inter, out = run(copied(folder / "ml-100k.inter", tmp_path))
    _, raw = run(copied(folder / "u.data.gz", tmp_path))
    assert digests(out) == digests(raw)
    found = inter["statistics"]
    assert (found["events"], found["users"], found["items"]) == (100_000, 943, 1682)


def test_ingest_when_ml_1m_with_its_published_split_then_its_published_counts(tmp_path: Path) -> None:
    path = copied(shared("ml-1m") / "interactions.csv.gz", tmp_path)
    found = run(path, split="column:split")[0]["statistics"]
    assert (found["users"], found["items"]) == (6040, 3706)
    assert [found["events_per_split"][name] for name in ("train", "validation", "test")] == [791_718, 99_692, 108_799]


def test_ingest_when_magazine_then_duplicates_are_gone(tmp_path: Path) -> None:
    path = copied(shared("amazon-magazine") / "interactions.csv.gz", tmp_path)
    result, _ = run(path, split="column:split", min_user_events=1)
    assert result["statistics"]["users"] == 3092
    assert result["statistics"]["items"] == 1305
    assert any("in two parts" in warning for warning in result["warnings"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ingest_when_ten_million_rows_then_under_a_gigabyte_and_a_half(tmp_path: Path) -> None:
    import subprocess
    import sys

    output = tmp_path / "ingest.json"
    command = [sys.executable, "-m", "benchmarks.ingest", "--output", str(output)]
    subprocess.run(command, check=True, env={"TMPDIR": str(tmp_path), "PATH": ""}, cwd=Path(__file__).parents[3])
    for found in json.loads(output.read_text())["results"].values():
        assert found["rows"] == 10_000_000
        assert found["memory_peak_mb"] < 1500
