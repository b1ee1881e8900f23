"""The module that travels with a tokeniser: it encodes and decodes with numpy alone."""

from __future__ import annotations

LOADER = '''"""Encode sequences of items as ActionPiece tokens, and decode them.

    import load
    tokens = load.encode(["item7", "item3"], seed=1)       # begin, tokens, end; another seed, other tokens
    load.features(tokens)                                  # the (category, feature) pairs that they stand for
    label = load.encode(["item3"])                         # one action: the same tokens each time
    load.item(label)                                       # "item3", None where tokens are of no item
    load.sequences()                                       # tokens.parquet, with pyarrow
"""
import heapq, itertools, json, pathlib
from collections import Counter

import numpy as np

here = pathlib.Path(__file__).resolve().parent
_stored = json.loads((here / "actionpiece.json").read_text(encoding="utf-8"))
item2feat = json.loads((here / "item2feat.json").read_text(encoding="utf-8"))
categories, n_initial = _stored["n_categories"], _stored["n_init_feats"]
token2feat, priority = _stored["token2feat"], _stored["priority"]
PAD, BEGIN, END = 0, len(token2feat), len(token2feat) + 1
_initial = {tuple(feature): token for token, feature in enumerate(token2feat[:n_initial])}
_merged = {tuple(pair[1:]): n_initial + i for i, pair in enumerate(token2feat[n_initial:])}


def _sets(items):
    return [[_initial[k, f] for k, f in enumerate(item2feat[item])] for item in items]


def _merge(one, other):
    return _merged.get((min(one, other), max(one, other)), 0)


def _flat(tokens):
    """Byte pairs: the oldest token first, the leftmost of equals."""
    tokens, after = list(tokens), list(range(1, len(tokens) + 1))
    before, alive, heap = [i - 1 for i in range(len(tokens))], [True] * len(tokens), []

    def offer(i):
        if i >= 0 and after[i] < len(tokens) and (token := _merge(tokens[i], tokens[after[i]])):
            heapq.heappush(heap, (token, i, tokens[i], after[i], tokens[after[i]]))

    for i in range(len(tokens)):
        offer(i)
    while heap:
        token, i, left, j, right = heapq.heappop(heap)
        if not (alive[i] and after[i] == j and j < len(tokens) and tokens[i] == left and tokens[j] == right):
            continue
        tokens[i], alive[j], after[i] = token, False, after[j]
        if after[j] < len(tokens):
            before[after[j]] = i
        offer(before[i])
        offer(i)
    return [token for token, kept in zip(tokens, alive) if kept]


def _one_set(tokens):
    """One action: the pair of the largest priority first."""
    while True:
        pairs = [(a, b, _merge(a, b)) for a, b in itertools.combinations(tokens, 2)]
        able = [(priority[token] * 2 / len(tokens), a, b, token) for a, b, token in pairs if token]
        if not able:
            return tokens
        _, a, b, token = max(able, key=lambda pair: pair[0])
        tokens = [token] + [one for one in tokens if one not in (a, b)]


def encode(items, seed=None, frame=True):
    """Tokens of items. Without a seed each action is written by itself; with one the features of every action are put
    in a random order and merged across actions, too."""
    if seed is None:
        found = [token for one in _sets(items) for token in _one_set(one)]
    else:
        rng = np.random.default_rng(seed)
        found = _flat([token for one in _sets(items) for token in rng.permutation(one).tolist()])
    return [BEGIN, *found, END] if frame else found


def features(tokens):
    """The (category, feature) pairs that tokens stand for, in the order in which they were merged."""
    found, stack = [], [token for token in reversed(list(tokens)) if PAD < token < BEGIN]
    while stack:
        token = stack.pop()
        if token < n_initial:
            found.append(tuple(token2feat[token]))
        else:
            stack += [token2feat[token][2], token2feat[token][1]]
    return found


_items = {tuple(enumerate(feature)): item for item, feature in item2feat.items()}


def item(tokens):
    """The item that the tokens of one action stand for; None where there is none."""
    return _items.get(tuple(sorted(features(tokens))))


def lossless(items, seed=0):
    """Whether the features of items come back from their tokens."""
    expected = Counter(pair for one in items for pair in enumerate(item2feat[one]))
    return Counter(features(encode(items, seed))) == expected


def sequences():
    """tokens.parquet as a table of pyarrow."""
    from pyarrow import parquet

    return parquet.read_table(here / "tokens.parquet")
'''
