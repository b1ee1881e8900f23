"""Sequences to tokens and back, and items written through a trie."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.kinds.sequences.piece_sets import flat_bpe
from tests.kinds.sequences.test_vocabulary import corpus
from worker.contract.context import Context
from worker.kinds.sequences.networks.t5 import T5, Shape
from worker.kinds.sequences.pieces.encoding import Encoder
from worker.kinds.sequences.pieces.generation import Paths, beam_search, fused
from worker.kinds.sequences.pieces.generative import Examples, framed, item_encoder
from worker.kinds.sequences.pieces.learning import Rules, learn
from worker.kinds.sequences.pieces.loader import LOADER
from worker.kinds.sequences.pieces.trie import Trie
from worker.kinds.sequences.ranking import metrics_of
from worker.kinds.sequences.rows import Rows


def encoder_of(seed: int, m: int = 4, size: int = 90, **rules) -> tuple[Encoder, Rows]:
    rows, features = corpus(seed, m=m)
    features = np.unique(features, axis=0)
    rows = Rows(rows.indptr, (rows.items % len(features)).astype(np.int32))
    learned = learn(rows.indptr, rows.items, features, Rules(size, min_count=0, **rules), Context())
    return Encoder.of(learned, features), rows


@pytest.mark.parametrize("shuffle", ["feature", "none", "token"])
@pytest.mark.parametrize("seed", range(3))
def test_tokens_when_decoded_then_give_every_feature_as_often_as_it_was_there(seed: int, shuffle):
    """Check 13."""
    encoder, rows = encoder_of(seed)
    tokens = encoder.encode(rows, shuffle, np.random.default_rng(seed))
    assert len(tokens) == len(rows)
    assert tokens.lengths.sum() < rows.lengths.sum() * 4
    for number in range(len(rows)):
        expected = sorted(encoder.item_tokens[rows.row(number)].reshape(-1).tolist())
        assert sorted(encoder.vocabulary.expanded(tokens.row(number)).tolist()) == expected


@pytest.mark.parametrize("shuffle", ["feature", "token"])
def test_tokens_when_nothing_draws_their_order_then_are_refused(shuffle):
    encoder, rows = encoder_of(0)
    with pytest.raises(ValueError, match="needs a generator"):
        encoder.encode(rows, shuffle)


def test_tokens_when_there_are_no_rules_then_are_the_permuted_features():
    """Check 13."""
    encoder, rows = encoder_of(1)
    bare = Encoder(encoder.vocabulary.truncated(encoder.vocabulary.n_initial), encoder.item_tokens)
    flat = np.random.default_rng(3).permuted(encoder.item_tokens[rows.items], axis=1).reshape(-1)
    assert bare.encode(rows, "feature", np.random.default_rng(3)).items.tolist() == flat.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_tokens_when_features_are_permuted_then_are_those_of_byte_pairs(seed: int):
    """Check 13: the oldest rule first, the leftmost of equals, by plain scanning."""
    encoder, rows = encoder_of(seed)
    first = encoder.vocabulary.n_initial
    merged = {tuple(pair): first + i for i, pair in enumerate(encoder.vocabulary.rules.tolist())}
    flat = np.random.default_rng(seed).permuted(encoder.item_tokens[rows.items], axis=1)
    tokens = encoder.encode(rows, "feature", np.random.default_rng(seed))
    for number in range(len(rows)):
        part = flat[rows.indptr[number] : rows.indptr[number + 1]].reshape(-1).tolist()
        assert tokens.row(number).tolist() == flat_bpe(part, merged)


def test_tokens_when_items_have_one_feature_then_every_permutation_gives_the_same():
    """Check 13."""
    encoder, rows = encoder_of(0, m=1, size=12)
    one, other = (encoder.encode(rows, "feature", np.random.default_rng(seed)) for seed in (1, 2))
    assert one.items.tolist() == other.items.tolist()


def test_tokens_when_order_is_another_then_are_others():
    encoder, rows = encoder_of(0)
    one, other = (encoder.encode(rows, "feature", np.random.default_rng(seed)) for seed in (1, 2))
    assert one.items.tolist() != other.items.tolist()


def test_items_when_written_alone_then_each_comes_back_from_its_own_tokens():
    encoder, _ = encoder_of(2)
    for item in range(len(encoder.item_tokens)):
        assert encoder.decode(encoder.labels.row(item)) == item
    assert encoder.decode(np.array([1])) is None
    assert encoder.decode(np.array([0, encoder.vocabulary.end])) is None


def test_loader_when_it_encodes_then_as_the_compiled_loops_do(tmp_path):
    """The module that is delivered has no numba, and says the same."""
    encoder, rows = encoder_of(1)
    encoder.vocabulary.write(tmp_path / "actionpiece.json")
    features = encoder.vocabulary.features[encoder.item_tokens - 1, 1].tolist()
    (tmp_path / "item2feat.json").write_text(json.dumps({str(item): row for item, row in enumerate(features)}))
    (tmp_path / "load.py").write_text(LOADER)
    items = [str(item) for item in range(len(features))]
    ask = [
        "import json, load",
        f"items = {items}",
        f"rows = {[[str(item) for item in rows.row(number)] for number in range(len(rows))]}",
        "alone = [load.encode([i], frame=False) for i in items]",
        "print(json.dumps([alone, [load.item(load.encode([i])) for i in items],"
        " all(load.lossless(row, 5) for row in rows), load.encode(rows[0], seed=3, frame=False)]))",
    ]
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + "\n".join(ask)
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    labels, back, lossless, drawn = json.loads(done.stdout)
    assert labels == [encoder.labels.row(item).tolist() for item in range(len(items))]
    assert back == items
    assert lossless
    rng = np.random.default_rng(3)
    flat = np.concatenate([rng.permutation(encoder.item_tokens[item]) for item in rows.row(0)])
    first = encoder.vocabulary.n_initial
    merged = {tuple(pair): first + i for i, pair in enumerate(encoder.vocabulary.rules.tolist())}
    assert drawn == flat_bpe(flat.tolist(), merged)


def test_trie_when_walked_then_writes_every_item_and_nothing_else():
    encoder, _ = encoder_of(3)
    trie = Trie.of(encoder.labels, encoder.vocabulary.end)
    found = {}

    def walk(node: int, written: tuple[int, ...]) -> None:
        if trie.item[node] >= 0:
            found[int(trie.item[node])] = written
        for at in range(trie.first[node], trie.first[node + 1]):
            walk(int(trie.child[at]), (*written, int(trie.token[at])))

    walk(0, ())
    expected = {i: (*encoder.labels.row(i).tolist(), encoder.vocabulary.end) for i in range(len(encoder.item_tokens))}
    assert found == expected


@pytest.mark.parametrize("plain", [False, True])
def test_beam_search_when_it_is_wide_enough_then_ranks_items_by_their_probability(plain: bool):
    encoder, rows = encoder_of(1)
    if plain:
        encoder = item_encoder(len(encoder.item_tokens))
    torch.manual_seed(0)
    vocabulary, items = encoder.vocabulary, len(encoder.item_tokens)
    net = T5(len(vocabulary) + 2, Shape(2, 16, 32, 2, 8)).eval()
    paths = Paths.of(Trie.of(encoder.labels, vocabulary.end), "cpu")
    read = framed(encoder.encode(rows.take(np.arange(3))), vocabulary.begin, vocabulary.end)
    ranked, score = beam_search(net, read, paths, items)
    labels = framed(encoder.labels, 0, vocabulary.end)[:, 1:]
    given = torch.cat([torch.zeros_like(labels[:, :1]), labels[:, :-1]], 1)
    for case in range(3):
        states, hidden = net.encode(read[case : case + 1].expand(items, -1))
        with torch.no_grad():
            logits = net.logits(net.decode(given, net.crossed(states), hidden)[0])
        log_p = logits.log_softmax(-1).gather(2, labels[:, :, None])[..., 0]
        total = (log_p * (labels > 0)).sum(1)
        assert sorted(ranked[case].tolist()) == list(range(items))
        assert torch.allclose(score[case], total[ranked[case]], atol=1e-4)
        assert (score[case].diff() <= 0).all()


def test_reader_when_a_history_is_padded_further_then_says_the_same():
    torch.manual_seed(0)
    net = T5(20, Shape(2, 16, 32, 2, 8)).eval()
    short, long = torch.tensor([[3, 4, 5]]), torch.tensor([[3, 4, 5, 0, 0]])
    given = torch.tensor([[0, 7]])
    states = [net.encode(tokens) for tokens in (short, long)]
    one, other = (net.decode(given, net.crossed(s), hidden)[0] for s, hidden in states)
    assert torch.allclose(one, other, atol=1e-5)


def test_fusion_when_lists_are_equal_then_keeps_their_order_and_knows_places():
    """Check 16: q equal lists keep their order; a target at rank 3 has nDCG 0.5."""
    ranked = np.array([[[4, 2, 7, -1]] * 3])
    scores = fused(ranked, 9)
    assert np.argsort(-scores[0], kind="stable")[:3].tolist() == [4, 2, 7]
    assert np.count_nonzero(scores) == 3
    assert metrics_of(np.array([1.0, 3.0]), [10])["ndcg@10"].tolist() == [1.0, 0.5]


def test_examples_when_taken_then_are_every_prefix_with_what_follows():
    examples = Examples.of(Rows.of([[1, 2, 3, 4], [5], [6, 7]]), actions=2)
    read, target = examples.batch(np.arange(len(examples)))
    assert [read.row(i).tolist() for i in range(4)] == [[1], [1, 2], [2, 3], [6]]
    assert target.tolist() == [2, 3, 4, 7]
