"""What all networks share: a table of item vectors that events are read by and scored with, and one way in.

`forward` takes items or vectors that are already mixtures of the table (soft events), so that it works under
`torch.func.functional_call`, which calls nothing else. Subclasses turn vectors into states.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class NextEvent(nn.Module, ABC):
    """A network over V items. `causal`: a state depends on the events up to its own alone; a network that is not can
    only be trained and asked at the last position, on rows padded before their beginning."""

    causal = True

    def __init__(self, items: int, width: int) -> None:
        super().__init__()
        self.items = nn.Embedding(items, width)
        nn.init.normal_(self.items.weight, std=0.02)

    @property
    def n_items(self) -> int:
        """V; the number V itself is padding."""
        return self.items.num_embeddings

    def embed(self, ids: Tensor) -> Tensor:
        """Item vectors (..., h) of ids int64 (...); zero for padding."""
        real = ids < self.n_items
        return self.items(ids.clamp(max=self.n_items - 1)) * real[..., None]

    @abstractmethod
    def states(self, x: Tensor) -> Tensor:
        """States (b, L, h) after each event, of event vectors (b, L, h)."""

    def scores(self, states: Tensor) -> Tensor:
        """Logits (..., V) of states (..., h); padding has none and so takes no probability."""
        return states @ self.items.weight.T

    def forward(
        self, ids: Tensor | None = None, *, embedded: Tensor | None = None, at: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Logits (b, L, V) of the event after each place of `ids` (b, L) or of vectors `embedded` (b, L, h).

        `at`: rows and columns (p,) of the only places that are asked for; then (p, V).
        """
        if embedded is None:
            if ids is None:
                raise ValueError("give ids or vectors")
            embedded = self.embed(ids)
        states = self.states(embedded)
        return self.scores(states if at is None else states[at[0], at[1]])


def causal_mask(length: int, device: torch.device) -> Tensor:
    """0 where a place may be looked at, -1e9 where it lies ahead: minus infinity gives NaN in second derivatives."""
    ahead = torch.ones(length, length, dtype=torch.bool, device=device).triu(1)
    return torch.zeros(length, length, device=device).masked_fill(ahead, -1e9)


class Attention(nn.Module):
    """Causal self-attention written out: the fused kernels have no second derivative."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.mixed = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(b, L, h) to (b, L, h)."""
        batch, length, width = x.shape
        query, key, value = (
            part.view(batch, length, self.heads, -1).transpose(1, 2) for part in self.mixed(x).chunk(3, dim=-1)
        )
        near = query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5 + causal_mask(length, x.device).to(x.dtype)
        seen = self.dropout(near.softmax(dim=-1)) @ value
        return self.output(seen.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """A transformer block: attention and a point-wise network, each on normed inputs and added to them."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float, activation: nn.Module) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.inner = nn.Sequential(nn.Linear(width, inner), activation, nn.Linear(inner, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(b, L, h) to (b, L, h)."""
        x = x + self.dropout(self.attention(self.before(x)))
        return x + self.dropout(self.inner(self.between(x)))
