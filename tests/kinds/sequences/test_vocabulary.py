"""Vocabularies are learned with counts that are exact after every merge."""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from itertools import pairwise
from math import lcm

import numpy as np
import pytest

from tests.kinds.sequences.piece_sets import chain_of, counts
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.sequences.pieces import learning
from worker.kinds.sequences.pieces import pairs as p
from worker.kinds.sequences.pieces import vocabulary_core as loops
from worker.kinds.sequences.pieces.learning import Rules, learn
from worker.kinds.sequences.pieces.vocabulary import Vocabulary
from worker.kinds.sequences.rows import Rows

# What the published code (google-deepmind/action_piece, commit ae8e61a) learned from `corpus(0)`, its two counting
# functions in whole numbers so that ties are ties: the first 24 rules.
PUBLISHED_RULES = [
    [3, 7], [11, 13], [7, 11], [2, 6], [3, 11], [12, 13], [9, 16], [6, 10], [3, 10], [3, 6], [7, 12], [2, 9], [8, 10],
    [4, 7], [5, 9], [8, 11], [4, 5], [6, 11], [2, 12], [2, 8], [3, 12], [6, 9], [1, 27], [4, 11],
]  # fmt: skip


def corpus(seed: int, items: int = 30, m: int = 3, values: int = 4, rows: int = 60, most: int = 7):
    """(rows, features int64 (items, m)) at random."""
    rng = np.random.default_rng(seed)
    features = rng.integers(0, values, (items, m))
    return Rows.of([rng.integers(0, items, rng.integers(1, most + 1)) for _ in range(rows)]), features


def merged_one_by_one(rows: Rows, features: np.ndarray, merges: int, rules: Rules | None = None):
    """The core after every merge."""
    initial = Vocabulary.of_features(features)
    rules = rules or Rules(initial.n_initial + merges, min_count=0.0)
    core, scale = learning.start(rows.indptr, rows.items, initial.tokens_of(features), rules.size, rules)
    core = learning.counted(core, initial.n_initial, lambda _: None)
    for size in range(initial.n_initial + 1, rules.size + 1):
        core = learning.run(core, lambda c, s=size: loops.merge_pairs(c, s, False, 1, 10**9), lambda _: None)
        yield core, scale


def recounted(core: p.Core) -> tuple[Counter, dict]:
    total, index = Counter(), defaultdict(set)
    for sequence in range(len(core.heads)):
        for pair, weight in counts(chain_of(core, sequence)).items():
            total[pair] += weight
            index[pair].add(sequence)
    return total, index


def kept_counts(core: p.Core, scale: int) -> dict:
    used = core.pairs[: core.cursor[p.N_PAIRS]]
    return {
        (int(row[p.KEY] >> 32), int(row[p.KEY] & 0xFFFFFFFF)): Fraction(int(row[p.COUNT]), scale)
        for row in used
        if row[p.COUNT]
    }


def indexed(core: p.Core, pair: tuple[int, int]) -> set[int]:
    entry, found = core.pairs[p.pair_of(p.key_of(*pair), core), p.FIRST], set()
    while entry >= 0:
        found.add(int(core.entries[entry, 0]))
        entry = core.entries[entry, 1]
    return found


def test_counts_when_two_neighbouring_items_share_nothing_then_are_those_of_the_paper():
    """Check 10: items a=(0,0), b=(0,1), c=(1,0); corpus [a b a], [a b], [c b]."""
    features = np.array([[0, 0], [0, 1], [1, 0]])
    rows = Rows.of([[0, 1, 0], [0, 1], [2, 1]])
    initial = Vocabulary.of_features(features)
    core, scale = learning.start(rows.indptr, rows.items, initial.tokens_of(features), 9, Rules(9))
    core = learning.counted(core, initial.n_initial, lambda _: None)
    expected = {(1, 1): 0.75, (1, 2): 0.25, (1, 3): 4.0, (1, 4): 3.75, (2, 3): 1.0, (2, 4): 0.25, (3, 4): 1.0}
    assert {pair: float(count) for pair, count in kept_counts(core, scale).items()} == expected
    learned = learn(rows.indptr, rows.items, features, Rules(6, min_count=0), Context())
    assert learned.rules.tolist() == [[1, 3]]
    assert learned.priority.tolist() == [4.0]
    core = next(merged_one_by_one(rows, features, 1))[0]
    assert chain_of(core, 0) == [[5], [], [4], [5], [1]]  # the second a loses its 3 to the cross merge with b's 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("m", [1, 3, 5])
