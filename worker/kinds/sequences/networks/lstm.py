"""An LSTM language model with tied vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.kinds.sequences.networks.next_event import NextEvent


class LSTM(NextEvent):
    """`layers` LSTMs of width h."""

    def __init__(self, items: int, *, width: int = 256, layers: int = 2, dropout: float = 0.2) -> None:
        super().__init__(items, width)
        self.dropout = nn.Dropout(dropout)
        self.reader = nn.LSTM(width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)

    def states(self, x: Tensor) -> Tensor:
        """States (b, L, h) of token vectors (b, L, h). cuDNN has no second derivative of an LSTM and is not used."""
        with torch.backends.cudnn.flags(enabled=False):
            return self.dropout(self.reader(self.dropout(x * self.items.embedding_dim**0.5))[0])
