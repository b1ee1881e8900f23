"""Metrics by hand-computed values, by the known values of propensities, and beside another implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import sparse

from worker.evidence.statistics import value_of
from worker.kinds.labels.dataset import csr
from worker.kinds.labels.metrics import AT, inverse_propensities, measure
from worker.kinds.labels.ranking import top_k


def random_case(seed: int, n: int = 60, labels: int = 30) -> tuple[np.ndarray, sparse.csr_matrix, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = csr(sparse.random(n, labels, 0.15, random_state=seed, data_rvs=np.ones))
    truth.data[:] = 1
    top = np.stack([rng.permutation(labels)[:5] for _ in range(n)]).astype(np.int32)
    return top, truth, inverse_propensities(np.asarray(truth.sum(axis=0)).ravel(), n)


@pytest.mark.parametrize(
    ("a", "b", "values"),
    [
        (0.55, 1.5, (8.824189, 4.492908, 1.770430)),
        (0.6, 2.6, (8.181580, 4.773252, 1.791618)),
        (0.5, 0.4, (12.052398, 4.008082, 1.697621)),
    ],
)
def test_inverse_propensities_when_computed_then_are_the_known_values(a: float, b: float, values: tuple[float, ...]):
    found = inverse_propensities(np.array([0, 1, 5, 100]), 1000, a, b)
    assert found[1] == pytest.approx(math.log(1000), abs=1e-9)
    assert found[[0, 2, 3]] == pytest.approx(values, abs=1e-6)


def test_precision_and_gain_when_counted_by_hand_then_agree():
    truth = csr(sparse.csr_matrix(np.array([[1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]])))
    top = np.array([[0, 2, 1, 3, 4], [5, 3, -1, -1, -1]], np.int32)
    found = {name: value_of(one) for name, one in measure(top, truth, np.ones(6)).items()}
    assert found["p1"] == 0.5
    assert found["p3"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert found["p5"] == pytest.approx((2 / 5 + 1 / 5) / 2)
    ideal = 1 + 1 / math.log2(3)
    assert found["ndcg3"] == pytest.approx(((1 + 0.5) / ideal + 1 / math.log2(3)) / 2)


def test_psp_when_truth_is_ranked_by_inverse_propensity_then_is_one_and_precision_its_ceiling():
    _, truth, inverse = random_case(3)
    scores = np.where(truth.toarray() > 0, inverse, -np.inf).astype(np.float32)
    best = measure(top_k(scores, 5)[0], truth, inverse)
    sizes = np.diff(truth.indptr)
    for k in AT:
        assert value_of(best[f"psp{k}"]) == pytest.approx(1.0)
        assert value_of(best[f"p{k}"]) == pytest.approx(np.minimum(k, sizes).mean() / k)


@pytest.mark.parametrize("seed", range(5))
def test_psp_when_ranking_is_anything_then_is_at_most_one(seed: int):
    scores = measure(*random_case(seed))
    assert all(0 <= value_of(scores[f"psp{k}"]) <= 1 for k in AT)


def test_psp_when_documents_differ_then_is_a_ratio_of_sums_not_a_mean_of_ratios():
    truth = csr(sparse.csr_matrix(np.array([[1, 0], [0, 1]])))
    found = measure(np.array([[0, -1, -1, -1, -1], [0, -1, -1, -1, -1]], np.int32), truth, np.array([1.0, 9.0]))
    assert value_of(found["psp1"]) == pytest.approx(0.1)


def test_ranking_when_scores_tie_then_lower_labels_come_first_and_minus_infinity_never():
    scores = np.array([[1, 2, 2, 1, 1], [0, -np.inf, 3, -np.inf, -np.inf]], np.float32)
    labels, best = top_k(scores, 4)
    assert labels.tolist() == [[1, 2, 0, 3], [2, 0, -1, -1]]
    assert best[1, 1] == 0
    assert np.isneginf(best[1, 2])


def test_metrics_when_napkinxc_is_installed_then_are_its_own():
    theirs = pytest.importorskip("napkinxc.metrics", reason="napkinXC is not installed")
    top, truth, _ = random_case(7, n=200, labels=40)
    counts = np.asarray(truth.sum(axis=0)).ravel()
    inverse = inverse_propensities(counts, truth.shape[0])
    known = theirs.Jain_et_al_inverse_propensity(truth, A=0.55, B=1.5)
    assert inverse == pytest.approx(np.asarray(known), rel=1e-6)
    ours = measure(top, truth, inverse)
    own = [truth.indices[a:b].tolist() for a, b in zip(truth.indptr[:-1], truth.indptr[1:], strict=True)]
    ranked = top.tolist()
    precision = theirs.precision_at_k(own, ranked, k=5)
    weighted = theirs.psprecision_at_k(own, ranked, inverse, k=5, normalize=True)
    gain = theirs.ndcg_at_k(own, ranked, k=5)
    for k in AT:
        assert value_of(ours[f"p{k}"]) == pytest.approx(precision[k - 1], abs=1e-6)
        assert value_of(ours[f"psp{k}"]) == pytest.approx(weighted[k - 1], abs=1e-6)
        assert value_of(ours[f"ndcg{k}"]) == pytest.approx(gain[k - 1], abs=1e-6)
