"""An encoder-decoder that reads tokens and writes tokens: T5 (Raffel et al., JMLR 2020, section 2.1).

Root-mean-square norms before each part, no biases, relative positions as a bias of attention that all layers share,
ReLU feed-forward parts, one table for what is read and what is written, scaled by 1 / sqrt(width) on the way out.
Attention is not scaled, which the start of its weights makes up for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_MASKED = -1e9
Cache = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; the defaults are those of arXiv:2502.13581 for Sports and Beauty."""

    layers: int = 4
    width: int = 128
    inner: int = 1024
    heads: int = 6
    head_width: int = 64
    dropout: float = 0.1
    buckets: int = 32
    farthest: int = 128


class Norm(nn.Module):
    """Divides by the root of the mean square, then scales."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width)."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.scale


class Attention(nn.Module):
    """From queries (b, l, width) to what is read (b, s, width), both with `heads` heads."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, inner = shape.heads, shape.heads * shape.head_width
        self.query = nn.Linear(shape.width, inner, bias=False)
        self.key = nn.Linear(shape.width, inner, bias=False)
        self.value = nn.Linear(shape.width, inner, bias=False)
        self.out = nn.Linear(inner, shape.width, bias=False)
        self.dropout = nn.Dropout(shape.dropout)
        nn.init.normal_(self.query.weight, std=(shape.width * shape.head_width) ** -0.5)
        nn.init.normal_(self.key.weight, std=shape.width**-0.5)
        nn.init.normal_(self.value.weight, std=shape.width**-0.5)
        nn.init.normal_(self.out.weight, std=inner**-0.5)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (b, heads, s, head width) of what is read."""
        return self._split(self.key(x)), self._split(self.value(x))

    def forward(self, x: Tensor, read: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
        """`bias`: added to the scores, (b or 1, heads or 1, l, s)."""
        keys, values = read
        weights = (self._split(self.query(x)) @ keys.transpose(-1, -2) + bias).softmax(-1)
        return self.out((self.dropout(weights) @ values).transpose(1, 2).flatten(2))


class Feed(nn.Module):
    """Width to `inner`, ReLU, and back."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.into = nn.Linear(shape.width, shape.inner, bias=False)
        self.out = nn.Linear(shape.inner, shape.width, bias=False)
        self.dropout = nn.Dropout(shape.dropout)
        nn.init.normal_(self.into.weight, std=shape.width**-0.5)
        nn.init.normal_(self.out.weight, std=shape.inner**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width)."""
        return self.out(self.dropout(self.into(x).relu()))


class Layer(nn.Module):
    """Attention to itself, to what was read where it writes, and the feed-forward part, each added to its input."""

    def __init__(self, shape: Shape, writes: bool) -> None:
        super().__init__()
        self.own, self.own_norm = Attention(shape), Norm(shape.width)
        self.other = Attention(shape) if writes else None
        self.other_norm = Norm(shape.width) if writes else None
        self.feed, self.feed_norm = Feed(shape), Norm(shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(
        self, x: Tensor, bias: Tensor, past: tuple[Tensor, Tensor] | None = None, read: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """`past`: keys and values of earlier places; `read`: those of the encoder and their bias."""
        normed = self.own_norm(x)
        keys, values = self.own.read(normed)
        if past is not None:
            keys, values = torch.cat([past[0], keys], 2), torch.cat([past[1], values], 2)
        x = x + self.dropout(self.own(normed, (keys, values), bias))
        if self.other is not None and self.other_norm is not None and read is not None:
            x = x + self.dropout(self.other(self.other_norm(x), (read[0], read[1]), read[2]))
        return x + self.dropout(self.feed(self.feed_norm(x))), (keys, values)


class T5(nn.Module):
    """Reads rows of tokens, writes rows of tokens; token 0 is padding, and what writing starts from."""

    def __init__(self, tokens: int, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.table = nn.Embedding(tokens, shape.width)
        nn.init.normal_(self.table.weight, std=1.0)
        self.reader = nn.ModuleList(Layer(shape, writes=False) for _ in range(shape.layers))
        self.writer = nn.ModuleList(Layer(shape, writes=True) for _ in range(shape.layers))
        self.read_places = nn.Embedding(shape.buckets, shape.heads)
        self.write_places = nn.Embedding(shape.buckets, shape.heads)
        self.read_norm, self.write_norm = Norm(shape.width), Norm(shape.width)
        self.dropout = nn.Dropout(shape.dropout)
        for places in (self.read_places, self.write_places):
            nn.init.normal_(places.weight, std=shape.width**-0.5)

    def encode(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(b, s) to states (b, s, width) and the bias (b, 1, 1, s) that hides padding."""
        hidden = torch.where(tokens == 0, _MASKED, 0.0)[:, None, None, :]
        at = torch.arange(tokens.shape[1], device=tokens.device)
        bias = self._places(self.read_places, at[None, :] - at[:, None], both=True) + hidden
        x = self.dropout(self.table(tokens))
        for layer in self.reader:
            x, _ = layer(x, bias)
        return self.dropout(self.read_norm(x)), hidden

    def crossed(self, states: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the encoder's states for every layer that writes."""
        return [layer.other.read(states) for layer in self.writer]

    def decode(
        self, tokens: Tensor, crossed: list[tuple[Tensor, Tensor]], hidden: Tensor, past: Cache | None = None
    ) -> tuple[Tensor, Cache]:
        """States (b, l, width) behind each of the tokens (b, l), which follow `past`, and all keys and values."""
        before = 0 if not past else past[0][0].shape[2]
        to = torch.arange(before + tokens.shape[1], device=tokens.device)
        apart = to[None, :] - to[before:, None]
        bias = self._places(self.write_places, apart, both=False) + torch.where(apart > 0, _MASKED, 0.0)
        x, kept = self.dropout(self.table(tokens)), []
        for number, layer in enumerate(self.writer):
            x, pair = layer(x, bias, None if not past else past[number], (*crossed[number], hidden))
            kept.append(pair)
        return self.dropout(self.write_norm(x)), kept

    def logits(self, states: Tensor) -> Tensor:
        """Scores of every token after each state."""
        return (states * self.shape.width**-0.5) @ self.table.weight.T

    def loss(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """Mean -log probability of the labels (b, l), padded with 0, after reading tokens (b, s)."""
        states, hidden = self.encode(tokens)
        given = torch.cat([torch.zeros_like(labels[:, :1]), labels[:, :-1]], 1)
        written, _ = self.decode(given, self.crossed(states), hidden)
        real = labels > 0
        return nn.functional.cross_entropy(self.logits(written[real]), labels[real])

    def _places(self, table: nn.Embedding, apart: Tensor, *, both: bool) -> Tensor:
        """Bias (1, heads, l, s) of how far what is read lies from who reads: exact when near, by logarithm when far."""
        count = self.shape.buckets
        bucket = torch.zeros_like(apart)
        if both:
            count //= 2
            bucket = (apart > 0).long() * count
            apart = apart.abs()
        else:
            apart = (-apart).clamp(min=0)
        near = count // 2
        ratio = (apart.clamp(min=1).float() / near).log() / math.log(self.shape.farthest / near)
        far = (near + (ratio * (count - near)).long()).clamp(max=count - 1)
        return table(bucket + torch.where(apart < near, apart, far)).permute(2, 0, 1)[None]
