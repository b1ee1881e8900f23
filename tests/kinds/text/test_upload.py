"""Uploads of documents in every form, what becomes of them, and what is refused in so many words."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.kinds.text.planted import jsonl, records
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.text import shards
from worker.kinds.text.dataset import HQ, LEFT_OUT, TEST, TRAIN, VALIDATION, Corpus, load
from worker.kinds.text.ingest import ingest

Sources = list[tuple[str, Path]]
RECORDS = records()
TEXTS = [one["text"] for one in RECORDS]


def read(sources: Sources, out: Path, **options: Any) -> tuple[Corpus, dict[str, Any]]:
    out.mkdir(exist_ok=True)
    said = ingest(sources, options, out, Context(), {})
    return load(out), said


def refused(sources: Sources, out: Path, **options: Any) -> JobError:
    with pytest.raises(JobError) as caught:
        read(sources, out, **options)
    assert caught.value.hint
    return caught.value


def upload(folder: Path, documents: list[dict[str, Any]], name: str = "documents.jsonl") -> Sources:
    return [(name, jsonl(folder / name, documents))]


def all_texts(corpus: Corpus) -> list[str]:
    return list(corpus.texts(np.arange(len(corpus))))


def as_gzip(folder: Path) -> Sources:
    path = folder / "documents.jsonl.gz"
    path.write_bytes(gzip.compress(jsonl(folder / "plain", RECORDS).read_bytes()))
    return [(path.name, path)]


def as_zstd(folder: Path) -> Sources:
    path = folder / "documents.jsonl.zst"
    with pa.OSFile(str(path), "wb") as raw, pa.CompressedOutputStream(raw, "zstd") as packed:
        packed.write(jsonl(folder / "plain", RECORDS).read_bytes())
    return [(path.name, path)]


def table() -> pa.Table:
    return pa.Table.from_pylist(RECORDS)


def as_parquet(folder: Path) -> Sources:
    pq.write_table(table(), folder / "documents.parquet")
    return [("documents.parquet", folder / "documents.parquet")]


def as_shards(folder: Path) -> Sources:
    """As a folder of the Hugging Face hub."""
    found: Sources = []
    for number in range(3):
        path = folder / f"train-{number:05d}-of-00003.parquet"
        pq.write_table(table().slice(80 * number, 80), path)
        found.append((f"data/{path.name}", path))
    return found


def as_zip(folder: Path) -> Sources:
    with zipfile.ZipFile(folder / "documents.zip", "w") as archive:
        for name, path in as_shards(folder):
            archive.write(path, name)
    return [("documents.zip", folder / "documents.zip")]


def as_tar(folder: Path, mode: str = "w") -> Sources:
    with tarfile.open(folder / "documents.tar", mode) as archive:
        for name, path in as_shards(folder):
            archive.add(path, name)
    return [("documents.tar", folder / "documents.tar")]


def as_tar_gz(folder: Path) -> Sources:
    return as_tar(folder, "w:gz")


def as_csv(folder: Path) -> Sources:
    with (folder / "documents.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, RECORDS[0].keys())
        writer.writeheader()
        writer.writerows(RECORDS)
    return [("documents.csv", folder / "documents.csv")]


FORMS = [as_gzip, as_zstd, as_parquet, as_shards, as_zip, as_tar, as_tar_gz, as_csv]


@pytest.mark.parametrize("form", FORMS)
def test_upload_when_in_any_form_then_gives_the_documents_of_json_lines(
    form: Callable[[Path], Sources], tmp_path: Path
):
    (tmp_path / "plain").mkdir()
    expected, _ = read(upload(tmp_path / "plain", RECORDS), tmp_path / "expected")
    (tmp_path / "form").mkdir()
    found, _ = read(form(tmp_path / "form"), tmp_path / "found")
    assert all_texts(found) == all_texts(expected) == TEXTS
    for name in ("split", "bytes", "chars", "tokens", "hash", "key", "source"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    np.testing.assert_array_equal(found.column("score_quality"), [np.float32(one["score_quality"]) for one in RECORDS])
    assert found.sources == expected.sources == ("news", "forum", "book")


def test_upload_when_plain_text_then_lines_or_paragraphs_are_documents(tmp_path: Path):
    path = tmp_path / "book.txt"
    path.write_text("One, two.\nThree.\n\nFour.\r\n\n\n Five\nsix")
    lines, said = read([("book.txt", path)], tmp_path / "lines")
    assert all_texts(lines) == ["One, two.", "Three.", "Four.", " Five", "six"]
    assert "3 of 8" in said["warnings"][0]
    paragraphs, _ = read([("book.txt", path)], tmp_path / "paragraphs", documents="paragraph")
    assert all_texts(paragraphs) == ["One, two.\nThree.", "Four.", " Five\nsix"]
    named, _ = read([("book", path)], tmp_path / "named", format="text")
    assert all_texts(named) == all_texts(lines)
    wide = tmp_path / "wide.txt"
    wide.write_bytes("Ä\nö ü".encode("utf-16"))
    assert all_texts(read([("wide.txt", wide)], tmp_path / "wide")[0]) == ["Ä", "ö ü"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_plain_text_when_lines_end_in_any_way_then_each_is_one_document(
    end: str, last: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("worker.kinds.text.plain_text._CHUNK", 7)  # an end may lie across two pieces
    lines = [f"line {number}" for number in range(30)]
    path = tmp_path / "d.txt"
    path.write_bytes((end.join(lines) + end * last).encode())
    corpus, said = read([("d.txt", path)], tmp_path / "out")
    assert all_texts(corpus) == lines
    assert not any("empty" in warning for warning in said["warnings"])  # an end at the end begins no document


def test_upload_when_read_then_counts_bytes_characters_and_tokens(tmp_path: Path):
    texts = ["Grüße, Welt! x_1", "你好 …", "a" * 50]
    corpus, said = read(upload(tmp_path, [{"text": text} for text in texts]), tmp_path / "out")
    assert corpus.bytes.tolist() == [len(text.encode()) for text in texts]
    assert corpus.chars.tolist() == [len(text) for text in texts]
    assert corpus.tokens.tolist() == [7, 2, 1]  # Grüße , Welt ! x _ 1
    statistics = said["statistics"]
    assert (statistics["documents"], statistics["bytes"], statistics["tokens"]) == (3, int(corpus.bytes.sum()), 10)


def test_upload_when_in_many_shards_then_read_picks_the_same_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole, _ = read(upload(tmp_path, RECORDS), tmp_path / "whole")
    monkeypatch.setattr(shards, "SHARD_ROWS", 50)
    monkeypatch.setattr("worker.kinds.text.row_groups.GROUP_ROWS", 7)
    many, _ = read(upload(tmp_path, RECORDS), tmp_path / "many")
    assert len(whole.shards) == 1
    assert len(many.shards) == 5
    assert sum(shard.rows for shard in many.shards) == len(many) == 240
    rows = np.sort(np.random.default_rng(0).choice(240, 60, replace=False))
    assert list(many.texts(rows)) == list(whole.texts(rows)) == [TEXTS[row] for row in rows]
    for batch in many.read(rows, ("id", "score_quality")):
        assert len(batch) <= 7
    np.testing.assert_array_equal(many.column("score_quality"), whole.column("score_quality"))


def test_split_when_drawn_then_by_text_alone(tmp_path: Path):
    corpus, _ = read(upload(tmp_path, records(2_000)), tmp_path / "out", holdout=0.2)
    assert 0.15 < (corpus.split == TEST).mean() < 0.25
    assert 0.06 < (corpus.split == VALIDATION).mean() < 0.14
    parts = {int(hashed): set() for hashed in corpus.hash}
    for hashed, part in zip(corpus.hash, corpus.split, strict=True):
        parts[int(hashed)].add(int(part))
    assert all(len(found) == 1 for found in parts.values())
    turned, _ = read(upload(tmp_path, records(2_000)[::-1]), tmp_path / "turned", holdout=0.2)
    np.testing.assert_array_equal(turned.split[::-1], corpus.split)
    np.testing.assert_array_equal(np.sort(turned.key), np.sort(corpus.key))
    other, _ = read(upload(tmp_path, records(2_000)), tmp_path / "other", holdout=0.2, seed=1)
    assert (other.split != corpus.split).any()


def test_split_when_by_group_then_no_source_is_on_both_sides(tmp_path: Path):
    documents = [one | {"source": f"https://Site{number % 40}.org/page/{number}"} for number, one in enumerate(RECORDS)]
    corpus, _ = read(upload(tmp_path, documents), tmp_path / "out", split="group", holdout=0.2)
    assert corpus.sources[0] == "site0.org"
    assert len(corpus.sources) == 40
    for source in range(40):
        assert len(set(corpus.split[(corpus.source == source) & (corpus.split != LEFT_OUT)].tolist())) <= 1
    assert not np.isin(corpus.hash[corpus.split == TRAIN], corpus.held_out).any()


def test_upload_when_paragraphs_never_end_then_refused_before_they_fill_the_memory(tmp_path: Path):
    (tmp_path / "book.txt").write_text("a line without end\n" * 300_000)
    with pytest.raises(JobError, match="longer than") as refused:
        read([("book.txt", tmp_path / "book.txt")], tmp_path / "out", documents="paragraph")
    assert refused.value.pointer == "/options/documents"


def test_source_when_an_address_then_its_host_and_nothing_secret(tmp_path: Path):
    places = ["https://me:s3cret@Some.org/a", "HTTPS://some.org?token=x", "http://some.org:80#at", "mailto:me@b.org"]
    documents = [one | {"source": places[number % 4]} for number, one in enumerate(RECORDS)]
    corpus, _ = read(upload(tmp_path, documents), tmp_path / "out")
    assert set(corpus.sources) == {"some.org", "some.org:80", "mailto:me@b.org"}


def test_split_when_given_then_training_documents_that_are_held_out_too_are_left_out(tmp_path: Path):
    parts = ["train", "train", "dev", "test", "hq"]
    documents = [one | {"split": parts[number % 5]} for number, one in enumerate(RECORDS)]
    corpus, said = read(upload(tmp_path, documents), tmp_path / "out")
    expected = np.array([TRAIN, TRAIN, VALIDATION, TEST, HQ])[np.arange(240) % 5]
    leaking = (expected == TRAIN) & np.isin(TEXTS, [text for text, part in zip(TEXTS, expected, strict=True) if part])
    # every tenth document equals the one before: number 9 (hq) equals number 8 (test), none is for training
    np.testing.assert_array_equal(corpus.split, np.where(leaking, LEFT_OUT, expected))
    documents[9] = documents[9] | {"split": "train"}
    corpus, said = read(upload(tmp_path, documents), tmp_path / "again")
    assert corpus.split[9] == LEFT_OUT
    assert said["statistics"]["documents_left_out"] == 1
    assert "1 training documents equal held-out ones" in said["warnings"][0]
    assert 9 not in corpus.rows(TRAIN)


def test_split_when_given_without_held_out_documents_then_these_are_drawn(tmp_path: Path):
    documents = [one | {"split": "train" if number % 4 else "hq"} for number, one in enumerate(RECORDS)]
    corpus, said = read(upload(tmp_path, documents), tmp_path / "out")
    assert (corpus.split == TEST).any()
    assert (corpus.split == HQ).sum() == 60
    assert any("no test documents" in warning for warning in said["warnings"])


def test_split_when_said_by_files_then_taken(tmp_path: Path):
    files: Sources = []
    for at, name in enumerate(("train", "valid", "test")):
        files += upload(tmp_path, [{"text": f"{name} {number}"} for number in range(3 + at)], f"{name}.jsonl")
    corpus, _ = read(files, tmp_path / "out", split="files")
    assert [int((corpus.split == part).sum()) for part in (TRAIN, VALIDATION, TEST)] == [3, 4, 5]
    assert read(files, tmp_path / "auto")[1]["statistics"]["split"] == "given by the names of the files"
    assert "does not say" in refused([("all.jsonl", files[0][1])], tmp_path / "no", split="files").detail


def test_ids_when_none_then_rows_are_numbered_and_keys_follow_the_text(tmp_path: Path):
    corpus, _ = read(upload(tmp_path, [{"text": "b"}, {"text": " "}, {"text": "a"}, {"text": "b"}]), tmp_path / "out")
    ids = [value for batch in corpus.read(np.arange(3), ("id",)) for value in batch.column(0).to_pylist()]
    assert ids == ["0", "2", "3"]
    assert len(set(corpus.key.tolist())) == 3
    turned, _ = read(upload(tmp_path, [{"text": "a"}, {"text": "b"}, {"text": "b"}]), tmp_path / "turned")
    assert set(turned.key.tolist()) == set(corpus.key.tolist())


def test_embeddings_when_uploaded_then_kept(tmp_path: Path):
    vectors = np.random.default_rng(0).normal(size=(240, 5)).astype(np.float32)
    rows = [one | {"embedding": vector.tolist()} for one, vector in zip(RECORDS, vectors, strict=True)]
    for number, sources in enumerate((upload(tmp_path, rows), _parquet_of(tmp_path, rows))):
        corpus, said = read(sources, tmp_path / str(number))
        assert said["statistics"]["embedding_dimension"] == corpus.dimension == 5
        np.testing.assert_array_equal(np.concatenate(list(corpus.embeddings(np.arange(240)))), vectors)


def _parquet_of(folder: Path, rows: list[dict[str, Any]]) -> Sources:
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    return [("rows.parquet", folder / "rows.parquet")]


@pytest.mark.parametrize("what", ["shorter", "longer later", "nan", "missing", "text"])
def test_embeddings_when_wrong_then_refused_with_the_row(what: str, tmp_path: Path):
    rows: list[dict[str, Any]] = [{"text": f"document {n}", "embedding": [1.0, 2.0, float(n)]} for n in range(9_000)]
    at = 8_999 if what == "longer later" else 4
    if what == "nan":
        rows[at]["embedding"][1] = float("nan")
    else:
        rows[at]["embedding"] = {"shorter": [1.0], "longer later": [1.0] * 4, "missing": None, "text": [1.0]}[what]
    if what == "text":
        rows = [one | {"embedding": "0.1 0.2"} for one in rows]
    problem = refused(_parquet_of(tmp_path, rows), tmp_path / "out", columns={"embedding": "embedding"})
    assert problem.pointer == "/columns/embedding"
    assert what == "text" or f"row {at + 1:,}" in problem.detail


def test_lines_when_few_are_broken_then_passed_over_and_named(tmp_path: Path):
    lines = [json.dumps({"text": f"document {number}"}).encode() for number in range(1_000)]
    lines[10] = b'{"text": "half'
    lines[500] = b'{"text": "\xff\xfe"}'
    lines[700] = b'{"text": 5}'
    path = tmp_path / "d.jsonl"
    path.write_bytes(b"\n".join(lines))
    corpus, said = read([("d.jsonl", path)], tmp_path / "out")
    assert len(corpus) == 997
    assert "3 of 1,000 lines" in said["warnings"][0]
    assert "11, 501, 701" in said["warnings"][0]
    for number in range(20, 30):
        lines[number] = b"[]"
    path.write_bytes(b"\n".join(lines))
    assert "11, 21, 22" in refused([("d.jsonl", path)], tmp_path / "no").detail


def test_lines_when_of_another_encoding_then_refused(tmp_path: Path):
    path = tmp_path / "d.txt"
    path.write_bytes("\n".join(f"Größe {number}" for number in range(50)).encode("latin-1"))
    assert "50 of 50 lines" in refused([("d.txt", path)], tmp_path / "out").detail
    corpus, _ = read([("d.txt", path)], tmp_path / "said", encoding="latin-1")
    assert all_texts(corpus)[3] == "Größe 3"


@pytest.mark.parametrize(
    ("documents", "options", "pointer", "said"),
    [
        ([{"words": "a"}], {}, "/columns/text", "No text column"),
        ([{"text": 5}, {"text": 6}], {}, "/columns/text", "not text"),
        ([{"text": ["a", "b"]}], {}, "/columns/text", "lists"),
        ([{"text": "a"}], {"columns": {"text": "content"}}, "/columns/text", "'content'"),
        ([{"text": " "}, {"text": None}, {"text": ""}], {}, "/columns/text", "No document is left"),
        ([{"text": "short"}], {"min_chars": 10}, "/columns/text", "shorter than 10"),
        ([{"text": "a", "split": "north"}], {}, "/columns/split", "'north'"),
        ([{"text": "a", "split": "test"}], {}, "/options/split", "for training"),
        ([{"text": "x" * (1 << 20) + "y"}], {}, "/columns/text", "1,048,577 bytes"),
        ([{"text": "a", "score_x": 1, "score-x": 2}], {"scores": ["score*"]}, "/options/scores", "both score_x"),
    ],
)
def test_upload_when_wrong_then_refused_by_name(
    documents: list[dict[str, Any]], options: dict[str, Any], pointer: str, said: str, tmp_path: Path
):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(JobError, match=said) as caught:
        ingest(upload(tmp_path, documents), options, out, Context(), {"text_cell_bytes": 1 << 21})
    assert caught.value.pointer == pointer
    assert caught.value.hint


def test_column_of_numbers_when_in_parquet_then_refused(tmp_path: Path):
    assert "not text" in refused(_parquet_of(tmp_path, [{"text": 1}, {"text": 2}]), tmp_path / "out").detail


def test_scores_when_named_then_kept_under_one_name_with_gaps(tmp_path: Path):
    documents = [{"text": f"d{number}", "quality": number if number else None, "rest": 1} for number in range(5)]
    corpus, said = read(upload(tmp_path, documents), tmp_path / "out", scores=["qual*"])
    assert corpus.score_names == ("score_quality",)
    np.testing.assert_array_equal(corpus.column("score_quality"), [np.nan, 1, 2, 3, 4])
    assert said["preview"][0]["score_quality"] is None


@pytest.mark.parametrize("name", ["../out.jsonl", "/etc/x.jsonl", "link"])
def test_tar_when_it_leaves_the_archive_or_links_then_not_opened(name: str, tmp_path: Path):
    with tarfile.open(tmp_path / "d.tar", "w") as archive:
        entry = tarfile.TarInfo(name)
        if name == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
        else:
            entry.size = 12
            archive.addfile(entry, io.BytesIO(b'{"text":"a"}'))
    assert refused([("d.tar", tmp_path / "d.tar")], tmp_path / "out").code == "unsafe_format"


def test_tar_when_cut_short_or_zstd_when_damaged_then_refused(tmp_path: Path):
    (_, tar), (_, zst) = as_tar(tmp_path)[0], as_zstd(tmp_path)[0]
    tar.write_bytes(tar.read_bytes()[:5_000])
    refused([("d.tar", tar)], tmp_path / "out")
    zst.write_bytes(zst.read_bytes()[:-200])
    assert "damaged" in refused([("d.jsonl.zst", zst)], tmp_path / "out").detail
    tar.write_bytes(tar.read_bytes()[:300].ljust(600, b"\0"))
    refused([("d.tar", tar)], tmp_path / "out")


def test_document_when_too_long_then_its_row_is_named(tmp_path: Path):
    documents = [{"text": "a"}, {"text": "b"}, {"text": "x" * 1_000_001}]
    for sources in (upload(tmp_path, documents), _parquet_of(tmp_path, documents)):
        assert "Row 3 of" in refused(sources, tmp_path / sources[0][0].replace(".", "")).detail
    path = tmp_path / "d.txt"
    path.write_text("a\n" + "x" * 6_000_000 + "\n")
    assert "Line 2 of d.txt is longer" in refused([("d.txt", path)], tmp_path / "lines").detail


def test_ids_that_repeat_and_scores_beyond_all_bounds_when_uploaded_then_counted(tmp_path: Path):
    scores = [1e300, -1e39, None, 3.0, 4.0]
    documents = [{"text": f"d{at}", "id": "ab"[at % 2], "score_x": score} for at, score in enumerate(scores)]
    _, said = read(upload(tmp_path, documents), tmp_path / "out")
    assert "3 documents have the id of an earlier one" in said["warnings"][1]
    assert said["warnings"][0] == "2 values of score_x are infinite or beyond 3.4e38, and count as no score."


def test_text_without_an_ending_when_uploaded_then_the_cure_works(tmp_path: Path):
    path = tmp_path / "corpus.md"
    path.write_text("hello there\nworld\n")
    problem = refused([("corpus.md", path)], tmp_path / "no")
    assert "format=text" in problem.hint
    assert all_texts(read([("corpus.md", path)], tmp_path / "out", format="text")[0]) == ["hello there", "world"]
