"""A causal transformer over item vectors, scored with the table that it reads by.

Places count from the first event of a row, so that short real contexts and short synthetic rows meet the same ones.
Item vectors are small at first and scaled by sqrt(h) where they are read, as in SASRec's published code: without it the
same network ends lower. Attention is written out, so that second derivatives exist.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.kinds.sequences.networks.next_event import Block, NextEvent


class Transformer(NextEvent):
    """`layers` blocks of width h, with `heads` of attention and a feed-forward part of width `inner`, over at most
    `max_len` places."""

    def __init__(
        self,
        items: int,
        max_len: int,
        *,
        width: int,
        layers: int,
        heads: int,
        inner: int,
        dropout: float,
        activation: nn.Module,
    ) -> None:
        super().__init__(items, width)
        self.places = nn.Embedding(max_len, width)
        nn.init.normal_(self.places.weight, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, inner, dropout, activation) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def states(self, x: Tensor) -> Tensor:
        """States (b, L, h) of event vectors (b, L, h)."""
        x = x * self.items.embedding_dim**0.5 + self.places(torch.arange(x.shape[1], device=x.device))
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
