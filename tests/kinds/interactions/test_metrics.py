from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.interactions.dataset import Queries
from worker.kinds.interactions.metrics import (
    draw_negatives,
    evaluate,
    means,
    propensity_weights,
    rank_auc,
    top_items,
)


def rows(*lists: list[int], width: int) -> sparse.csr_array:
    out = np.zeros((len(lists), width), np.float32)
    for row, items in enumerate(lists):
        out[row, items] = 1
    return sparse.csr_array(out)


def queries(inputs: list[list[int]], targets: list[list[int]], width: int) -> Queries:
    return Queries(np.arange(len(inputs)), rows(*inputs, width=width), rows(*targets, width=width))


def fixed(scores: object) -> object:
    return lambda inputs: np.tile(np.asarray(scores, np.float32), (inputs.shape[0], 1))


def by_hand(scores: np.ndarray, seen: set[int], targets: set[int], weights: np.ndarray, k: int) -> dict[str, float]:
    """The definitions, read literally, for one user."""
    ranking = sorted((i for i in range(len(scores)) if i not in seen), key=lambda i: (-scores[i], i))[:k]
    hits = [i for i in ranking if i in targets]
    m = min(len(targets), k)
    gain = sum(1 / math.log2(place + 2) for place, i in enumerate(ranking) if i in targets)
    best = sum(sorted((weights[i] for i in targets), reverse=True)[:m])
    won = sum(weights[i] for i in hits)
    return {
        "hr": len(hits) / m,
        "ndcg": gain / sum(1 / math.log2(place + 2) for place in range(m)),
        "psp": won / best,
        "psp_paper": (won / m) / best,
    }


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_metrics_equal_their_definitions(data: st.DataObject) -> None:
    width, n = data.draw(st.integers(2, 12)), data.draw(st.integers(1, 6))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    scores = rng.integers(0, 4, (n, width)).astype(np.float32)  # many ties
    kind = rng.integers(0, 3, (n, width))
    kind[:, 0] = 2
    held = Queries(
        np.arange(n),
        sparse.csr_array((kind == 1).astype(np.float32)),
        sparse.csr_array((kind == 2).astype(np.float32)),
    )
    counts = rng.integers(0, 50, width) + 1
    weights = propensity_weights(counts)
    found = evaluate(lambda _: scores.copy(), held, counts, (1, 3, 20), block=n)
    for u in range(n):
        seen, targets = set(np.flatnonzero(kind[u] == 1)), set(np.flatnonzero(kind[u] == 2))
        for k in (1, 3, 20):
            for name, value in by_hand(scores[u], seen, targets, weights, k).items():
                assert found[f"{name}@{k}"][u] == pytest.approx(value)


def test_propensity_weights_equal_the_check_values() -> None:
    counts = np.array([0, 1, 10, 100, 889])  # N = 1000
    expected = [8.82418858, 6.90775528, 3.55214702, 1.77042999]
    np.testing.assert_allclose(propensity_weights(counts)[:4], expected, rtol=0, atol=5e-9)
    assert (math.log(1000) - 1) * 2.5**0.55 == pytest.approx(9.77888867, abs=5e-9)


def test_equal_scores_go_to_the_lower_item() -> None:
    scores = np.array([[1, 2, 2, 2, 0, 2], [0, 0, 0, 0, 0, 0]], np.float32)
    assert top_items(scores, 3).tolist() == [[1, 2, 3], [0, 1, 2]]
    assert top_items(scores, 5).tolist() == [[1, 2, 3, 5, 0], [0, 1, 2, 3, 4]]


@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 45), st.integers(0, 2**32), st.integers(1, 50))
@settings(deadline=None)
def test_top_items_equal_a_full_sort(n: int, width: int, k: int, seed: int, levels: int) -> None:
    scores = np.random.default_rng(seed).integers(0, levels, (n, width)).astype(np.float32)
    scores[scores == 0] = -np.inf
    expected = np.lexsort((np.broadcast_to(np.arange(width), scores.shape), -scores))[:, :k]
    assert (top_items(scores, k) == expected).all()


def test_seen_items_are_never_recommended_nor_hit() -> None:
    held = queries([[0, 1]], [[1, 2]], 4)  # item 1 is in both, as in one published split
    found = evaluate(fixed([4, 3, 2, 1]), held, np.ones(4), (1, 4))
    assert found["hr@1"].tolist() == [1.0]
    assert found["hr@4"].tolist() == [0.5]


def test_users_without_targets_are_skipped() -> None:
    held = queries([[0], [0], [0]], [[1], [], [2]], 4)
    found = evaluate(fixed([0, 3, 2, 1]), held, np.ones(4), (1,))
    assert found["hr@1"].tolist() == [1.0, 0.0]
    assert held.with_targets().users.tolist() == [0, 2]


