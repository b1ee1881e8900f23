"""An upload as a whole: looked at once, and read in formats that a kind brings itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.kinds.bandit.uploads import columns, write_csv
from tests.unit.ingest.tables import csv_text, rows
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.columns import Column, Wanted
from worker.ingest.format import Detected, Format
from worker.ingest.limits import Limits, Meter
from worker.ingest.sample import Hints, Sample
from worker.ingest.sources import Source
from worker.ingest.table import Role, Schema, as_table, read_batches, read_columns
from worker.ingest.times import NO_TIME
from worker.ingest.upload import Upload, choose_tables
from worker.kinds.bandit.ingest import ingest as ingest_log
from worker.kinds.interactions.ingest import ingest as ingest_interactions


def describe(sample: Sample, meter: Meter) -> Detected:
    names = sample.lines[0].removeprefix("@").split("@")
    return Detected(sample.source, AT_SIGNS, [Column(name, place, "text") for place, name in enumerate(names)])


def read(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[pa.RecordBatch]:
    with detected.source.open(meter) as stream:
        lines = [line.split("@") for line in stream.read().decode().splitlines()[1:]]
    arrays = [pa.array([line[one.column.index] for line in lines]) for one in wanted]
    yield pa.RecordBatch.from_arrays(arrays, names=[one.name for one in wanted])


AT_SIGNS = Format("at signs", lambda sample: sample.text.startswith("@"), describe, read)
PLANTS = Schema(
    "a table of plants",
    (
        Role("plant", "id", ("plant", "species"), required=True),
        Role("height", "number", ("height",)),
        Role("seen", "time", ("seen",)),
        Role("colour", "category", ("colour",)),
    ),
    formats=(AT_SIGNS,),
)


def upload(*paths: Path, schema: Schema = PLANTS) -> Upload:
    return Upload(paths, schema, Context(), Limits())


def test_schema_when_it_brings_a_format_then_read_like_the_common_ones(tmp_path: Path) -> None:
    lines = ["Species,height,seen,colour", "oak,2.5,1,red", "elm,,,", "oak,4,3,red"]
    (tmp_path / "plants.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "plants.at").write_text("@" + "\n".join(lines).replace(",", "@") + "\n")
    found = []
    for name in ("plants.csv", "plants.at"):
        files = upload(tmp_path / name)
        table = as_table(files.detect(files.sources[0]), {}, PLANTS)
        assert table.detected.format.name == ("delimited" if name.endswith("csv") else "at signs")
        found.append(read_columns([table], files.meter))
    for read_back in found:
        assert read_back.n == 3
        assert read_back.words["plant"].words.to_pylist() == ["elm", "oak"]
        assert read_back.words["plant"].codes.tolist() == [1, 0, 1]
        colours = read_back.words["colour"]
        assert [colours.words[int(code)].as_py() for code in colours.codes] == ["red", "", "red"]
        assert read_back.numbers["seen"].tolist() == [1, NO_TIME, 3]
        np.testing.assert_array_equal(read_back.numbers["height"], [2.5, np.nan, 4.0])


def test_schema_when_another_kinds_format_is_uploaded_then_not_read(tmp_path: Path) -> None:
    (tmp_path / "plants.at").write_text("@plant\nx\n")
    files = upload(tmp_path / "plants.at", schema=Schema("a table of plants", PLANTS.roles))
    with pytest.raises(JobError, match="single column"):
        files.detect(files.sources[0])


def test_schema_when_a_matrix_means_nothing_to_it_then_refused(tmp_path: Path) -> None:
    (tmp_path / "graph.txt").write_text("1 2 3 4 5\n2 3\n3 1 2 4\n")
    files = upload(tmp_path / "graph.txt")
    detected = files.detect(files.sources[0])
    assert detected.pairs == 2
    with pytest.raises(JobError, match="a table of plants is not read from"):
        as_table(detected, {}, PLANTS)


@pytest.mark.parametrize(
    ("ingest", "options"),
    [(ingest_interactions, {}), (ingest_log, {}), (ingest_log, {"simulate": "popularity"})],
)
def test_files_when_none_matches_then_all_are_named(tmp_path: Path, ingest: Any, options: dict[str, str]) -> None:
    (tmp_path / "ratings.csv").write_text(csv_text(rows()))
    with pytest.raises(JobError) as refused:
        ingest([tmp_path / "ratings.csv"], options | {"file": "x*"}, tmp_path, Context())
    assert (refused.value.code, refused.value.pointer) == ("invalid_input", "/options/file")
    assert "ratings.csv" in refused.value.detail


def test_columns_when_one_is_asked_for_in_two_roles_then_refused(tmp_path: Path) -> None:
    (tmp_path / "plants.csv").write_text("plant,height\noak,1\n")
    files = upload(tmp_path / "plants.csv")
    with pytest.raises(JobError) as refused:
        as_table(files.detect(files.sources[0]), {"plant": "height", "height": "height"}, PLANTS)
    assert (refused.value.code, refused.value.pointer) == ("invalid_input", "/columns/height")


def test_batches_when_two_files_are_one_table_then_the_first_decides_what_columns_hold(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("plant,height\noak,1\n")
    (tmp_path / "b.csv").write_text("plant,height\nelm,2\n")
    files = upload(tmp_path / "a.csv", tmp_path / "b.csv")
    tables, ignored = choose_tables(files.sources, lambda source: as_table(files.detect(source), {}, PLANTS))
    assert [batch["height"].to_pylist() for batch in read_batches(tables, files.meter)] == [[1.0], [2.0]]
    assert not ignored


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the beginning of each file was read."""
    counts: Counter[str] = Counter()
    head = Source.head

    def counted(self: Source, meter: Meter) -> tuple[bytes, bool]:
        counts[self.name] += 1
        return head(self, meter)

    monkeypatch.setattr(Source, "head", counted)
    return counts


