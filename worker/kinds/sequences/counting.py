"""Expected counts of items and of transitions in a training set of any form: what floors are made of."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.kinds.sequences.forms import Ids, TrainingSet


def counts(data: TrainingSet) -> np.ndarray:
    """Expected events of each item, float64 (V,): targets by weight, the first input of every row, rows of one."""
    weight = np.ones(data.places) if data.weight is None else data.weight.astype(np.float64)
    firsts = data.indptr[:-1][data.lengths > 0]
    if isinstance(data.inputs, Ids) and isinstance(data.targets, Ids):
        found = np.bincount(data.targets.items, weight, data.items) + (0 if data.alone is None else data.alone)
        return found + np.bincount(data.inputs.items[firsts], weight[firsts], data.items)
    found = np.zeros(data.items)
    first = np.zeros(data.places)
    first[firsts] = 1
    start = 0
    for read, predicted, mass in data.blocks():
        found += mass @ predicted + (mass * first[start : start + len(mass)]) @ read
        start += len(mass)
    return found


def transitions(data: TrainingSet, ctx: Context) -> sparse.csr_array:
    """Expected number of times that item j came right after item i, CSR float64 (V, V)."""
    shape = (data.items, data.items)
    ctx.progress(0, 1)
    weight = np.ones(data.places) if data.weight is None else data.weight.astype(np.float64)
    if isinstance(data.inputs, Ids) and isinstance(data.targets, Ids):
        pairs = sparse.coo_array((weight, (data.inputs.items, data.targets.items)), shape=shape)
        return sparse.csr_array(pairs)
    found, start = sparse.csr_array(shape), 0
    table = np.zeros(shape) if data.items <= 4096 else None
    for read, predicted, mass in data.blocks(1024):
        ctx.progress(start, data.places)
        if isinstance(data.inputs, Ids):
            at = np.arange(start, start + len(mass))
            left = sparse.csr_array(
                (mass, (data.inputs.items[at], np.arange(len(mass)))), shape=(data.items, len(mass))
            )
        else:
            left = sparse.csr_array((_likely(read) * mass[:, None]).T)
        if table is not None:
            table += left @ predicted
        else:
            found = found + left @ sparse.csr_array(_likely(predicted))
        start += len(mass)
    return found if table is None else sparse.csr_array(table)


def _likely(probabilities: np.ndarray, most: int = 64) -> np.ndarray:
    """The most probable items of each row and zeros: a table of all would not fit where there are many items."""
    if probabilities.shape[1] <= most:
        return probabilities
    bound = np.partition(probabilities, -most, axis=1)[:, [-most]]
    return np.where(probabilities >= bound, probabilities, 0)
