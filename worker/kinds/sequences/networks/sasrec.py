"""SASRec: causal self-attention over a user's events (arXiv:1808.09781).

The loss is the learner's, a softmax over all items instead of the paper's one sampled negative.
"""

from __future__ import annotations

from torch import nn

from worker.kinds.sequences.networks.transformer import Transformer


class SASRec(Transformer):
    """`layers` blocks of width h over at most `max_len` places."""

    def __init__(
        self,
        items: int,
        max_len: int,
        *,
        width: int = 32,
        layers: int = 1,
        heads: int = 1,
        inner: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            items, max_len, width=width, layers=layers, heads=heads, inner=inner, dropout=dropout, activation=nn.ReLU()
        )
