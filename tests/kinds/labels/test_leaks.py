"""Subsets made elsewhere that hold answers: held-out documents with a word more, or features of another scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.kinds.labels.planted import raw_files, xc_files
from tests.kinds.labels.uploaded import ingested
from worker.contract.product import Origin
from worker.kinds.labels.dataset import TEST, TRAIN, LabelledDocuments
from worker.kinds.labels.summary import adopt, of_rows
from worker.kinds.labels.texts import Texts


@pytest.fixture(scope="module", params=[raw_files, xc_files])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LabelledDocuments:
    folder = tmp_path_factory.mktemp("leaks")
    return ingested(request.param(folder / "up"), folder / "v")[0]


def changed(version: LabelledDocuments) -> LabelledDocuments:
    """The same documents with a word more and their words in another order, or with features of another scale."""
    if version.features is not None:
        return replace(version, features=version.features * 2)
    bodies = Texts.of([" ".join([*reversed(body.split()), "indeed"]) for body in version.bodies or ()])
    return replace(version, bodies=bodies)


def test_subset_when_it_nearly_holds_test_documents_then_these_are_left_out_and_training_documents_stay(
    data: LabelledDocuments,
):
    rows = np.concatenate([data.rows(TRAIN)[:30], data.rows(TEST)[:5]])
    adopted = adopt(data, changed(of_rows(data, rows, Origin()).version))
    assert len(adopted) == 30
    assert "5 documents of the subset nearly equal" in adopted.warnings[0]
