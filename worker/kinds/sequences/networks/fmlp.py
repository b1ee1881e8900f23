"""FMLP-Rec: learned filters over the frequencies of a row instead of attention (arXiv:2202.13556).

A filter multiplies the row's Fourier transform, which is a circular convolution over the whole window: every state sees
all events. So the network can only be trained and asked at the last place, on rows padded before their beginning.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.kinds.sequences.networks.next_event import NextEvent


class Filter(nn.Module):
    """A block: filter, then a point-wise network, each added to its input and normed."""

    def __init__(self, width: int, length: int, dropout: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, length // 2 + 1, width, 2) * 0.02)
        self.inner = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.after, self.last = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(b, L, h) to (b, L, h)."""
        spectrum = torch.fft.rfft(x, dim=1, norm="ortho") * torch.view_as_complex(self.weight)
        x = self.after(x + self.dropout(torch.fft.irfft(spectrum, n=x.shape[1], dim=1, norm="ortho")))
        return self.last(x + self.dropout(self.inner(x)))


class FMLPRec(NextEvent):
    """`layers` filters of width h over rows of exactly `max_len` places, padded before their beginning."""

    causal = False

    def __init__(self, items: int, max_len: int, *, width: int = 64, layers: int = 2, dropout: float = 0.0) -> None:
        super().__init__(items, width)
        self.places = nn.Embedding(max_len, width)
        nn.init.normal_(self.places.weight, std=0.02)
        self.before, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Filter(width, max_len, dropout) for _ in range(layers))

    def states(self, x: Tensor) -> Tensor:
        """States (b, max_len, h), of which the last alone may be used; ValueError for rows of another length."""
        if x.shape[1] != self.places.num_embeddings:
            raise ValueError(f"rows have {x.shape[1]} places, not {self.places.num_embeddings}")
        x = self.dropout(self.before(x + self.places(torch.arange(x.shape[1], device=x.device))))
        for block in self.blocks:
            x = block(x)
        return x
