from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.kinds.sequences.planted import planted
from worker.contract.context import Context
from worker.kinds.sequences.fitting import Fitting
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.learners.sasrec import RECIPE
from worker.kinds.sequences.ranking import Ranking

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_sasrec_when_trained_on_the_gpu_then_measures_what_it_does_on_the_cpu():
    data = planted(200)
    train = TrainingSet.of(data.training().rows, data.n_items, data.max_len)
    ranking = Ranking(data.cases("test"), (10,), data.n_items)
    found = {}
    for device in ("cpu", "cuda"):
        model = Fitting(RECIPE, train, 0, device).fit({"dropout": 0.0, "steps": 60}, Context())
        found[device] = ranking(model)["ndcg@10"].mean()
    assert found["cuda"] == pytest.approx(found["cpu"], abs=0.03)
    assert np.isfinite(list(found.values())).all()
