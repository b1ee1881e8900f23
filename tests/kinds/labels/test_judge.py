"""The judge: what stands beside a summary, what is asked, and that a loss of rare labels is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from tests.kinds.labels.planted import documents, label_records, raw_files, write_json
from tests.kinds.labels.uploaded import ingested
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import learners_of
from worker.contract.product import Origin
from worker.evidence.conclude import conclude
from worker.evidence.report import build
from worker.evidence.statistics import value_of
from worker.kinds.labels.dataset import TEST, TRAIN, LabelledDocuments, LabelSet, csr
from worker.kinds.labels.frequency import GROUPS, deciles
from worker.kinds.labels.judge import evaluate_params, judge
from worker.kinds.labels.methods.merged_documents import MergedDocumentsParams, merged_documents
from worker.kinds.labels.methods.random import RandomParams, random_documents
from worker.kinds.labels.ranking import permitted
from worker.kinds.labels.summary import of_rows

JOB = {"method": "random", "task": "select", "kind": "labels"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> LabelledDocuments:
    folder = tmp_path_factory.mktemp("raw")
    return ingested(raw_files(folder / "up", train=500, test=300), folder / "v")[0]


def params(**changed):
    given = {"learners": ["most-frequent", "centroid"], "draws": 2, "bootstrap": 200} | changed
    return evaluate_params()(**given)


def test_judge_when_done_then_full_data_floor_and_cheap_picks_stand_beside(data: LabelledDocuments):
    summary = random_documents(data, RandomParams(budget=60), Context())
    found = judge(data, [summary], params(), Context())
    names = {one.name for one in found.sets}
    assert {"full", "summary", "random", "nearest-centroid"} <= names
    assert found.primary == "p1"
    full, floor = (value_of(found.of(name, "full")[0].scores["test"]["p1"]) for name in ("centroid", "most-frequent"))
    assert full > floor + 0.3
    assert len(found.of("centroid", "random")) == 2
    report = build(found, JOB)
    assert "P@1" in report.json_text()
    assert "cheap pick" in conclude(found, JOB).verdict.sentence


def test_judge_when_a_summary_has_other_bytes_then_random_documents_of_equal_bytes_are_measured(data):
    summary = merged_documents(data, MergedDocumentsParams(budget=60, length=4), Context())
    found = judge(data, [summary], params(), Context())
    sets = {one.name: one for one in found.sets}
    assert sets["random-bytes"].bytes <= sets["summary"].bytes
    assert sets["random-bytes"].bytes > 0.95 * sets["summary"].bytes
    assert sets["random"].rows == sets["summary"].rows
    assert {row.label.split(":")[0] for row in found.privacy} >= {"Membership attack on documents"}


def test_verdict_when_rare_labels_are_lost_then_says_what_is_kept_of_psp(data: LabelledDocuments):
    frequent = data.train.counts >= np.quantile(data.train.counts, 0.75)
    rows = [
        row for row in data.rows(TRAIN)
        if frequent[data.targets.indices[data.targets.indptr[row] : data.targets.indptr[row + 1]]].all()
    ]  # fmt: skip
    summary = of_rows(data, np.array(rows), Origin("only frequent labels"))
    findings = conclude(judge(data, [summary], params(), Context()), JOB)
    assert "keeps only" in findings.verdict.sentence
    assert "PSP@1" in findings.verdict.sentence
    assert "PSP@1" in findings.headline
    assert findings.verdict.tone != "good"
    table = next(table for table in findings.tables if table.name == "labels_lost")
    assert sum(row["lost"] for row in table.rows) > 10


def test_verdict_when_rare_labels_are_kept_then_says_nothing_of_psp(data: LabelledDocuments):
    summary = of_rows(data, data.rows(TRAIN)[:-1], Origin("nearly all"))
    findings = conclude(judge(data, [summary], params(), Context()), JOB)
    assert "keeps only" not in findings.verdict.sentence
    assert findings.verdict.caveat == ""


def test_recall_plots_when_drawn_then_have_a_point_for_every_tenth(data: LabelledDocuments):
    summary = random_documents(data, RandomParams(budget=60), Context())
    found = judge(data, [summary], params(), Context())
    plot = next(one for one in found.plots if one.name == "recall_centroid")
    assert [series.label for series in plot.series][:2] == ["full data", "this summary"]
    assert len(plot.series[0].x) == GROUPS
    group = deciles(data.known_counts)
    assert np.bincount(group[group >= 0]).max() - np.bincount(group[group >= 0]).min() <= 1
    means = [data.known_counts[group == tenth].mean() for tenth in range(GROUPS)]
    assert means == sorted(means)


def test_models_when_pairs_are_barred_then_never_predict_them(tmp_path: Path):
    files = raw_files(tmp_path / "up")
    plain, _ = ingested(files, tmp_path / "v")
    learner = learners_of("labels")["centroid"]
    model = learner.prepare(plain.train, None, Context()).fit({}, Context())
    first = permitted(model, plain.part(TEST), 5, Context())
    (tmp_path / "filter_labels_test.txt").write_text("".join(f"{row} {top[0]}\n" for row, top in enumerate(first)))
    barred, _ = ingested([*files, ("filter_labels_test.txt", tmp_path / "filter_labels_test.txt")], tmp_path / "w")
    after = permitted(model, barred.part(TEST), 5, Context())
    assert not (after == first[:, :1]).any()
    assert (after[:, :4] == first[:, 1:]).all()


def test_models_when_one_document_has_very_many_barred_pairs_then_the_others_are_not_asked_for_as_many():
    class Counting:
        def __init__(self) -> None:
            self.cells = 0

        def top(self, documents: LabelSet, k: int) -> tuple[np.ndarray, np.ndarray]:
            self.cells += len(documents) * k
            ranked = np.tile(np.arange(k, dtype=np.int32), (len(documents), 1))
            return np.where(ranked < documents.labels, ranked, -1), ranked.astype(np.float32)

    labels, count = 2_000_000, 300
    pairs = [(0, label) for label in range(1_000_000)] + [(row, row % 3) for row in range(1, count)]
    rows, columns = np.array(pairs).T
    barred = csr(sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), (count, labels)))
    targets = csr(sparse.csr_matrix((np.ones(count), (np.arange(count), np.arange(count))), (count, labels)))
    words = [""] * count
    asked = LabelSet(None, words, None, targets, None, None, np.ones(count), np.ones(labels, bool), barred=barred)
    model = Counting()
    found = permitted(model, asked, 5, Context())
    assert model.cells < 1_100_000
    assert found[0].tolist() == [1_000_000 + place for place in range(5)]
    assert all(row % 3 not in found[row] and len(set(found[row])) == 5 for row in range(1, count))


def test_models_when_labels_are_no_candidates_then_never_predict_them(data: LabelledDocuments):
    few = np.zeros(data.labels, bool)
    few[[3, 7]] = True
    for name in ("centroid", "most-frequent"):
        learner = learners_of("labels")[name]
        model = learner.prepare(data.train, None, Context()).fit({}, Context())
        labels, scores = model.top(replace(data.part(TEST), candidates=few), 5)
        assert set(np.unique(labels).tolist()) == {-1, 3, 7}
        assert np.isneginf(scores[labels < 0]).all()


def test_judge_when_there_are_no_test_documents_then_is_refused(tmp_path: Path):
    records = documents(60, 1)
    path = write_json(tmp_path / "d.json", records)
    labels = write_json(tmp_path / "lbl.json", label_records())
    data, _ = ingested([("d.json", path), ("lbl.json", labels)], tmp_path / "v")
    untested = replace(data, split=np.where(data.split == TEST, TRAIN, data.split).astype(np.int8))
    with pytest.raises(JobError, match="no test documents"):
        judge(untested, [random_documents(untested, RandomParams(budget=10), Context())], params(), Context())


def test_weights_when_documents_count_twice_then_centroids_and_floor_are_those_of_copies(data: LabelledDocuments):
    weighted = replace(data.train, weights=np.where(np.arange(len(data.train)) < 50, 2.0, 1.0))
    order = np.concatenate([np.arange(len(data.train)), np.arange(50)])
    test = data.part(TEST)
    learner = learners_of("labels")["most-frequent"]
    one = learner.prepare(weighted, None, Context()).fit({}, Context()).top(test, 5)[0]
    other = learner.prepare(data.train.take(order), None, Context()).fit({}, Context()).top(test, 5)[0]
    assert (one == other).all()
