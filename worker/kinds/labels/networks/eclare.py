"""The network of ECLARE (arXiv:2108.00261, section 4): documents and labels as vectors of one table of words.

A document is x = dropout(ReLU(R(X E))). A label has up to three vectors: of its text, z1 = R1(Z E); of the texts of the
labels it is met with, z2 = R2(G Z E); and one of its own, z3. They are mixed by attention, w = sum_s a_s z_s. R are
residual blocks R(e) = e + kappa SN(A)(dropout(ReLU(e))), A starting as the identity, SN the spectral norm held at 1.

Two things depart from the published network, without which it does not learn in minutes from all labels at once: x and
w have length 1 with a learnt scale, and there is one learnt bias for all labels, which starts at -8 since nearly all
labels are wrong for a document. The table starts as a truncated SVD of tf-idf, as a stand-in for word vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

_SCALE, _BIAS = 10.0, -8.0


class Residual(nn.Module):
    """R(e) of vectors (b, d)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.linear = _normed(width, width)
        self.kappa = nn.Parameter(torch.ones(()))
        self.dropout = dropout

    def forward(self, e: Tensor) -> Tensor:
        """(b, d)."""
        return e + self.kappa * self.linear(functional.dropout(functional.relu(e), self.dropout, self.training))


class Attention(nn.Module):
    """Shares of s sources for each label: (L, s, d) to (L, s). One source has all of it."""

    def __init__(self, sources: int, width: int, dropout: float) -> None:
        super().__init__()
        self.inner = _normed(width, width)
        self.outer = spectral_norm(nn.Linear(sources * width, sources, bias=False))
        self.dropout = dropout

    def forward(self, stack: Tensor) -> Tensor:
        """Softmax over sources."""
        hidden = self.inner(functional.relu(functional.dropout(stack, self.dropout, self.training)))
        return torch.softmax(self.outer(hidden.flatten(1)), dim=1)


@dataclass(frozen=True)
class Shape:
    """`attention`: whether shares of the sources are learnt; else they are equal."""

    width: int = 64
    dropout: float = 0.2
    attention: bool = True


class EclareNetwork(nn.Module):
    """`table`: float32 (v, d), the start of E; `texts`: (L, v), Z; `graph`: (L, L), G."""

    def __init__(self, table: np.ndarray, texts: sparse.csr_matrix, graph: sparse.csr_matrix, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.table = nn.Parameter(torch.from_numpy(table.astype(np.float32)))
        self.register_buffer("texts", _tensor(texts))
        self.register_buffer("graph", _tensor(graph))
        self.document, self.own_text, self.met = (Residual(table.shape[1], shape.dropout) for _ in range(3))
        self.shares = Attention(2, table.shape[1], shape.dropout)
        self.own: nn.Parameter | None = None
        self.read: Tensor | None = None
        self.scale = nn.Parameter(torch.tensor(_SCALE))
        self.bias = nn.Parameter(torch.tensor(_BIAS))

    def refine(self, own: Tensor) -> None:
        """Give labels vectors of their own, z3 (L, d), and hold the table as it is."""
        self.own = nn.Parameter(own)
        self.shares = Attention(3, own.shape[1], self.shape.dropout).to(own.device)
        self.read = self.told().detach()
        self.table.requires_grad_(False)

    def told(self) -> Tensor:
        """Z E and G Z E: (L, 2, d)."""
        if self.read is not None:
            return self.read
        e = torch.sparse.mm(self.texts, self.table)
        return torch.stack([e, torch.sparse.mm(self.graph, e)], dim=1)

    def documents(self, rows: sparse.csr_matrix) -> Tensor:
        """x of documents (b, v), of length 1: (b, d)."""
        device = self.table.device
        terms, values, starts = (
            torch.from_numpy(rows.indices.astype(np.int64)).to(device),
            torch.from_numpy(rows.data.astype(np.float32)).to(device),
            torch.from_numpy(rows.indptr[:-1].astype(np.int64)).to(device),
        )
        e = functional.embedding_bag(terms, self.table, starts, mode="sum", per_sample_weights=values)
        x = functional.relu(self.document(e))
        return functional.normalize(functional.dropout(x, self.shape.dropout, self.training), dim=1)

    def sources(self, chosen: Tensor | None = None) -> Tensor:
        """z1, z2 and, once there is one, z3 of all labels, or of chosen ones int64 (c,): (c, s, d), of length 1."""
        told = self.told() if chosen is None else self.told()[chosen]
        parts = [self.own_text(told[:, 0]), self.met(told[:, 1])]
        if self.own is not None:
            parts.append(self.own if chosen is None else self.own[chosen])
        return functional.normalize(torch.stack(parts, dim=1), dim=2)

    def labels(self, chosen: Tensor | None = None) -> Tensor:
        """w of all labels, or of chosen ones, of length 1: (c, d)."""
        stack = self.sources(chosen)
        if self.shape.attention:
            stack = stack * self.shares(stack)[:, :, None]
        return functional.normalize(stack.sum(dim=1), dim=1)

    def forward(self, rows: sparse.csr_matrix, chosen: Tensor | None = None) -> Tensor:
        """Logits (b, c)."""
        return self.scale * self.documents(rows) @ self.labels(chosen).T + self.bias


def _normed(inputs: int, outputs: int) -> nn.Module:
    linear = nn.Linear(inputs, outputs)
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)
    return spectral_norm(linear)


def _tensor(matrix: sparse.csr_matrix) -> Tensor:
    coo = sparse.coo_matrix(matrix)
    at = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
    return torch.sparse_coo_tensor(
        at, torch.from_numpy(coo.data.astype(np.float32)), coo.shape, check_invariants=True
    ).coalesce()
