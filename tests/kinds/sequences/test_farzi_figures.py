"""Farzi on real data: what docs/sequences_farzi.md says must go on to hold."""

from __future__ import annotations

import pytest

from benchmarks.farzi_figures import CONFIGURATIONS, STEPS, Source, on_all, percent, tuned
from tests.kinds.sequences.real_data import magazine
from worker.contract.context import Context
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.methods.farzi import FarziParams, farzi
from worker.kinds.sequences.summary import SequenceSummary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def data() -> Sequences:
    return magazine()


@pytest.fixture(scope="module")
def summary(data: Sequences) -> SequenceSummary:
    """25 sequences of 20 events with a teacher's labels."""
    return farzi(data, FarziParams(**CONFIGURATIONS["magazine-25x20"][1]), Context(seed=1))


def test_25_labelled_sequences_train_like_all_of_magazine(data: Sequences, summary: SequenceSummary) -> None:
    found = tuned(data, summary.delivered()["soft"], "sasrec", STEPS, (0.0,))
    full = on_all(data, Source(magazine, ["sasrec"]))
    assert percent(found, full["sasrec"]) >= 97
    assert found["test"]["ndcg@10"] > full["markov"]["ndcg@10"]
    assert found["test"]["hr@10"] >= 24


def test_another_learner_trains_on_them_as_on_all(data: Sequences, summary: SequenceSummary) -> None:
    found = tuned(data, summary.delivered()["soft"], "gru4rec", STEPS, (0.0,))
    assert percent(found, on_all(data, Source(magazine, ["gru4rec"]))["gru4rec"]) >= 100
