"""The judge's n-gram on real messages and paragraphs: the figures that the documentation gives."""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np
import pytest

from tests.shared_data import shared
from worker.kinds.text.byte_ngram import train
from worker.kinds.text.training_text import training_text

TRAINING, TESTED = 500_000, 60_000


def records(folder: str, name: str) -> list[dict[str, Any]]:
    with gzip.open(shared(folder) / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_ngram_when_trained_on_parts_of_the_pool_then_bits_per_byte_are_as_documented():
    pool = records("web_quality_pool", "pool.jsonl.gz")
    asked = training_text((one["text"].encode() for one in records("wikitext2_small", "test.jsonl.gz")), TESTED, TESTED)

    def bits(group: str, seed: int) -> float:
        texts = [one["text"].encode() for one in pool if group in ("random", one["group"])]
        order = np.random.default_rng(seed).permutation(len(texts))
        given = training_text((texts[at] for at in order), TRAINING, TRAINING)
        return float(train(given.documents).bits(asked.documents).sum() / TESTED)

    at_random = [bits("random", seed) for seed in range(3)]
    assert 2.6 < min(at_random) <= max(at_random) < 2.78
    assert bits("ham", 0) == pytest.approx(3.79, abs=0.08)
    assert bits("wiki", 0) == pytest.approx(2.20, abs=0.05)
    assert bits("spam", 0) == pytest.approx(4.09, abs=0.12)