def test_interactions_when_ingested_then_every_file_is_looked_at_once(tmp_path: Path, looked_at: Counter[str]) -> None:
    (tmp_path / "ratings.csv").write_text(csv_text(rows()))
    (tmp_path / "movies.csv").write_text("movieId,title\n" + "".join(f"{i},Film {i}\n" for i in range(1, 21)))
    (tmp_path / "README.md").write_text("about\n")
    (tmp_path / "out").mkdir()
    files = [tmp_path / name for name in ("ratings.csv", "movies.csv", "README.md")]
    result = ingest_interactions(files, {}, tmp_path / "out", Context())
    assert result["detection"]["titles"] == "movies.csv"
    assert looked_at == {"ratings.csv": 1, "movies.csv": 1}


def test_log_when_ingested_then_every_file_is_looked_at_once(tmp_path: Path, looked_at: Counter[str]) -> None:
    write_csv(tmp_path / "log.csv", columns())
    np.savez(tmp_path / "target_policy.npz", probabilities=np.full((200, 12), 1 / 12))
    write_csv(tmp_path / "embeddings.csv", {"action": np.arange(12), "size": np.arange(12) / 3})
    (tmp_path / "out").mkdir()
    files = [tmp_path / name for name in ("log.csv", "target_policy.npz", "embeddings.csv")]
    ingest_log(files, {}, tmp_path / "out", Context())
    assert looked_at == {"log.csv": 1, "target_policy.npz": 1, "embeddings.csv": 1}


def test_file_when_the_user_says_more_of_it_then_looked_at_anew_but_read_once(
    tmp_path: Path, looked_at: Counter[str]
) -> None:
    (tmp_path / "plants.csv").write_text("oak;1\nelm;2\n")
    files = upload(tmp_path / "plants.csv")
    guessed = files.detect(files.sources[0])
    said = files.detect(files.sources[0], Hints(header=True))
    assert (guessed.header, said.header) == (False, True)
    assert files.detect(files.sources[0]) is guessed
    assert looked_at == {"plants.csv": 1}


@pytest.mark.parametrize(("ingest", "role"), [(ingest_interactions, "usr"), (ingest_log, "propensities")])
def test_columns_when_a_role_is_not_known_then_refused_with_those_that_are(
    tmp_path: Path, ingest: Any, role: str
) -> None:
    with pytest.raises(JobError) as caught:
        ingest([("a.csv", tmp_path / "a.csv")], {"columns": {role: "x"}}, tmp_path, Context())
    assert caught.value.pointer == "/columns"
    assert repr(role) in caught.value.detail
    assert "timestamp" in caught.value.detail
