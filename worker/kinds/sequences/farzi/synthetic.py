"""Synthetic sequences as tensors: what is read, and the probabilities of what comes next, from few numbers.

    tied       every place is one soft event softmax(latent @ decoder / tau), read and predicted (arXiv:2310.09983)
    separate   what is read are items; only what comes next is soft, and has a weight by place

The latent vectors are free numbers (`lowrank`), or a core that is multiplied with one matrix for sequences and one for
places (`tucker`, as in TD3): then few of them carry many rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from worker.kinds.sequences.forms import Factors, LowRank, TrainingSet
from worker.kinds.sequences.rows import Rows


@dataclass(frozen=True)
class Synthetic:
    """`rows`: the items that are read, of the tied form their lengths alone. `phi`: what is learned, float tensors:
    `decoder` (d, V), `bias` (V,) where there is one, `weight` (e,), logarithms, of the separate form, and `latent`
    (e, d) or `core` (r1, r2, d), `sequences` (n, r1), `places` (xi, r2). `max_len`: places that learners read."""

    rows: Rows
    phi: Mapping[str, Tensor] = field(repr=False)
    tau: float
    tied: bool
    items: int
    max_len: int

    def with_phi(self, phi: Mapping[str, Tensor]) -> Synthetic:
        """The same with other numbers."""
        return replace(self, phi=dict(phi))

    def at_temperature(self, tau: float) -> Synthetic:
        """The same probabilities at another temperature: what is divided by it is multiplied by it."""
        scaled = {name: one * (tau / self.tau) for name, one in self.phi.items() if name in ("latent", "core", "bias")}
        return replace(self, phi={**self.phi, **scaled}, tau=tau)

    def latent(self) -> Tensor:
        """Latent vectors (e, d) of all places, row after row."""
        if "latent" in self.phi:
            return self.phi["latent"]
        whole = torch.einsum("abd,na,jb->njd", self.phi["core"], self.phi["sequences"], self.phi["places"])
        return whole.reshape(-1, whole.shape[2])

    def probabilities(self) -> Tensor:
        """Of every item at every place, (e, V)."""
        logits = self.latent() @ self.phi["decoder"]
        if "bias" in self.phi:
            logits = logits + self.phi["bias"]
        return torch.softmax(logits / self.tau, dim=1)

    def weight(self) -> Tensor | None:
        """How much each place counts (e,), of mean one; None where all count alike."""
        if "weight" not in self.phi:
            return None
        return torch.softmax(self.phi["weight"], dim=0) * len(self.phi["weight"])

    def delivered(self) -> TrainingSet:
        """What is handed over: latent vectors or their factors, decoder, bias and weights in half precision."""
        events = self._events()
        if self.tied:
            return TrainingSet.tied(events, self.rows.lengths, self.items, self.max_len)
        weight = self.weight()
        return TrainingSet.of_inputs(self.rows, self.items, self.max_len).with_targets(
            events, None if weight is None else half(weight).astype(np.float32)
        )

    def _events(self) -> LowRank:
        given = {name: half(one) for name, one in self.phi.items()}
        decoder, bias = given["decoder"], given.get("bias")
        if "latent" in given:
            return LowRank(given["latent"], decoder, bias, self.tau)
        return LowRank.of(Factors(given["core"], given["sequences"], given["places"]), decoder, bias, self.tau)


def entropy(probabilities: Tensor) -> Tensor:
    """Mean over places of -sum_v p_v log p_v, in nats, of probabilities (e, V)."""
    return -(probabilities * probabilities.clamp(min=1e-30).log()).sum(1).mean()


def entropy_gradient(made: Synthetic) -> dict[str, Tensor]:
    """The gradient of the mean entropy of all soft events with respect to phi, by name."""
    leaves = {name: one.detach().requires_grad_(True) for name, one in made.phi.items()}
    found = torch.autograd.grad(
        entropy(made.with_phi(leaves).probabilities()), list(leaves.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(leaves, found, strict=True))


def half(values: Tensor) -> np.ndarray:
    """float16; what lies beyond its range is cut to it."""
    top = float(np.finfo(np.float16).max)
    return values.detach().float().clamp(-top, top).cpu().numpy().astype(np.float16)


def tucker(latent: Tensor, sequences: int, rank: int) -> dict[str, Tensor]:
    """The factors nearest to latent vectors (n * xi, d) by a truncated higher-order SVD (De Lathauwer 2000): `core`
    (r1, r2, d), `sequences` (n, r1), `places` (xi, r2), both ranks at most `rank`."""
    whole = latent.reshape(sequences, -1, latent.shape[1])
    by_sequence = torch.linalg.svd(whole.flatten(1), full_matrices=False)[0][:, :rank]
    by_place = torch.linalg.svd(whole.transpose(0, 1).flatten(1), full_matrices=False)[0][:, :rank]
    core = torch.einsum("njd,na,jb->abd", whole, by_sequence, by_place)
    return {name: one.contiguous() for name, one in zip(
        ("core", "sequences", "places"), (core, by_sequence, by_place), strict=True
    )}  # fmt: skip


def of_rank(latent: Tensor, decoder: Tensor, rank: int, generator: torch.Generator) -> dict[str, Tensor]:
    """latent (e, d) @ decoder (d, V) with `rank` in place of d: the largest singular directions of the product and the
    mean of what is cut off as `bias`; or, where rank > d, further directions that carry nothing yet."""
    width = decoder.shape[0]
    if rank == width:
        return {"latent": latent, "decoder": decoder}
    if rank > width:
        extra = torch.randn(rank - width, decoder.shape[1], generator=generator, dtype=decoder.dtype)
        wide = torch.cat([latent, latent.new_zeros(len(latent), rank - width)], dim=1)
        return {"latent": wide, "decoder": torch.cat([decoder, extra.to(decoder) * decoder.std()])}
    mean = latent.mean(dim=0)
    base, root = torch.linalg.qr(decoder.T)  # decoder = root^T base^T, base of orthonormal columns
    left, values, right = torch.linalg.svd((latent - mean) @ root.T, full_matrices=False)
    return {
        "latent": left[:, :rank] * values[:rank].sqrt(),
        "decoder": values[:rank].sqrt()[:, None] * (right[:rank] @ base.T),
        "bias": mean @ decoder,
    }
