"""Recommending by writing: beam search through the trie of items, over several readings of the same history.

A beam's score is the log probability of its tokens, end included, without a correction for length. Fusing q readings
gives an item the sum of 1 / log2(1 + place) over their lists (arXiv:2502.13581, section 3.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worker.kinds.sequences.networks.t5 import T5
from worker.kinds.sequences.pieces.trie import Trie

_LOWEST = -1e30


@dataclass(frozen=True)
class Paths:
    """A trie on a device."""

    first: Tensor
    token: Tensor
    child: Tensor
    item: Tensor

    @classmethod
    def of(cls, trie: Trie, device: str) -> Paths:
        """The trie's arrays as tensors."""
        return cls(*(torch.from_numpy(one).to(device) for one in (trie.first, trie.token, trie.child, trie.item)))


@torch.no_grad()
def beam_search(net: T5, tokens: Tensor, paths: Paths, beams: int) -> tuple[Tensor, Tensor]:
    """Items int64 (b, beams), best first, and their log probabilities; -1 where fewer were found.

    `tokens`: (b, s) histories. Only children of a beam's node in the trie are scored.
    """
    rows, device = len(tokens), tokens.device
    states, hidden = net.encode(tokens)
    crossed = net.crossed(states)
    node = torch.zeros(rows, 1, dtype=torch.long, device=device)
    score = torch.zeros(rows, 1, device=device)
    last, past = torch.zeros(rows, 1, dtype=torch.long, device=device), None
    while True:
        width = node.shape[1]
        each = torch.arange(rows, device=device).repeat_interleave(width)
        keys = [(k[each], v[each]) for k, v in crossed]
        written, past = net.decode(last.reshape(-1, 1), keys, hidden[each], past)
        log_p = net.logits(written[:, -1]).log_softmax(-1)
        value, origin, token, child = _candidates(log_p, node.reshape(-1), score.reshape(-1), paths)
        done = paths.item[node.reshape(-1)] >= 0
        value = torch.cat([value, score.reshape(-1)[done]])
        here = torch.arange(rows * width, device=device)[done]
        origin = torch.cat([origin, here])
        token = torch.cat([token, torch.zeros_like(here)])
        child = torch.cat([child, node.reshape(-1)[done]])
        chosen, valid = _best(value, origin // width, rows, beams)
        origin, last, node = origin[chosen], token[chosen], torch.where(valid, child[chosen], 0)
        score = torch.where(valid, value[chosen], _LOWEST)
        past = [(k[origin.reshape(-1)], v[origin.reshape(-1)]) for k, v in past]
        ended = torch.where(valid, paths.item[node] >= 0, True)
        if bool(ended.all()):
            return torch.where(valid, paths.item[node], -1), score


def _candidates(log_p: Tensor, node: Tensor, score: Tensor, paths: Paths) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Score, beam, token and node of every child of every beam, in one flat list."""
    begin, size = paths.first[node], paths.first[node + 1] - paths.first[node]
    size = torch.where(score > _LOWEST / 2, size, 0)
    beam = torch.arange(len(node), device=node.device).repeat_interleave(size)
    at = torch.arange(len(beam), device=node.device) - (size.cumsum(0) - size)[beam] + begin[beam]
    token = paths.token[at]
    return score[beam] + log_p[beam, token], beam, token, paths.child[at]


def _best(value: Tensor, row: Tensor, rows: int, beams: int) -> tuple[Tensor, Tensor]:
    """Numbers (rows, beams or fewer) of each row's best candidates, the first of equals first, and which are real."""
    order = torch.argsort(value, descending=True, stable=True)
    order = order[torch.argsort(row[order], stable=True)]
    count = torch.bincount(row, minlength=rows)
    width = min(beams, int(count.max()))
    place = torch.arange(width, device=value.device)[None, :]
    valid = place < count[:, None]
    at = (count.cumsum(0) - count)[:, None] + torch.where(valid, place, 0)
    return order[at.clamp(max=len(order) - 1)], valid


def fused(lists: np.ndarray, n_items: int) -> np.ndarray:
    """Scores float32 (b, V) of ranked items (b, q, k), -1 for none: sum of 1 / log2(1 + place); 0 for all others."""
    rows, readings, k = lists.shape
    scores = np.zeros((rows, n_items + 1), np.float32)
    worth = (1 / np.log2(np.arange(k) + 2)).astype(np.float32)
    at = np.arange(rows)[:, None]
    for reading in range(readings):
        scores[at, lists[:, reading]] += worth  # no list has an item twice; -1 falls on the last column
    return scores[:, :n_items]
