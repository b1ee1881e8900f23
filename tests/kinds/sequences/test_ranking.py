from __future__ import annotations

import numpy as np
import pytest

from worker.contract.errors import JobError
from worker.kinds.sequences.dataset import Cases
from worker.kinds.sequences.ranking import Ranking, metrics_of, ranks
from worker.kinds.sequences.rows import Rows


class Fixed:
    """Gives these scores, whatever the contexts."""

    def __init__(self, scores: np.ndarray) -> None:
        self.all = scores
        self.asked = 0

    def scores(self, contexts: Rows) -> np.ndarray:
        found = self.all[self.asked : self.asked + len(contexts)]
        self.asked += len(contexts)
        return found

    def surprise(self, rows: Rows) -> np.ndarray:
        raise NotImplementedError


def test_ranks_when_scores_tie_then_half_of_the_ties_count():
    scores = np.array([[5.0, 3.0, 3.0, 3.0, 1.0]])
    assert ranks(scores, np.array([0])).tolist() == [1.0]
    assert ranks(scores, np.array([1])).tolist() == [3.0]  # one above, two others equal
    assert ranks(scores, np.array([4])).tolist() == [5.0]


def test_ranks_when_items_were_seen_then_they_do_not_compete_but_the_target_does():
    scores = np.array([[5.0, 4.0, 3.0, 2.0]])
    assert ranks(scores, np.array([2]), Rows.of([[0, 1]])).tolist() == [1.0]
    assert ranks(scores, np.array([2]), Rows.of([[0, 2]])).tolist() == [2.0]
    assert ranks(scores, np.array([2]), Rows.of([[0, 0, 1]])).tolist() == [1.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_when_not_finite_then_are_refused_instead_of_ranking_first(bad: float):
    with pytest.raises(JobError, match="not finite"):
        ranks(np.array([[0.0, bad]]), np.array([0]))


def test_metrics_when_the_ranker_is_perfect_then_are_one_and_at_rank_three_ndcg_is_a_half():
    found = metrics_of(np.array([1.0, 3.0, 11.0]), [10])
    assert found["ndcg@10"].tolist() == pytest.approx([1.0, 0.5, 0.0])
    assert found["hr@10"].tolist() == [1.0, 1.0, 0.0]
    assert found["mrr"].tolist() == pytest.approx([1.0, 1 / 3, 1 / 11])


def test_ranking_when_done_in_blocks_then_agrees_with_one_case_at_a_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("worker.kinds.sequences.ranking._CELLS", 64)
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (40, 20)).astype(np.float32)
    contexts = Rows.of([rng.choice(20, 3, replace=False).tolist() for _ in range(40)])
    targets = rng.integers(0, 20, 40)
    cases = Cases(contexts, targets, np.arange(40))
    found = Ranking(cases, (5,), 20)(Fixed(scores))
    expected = []
    for case in range(40):
        seen = set(contexts.row(case).tolist()) - {int(targets[case])}
        others = [scores[case, item] for item in range(20) if item not in seen and item != targets[case]]
        mine = scores[case, targets[case]]
        rank = 1 + sum(one > mine for one in others) + sum(one == mine for one in others) / 2
        expected.append(1 / np.log2(1 + rank) if rank <= 5 else 0.0)
    assert found["ndcg@5"].tolist() == pytest.approx(expected)
    competing = Ranking(cases, (5,), 20, seen=True)(Fixed(scores))
    assert competing["mrr"].mean() < found["mrr"].mean()
