"""A small causal language model: a transformer with tied vectors, attention written out for second derivatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.kinds.sequences.networks.next_event import Block, NextEvent


class CausalLM(NextEvent):
    """`layers` blocks of width h over at most `max_len` tokens."""

    def __init__(
        self,
        items: int,
        max_len: int,
        *,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(items, width)
        self.places = nn.Embedding(max_len, width)
        nn.init.normal_(self.places.weight, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, 4 * width, dropout, nn.GELU()) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def states(self, x: Tensor) -> Tensor:
        """States (b, L, h) of token vectors (b, L, h)."""
        x = x * self.items.embedding_dim**0.5 + self.places(torch.arange(x.shape[1], device=x.device))
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
