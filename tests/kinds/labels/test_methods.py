"""What each method keeps, and that none drops a label without a word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from tests.kinds.labels.planted import LABELS, raw_files, xc_files
from tests.kinds.labels.uploaded import ingested
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.labels.dataset import TRAIN, LabelledDocuments, LabelSet, csr
from worker.kinds.labels.delivered_text import sizes
from worker.kinds.labels.delivery import labels_lost
from worker.kinds.labels.merging import common_labels, folded, group_labels, heaviest, membership, spread
from worker.kinds.labels.selection import by_rarity, densities, fewest_cover, herding, nearest_cover
from worker.runtime.registry import discover

SELECTS = ("random", "density", "herding", "coverage", "nearest-centroid")


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> LabelledDocuments:
    folder = tmp_path_factory.mktemp("texts")
    return ingested(raw_files(folder / "up"), folder / "v")[0]


@pytest.fixture(scope="module")
def matrices(tmp_path_factory) -> LabelledDocuments:
    folder = tmp_path_factory.mktemp("matrices")
    return ingested(xc_files(folder / "up"), folder / "v")[0]


def run(data: LabelledDocuments, name: str, ctx: Context | None = None, **params):
    method = discover()["labels", name]
    return method.run(data, method.params(**params), ctx or Context())


def training(rows: list[list[int]], labels: int) -> LabelSet:
    dense = np.zeros((len(rows), labels))
    for at, own in enumerate(rows):
        dense[at, own] = 1
    targets, words = csr(dense), [" ".join(f"w{label}" for label in own) for own in rows]
    return LabelSet(None, None, words, targets, None, None, np.ones(len(rows)), np.ones(labels, bool))


@pytest.mark.parametrize("name", SELECTS)
@pytest.mark.parametrize("form", ["texts", "matrices"])
def test_selects_when_run_then_keep_distinct_training_documents_up_to_the_budget(name: str, form: str, request):
    data = request.getfixturevalue(form)
    summary = run(data, name, budget=40)
    assert len(summary) == len(set(summary.rows.tolist())) == 40
    assert (data.split[summary.rows] == TRAIN).all()
    assert (summary.documents.targets != data.targets[summary.rows]).nnz == 0
    assert [summary.version.ids[at] for at in (0, 39)] == [data.ids[int(summary.rows[at])] for at in (0, 39)]


@pytest.mark.parametrize("name", SELECTS)
def test_selects_when_documents_have_weights_then_keep_them(name: str, texts: LabelledDocuments):
    weights = np.linspace(0.5, 1.5, len(texts)).astype(np.float32)
    summary = run(replace(texts, weights=weights), name, budget=40)
    assert (summary.documents.weights == weights[summary.rows]).all()


@pytest.mark.parametrize("name", SELECTS)
@pytest.mark.parametrize("form", ["texts", "matrices"])
def test_selects_when_the_budget_is_bytes_then_take_no_more(name: str, form: str, request):
    data = request.getfixturevalue(form)
    summary = run(data, name, budget="3kB")
    assert 2000 < sizes(summary.documents)[0] <= 3000
    assert summary.origin.settings["documents"] == len(summary)


@pytest.mark.parametrize("name", [*SELECTS, "merged-documents"])
def test_methods_when_labels_are_lost_then_say_how_many(name: str, texts: LabelledDocuments):
    summary = run(texts, name, budget=5)
    lost = labels_lost(texts, summary)
    assert lost > 0
    assert any(text.startswith(f"{lost:,} of the {LABELS} labels") for text in summary.warnings)


@pytest.mark.parametrize("points", [1, 3])
def test_coverage_when_the_budget_allows_then_gives_every_label_its_points(points: int, texts: LabelledDocuments):
    summary = run(texts, "coverage", budget=120, points=points)
    assert (summary.documents.counts >= np.minimum(texts.train.counts, points)).all()
    assert not summary.warnings


def test_coverage_when_the_budget_is_too_small_then_can_refuse_with_one_that_is_enough(texts: LabelledDocuments):
    with pytest.raises(JobError) as caught:
        run(texts, "coverage", budget=3, lost="refuse")
    assert caught.value.code == "budget_too_small"
    enough = int("".join(sign for sign in caught.value.hint.split("documents")[0] if sign.isdigit()))
    assert labels_lost(texts, run(texts, "coverage", budget=enough, lost="refuse")) == 0


def test_covers_when_made_by_hand_then_are_the_known_documents():
    one = training([[0], [1], [0, 1, 2], [3], [2, 3]], 4)
    assert fewest_cover(one, 1, Context()).tolist() == [2, 3]
    covered = nearest_cover(one, 1, Context())
    assert set(one.targets[covered].indices.tolist()) == {0, 1, 2, 3}
    assert fewest_cover(one, 2, Context()).tolist() == [2, 4, 0, 1, 3]


def test_densities_when_two_clusters_differ_in_size_then_are_their_sizes_and_rarity_evens_them_out():
    rng = np.random.default_rng(0)
    far = np.eye(8, dtype=np.float32)[np.repeat([0, 1], [900, 100])] + 1e-4 * rng.normal(size=(1000, 8)).astype("f4")
    # the median distance is that within the larger cluster: farther documents would count as near
    crowd = densities(far + 0, 256, Context())
    assert np.median(crowd[900:]) < np.median(crowd[:900])
    exact = np.repeat([900.0, 100.0], [900, 100])
    shares = [np.mean(by_rarity(exact, 20, Context(seed=seed)) >= 900) for seed in range(40)]
    assert 0.4 < np.mean(shares) < 0.6


def test_herding_when_documents_are_symmetric_then_the_mean_is_kept():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype(np.float32) + 1
    rows = herding(x, 40, Context())
    assert len(set(rows.tolist())) == 40
    apart = np.linalg.norm(x[rows].mean(axis=0) - x.mean(axis=0))
    drawn = [np.linalg.norm(x[rng.permutation(200)[:40]].mean(axis=0) - x.mean(axis=0)) for _ in range(20)]
    assert apart < min(drawn)


def test_groups_when_the_budget_falls_then_documents_go_to_more_frequent_labels():
    one = training([[0, 2], [0, 3], [0, 1, 2], [0, 1], [1, 4]], 5)
    assert group_labels(one, 5).tolist() == [2, 3, 2, 1, 4]
    assert group_labels(one, 3).tolist() == [2, 0, 2, 1, 1]
    assert group_labels(one, 1).tolist() == [0, 0, 0, 0, 1]


def test_groups_when_more_than_the_budget_then_small_ones_join_the_nearest():
    x = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2]] + np.float32([[0], [0], [0], [0], [0.1]]) * np.float32([1, 0, 0])
    assert folded(x, np.array([7, 7, 8, 8, 9]), 2).tolist() == [7, 7, 8, 8, 7]


def test_spread_when_groups_differ_then_sums_to_the_total_and_no_group_gets_more_than_it_has():
    assert spread(np.array([1, 4, 10]), 9).tolist() == [1, 3, 5]
    assert spread(np.array([1, 2]), 30).tolist() == [1, 2]


def test_merging_when_done_by_hand_then_labels_and_words_are_those_of_most():
    shares = membership(np.array([0, 0, 0, 1]))
    assert shares.toarray() == pytest.approx(np.array([[1 / 3, 1 / 3, 1 / 3, 0], [0, 0, 0, 1]]))
    targets = csr(np.array([[1, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 0]]))
    assert common_labels(targets, shares, 0.5).toarray().tolist() == [[1, 0, 1], [0, 1, 0]]
    assert common_labels(csr(np.eye(4)[:, :3]), membership(np.zeros(4, int)), 0.5).sum() >= 1
    assert heaviest(csr(sparse.csr_matrix([[1.0, 3, 2], [5, 5, 0]])), 1).toarray().tolist() == [[0, 3, 0], [5, 0, 0]]


@pytest.mark.parametrize("form", ["texts", "matrices"])
def test_merged_documents_when_made_then_weights_add_up_and_every_one_has_labels(form: str, request):
    data = request.getfixturevalue(form)
    summary = run(data, "merged-documents", budget=60)
    assert 40 <= len(summary) <= 60
    assert summary.documents.weights.sum() == pytest.approx(len(data.train))
    assert (np.diff(summary.documents.targets.indptr) > 0).all()
    assert (summary.documents.features is None) == (data.features is None)


def test_auto_when_run_then_says_what_each_candidate_kept_and_delivers_the_best(texts: LabelledDocuments):
    summary = run(texts, "auto", budget=60)
    assert "validation documents" in summary.origin.reason
    assert f"`auto` chose {summary.origin.method}" in summary.origin.reason
    same = run(texts, summary.origin.method, budget=60)
    assert (same.documents.targets != summary.documents.targets).nnz == 0


def test_seeds_when_they_differ_then_random_choices_do(texts: LabelledDocuments):
    one, same, other = (run(texts, "random", Context(seed=seed), budget=30).rows.tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_auto_when_another_candidate_warns_of_its_own_choice_then_the_report_does_not(
    texts: LabelledDocuments, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("worker.kinds.labels.methods.density.ALMOST_UNIFORM", 1e9)  # density always warns
    ctx = Context()
    ctx.warn("said before")
    assert run(texts, "auto", ctx, budget=60).origin.method != "density"
    assert ctx.warnings == ["said before"]
