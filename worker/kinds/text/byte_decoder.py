"""A small decoder over bytes, and its training: context 256, width 128, 4 layers of 4 heads, about 0.9 M parameters.

Blocks with normed inputs (Xiong et al., "On layer normalization in the transformer architecture", ICML 2020), learned
places. AdamW at 3e-3 after a linear warm-up of a tenth of the steps, then along a cosine to 0. A token that is no byte
stands before every document and is never predicted. Windows run over document borders, as in the training of large
models; test documents are read each on its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.text.training_text import Documents, TrainingText

CONTEXT, WIDTH, LAYERS, HEADS = 256, 128, 4, 4
START = 256
"""The token before a document."""
RATE, DECAY, CLIP, WINDOWS = 3e-3, 0.1, 1.0, 16
_STRIDE, _AT_ONCE, _EVERY = CONTEXT // 2, 64, 50


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mixed, self.output = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.inner = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor, ahead: Tensor) -> Tensor:
        batch, length, _ = x.shape
        query, key, value = (
            part.view(batch, length, HEADS, -1).transpose(1, 2) for part in self.mixed(self.before(x)).chunk(3, -1)
        )
        near = (query @ key.transpose(-2, -1) * (WIDTH // HEADS) ** -0.5).masked_fill(ahead, -math.inf)
        x = x + self.output((near.softmax(-1) @ value).transpose(1, 2).reshape(x.shape))
        return x + self.inner(self.between(x))


class ByteDecoder(nn.Module):
    """Tokens int64 (b, L), L at most `CONTEXT`, to logits (b, L, 256) of the next byte."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(START + 1, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(_Block() for _ in range(LAYERS))
        self.norm, self.next = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 256, bias=False)
        for one in self.modules():
            if isinstance(one, nn.Linear | nn.Embedding):
                nn.init.normal_(one.weight, std=0.02)

    def states(self, tokens: Tensor) -> Tensor:
        """States (b, L, WIDTH) after each token."""
        length = tokens.shape[1]
        ahead = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        x = self.tokens(tokens) + self.places(torch.arange(length, device=tokens.device))
        for block in self.blocks:
            x = block(x, ahead)
        return self.norm(x)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the byte after each token."""
        return self.next(self.states(tokens))


def steps_of(text: TrainingText) -> int:
    """Steps in which the network sees the bytes of a training text."""
    return max(1, round(text.bytes / (WINDOWS * CONTEXT)))


def train(text: TrainingText, ctx: Context) -> ByteDecoder:
    """The network after one reading of so many bytes as the text says, more than once where it holds fewer.

    Raises `JobError` `diverged` when the loss is not a number.
    """
    stream = _stream(text.documents)
    net, optimiser = _begin(ctx.seed, ctx.device)
    first, steps = _resumed(net, optimiser, ctx), steps_of(text)
    loss = torch.zeros(())
    for step in range(first, steps):
        ctx.progress(step, steps)
        for group in optimiser.param_groups:
            group["lr"] = RATE * _schedule(step, steps)
        windows = torch.from_numpy(_windows(stream, step, ctx.seed)).to(ctx.device)
        loss = _loss(net, windows)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        optimiser.step()
        if (step + 1) % _EVERY == 0:
            ctx.checkpoint(step + 1, _arrays(net, optimiser), {})
    if not bool(torch.isfinite(loss)):
        raise JobError("diverged", "The loss is not a number.")
    return net.eval()


@dataclass(frozen=True)
class Reading:
    """A trained network that reads documents, each on its own, in windows that overlap by half."""

    net: ByteDecoder
    device: str
    heartbeat: Callable[[], None]

    @torch.no_grad()
    def bits(self, documents: Documents) -> np.ndarray:
        """Bits of every document, float64 (n,): every byte is predicted from at least 127 before it, where there are
        so many."""
        tokens, starts = _with_starts(documents)
        lengths = documents.sizes
        counts = 1 + np.maximum(0, -(-(lengths - CONTEXT) // _STRIDE))
        owner = np.repeat(np.arange(len(documents)), counts)
        within = (np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)) * _STRIDE
        found = np.zeros(len(documents))
        order = np.argsort(-np.minimum(lengths[owner] - within, CONTEXT), kind="stable")  # equal lengths together
        for at in range(0, len(order), _AT_ONCE):
            self.heartbeat()
            rows = order[at : at + _AT_ONCE]
            left = lengths[owner[rows]] - within[rows]  # targets from the beginning of the window
            place = np.arange(min(CONTEXT, max(1, int(left.max(initial=1)))))
            index = (starts[owner[rows]] + within[rows])[:, None] + place
            there = place < left[:, None]
            new = there & ((within[rows] == 0)[:, None] | (place >= CONTEXT - _STRIDE))
            read = torch.from_numpy(np.where(there, tokens[np.where(there, index, 0)], START)).to(self.device)
            targets = torch.from_numpy(np.where(there, tokens[np.where(there, index + 1, 0)], 0)).to(self.device)
            said = self.net(read).log_softmax(-1).gather(-1, targets.clamp(max=255)[..., None])[..., 0]
            bits = -said.double().cpu().numpy() / math.log(2)
            found += np.bincount(owner[rows], np.where(new, bits, 0.0).sum(axis=1), minlength=len(documents))
        return found

    @torch.no_grad()
    def features(self, documents: Documents) -> np.ndarray:
        """Mean state over the first 255 bytes of every document, float32 (n, WIDTH)."""
        tokens, starts = _with_starts(documents)
        left = np.minimum(documents.sizes + 1, CONTEXT)
        place, found = np.arange(CONTEXT), np.zeros((len(documents), WIDTH), np.float32)
        for at in range(0, len(documents), _AT_ONCE):
            self.heartbeat()
            rows = slice(at, at + _AT_ONCE)
            there = place < left[rows, None]
            index = np.where(there, starts[rows, None] + place, 0)
            states = self.net.states(torch.from_numpy(np.where(there, tokens[index], START)).to(self.device))
            weight = torch.from_numpy(there / left[rows, None]).to(states)
            found[rows] = (states * weight[..., None]).sum(1).cpu().numpy()
        return found


def _with_starts(documents: Documents) -> tuple[np.ndarray, np.ndarray]:
    """Tokens int64 of all documents, `START` before each; and where each begins, int64 (n,)."""
    tokens = np.insert(documents.buffer.astype(np.int64), documents.offsets[:-1], START)
    return tokens, documents.offsets[:-1] + np.arange(len(documents))


def _stream(documents: Documents) -> np.ndarray:
    tokens, _ = _with_starts(documents)
    return np.resize(tokens, max(len(tokens), CONTEXT + 1))


def _windows(stream: np.ndarray, step: int, seed: int) -> np.ndarray:
    """int64 (WINDOWS, CONTEXT + 1): those of a step. Every epoch cuts the stream anew and shuffles the pieces."""
    pieces = (len(stream) - 1) // CONTEXT
    slack = len(stream) - 1 - pieces * CONTEXT
    numbers = np.arange(step * WINDOWS, (step + 1) * WINDOWS)
    starts = np.empty(WINDOWS, np.int64)
    for epoch in np.unique(numbers // pieces):
        rng = np.random.default_rng([seed, int(epoch)])
        shift, order = rng.integers(0, slack + 1), rng.permutation(pieces)
        here = numbers // pieces == epoch
        starts[here] = order[numbers[here] % pieces] * CONTEXT + shift
    return stream[starts[:, None] + np.arange(CONTEXT + 1)]


def _loss(net: ByteDecoder, windows: Tensor) -> Tensor:
    targets = windows[:, 1:]
    return nn.functional.cross_entropy(net(windows[:, :-1]).flatten(0, 1), targets.flatten(), ignore_index=START)


def _schedule(step: int, steps: int) -> float:
    warm = max(1, steps // 10)
    return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _begin(seed: int, device: str) -> tuple[ByteDecoder, torch.optim.Optimizer]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ByteDecoder()
    net = net.to(device)
    return net, torch.optim.AdamW(net.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=DECAY)


def _arrays(net: ByteDecoder, optimiser: torch.optim.Optimizer) -> Mapping[str, Any]:
    moments = {
        f"{number} {name}": value
        for number, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }
    return {f"net {name}": value for name, value in net.state_dict().items()} | moments


def _resumed(net: ByteDecoder, optimiser: torch.optim.Optimizer, ctx: Context) -> int:
    """Steps done by an earlier attempt, with network and moments as it left them."""
    point = ctx.restore()
    if point is None or point.done or not point.step:
        return 0
    stored = {name: torch.from_numpy(np.array(value)).to(ctx.device) for name, value in point.arrays.items()}
    net.load_state_dict({name.removeprefix("net "): one for name, one in stored.items() if name.startswith("net ")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in stored.items():
        number, _, moment = name.partition(" ")
        if number != "net":
            state.setdefault(int(number), {})[moment] = value.cpu() if moment == "step" else value
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})
    return point.step
