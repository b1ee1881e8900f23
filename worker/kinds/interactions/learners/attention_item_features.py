"""Attention over a user's last events and what is known of their items (arXiv:1811.08203, the song-feature model).

Two branches read the last 20 events: one the items' own vectors, the other the vectors of their features, of tags the
mean. In each a bidirectional GRU gives states h_t, and additive attention their context:

    a_t = softmax_t(v^T tanh(W h_t)),    c = sum_t a_t h_t

Both contexts go through a dense layer to a softmax over all items; the loss is the cross-entropy of the next item. The
directions are both within the past: whatever comes later is no input. Sizes, dropout and step are ours, since the paper
was not at hand beyond its summary. v starts at 0, so attention starts uniform. Of each user eight events an epoch
are drawn to be predicted, and beyond 1,000 items a random part of them is scored in training (see `svae`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Settings, learner
from worker.kinds.interactions.learners.svae import Targets, missed
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.sequence import Sequences

VECTOR, STATE, HIDDEN, DROPOUT = 128, 128, 128, 0.3
WINDOW = 20
EPOCHS = (5, 15)
_DRAWN = 8  # events of a user that an epoch predicts
_BATCH, _LEAST_STEPS, _RATE = 128, 150, 1e-3
_SAMPLED = 512
_SCORED = 1024


class Branch(nn.Module):
    """A bidirectional GRU over vectors (b, t, 128) and additive attention over its states, or their mean."""

    def __init__(self, attention: bool) -> None:
        super().__init__()
        self.reader = nn.GRU(VECTOR, STATE, batch_first=True, bidirectional=True)
        self.hidden = nn.Linear(2 * STATE, HIDDEN, bias=False) if attention else None
        self.score = nn.Linear(HIDDEN, 1, bias=False) if attention else None
        if self.score is not None:
            nn.init.zeros_(self.score.weight)

    def weights(self, states: Tensor, there: Tensor) -> Tensor:
        """Attention (b, t) over the states (b, t, 256) of real events, `there` (b, t)."""
        scores = states.new_zeros(there.shape)
        if self.hidden is not None and self.score is not None:
            scores = self.score(torch.tanh(self.hidden(states)))[:, :, 0]
        return torch.softmax(scores.masked_fill(~there, -torch.inf), dim=1)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """The context (b, 256) of sequences of these lengths (b,), one at least."""
        packed = nn.utils.rnn.pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(
            self.reader(packed)[0], batch_first=True, total_length=vectors.shape[1]
        )
        there = (torch.arange(vectors.shape[1]) < lengths[:, None]).to(states.device)
        return (self.weights(states, there)[:, :, None] * states).sum(dim=1)


class Network(nn.Module):
    """The two branches, of which `parts` has "item", "features" or both. `features`: CSR (I, F) float32."""

    def __init__(self, items: int, features: sparse.csr_array, parts: tuple[str, ...], attention: bool) -> None:
        super().__init__()
        self.features = features
        self.parts = parts
        self.vectors = nn.Embedding(items, VECTOR)
        self.described = nn.EmbeddingBag(features.shape[1], VECTOR, mode="sum")
        self.branches = nn.ModuleDict({part: Branch(attention) for part in parts})
        self.dense = nn.Sequential(
            nn.Dropout(DROPOUT), nn.Linear(2 * STATE * len(parts), HIDDEN), nn.Tanh(), nn.Dropout(DROPOUT)
        )
        self.output = nn.Linear(HIDDEN, items)
        nn.init.xavier_normal_(self.vectors.weight)
        nn.init.xavier_normal_(self.described.weight)

    def describe(self, items: Tensor) -> Tensor:
        """The vectors (..., 128) of the features of items (...)."""
        different, place = torch.unique(items, return_inverse=True)
        rows = sparse.csr_array(self.features[different.cpu().numpy()])
        device = items.device
        starts, columns = (torch.from_numpy(part.astype(np.int64)).to(device) for part in (rows.indptr, rows.indices))
        found = self.described(columns, starts[:-1], per_sample_weights=torch.from_numpy(rows.data).to(device))
        return nn.functional.embedding(place, found)

    def forward(self, items: Tensor, lengths: Tensor) -> Tensor:
        """What the softmax reads (b, 128) after sequences (b, t) of `lengths` (b,) on the CPU, padded with any item."""
        read = {"item": self.vectors, "features": self.describe}
        contexts = [self.branches[part](read[part](items), lengths) for part in self.parts]
        return self.dense(torch.cat(contexts, dim=1))


@dataclass(frozen=True)
class Attention:
    """Trainings on sequences with two events at least; `weights` (s,), of mean 1; `features` (I, F) as a learner reads
    them. `parts`, `attention`: the ablations of the paper."""

    sequences: Sequences
    items: int
    weights: np.ndarray
    features: sparse.csr_array
    seed: int = 0
    device: str = "cpu"
    parts: tuple[str, ...] = ("item", "features")
    attention: bool = True
    sampled: int = _SAMPLED
    ordered: ClassVar[bool] = True

    @classmethod
    def of(cls, rows: UserRows, **more: Any) -> Attention:
        """On rows with an order of time and features of items."""
        if rows.places is None:
            raise JobError("diverged", "its rows have no order of time, in which alone it can read them.")
        if rows.features is None:
            raise JobError("diverged", "nothing is known of the items but who used them.")
        long = np.flatnonzero(np.diff(rows.matrix.indptr) > 1)
        if not len(long):
            raise JobError("diverged", "no row has two events, one of which could follow the other.")
        places, mass = sparse.csr_array(rows.places[long]), rows.mass[long]
        longest = int(np.diff(places.indptr).max())
        return cls(Sequences.of(places, longest), rows.items, mass / mass.mean(), rows.features.inputs(), **more)

    def fit(self, settings: Settings, ctx: Context) -> AttentionModel:
        """`epochs` passes with Adam, at least 150 steps."""
        rng = np.random.default_rng(self.seed)
        with torch.random.fork_rng(devices=[] if self.device == "cpu" else [torch.device(self.device)]):
            torch.manual_seed(self.seed)
            net = Network(self.items, self.features, self.parts, self.attention).to(self.device)
            optimiser = torch.optim.Adam(net.parameters(), lr=_RATE)
            sequence, end = self.examples(rng)
            steps = max(_LEAST_STEPS, int(settings["epochs"]) * -(-len(end) // _BATCH))
            for step in range(steps):
                ctx.progress(step, steps)
                if not len(end):
                    sequence, end = self.examples(rng)
                loss = self.loss(net, sequence[:_BATCH], end[:_BATCH])
                sequence, end = sequence[_BATCH:], end[_BATCH:]
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
        if not bool(torch.isfinite(loss)):
            raise JobError("diverged", "The loss of the attention model is not a number.")
        return AttentionModel(net.eval())

    def examples(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What an epoch predicts, in random order: sequences (e,), and the place of the event in each (e,), from 1."""
        lengths = self.sequences.lengths
        sequence = np.repeat(np.arange(len(lengths)), lengths - 1)
        first = np.repeat(np.cumsum(lengths - 1) - (lengths - 1), lengths - 1)
        place = np.arange(len(sequence)) - first + 1
        drawn = np.lexsort((rng.random(len(sequence)), sequence))
        kept = drawn[np.arange(len(drawn)) - first < _DRAWN]
        kept = rng.permutation(kept)
        return sequence[kept], place[kept]

    def windows(self, sequence: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The up to 20 events before place `end` of sequences (b,), padded behind: items (b, t) and lengths (b,)."""
        start = np.maximum(end - WINDOW, 0)
        lengths = end - start
        steps = np.arange(int(lengths.max(initial=1)))
        place = self.sequences.starts[sequence] + start
        return self.sequences.items[np.minimum(place[:, None] + steps, (place + lengths - 1)[:, None])], lengths

    def loss(self, net: Network, sequence: np.ndarray, end: np.ndarray) -> Tensor:
        """Cross-entropy of the events at these places, over the weight of their users."""
        items, lengths = self.windows(sequence, end)
        hidden = net(torch.from_numpy(items).to(self.device), torch.from_numpy(lengths))
        wanted = torch.from_numpy(self.sequences.items[self.sequences.starts[sequence] + end])
        share = torch.from_numpy(self.weights[sequence].astype(np.float32))
        sampled = self.sampled if 0 < 2 * self.sampled <= self.items else 0
        return missed(net.output, hidden, Targets(torch.arange(len(end)), wanted, share), sampled) / float(share.sum())


@dataclass(frozen=True)
class AttentionModel:
    """A trained network; it is asked with tables of places."""

    net: Network
    ordered: ClassVar[bool] = True

    @torch.no_grad()
    def scores(self, inputs: sparse.csr_array) -> np.ndarray:
        """Logits (q, I) float32 after the last event of each row of places (q, I); 0 for a row without events."""
        sequences = Sequences.of(inputs, WINDOW)
        out = np.zeros(inputs.shape, np.float32)
        filled = np.flatnonzero(sequences.lengths)
        device = next(self.net.parameters()).device
        for start in range(0, len(filled), _SCORED):
            chosen = filled[start : start + _SCORED]
            items = torch.from_numpy(sequences.padded(chosen, 0)).to(device)
            hidden = self.net(items, torch.from_numpy(sequences.lengths[chosen]))
            out[chosen] = self.net.output(hidden).cpu().numpy()
        return out


@learner(
    kind="interactions",
    name="attention-item-features",
    label="attention with item features",
    usual=False,
    ordered=True,
    featured=True,
    seeds=2,
    settings=tuple({"epochs": epochs} for epochs in EPOCHS),
)
def attention_item_features(rows: UserRows, params: Any, ctx: Context) -> Attention:
    """The attention model on rows (n, I) in their order of time with features of items, tuned over its epochs."""
    return Attention.of(rows, seed=ctx.seed, device=ctx.device)
