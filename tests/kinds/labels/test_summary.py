"""Summaries as files, as dataset versions, and subsets made elsewhere."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.kinds.labels.planted import documents, raw_files, write_json, xc_files
from tests.kinds.labels.uploaded import ingested
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import NoParams
from worker.contract.product import Origin
from worker.kinds.labels import KIND
from worker.kinds.labels.dataset import TEST, TRAIN, LabelledDocuments
from worker.kinds.labels.delivered_text import sizes
from worker.kinds.labels.leaks import held_out_documents
from worker.kinds.labels.methods.evaluate import evaluate
from worker.kinds.labels.methods.merged_documents import MergedDocumentsParams, merged_documents
from worker.kinds.labels.methods.random import RandomParams, random_documents
from worker.kinds.labels.summary import LabelsSummary, adopt, of_rows
from worker.kinds.labels.texts import Texts


@pytest.fixture(scope="module", params=["raw", "xc"])
def data(request, tmp_path_factory) -> LabelledDocuments:
    folder = tmp_path_factory.mktemp(request.param)
    files = raw_files(folder / "up") if request.param == "raw" else xc_files(folder / "up")
    return ingested(files, folder / "v")[0]


@pytest.fixture(scope="module", params=["real", "made"])
def summary(request, data: LabelledDocuments) -> LabelsSummary:
    if request.param == "real":
        return random_documents(data, RandomParams(budget=50), Context())
    return merged_documents(data, MergedDocumentsParams(budget=60), Context())


def test_summary_when_written_then_reads_back_and_is_a_version(summary, data, tmp_path: Path):
    (tmp_path / "s").mkdir()
    summary.write(tmp_path / "s", data)
    back = LabelsSummary.read(tmp_path / "s")
    assert (back.documents.targets != summary.documents.targets).nnz == 0
    assert back.documents.weights.tolist() == summary.documents.weights.tolist()
    assert (back.rows is None) == (summary.rows is None)
    assert back.origin == summary.origin
    version = KIND.load(tmp_path / "s" / "dataset")
    assert (version.split == TRAIN).all()
    assert KIND.describe(tmp_path / "s" / "dataset")["statistics"]["documents"] == len(summary)


def test_delivered_files_when_uploaded_again_then_are_the_same_documents(summary, data, tmp_path: Path):
    (tmp_path / "s").mkdir()
    summary.write(tmp_path / "s", data)
    names = ("trn.json",) if data.bodies is not None else ("trn_X_Xf.txt", "trn_X_Y.txt")
    again, _ = ingested([(name, tmp_path / "s" / name) for name in names], tmp_path / "v")
    assert (again.targets[:, : again.labels] != summary.documents.targets[:, : again.labels]).nnz == 0
    if data.bodies is not None:
        assert again.everything.weights == pytest.approx(summary.documents.weights, rel=1e-5)
    if data.features is not None:
        assert abs(again.features - summary.documents.features).max() < 1e-5


def test_loader_when_run_alone_then_gives_what_was_measured(summary, data, tmp_path: Path):
    (tmp_path / "s").mkdir()
    summary.write(tmp_path / "s", data)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 's')!r}); import load; "
        "print(load.labels.nnz, round(float(load.weights.sum())), load.features is None, load.bodies is None)"
    )
    said = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    own = summary.documents
    shown = own.targets.nnz, round(float(own.weights.sum())), own.features is None, own.bodies is None
    assert said.split() == [str(one) for one in shown]


def test_sizes_when_documents_are_fewer_then_are_smaller_and_compress(data: LabelledDocuments):
    plain, packed = sizes(data.train)
    half, _ = sizes(data.train.take(np.arange(len(data.train) // 2)))
    assert packed < plain
    assert 0.4 * plain < half < 0.6 * plain


def test_adopt_when_a_subset_holds_test_documents_then_they_are_left_out_with_a_warning(data: LabelledDocuments):
    rows = np.concatenate([data.rows(TRAIN)[:30], data.rows(TEST)[:5]])
    other = of_rows(data, rows, Origin()).version
    adopted = adopt(data, other)
    assert len(adopted) == 30
    assert "5 documents of the subset" in adopted.warnings[0]
    with pytest.raises(JobError, match="nothing but validation and test"):
        adopt(data, of_rows(data, data.rows(TEST)[:5], Origin()).version)


def test_leaks_when_labels_differ_but_text_is_held_out_then_are_found(data: LabelledDocuments):
    held = data.everything.take(data.rows(TEST)[:4])
    moved = replace(held, targets=data.everything.take(data.rows(TRAIN)[:4]).targets)
    assert held_out_documents(data, moved).all()
    assert not held_out_documents(data, data.train).any()


def test_leaks_when_blanks_and_capitals_have_changed_then_are_found_all_the_same(tmp_path: Path):
    texts, _ = ingested(raw_files(tmp_path / "up"), tmp_path / "v")
    held = texts.everything.take(texts.rows(TEST)[:4])
    moved = replace(held, bodies=[f" {body.upper()}\r\n".replace(" ", "  ") for body in held.bodies or ()])
    assert held_out_documents(texts, moved).all()


def test_evaluate_when_a_summary_holds_what_is_held_out_then_is_refused(data: LabelledDocuments):
    leaking = of_rows(data, data.rows(TEST)[:10], Origin("random"))
    ctx = Context()
    ctx.inputs = {"summary": [leaking]}
    with pytest.raises(JobError, match="10 documents of a summary are held out"):
        evaluate(data, NoParams(), ctx)


def test_adopt_when_labels_are_matched_by_name_then_numbers_may_differ(tmp_path: Path):
    data, _ = ingested(raw_files(tmp_path / "up"), tmp_path / "v")
    part = of_rows(data, data.rows(TRAIN)[:40], Origin()).version
    order = np.random.default_rng(0).permutation(data.labels)
    shuffled = replace(part, targets=part.targets[:, order], label_titles=data.label_titles.take(order))
    assert (adopt(data, shuffled).documents.targets != part.targets).nnz == 0
    renamed = replace(part, label_titles=Texts.of([f"other {n}" for n in range(data.labels)]))
    with pytest.raises(JobError, match="'other 0'"):
        adopt(data, renamed)
    with pytest.raises(JobError, match="3 labels"):
        adopt(replace(data, label_titles=None), replace(part, label_titles=None, targets=part.targets[:, :3]))


def test_subset_when_uploaded_as_raw_file_then_is_adopted(tmp_path: Path):
    files = raw_files(tmp_path / "up")
    data, _ = ingested(files, tmp_path / "v")
    subset = [("trn.json", write_json(tmp_path / "s.json", documents(60, 1))), files[2]]
    other, _ = ingested(subset, tmp_path / "w")
    adopted = adopt(data, other)
    assert 40 <= len(adopted) <= 60  # those of them that are validation documents of the dataset are left out
