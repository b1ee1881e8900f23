"""What is kept of UCI Adult with 50 rows a class, on its own test part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.kinds.table.real_data import adult
from worker.contract.context import Context
from worker.contract.learner import learners_of
from worker.evidence.statistics import value_of
from worker.kinds.table.dataset import TEST, Rows
from worker.kinds.table.methods.evolved_rows import EvolvedRowsParams, evolved_rows
from worker.kinds.table.methods.random_rows import RandomParams, random_rows
from worker.kinds.table.metrics import measure
from worker.kinds.table.predictor import TrainingRows


@pytest.mark.slow
def test_adult_when_rows_are_searched_for_then_learners_keep_more_than_of_random_rows(tmp_path: Path):
    data = adult(tmp_path)
    assert np.bincount(data.split).tolist() == [26049, 6512, 16281]
    test = data.rows(np.flatnonzero(data.split == TEST)[:4_000])

    def auc(rows: Rows, name: str, setting: int) -> float:
        learner = learners_of("table")[name]
        assert learner.prepare is not None
        given = TrainingRows(Rows(rows.x, rows.y, np.ones(len(rows))), 2)
        model = learner.prepare(given, None, Context()).fit(learner.settings[setting], Context())
        return value_of(measure(model(test.x), test.y, 2)["auc"])

    found = evolved_rows(data, EvolvedRowsParams(evaluations=120), Context()).encoded
    drawn = [random_rows(data, RandomParams(), Context(seed=seed)).encoded for seed in range(3)]
    for name, setting in (("linear", 1), ("knn", 1), ("random-forest", 0), ("boosting", 0)):
        assert auc(found, name, setting) > np.mean([auc(rows, name, setting) for rows in drawn])
