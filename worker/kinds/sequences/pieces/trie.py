"""All items as the tokens that write them, in a trie: a model that follows it writes nothing but items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.kinds.sequences.rows import Rows, bounds


@dataclass(frozen=True)
class Trie:
    """Node 0 is the root. The children of node n are `first[n] : first[n + 1]` of `token` and `child`, int64, by token.

    `item`: int64 (nodes,), the item that is written at a node, -1 where none is.
    """

    first: np.ndarray
    token: np.ndarray
    child: np.ndarray
    item: np.ndarray

    @classmethod
    def of(cls, labels: Rows, end: int) -> Trie:
        """Of every item's tokens (V rows, no two equal), each followed by the token `end`."""
        width = int(labels.lengths.max(initial=0)) + 1
        table = labels.padded(np.arange(len(labels)), end, width)
        order = np.lexsort(table.T[::-1])
        depth = labels.lengths[order] + 1
        table = table[order]
        node = np.zeros(len(table), np.int64)
        parents, tokens, count = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 1
        items = [np.full(1, -1, np.int64)]
        for place in range(width):
            alive = np.flatnonzero(depth > place)
            fresh = np.ones(len(alive), bool)
            same = (node[alive][1:] == node[alive][:-1]) & (table[alive, place][1:] == table[alive, place][:-1])
            fresh[1:] = ~same
            parents.append(node[alive][fresh])
            tokens.append(table[alive, place][fresh])
            node[alive] = count + np.cumsum(fresh) - 1
            ended = np.full(int(fresh.sum()), -1, np.int64)
            last = depth[alive] == place + 1
            ended[(node[alive] - count)[last]] = order[alive[last]]
            items.append(ended)
            count += len(ended)
        parent, token = np.concatenate(parents), np.concatenate(tokens)
        by_parent = np.argsort(parent, kind="stable")
        sizes = np.bincount(parent, minlength=count)
        return cls(bounds(sizes), token[by_parent], by_parent + 1, np.concatenate(items))

    def __len__(self) -> int:
        return len(self.item)
