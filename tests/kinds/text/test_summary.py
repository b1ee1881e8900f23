"""What is delivered of a selection: read back bit for bit, loaded without us, and never with held-out documents."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conformance.work import hash_of_files
from tests.kinds.text.planted import jsonl, records
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.text.dataset import TEST, TRAIN, Corpus, load
from worker.kinds.text.ingest import ingest
from worker.kinds.text.methods.auto import AutoParams, auto
from worker.kinds.text.methods.evaluate import evaluate
from worker.kinds.text.methods.import_scores import ImportScoresParams, import_scores
from worker.kinds.text.methods.random import RandomParams, random_documents
from worker.kinds.text.selection import candidates
from worker.kinds.text.summary import TextSummary, adopt


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("text")
    (folder / "out").mkdir()
    ingest([("d.jsonl", jsonl(folder / "d.jsonl", records(400)))], {}, folder / "out", Context(), {})
    return load(folder / "out")


def written(summary: TextSummary, folder: Path, data: Corpus) -> Path:
    folder.mkdir()
    summary.write(folder, data)
    return folder


@pytest.mark.parametrize("keep_order", [True, False])
def test_summary_when_read_back_then_is_the_same(keep_order: bool, data: Corpus, tmp_path: Path):
    summary = import_scores(data, ImportScoresParams(rate=0.3, keep_order=keep_order), Context(seed=1))
    folder = written(summary, tmp_path / "one", data)
    again = TextSummary.read(folder)
    for name in ("rows", "weights", "candidates", "selected_by"):
        np.testing.assert_array_equal(getattr(again, name), getattr(summary, name), err_msg=name)
    assert (again.bytes, again.tokens, again.facts, again.origin) == (
        summary.bytes, summary.tokens, summary.facts, summary.origin,
    )  # fmt: skip
    assert sorted(again.texts()) == sorted(summary.texts())
    assert hash_of_files(written(again, tmp_path / "two", data)) == hash_of_files(folder)


def test_summary_when_written_then_files_agree_and_scores_are_of_all_candidates(data: Corpus, tmp_path: Path):
    summary = import_scores(data, ImportScoresParams(rate=0.3), Context())
    folder = written(summary, tmp_path / "out", data)
    table = pq.read_table(folder / "documents.parquet").to_pylist()
    lines = [json.loads(line) for line in gzip.decompress((folder / "documents.jsonl.gz").read_bytes()).splitlines()]
    assert lines == table
    ids = {one["id"]: one for one in records(400)}
    assert all(one["text"] == ids[one["id"]]["text"] for one in table)
    np.testing.assert_allclose([one["score"] for one in table], [ids[one["id"]]["score_quality"] for one in table])
    scores = pq.read_table(folder / "scores.parquet").to_pylist()
    assert [one["row"] for one in scores] == candidates(data, ImportScoresParams(), Context()).tolist()
    assert {one["id"] for one in scores if one["selected"]} == {one["id"] for one in table}
    manifest = json.loads((folder / "summary.json").read_text())
    assert manifest["documents"] == len(table)
    assert manifest["bytes"] == sum(len(one["text"].encode()) for one in table)
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    exported = load(folder / "dataset")
    assert (exported.split == TRAIN).all()
    assert list(exported.texts(np.arange(len(exported)))) == [one["text"] for one in table]


def test_loader_when_run_alone_then_yields_the_documents(data: Corpus, tmp_path: Path):
    summary = random_documents(data, RandomParams(k=20), Context())
    folder = written(summary, tmp_path / "out", data)
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import load; "
        "print(load.table().num_rows, sum(len(t) for t in load.texts()), sum(d['weight'] for d in load.documents()))"
    )
    said = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["20", str(sum(len(text) for text in summary.texts())), "20.0"]


def test_subset_when_it_holds_held_out_documents_then_they_are_left_out(data: Corpus, tmp_path: Path):
    texts = list(data.texts(np.arange(len(data))))
    tests = data.rows(TEST)[:5].tolist()
    rows = [*data.rows(TRAIN)[:30].tolist(), *tests]
    (tmp_path / "out").mkdir()
    documents = [{"text": texts[row]} for row in rows] + [{"text": "something new altogether"}]
    ingest([("d.jsonl", jsonl(tmp_path / "d.jsonl", documents))], {}, tmp_path / "out", Context(), {})
    subset = adopt(data, load(tmp_path / "out"))
    held = set(data.hash[data.split > TRAIN].tolist())
    assert len(subset) == 31 - sum(hashed in held for hashed in data.hash[rows[:30]].tolist())
    assert not set(subset.texts()) & {texts[row] for row in tests}
    assert subset.warnings[0].startswith("5 documents of the subset equal held-out documents")
    assert (subset.rows == -1).all()
    folder = written(subset, tmp_path / "bundle", data)
    assert len(TextSummary.read(folder)) == len(subset)
    assert all(one["score"] is None for one in pq.read_table(folder / "documents.parquet").to_pylist())


def test_subset_when_of_held_out_documents_alone_then_refused(data: Corpus, tmp_path: Path):
    texts = list(data.texts(data.rows(TEST)))
    (tmp_path / "out").mkdir()
    documents = [{"text": text} for text in texts]
    ingest([("d.jsonl", jsonl(tmp_path / "d.jsonl", documents))], {}, tmp_path / "out", Context(), {})
    with pytest.raises(JobError, match="nothing but held-out") as caught:
        adopt(data, load(tmp_path / "out"))
    assert caught.value.pointer == "/inputs/summary"


def test_evaluate_when_a_selection_holds_held_out_documents_then_refused(data: Corpus):
    rows = np.sort(np.concatenate([data.rows(TRAIN)[:10], data.rows(TEST)[:2]]))
    leaking = TextSummary(data, rows, rows, np.ones(12, np.float32))
    with pytest.raises(JobError, match="2 documents of a selection are held out"):
        evaluate(data, None, Context(inputs={"summary": [leaking]}))


def test_auto_when_a_target_is_given_then_a_classifier_else_density(data: Corpus):
    free = auto(data, AutoParams(rate=0.2), Context(seed=1))
    assert free.origin.method == "density"
    assert "auto" in free.origin.reason
    wanted = np.flatnonzero((data.source == 2) & (data.split == TRAIN))[:60]
    target = TextSummary(data, wanted, wanted, np.ones(len(wanted), np.float32))
    asked = auto(data, AutoParams(rate=0.2), Context(seed=1, inputs={"target": target}))
    assert asked.origin.method == "quality-classifier"
    share = (data.source[asked.taken] == 2).mean()
    assert share > 2 * (data.source[free.taken] == 2).mean()
