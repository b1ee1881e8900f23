"""NARRE-lite: reviews of user and item by attention, beside their factors (after Chen et al., WWW 2018).

    r_ui = b_ui + h^T ((p_u + A x_u) * (q_i + B y_i)),  x_u = sum_j a_uj d_j,  a_uj = softmax_j w^T tanh(V d_j + E o_j)

over up to ten reviews d_j of the user, o_j the item that each is of; y_i alike over the item's reviews. "Lite": reviews
are vectors of TF-IDF and a singular value decomposition, where the paper trains a convolution over words. Leak rule: a
training pair's own review is masked out on both sides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from worker.contract.context import Context
from worker.kinds.interactions.side_text.documents import Documents
from worker.kinds.interactions.side_text.reviews import Part, Reviews

EPOCHS, SLOTS, FACTORS, HIDDEN = 12, 10, 10, 16
_BATCH, _LEAST_STEPS, _RATE, _DECAY, _DROPOUT = 256, 250, 4e-3, 1e-4, 0.5
_SCORED = 4096


class Side(nn.Module):
    """Factors of one side and its attention over reviews."""

    def __init__(self, owners: int, others: int, width: int) -> None:
        super().__init__()
        self.factors, self.about = nn.Embedding(owners, FACTORS), nn.Embedding(others, HIDDEN)
        self.hear, self.weigh = nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, 1, bias=False)
        self.say = nn.Linear(width, FACTORS, bias=False)
        for table in (self.factors, self.about):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, owner: Tensor, texts: Tensor, others: Tensor, there: Tensor) -> Tensor:
        """(b, k) of owners (b,), their reviews (b, slots, d), whom each is of or by, and which slots hold one."""
        weight = self.weigh(torch.tanh(self.hear(texts) + self.about(others)))[..., 0]
        share = torch.softmax(weight.masked_fill(~there, -1e9), dim=1) * there
        return self.factors(owner) + self.say((share[..., None] * texts).sum(dim=1))


class Network(nn.Module):
    """Both sides and the head."""

    def __init__(self, users: int, items: int, width: int) -> None:
        super().__init__()
        self.user, self.item = Side(users, items, width), Side(items, users, width)
        self.head, self.drop = nn.Linear(FACTORS, 1, bias=False), nn.Dropout(_DROPOUT)


def slots(owner: np.ndarray, owners: int, there: np.ndarray) -> np.ndarray:
    """Numbers of up to ten training reviews of each owner (owners, 10), the first ones with text; -1 where none."""
    rows = np.flatnonzero(there)
    rows = rows[np.argsort(owner[rows], kind="stable")]
    first = np.concatenate(([0], np.cumsum(np.bincount(owner[rows], minlength=owners))))
    rank = np.arange(len(rows)) - first[owner[rows]]
    found = np.full((owners, SLOTS), -1)
    few = rank < SLOTS
    found[owner[rows[few]], rank[few]] = rows[few]
    return found


def fit(
    reviews: Reviews,
    documents: Documents,
    base: Callable[[Part], np.ndarray],
    parts: tuple[Part, Part],
    seed: int,
    ctx: Context,
) -> tuple[np.ndarray, np.ndarray]:
    """Ratings of both parts from the epoch that predicts the first one (validation) best; `base`: b_ui of a part."""
    train = reviews.train
    side = {"user": slots(train.user, reviews.users, documents.there),
            "item": slots(train.item, reviews.items, documents.there)}  # fmt: skip
    texts = torch.from_numpy(documents.vectors.astype(np.float32))
    left = torch.from_numpy((train.rating - base(train)).astype(np.float32))
    rng = np.random.default_rng([seed, 2])

    def predict(net: Network, part: Part, rows: np.ndarray) -> Tensor:
        own = rows if part is train else np.full(len(rows), -2)
        inputs = (_read(side["user"], part.user[rows], own, texts, train.item),
                  _read(side["item"], part.item[rows], own, texts, train.user))  # fmt: skip
        pair = net.user(*inputs[0]) * net.item(*inputs[1])
        return net.head(net.drop(pair))[:, 0]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        net = Network(reviews.users, reviews.items, texts.shape[1])
        optimiser = torch.optim.Adam(net.parameters(), lr=_RATE, weight_decay=_DECAY)
        found = [base(part) for part in parts]  # before any step: nothing is added
        best = np.inf
        epochs = max(EPOCHS, -(-_LEAST_STEPS * _BATCH // len(train)))
        for epoch in range(epochs):
            net.train()
            order = rng.permutation(len(train))
            for start in range(0, len(order), _BATCH):
                ctx.progress(epoch * len(order) + start, epochs * len(order))
                rows = order[start : start + _BATCH]
                loss = (predict(net, train, rows) - left[rows]).square().mean()
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
            net.eval()
            with torch.no_grad():
                now = [
                    base(part) + _in_blocks(lambda rows, part=part: predict(net, part, rows), part) for part in parts
                ]
            missed = float(np.square(now[0] - parts[0].rating).mean())
            if missed < best:
                best, found = missed, now
    return found[0], found[1]


def _in_blocks(predict: Callable[[np.ndarray], Tensor], part: Part) -> np.ndarray:
    starts = range(0, len(part), _SCORED)
    return np.concatenate([predict(np.arange(start, min(start + _SCORED, len(part)))).numpy() for start in starts])


def _read(
    table: np.ndarray, owner: np.ndarray, own: np.ndarray, texts: Tensor, others: np.ndarray
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What a side reads of these owners: without the reviews numbered `own`."""
    number = table[owner]
    there = (number >= 0) & (number != own[:, None])
    number = np.where(there, number, 0)
    return (torch.from_numpy(owner), texts[torch.from_numpy(number)], torch.from_numpy(others[number]),
            torch.from_numpy(there))  # fmt: skip
