"""Figures on real events: Amazon Magazine Subscriptions (2018), leave-one-out, ranking among all items.

Settings are chosen on validation cases, the test cases opened once at the end; the figures are those of
docs/sequences.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.shared_data import shared
from worker.contract.context import Context
from worker.contract.learner import learners_of
from worker.kinds.sequences import KIND
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.ranking import Ranking
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.teacher import Teacher, teach
from worker.runtime.registry import discover

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
LEARNERS, ROWS = learners_of("sequences"), 25


@pytest.fixture(scope="module")
def magazine(tmp_path_factory: pytest.TempPathFactory) -> Sequences:
    out = tmp_path_factory.mktemp("magazine")
    file = shared("seq-amazon-magazine") / "magazine.inter.gz"
    KIND.ingest.run([(file.name, file)], {}, out, Context(), {})
    return KIND.load(out)


@pytest.fixture(scope="module")
def teacher(magazine: Sequences) -> Teacher:
    return teach(magazine, Context(seed=0))


def ranking(data: Sequences, part: Any) -> Ranking:
    return Ranking(data.cases(part), (10, 100), data.n_items)


def measured(data: Sequences, learner: str, train: TrainingSet, *, seed: int = 0, most: int = 400) -> dict[str, float]:
    """Test metrics in points at the settings that are best on validation."""
    one, validation = LEARNERS[learner], ranking(data, "validation")
    assert one.prepare is not None
    trainable = one.prepare(train, None, Context(seed=seed))
    tried: list[tuple[Any, float]] = []
    best: tuple[float, Any] = (-1.0, None)
    settings = [s for s in one.settings if int(s.get("steps", 0)) <= most and s.get("dropout") != 0.0]
    for chosen in settings:
        model = trainable.fit(chosen, Context())
        value = float(validation(model)["ndcg@10"].mean())
        tried.append((chosen, value))
        if value > best[0]:
            best = (value, model)
    found = ranking(data, "test")(best[1])
    figures = {name: 100 * float(values.mean()) for name, values in found.items()}
    chosen = max(tried, key=lambda pair: pair[1])
    print(learner, seed, dict(chosen[0]), {name: round(value, 2) for name, value in figures.items()}, flush=True)
    return figures


def hard(data: Sequences, rows: Rows) -> TrainingSet:
    return TrainingSet.of(rows, data.n_items, data.max_len)


def on_full_data(data: Sequences, learner: str, seeds: int) -> list[dict[str, float]]:
    train = hard(data, data.training().rows)
    return [measured(data, learner, train, seed=seed, most=320) for seed in range(seeds)]


def mean(found: list[dict[str, float]], metric: str = "ndcg@10") -> float:
    return float(np.mean([one[metric] for one in found]))


def test_counts_when_ingested_then_are_those_of_the_prepared_file(magazine: Sequences):
    assert (len(magazine), magazine.n_items, len(magazine.items)) == (2825, 1299, 11685)


def test_floors_when_measured_then_are_where_they_were_found(magazine: Sequences):
    train = hard(magazine, magazine.training().rows)
    popularity, markov = (measured(magazine, name, train) for name in ("popularity", "markov"))
    assert popularity["hr@10"] == pytest.approx(5.7, abs=0.3)
    assert popularity["hr@100"] == pytest.approx(50.0, abs=0.8)  # which is why HR@100 says almost nothing here
    assert markov["ndcg@10"] == pytest.approx(15.9, abs=0.5)


def test_sasrec_when_trained_on_the_full_data_then_reaches_18_and_beats_the_markov_floor(magazine: Sequences):
    found = on_full_data(magazine, "sasrec", 3)
    assert mean(found) >= 18.0
    assert mean(found, "hr@10") >= 25.0


def test_real_sequences_when_25_are_kept_then_keep_little_and_a_teacher_s_labels_most(
    magazine: Sequences, teacher: Teacher
):
    methods = discover()
    kept: dict[str, float] = {}
    for name in ("random", "longest", "k-center", "herding", "coverage", "loss"):
        method = methods["sequences", name]
        found = []
        for seed in range(2 if name == "random" else 1):
            summary = method.run(magazine, method.params(budget=ROWS), Context(seed=seed))
            print(name, len(summary.rows.items), "events", end=" ")
            found.append(measured(magazine, "sasrec", summary.delivered()["hard"], seed=seed, most=120))
        kept[name] = mean(found)
        if name in ("random", "longest"):
            print(name, "labelled", end=" ")
            labelled = teacher.labelled(summary.rows, magazine.max_len)
            kept[f"{name} labelled"] = measured(magazine, "sasrec", labelled, most=400)["ndcg@10"]
    print(kept, teacher.settings, teacher.validation)
    others = [value for name, value in kept.items() if "labelled" not in name and name != "coverage"]
    assert max(others) + 2 < kept["coverage"] < 15
    assert kept["random labelled"] > kept["random"] + 5
    assert kept["longest labelled"] > 14
