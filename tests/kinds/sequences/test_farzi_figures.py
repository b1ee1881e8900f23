"""Farzi on real data: what the figures of docs/sequences_farzi.md must not fall behind."""

from __future__ import annotations

import json

import pytest

from benchmarks.farzi_figures import CONFIGURATIONS, on_all, on_summary
from tests.kinds.sequences.real_data import magazine
from worker.kinds.sequences.methods.farzi import FarziParams


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_25_sequences_of_20_labelled_events_train_like_all_of_magazine() -> None:
    data = magazine()
    full = on_all(data)
    print(json.dumps(full), flush=True)
    _, params, steps = CONFIGURATIONS["magazine-25x20"]
    found = on_summary(data, FarziParams(**params), steps, full)
    print(json.dumps(found), flush=True)
    soft = found["forms"]["soft"]
    assert soft["percent_of_full_ndcg@10"] >= 97
    assert soft["sasrec"]["test"]["ndcg@10"] > full["markov"]["ndcg@10"]
    assert soft["sasrec"]["test"]["hr@10"] >= 24
    assert soft["percent_of_full_gru4rec"] >= 100
