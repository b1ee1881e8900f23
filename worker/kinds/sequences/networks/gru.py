"""GRU4Rec: a recurrent network over a user's events (arXiv:1511.06939), trained with a softmax over all items."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.kinds.sequences.networks.next_event import NextEvent


class GRU4Rec(NextEvent):
    """A GRU of `hidden` states, back to the width of the item table."""

    def __init__(self, items: int, *, width: int = 64, hidden: int = 64, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__(items, width)
        self.dropout = nn.Dropout(dropout)
        self.reader = nn.GRU(width, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.output = nn.Linear(hidden, width)

    def states(self, x: Tensor) -> Tensor:
        """States (b, L, h) of event vectors (b, L, h). cuDNN has no second derivative of a GRU and is not used."""
        with torch.backends.cudnn.flags(enabled=False):
            return self.output(self.dropout(self.reader(self.dropout(x * self.items.embedding_dim**0.5))[0]))
