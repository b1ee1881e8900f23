"""FMLP-Rec, trained at the last place of random beginnings of rows: it sees the whole row it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.sequences.fitting import Fitting, Recipe, go_on
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.networks import targets
from worker.kinds.sequences.networks.fmlp import FMLPRec
from worker.kinds.sequences.networks.next_event import NextEvent
from worker.kinds.sequences.rows import places

STEPS, DROPOUT, LIMIT = (50, 100, 200, 300, 400), (0.2, 0.5), 6400


def network(data: TrainingSet, settings: Mapping[str, Any]) -> FMLPRec:
    """Width 64, two filters."""
    return FMLPRec(data.items, data.max_len, dropout=float(settings.get("dropout", 0.0)))


def last_place(net: NextEvent, data: TrainingSet, rows: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Mean weighted loss at the last place of a random beginning of each row, padded before it."""
    lengths = rng.integers(data.lengths[rows]) + 1
    at = places(data.indptr[rows], lengths)
    device = net.items.weight.device
    row = np.repeat(np.arange(len(rows)), lengths)
    column = data.max_len - np.repeat(lengths, lengths) + places(np.zeros(len(rows), np.int64), lengths)
    read = targets.vectors(net, data.inputs, at)
    table = torch.zeros(len(rows), data.max_len, read.shape[1], device=device)
    table = table.index_put((torch.from_numpy(row).to(device), torch.from_numpy(column).to(device)), read)
    ends = torch.full((len(rows),), data.max_len - 1, device=device)
    logits = net(embedded=table, at=(torch.arange(len(rows), device=device), ends))
    last = data.indptr[rows] + lengths - 1
    weight = torch.from_numpy(np.ones(len(rows), np.float32) if data.weight is None else data.weight[last]).to(device)
    return (targets.missed(logits, data.targets, last) * weight).sum() / weight.sum()


@learner(
    kind="sequences",
    name="fmlp-rec",
    label="FMLP-Rec",
    usual=False,
    seeds=3,
    settings=[{"dropout": dropout, "steps": steps} for dropout in DROPOUT for steps in STEPS],
    further=go_on(LIMIT),
)
def fmlp_rec(data: TrainingSet, params: Any, ctx: Context) -> Fitting:
    """Filters over frequencies that predict the event after the row."""
    return Fitting(Recipe(network, rate=2e-3, batch=256, loss=last_place, left=True), data, ctx.seed, ctx.device)