def test_counts_when_merged_then_equal_a_recount_after_every_merge(seed: int, m: int):
    """Check 11, with exact fractions: the counts and the inverted index."""
    rows, features = corpus(seed, m=m)
    for core, scale in merged_one_by_one(rows, features, 60):
        total, index = recounted(core)
        assert kept_counts(core, scale) == {pair: count for pair, count in total.items() if count}
        for pair, sequences in index.items():
            noted = indexed(core, pair)
            assert noted >= sequences  # an entry may outlast its pair, which whoever reads it finds out


@pytest.mark.parametrize("seed", range(3))
def test_rules_when_learned_then_each_was_the_largest_count(seed: int):
    """Check 11: the merged pair is the true maximum, the smallest pair among equals."""
    rows, features = corpus(seed, m=4)
    initial = Vocabulary.of_features(features)
    core, _ = learning.start(rows.indptr, rows.items, initial.tokens_of(features), 400, Rules(400))
    core = learning.counted(core, initial.n_initial, lambda _: None)
    for _ in range(60):
        total = recounted(core)[0]
        best = max(total.values())
        expected = min(pair for pair, count in total.items() if count == best)
        core.cursor[p.PENDING] = -1
        assert loops._begin(core, False, 1)
        assert (int(core.cursor[p.LEFT]), int(core.cursor[p.RIGHT])) == expected
        core = learning.run(
            core, lambda c: loops.merge_pairs(c, int(c.cursor[p.N_TOKENS]), False, 1, 10**9), lambda _: None
        )


def test_weights_when_sets_are_shuffled_then_are_expected_adjacencies():
    """Check 12: sets of 4 and 3 by Monte Carlo; a flat sequence of sets sums to its features less one."""
    inside, between, scale = learning.weights(4, True)
    assert (inside[4] / scale, between[4, 3] / scale) == (0.5, 1 / 12)
    assert inside[3] / scale == 2 / 3
    rng, draws, within, across = np.random.default_rng(0), 40_000, 0, 0
    for _ in range(draws):
        flat = [*rng.permutation(4), *(10 + rng.permutation(3))]
        neighbours = {frozenset(pair) for pair in pairwise(flat)}
        within += frozenset((0, 1)) in neighbours
        across += frozenset((0, 10)) in neighbours
    assert within / draws == pytest.approx(0.5, abs=0.01)
    assert across / draws == pytest.approx(1 / 12, abs=0.006)
    rows, features = corpus(1, m=5)
    initial = Vocabulary.of_features(features)
    core, scale = learning.start(rows.indptr, rows.items, initial.tokens_of(features), 99, Rules(99))
    for sequence in range(len(rows)):
        assert sum(counts(chain_of(core, sequence)).values()) == 5 * rows.lengths[sequence] - 1


@pytest.mark.parametrize("m", range(1, learning.EXACT_UP_TO + 1))
def test_weights_when_there_are_few_features_then_are_exact(m: int):
    inside, between, scale = learning.weights(m, True)
    assert scale == lcm(*range(1, m + 1)) ** 2
    for n in range(1, m + 1):
        assert Fraction(int(inside[n]), scale) == Fraction(2, n)
        assert [Fraction(int(w), scale) for w in between[n, 1:]] == [Fraction(1, n * k) for k in range(1, m + 1)]


def test_vocabulary_when_truncated_then_is_the_one_learned_to_that_size():
    """Check 14."""
    rows, features = corpus(2)
    large = learn(rows.indptr, rows.items, features, Rules(80, min_count=0), Context())
    for size in (large.n_initial, 20, 47):
        small = learn(rows.indptr, rows.items, features, Rules(size, min_count=0), Context())
        assert large.truncated(size).rules.tolist() == small.rules.tolist()
        assert large.truncated(size).priority.tolist() == small.priority.tolist()


