"""Few questions about many documents: where they go, and what the others are thought to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from worker.contract.context import Context
from worker.kinds.text.embedding.vectors import Vectors
from worker.kinds.text.judge_tree import spend


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Vectors, np.ndarray, np.ndarray]:
    """2,000 vectors around 10 directions; a judge thinks alike of a direction, but for one where it is divided."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, 16))
    group = rng.integers(0, 10, 2_000)
    points = (centres[group] + 0.05 * rng.normal(size=(2_000, 16))).astype(np.float32)
    points.tofile(tmp_path / "vectors")
    scores = -group.astype(float) + 0.05 * rng.normal(size=2_000)
    divided = group == 9
    scores[divided] = np.where(points[divided, 0] > np.median(points[divided, 0]), 5.0, -15.0)
    return Vectors(tmp_path / "vectors", 2_000, 16), scores, group


def test_few_questions_tell_what_is_thought_of_all_and_how_well(planted: tuple[Vectors, np.ndarray, np.ndarray]):
    vectors, scores, group = planted
    keys = np.arange(2_000, dtype=np.uint64)
    questions: list[int] = []

    def ask(places: np.ndarray) -> np.ndarray:
        assert (np.diff(places) > 0).all()
        questions.extend(places.tolist())
        return scores[places]

    found = spend(vectors, keys, 200, ask, Context(seed=1))
    assert len(questions) == len(set(questions)) <= 200
    assert found.asked.sum() == len(questions)
    assert np.array_equal(found.score[found.asked], scores[found.asked])
    assert len(found.probe) == 20
    plain = group != 9
    assert np.corrcoef(found.score[plain], scores[plain])[0, 1] > 0.95
    known = plain[found.probe]
    assert found.guessed[known] == pytest.approx(scores[found.probe][known], abs=0.8)
    assert found.agreement() == pytest.approx(spearmanr(found.guessed, scores[found.probe]).statistic)
    share = found.asked[~plain].mean() / found.asked[plain].mean()
    assert share > 1.2  # more are asked about where the judge is divided


def test_order_of_documents_changes_nothing(planted: tuple[Vectors, np.ndarray, np.ndarray], tmp_path: Path):
    vectors, scores, _ = planted
    keys = np.random.default_rng(1).permutation(2_000).astype(np.uint64)
    one = spend(vectors, keys, 120, lambda places: scores[places], Context(seed=1))
    turned = np.random.default_rng(2).permutation(2_000)
    vectors.take(turned).tofile(tmp_path / "turned")
    other = spend(
        Vectors(tmp_path / "turned", 2_000, 16), keys[turned], 120, lambda at: scores[turned][at], Context(seed=1)
    )
    assert np.array_equal(one.asked[turned], other.asked)
    assert other.score == pytest.approx(one.score[turned])


def test_judge_that_thinks_alike_of_all_is_not_asked_on_and_on(planted: tuple[Vectors, np.ndarray, np.ndarray]):
    vectors, _, _ = planted
    keys = np.arange(2_000, dtype=np.uint64)
    found = spend(vectors, keys, 500, lambda at: np.full(len(at), -1.0), Context(seed=1))
    assert found.leaves == 1
    assert (found.score == -1).all()
    assert found.agreement() is None


def test_documents_without_an_answer_have_no_score_of_their_own(planted: tuple[Vectors, np.ndarray, np.ndarray]):
    vectors, scores, _ = planted
    keys = np.arange(2_000, dtype=np.uint64)
    silent = np.where(keys % 3 == 0, np.nan, scores)
    found = spend(vectors, keys, 200, lambda at: silent[at], Context(seed=1))
    assert np.isnan(found.score[found.asked & (keys % 3 == 0)]).all()
    assert np.isfinite(found.score[~found.asked]).all()
    nothing = spend(vectors, keys, 100, lambda at: np.full(len(at), np.nan), Context(seed=1))
    assert np.isnan(nothing.score).all()
