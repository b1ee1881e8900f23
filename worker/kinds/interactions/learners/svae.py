"""SVAE: a recurrent variational auto-encoder that reads a user's events in order (arXiv:1811.09975, section 4).

Of every event its vector enters a GRU; from its state follow a Gaussian over 64 numbers and, of a draw of it, logits of
all items; the target is the next k = 4 items. With v = log sigma^2:

    loss of a user = -sum_t sum_{i next at t} log softmax(logits_t)_i / k + beta mean_t KL(N(mu_t, sigma_t^2), N(0, I))

Three differences to the published code. It draws with sigma = exp(v) while its KL takes v for log sigma^2: ours means
log sigma^2 in both, and `paper_kl` is theirs. At evaluation it draws latents, ours takes their mean. It trains on one
user at a time and forms a dense table of targets; ours packs users of like length and lists targets. Beyond 1,000 items
training scores a random part of them, with the logit corrected for the chance to be drawn; evaluation scores all.
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
from worker.kinds.interactions.learners.mult_vae import kl
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.sequence import Sequences, batches

VECTOR, STATE, HIDDEN, LATENT, NEXT = 256, 200, 150, 64, 4
LONGEST = 1000
EPOCHS, BETA = (10, 25), 0.2
_BATCH, _LEAST_STEPS, _RATE, _DECAY = 16, 150, 2e-3, 1e-5
_SAMPLED = 512  # items that a training step scores beside the targets, where there are twice as many


class Network(nn.Module):
    """Item vectors, GRU, encoder to mu and v, decoder; a last vector stands for padding."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(items + 1, VECTOR, padding_idx=items)
        self.reader = nn.GRU(VECTOR, STATE, batch_first=True)
        self.encoder = nn.Sequential(nn.Linear(STATE, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.Tanh())
        self.output = nn.Linear(HIDDEN, items)
        nn.init.xavier_normal_(self.vectors.weight)

    def read(self, items: Tensor) -> Tensor:
        """States (b, t, 200) after each event of sequences (b, t) padded behind their ends.

        Not packed: the gradient of a packed GRU takes time in the square of the length, and batches are of like length.
        """
        return self.reader(self.vectors(items))[0]

    def latent(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """mu and v (..., 64) of states (..., 200)."""
        mean, v = self.encoder(states).chunk(2, dim=-1)
        return mean, v

    def logits(self, latent: Tensor) -> Tensor:
        """Logits (..., I) of latents (..., 64)."""
        return self.output(self.decoder(latent))


@dataclass(frozen=True)
class Targets:
    """What comes next: pairs of a step, numbered through the real steps of a batch, and an item (p,), with how much
    each counts (p,)."""

    step: Tensor
    item: Tensor
    share: Tensor

    @classmethod
    def of(cls, items: np.ndarray, lengths: np.ndarray, weights: np.ndarray) -> Targets:
        """Of padded sequences (b, t), every step but the last of which has up to `NEXT` targets, each 1/`NEXT`."""
        row, place = np.nonzero(np.arange(items.shape[1] - 1) < lengths[:, None] - 1)
        number, ahead = np.nonzero(place[:, None] + np.arange(1, NEXT + 1) < lengths[row][:, None])
        found = items[row[number], place[number] + 1 + ahead]
        share = (weights[row] / NEXT)[number].astype(np.float32)
        return cls(torch.from_numpy(number), torch.from_numpy(found), torch.from_numpy(share))


@dataclass(frozen=True)
class SVAE:
    """Trainings on sequences; `weights` (s,), of mean 1. `paper_kl`: sigma = exp(v) where latents are drawn."""

    sequences: Sequences
    items: int
    weights: np.ndarray
    seed: int = 0
    device: str = "cpu"
    paper_kl: bool = False
    batch: int = _BATCH
    sampled: int = _SAMPLED
    ordered: ClassVar[bool] = True

    @classmethod
    def of(cls, rows: UserRows, **more: Any) -> SVAE:
        """On rows with an order of time; those of a single event say nothing."""
        if rows.places is None:
            raise JobError("diverged", "its rows have no order of time, in which alone it can read them.")
        long = np.flatnonzero(np.diff(rows.matrix.indptr) > 1)
        if not len(long):
            raise JobError("diverged", "no row has two events, one of which could follow the other.")
        places, mass = sparse.csr_array(rows.places[long]), rows.mass[long]
        return cls(Sequences.of(places, LONGEST), rows.items, mass / mass.mean(), **more)

    def fit(self, settings: Settings, ctx: Context) -> SVAEModel:
        """`epochs` passes with Adam, at least 150 steps; beta rises to its end over the first half of them."""
        rng = np.random.default_rng(self.seed)
        sampled = self.sampled if 0 < 2 * self.sampled <= self.items else 0
        with torch.random.fork_rng(devices=[] if self.device == "cpu" else [torch.device(self.device)]):
            torch.manual_seed(self.seed)
            net = Network(self.items).to(self.device)
            optimiser = torch.optim.Adam(net.parameters(), lr=_RATE, weight_decay=_DECAY)
            steps = max(_LEAST_STEPS, int(settings["epochs"]) * -(-len(self.sequences) // self.batch))
            step = 0
            while step < steps:
                for chosen in batches(self.sequences.lengths, self.batch, rng)[: steps - step]:
                    ctx.progress(step, steps)
                    loss = self.loss(net, chosen, BETA * min(1.0, 2 * step / steps), sampled)
                    optimiser.zero_grad(set_to_none=True)
                    loss.backward()
                    optimiser.step()
                    step += 1
        if not bool(torch.isfinite(loss)):
            raise JobError("diverged", "The loss of SVAE is not a number.")
        return SVAEModel(net.eval())

    def loss(self, net: Network, chosen: np.ndarray, beta: float, sampled: int = 0) -> Tensor:
        """The loss of these sequences, over their weight; 0 `sampled` items means all."""
        padded, lengths = self.sequences.padded(chosen, self.items), self.sequences.lengths[chosen]
        weights = self.weights[chosen]
        steps = torch.from_numpy(lengths - 1)
        states = net.read(torch.from_numpy(padded[:, :-1]).to(self.device))
        real = (torch.arange(states.shape[1]) < steps[:, None]).to(self.device)
        mean, v = net.latent(states[real])
        drawn = mean + (v if self.paper_kl else 0.5 * v).exp() * torch.randn_like(mean)
        targets = Targets.of(padded, lengths, weights)
        lost = missed(net.output, net.decoder(drawn), targets, sampled)
        each = torch.from_numpy((weights / (lengths - 1)).repeat(lengths - 1)).to(drawn)
        return (lost + beta * (each * kl(mean, v)).sum()) / float(weights.sum())


def missed(output: nn.Linear, hidden: Tensor, targets: Targets, sampled: int) -> Tensor:
    """-sum of share log softmax(output(hidden))_target over all targets; `hidden` (steps, d).

    With `sampled` the sum in the softmax is over the step's own targets and that many items drawn uniformly, each of
    which stands for I / sampled items.
    """
    step, item, share = (part.to(hidden.device) for part in (targets.step, targets.item, targets.share))
    weight, bias = output.weight, output.bias
    if not sampled:
        return -(share * torch.log_softmax(output(hidden), dim=1)[step, item]).sum()
    gathered = nn.functional.embedding(step, hidden) * nn.functional.embedding(item, weight)
    logit = gathered.sum(dim=1) + bias[item]
    drawn = torch.randint(len(bias), (sampled,), device=hidden.device)
    others = torch.addmm(bias[drawn] + float(np.log(len(bias) / sampled)), hidden, weight[drawn].T)
    # Stable: subtract the largest logit of the step, constant for the gradient.
    with torch.no_grad():
        top = others.max(dim=1).values.scatter_reduce(0, step, logit, "amax")
    total = (others - top[:, None]).exp().sum(dim=1).index_add(0, step, (logit - top[step]).exp())
    return -(share * (logit - top[step] - total.log()[step])).sum()


@dataclass(frozen=True)
class SVAEModel:
    """A trained network; it is asked with tables of places."""

    net: Network
    ordered: ClassVar[bool] = True

    @torch.no_grad()
    def scores(self, inputs: sparse.csr_array) -> np.ndarray:
        """Logits (q, I) float32 after the last event of each row of places (q, I); of an empty row after none."""
        sequences, width = Sequences.of(inputs, LONGEST), inputs.shape[1]
        device = next(self.net.parameters()).device
        states = torch.zeros((len(sequences), STATE), device=device)
        order = np.argsort(sequences.lengths, kind="stable")
        order = order[sequences.lengths[order] > 0]
        for start in range(0, len(order), 256):
            chosen = order[start : start + 256]
            lengths = torch.from_numpy(sequences.lengths[chosen])
            read = self.net.read(torch.from_numpy(sequences.padded(chosen, width)).to(device))
            states[chosen] = read[torch.arange(len(chosen)), lengths - 1]
        return self.net.logits(self.net.latent(states)[0]).cpu().numpy()


@learner(
    kind="interactions",
    name="svae",
    label="SVAE",
    usual=False,
    ordered=True,
    seeds=2,
    settings=tuple({"epochs": epochs} for epochs in EPOCHS),
)
def svae(rows: UserRows, params: Any, ctx: Context) -> SVAE:
    """SVAE on rows (n, I) in their order of time, tuned over its epochs."""
    return SVAE.of(rows, seed=ctx.seed, device=ctx.device)