def test_nobody_to_ask_gives_no_metrics() -> None:
    assert evaluate(fixed([1, 2]), queries([[0]], [[]], 2), np.ones(2)) == {}


def test_psp_of_a_perfect_list_is_one_and_the_papers_one_over_m() -> None:
    held = queries([[]], [[0, 1, 2, 3]], 6)
    found = evaluate(fixed([6, 5, 4, 3, 2, 1]), held, np.arange(6) * 9, (10,))
    assert found["psp@10"][0] == pytest.approx(1.0)
    assert found["psp_paper@10"][0] == pytest.approx(0.25)


def test_blocks_do_not_change_the_result() -> None:
    rng = np.random.default_rng(0)
    held = queries([[i % 20] for i in range(50)], [[(i + 3) % 20, (i + 7) % 20] for i in range(50)], 20)
    scores = rng.random((20, 20)).astype(np.float32)

    def score(inputs: sparse.csr_array) -> np.ndarray:
        return inputs @ scores

    whole, blocked = (evaluate(score, held, np.ones(20), (5,), block=block, seed=4) for block in (4096, 7))
    assert whole.keys() == blocked.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], blocked[name])


def test_scores_that_cannot_be_written_to_are_not_changed() -> None:
    scores = np.broadcast_to(np.array([3, 2, 1], np.float32), (2, 3))
    found = evaluate(lambda _: scores, queries([[0], [1]], [[1], [0]], 3), np.ones(3), (1,))
    assert found["hr@1"].tolist() == [1.0, 1.0]


def test_scores_that_are_not_numbers_fail_the_job() -> None:
    with pytest.raises(JobError, match="not numbers"):
        evaluate(fixed([1, np.nan]), queries([[]], [[0]], 2), np.ones(2), auc=False)


def test_rank_auc_counts_ties_as_half() -> None:
    assert rank_auc(np.array([1.0]), np.array([1.0])) == 0.5
    assert rank_auc(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0])) == pytest.approx((1 + 1.5 + 2) / 6)
    assert rank_auc(np.array([5.0]), np.array([1.0, 2.0])) == 1.0


@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.lists(st.integers(0, 6), min_size=1, max_size=20))
def test_rank_auc_equals_counting_pairs(positive: list[int], negative: list[int]) -> None:
    pairs = [(p > q) + 0.5 * (p == q) for p in positive for q in negative]
    assert rank_auc(np.array(positive, float), np.array(negative, float)) == pytest.approx(np.mean(pairs))


def test_pooled_auc_sees_offsets_between_users_and_user_auc_does_not() -> None:
    held = queries([[0], [1]], [[2], [2]], 4)
    base = np.array([0, 0, 1, 0], np.float32)
    found = evaluate(lambda _: np.stack([base, base + 10]), held, np.ones(4), (1,))
    assert found["auc_user"].tolist() == [1.0, 1.0]
    assert float(found["auc_pooled"]) == pytest.approx(0.75)  # the first user's positive is under the second's items


def test_auc_of_a_user_who_has_everything_is_undefined_and_left_out() -> None:
    held = queries([[0, 1], [0]], [[2], [1]], 3)
    found = evaluate(fixed([1, 2, 0]), held, np.ones(3), (1,))
    assert np.isnan(found["auc_user"][0])
    assert found["auc_user"][1] == 1.0
    assert means(found)["auc_user"] == 1.0
    assert float(found["auc_pooled"]) == 1.0


@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(2, 15))
@settings(deadline=None)
def test_negatives_are_unused_items_and_reach_all_of_them(seed: int, n: int, width: int) -> None:
    kind = np.random.default_rng(seed).integers(0, 3, (n, width))
    kind[:, -1] = 0
    held = Queries(
        np.arange(n),
        sparse.csr_array((kind == 1).astype(np.float32)),
        sparse.csr_array((kind == 2).astype(np.float32)),
    )
    drawn = draw_negatives(held, 600, seed)
    assert (np.take_along_axis(kind, drawn, 1) == 0).all()
    for row in range(n):
        assert set(drawn[row]) == set(np.flatnonzero(kind[row] == 0))


def test_gains_fall_with_the_place_of_the_hit() -> None:
    values = []
    for place in range(4):
        held = queries([[]], [[place]], 5)
        values.append(evaluate(fixed(-np.arange(5)), held, np.ones(5), (5,))["ndcg@5"][0])
    assert all(earlier > later for earlier, later in pairwise(values))
    assert values[0] == 1.0