def test_vocabulary_when_written_and_read_then_is_the_same_in_the_published_layout(tmp_path):
    import json

    rows, features = corpus(2)
    one = learn(rows.indptr, rows.items, features, Rules(50, min_count=0), Context())
    one.write(tmp_path / "actionpiece.json")
    stored = json.loads((tmp_path / "actionpiece.json").read_text())
    assert stored.keys() == {"n_categories", "n_init_feats", "token2feat", "priority"}
    assert stored["token2feat"][0] == [-1, -1]
    assert stored["token2feat"][1] == [0, 0]
    assert stored["token2feat"][one.n_initial] == [-1, *one.rules[0].tolist()]
    assert len(stored["token2feat"]) == len(stored["priority"]) == 50
    again = Vocabulary.read(tmp_path / "actionpiece.json", 30)
    assert again.rules.tolist() == one.rules[: 30 - one.n_initial].tolist()
    stored["token2feat"][-1] = [-1, 3, 90]
    (tmp_path / "actionpiece.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="earlier ones"):
        Vocabulary.read(tmp_path / "actionpiece.json")


def test_vocabulary_without_context_when_learned_then_tokens_are_of_one_action():
    """Check 15."""
    rows, features = corpus(3, m=4)
    one = learn(rows.indptr, rows.items, features, Rules(90, min_count=0, context=False), Context())
    indptr, flat = one.expansion
    for token in range(1, len(one)):
        categories = one.features[flat[indptr[token] : indptr[token + 1]] - 1, 0]
        assert len(set(categories.tolist())) == len(categories)


def test_vocabulary_when_sequences_are_shuffled_then_is_the_same():
    rows, features = corpus(4)
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = rows.take(order)
    one = learn(rows.indptr, rows.items, features, Rules(80, min_count=0), Context())
    other = learn(shuffled.indptr, shuffled.items, features, Rules(80, min_count=0), Context())
    assert one.rules.tolist() == other.rules.tolist()


def test_learning_when_no_pair_counts_enough_then_stops():
    rows, features = corpus(5)
    one = learn(rows.indptr, rows.items, features, Rules(10_000, min_count=2.0), Context())
    assert len(one) < 10_000
    assert one.priority.min() >= 2.0


def test_learning_when_the_vocabulary_is_below_the_features_then_says_what_to_ask_for():
    rows, features = corpus(6)
    with pytest.raises(JobError, match="features alone") as refused:
        learn(rows.indptr, rows.items, features, Rules(5), Context())
    least = int(refused.value.hint.split("at least ")[1].split(",")[0])
    assert len(learn(rows.indptr, rows.items, features, Rules(least), Context())) == least


def test_learning_when_counts_are_stale_then_learns_what_the_published_code_does():
    rows, features = corpus(0)
    one = learn(rows.indptr, rows.items, features, Rules(len(PUBLISHED_RULES) + 13, compat="stale"), Context())
    assert one.n_initial == 13
    assert one.rules.tolist() == PUBLISHED_RULES
    exact = learn(rows.indptr, rows.items, features, Rules(len(PUBLISHED_RULES) + 13), Context())
    assert exact.rules.tolist() != PUBLISHED_RULES


def test_features_beyond_exact_weights_when_merged_then_counts_equal_a_recount_in_their_units():
    rows, features = corpus(7, m=14, rows=10, most=3)
    initial = Vocabulary.of_features(features)
    rules = Rules(initial.n_initial + 20, min_count=0)
    core, _ = learning.start(rows.indptr, rows.items, initial.tokens_of(features), rules.size, rules)
    core = learning.counted(core, initial.n_initial, lambda _: None)
    core = learning.run(core, lambda c: loops.merge_pairs(c, rules.size, False, 1, 10**9), lambda _: None)
    fresh, _ = learning.start(rows.indptr, rows.items, initial.tokens_of(features), rules.size, rules)
    fresh.nodes[:], fresh.heads[:] = core.nodes, core.heads
    fresh = learning.counted(fresh, initial.n_initial, lambda _: None)
    assert kept_counts(core, 1) == kept_counts(fresh, 1)
