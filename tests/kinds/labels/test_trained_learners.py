"""Every trained learner on an ingested version: it beats the floor, passes barred pairs over, and repeats itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from tests.kinds.labels.planted import raw_files
from tests.kinds.labels.uploaded import ingested
from worker.contract.context import Context
from worker.contract.learner import learners_of
from worker.kinds.labels.dataset import TEST, LabelledDocuments, LabelSet, csr
from worker.kinds.labels.metrics import hits
from worker.kinds.labels.ranking import Model, permitted


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LabelledDocuments:
    folder: Path = tmp_path_factory.mktemp("raw")
    return ingested(raw_files(folder / "up", train=500, test=200), folder / "v")[0]


def trained(name: str, training: LabelSet) -> Model:
    known = learners_of("labels")[name]
    assert known.prepare is not None
    return known.prepare(training, None, Context(seed=3)).fit(known.settings[0], Context(seed=3))


@pytest.mark.parametrize("name", ["label-mix", "eclare", "plt"])
def test_learner_when_trained_then_beats_the_floor_and_passes_barred_pairs_over(
    data: LabelledDocuments, name: str
) -> None:
    test = data.part(TEST)
    floor = hits(permitted(trained("most-frequent", data.train), test, 1, Context()), test.targets).mean()
    model = trained(name, data.train)
    first = permitted(model, test, 1, Context())
    assert hits(first, test.targets).mean() > floor + 0.3
    pairs = (np.ones(len(first), np.float32), (np.arange(len(first)), first[:, 0]))
    barred = replace(test, barred=csr(sparse.coo_matrix(pairs, test.targets.shape)))
    second = permitted(model, barred, 2, Context())
    assert (second[:, :1] != first).all()
    assert (second[:, 0] == model.top(test, 2)[0][:, 1]).all()
