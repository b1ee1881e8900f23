"""Expected counts of items and of transitions in a training set of any form: what floors are made of."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.kinds.sequences.forms import Ids, TrainingSet

_PLACES = 2048  # places whose probabilities are held at once


def counts(data: TrainingSet) -> np.ndarray:
    """Expected events of each item, float64 (V,): those that are predicted, and those that sequences begin with."""
    found = predicted(data)
    if data.first is not None:
        return found + data.first
    firsts = data.indptr[:-1][data.lengths > 0]
    for start in range(0, len(firsts), _PLACES):
        at = firsts[start : start + _PLACES]
        mass = np.ones(len(at)) if data.weight is None else data.weight[at].astype(np.float64)
        found += mass @ data.inputs.probabilities(at, data.items)
    return found


def predicted(data: TrainingSet) -> np.ndarray:
    """Expected events of each item that are to be predicted, float64 (V,)."""
    if isinstance(data.targets, Ids):
        weight = None if data.weight is None else data.weight.astype(np.float64)
        return np.bincount(data.targets.items, weight, data.items).astype(np.float64)
    found = np.zeros(data.items)
    for start in range(0, data.places, _PLACES):
        at = np.arange(start, min(start + _PLACES, data.places))
        mass = np.ones(len(at)) if data.weight is None else data.weight[at].astype(np.float64)
        found += mass @ data.targets.probabilities(at, data.items)
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
