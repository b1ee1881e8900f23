"""A small causal language model: a transformer of the usual proportions over tokens."""

from __future__ import annotations

from torch import nn

from worker.kinds.sequences.networks.transformer import Transformer


class CausalLM(Transformer):
    """`layers` blocks of width h over at most `max_len` tokens."""

    def __init__(
        self, items: int, max_len: int, *, width: int = 128, layers: int = 2, heads: int = 4, dropout: float = 0.2
    ) -> None:
        super().__init__(
            items, max_len, width=width, layers=layers, heads=heads, inner=4 * width, dropout=dropout,
            activation=nn.GELU(),
        )  # fmt: skip
