"""Pooled metrics agree with scikit-learn, for the data as it is and for every resample of it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from worker.evidence.measurements import Pooled
from worker.evidence.pooled import evaluator
from worker.evidence.statistics import resample, value_of

N = 120
RNG = np.random.default_rng(4)
LABEL = RNG.integers(0, 2, N)
SCORE = np.round(RNG.normal(LABEL, 1.0), 1)
CLASSES = RNG.choice([3, 5, 8, 40], N, p=[0.6, 0.25, 0.1, 0.05])
PREDICTED = np.where(RNG.random(N) < 0.7, CLASSES, RNG.choice([3, 5, 8, 99], N))
AUC = Pooled("auc", {"label": LABEL, "score": SCORE})
F1 = Pooled("macro_f1", {"label": CLASSES, "predicted": PREDICTED})
BALANCED = Pooled("balanced_accuracy", {"label": CLASSES, "predicted": PREDICTED})


def test_value_is_that_of_scikit_learn() -> None:
    assert len(np.unique(SCORE)) < N, "ties are part of the test"
    assert value_of(AUC) == pytest.approx(roc_auc_score(LABEL, SCORE))
    assert value_of(F1) == pytest.approx(f1_score(CLASSES, PREDICTED, average="macro"))
    with pytest.warns(UserWarning, match="not in y_true"):
        assert value_of(BALANCED) == pytest.approx(balanced_accuracy_score(CLASSES, PREDICTED))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_every_resample_is_the_metric_of_the_units_it_drew() -> None:
    drawn = resample([AUC, F1, BALANCED], resamples=40, seed=9)
    rng = np.random.default_rng([9, 0])
    for row in drawn:
        taken = np.repeat(np.arange(N), np.bincount(rng.integers(0, N, N), minlength=N))
        assert row[0] == pytest.approx(roc_auc_score(LABEL[taken], SCORE[taken]))
        assert row[1] == pytest.approx(f1_score(CLASSES[taken], PREDICTED[taken], average="macro"))
        assert row[2] == pytest.approx(balanced_accuracy_score(CLASSES[taken], PREDICTED[taken]))


def test_order_of_units_does_not_matter() -> None:
    mixed = np.random.default_rng(0).permutation(N)
    for one in (AUC, F1, BALANCED):
        again = Pooled(one.statistic, {name: column[mixed] for name, column in one.columns.items()})
        assert value_of(again) == pytest.approx(value_of(one), rel=1e-12)


def test_auc_without_a_negative_unit_is_undefined_under_those_weights_only() -> None:
    found = evaluator(Pooled("auc", {"label": np.array([1, 0]), "score": np.array([2.0, 1.0])}))
    values = found(np.array([[1.0, 2.0], [1.0, 0.0]]))
    assert values[0] == 1.0
    assert np.isnan(values[1])


def test_equal_scores_everywhere_are_an_auc_of_a_half() -> None:
    assert value_of(Pooled("auc", {"label": LABEL, "score": np.zeros(N)})) == pytest.approx(0.5)
