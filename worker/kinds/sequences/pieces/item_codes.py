"""The features of a dataset's items, from whatever is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.pieces import features
from worker.kinds.sequences.rows import Rows
from worker.numerics.compiled import while_waiting

WIDTH = 64
"""Numbers of an item's vector, of each thing that is known of it."""


class Wanted(Protocol):
    """What of a method's parameters is about features."""

    features: Any
    pq_codebooks: int
    pq_bits: int
    hash_buckets: int | None


@dataclass(frozen=True)
class ItemCodes:
    """`features`: int64 (V, m), no two items equal. `source`: what they come from. `facts`: what was found, JSON."""

    features: np.ndarray
    source: str
    facts: dict[str, Any]


def build(data: Sequences, rows: Rows, params: Wanted, ctx: Context) -> ItemCodes:
    """Features of every item, by `params.features`; what occurs together is read from the training `rows`.

    Raises `JobError` where the dataset lacks what is asked for.
    """
    ctx.progress(0, 2, phase="features")
    form = "" if data.features is None else data.features.form
    wanted = params.features
    if wanted == "auto":
        wanted = "columns" if form == "columns" else "pq"
    if wanted in ("attributes", "columns") and form != wanted:
        raise JobError(
            "invalid_input",
            f"Features are to come from {wanted}, but the dataset has {form or 'no features of items'}.",
            hint=f"Upload the dataset again with {wanted} of items, or leave features at auto.",
            pointer="/params/features",
        )
    if wanted == "columns":
        codes, source = features.from_columns(data.features.codes), "columns of the upload"
    elif wanted == "attributes":
        codes = features.from_attributes(_attributes(data), params.pq_codebooks)
        source = "attributes dealt to columns"
    else:
        codes, source = _codes_of_vectors(data, rows, params, ctx)
    told, buckets, equal = features.told_apart(codes, params.hash_buckets, np.random.default_rng([ctx.seed, 6]))
    facts = {
        "features_from": source,
        "values_per_category": [len(np.unique(column)) for column in told.T],
        "hash_buckets": buckets,
        "items_that_share_features": equal,
    }
    return ItemCodes(told, source, facts)


def _attributes(data: Sequences) -> sparse.csr_array:
    known = data.features
    if known is None or known.sets is None or known.names is None:
        raise JobError("invalid_input", "The dataset has no attributes of items.", pointer="/params/features")
    sets = known.sets
    ones = np.ones(len(sets.items))
    table = sparse.csr_array((ones, sets.items, sets.indptr), shape=(len(sets), len(known.names)))
    table.data[:] = 1.0
    return table


def _codes_of_vectors(data: Sequences, rows: Rows, params: Wanted, ctx: Context) -> tuple[np.ndarray, str]:
    form = "" if data.features is None else data.features.form
    width, known = max(WIDTH, params.pq_codebooks), data.features

    def together() -> np.ndarray:
        return features.cooccurrence_vectors(rows.indptr, rows.items, data.n_items, width, ctx.seed)

    def heartbeat() -> None:
        ctx.progress(0, 2, phase="features")

    if form == "vectors":
        vectors, source = known.vectors, "codes of the given vectors"
    elif form == "attributes":
        table = _attributes(data)
        of_attributes = while_waiting(lambda: features.attribute_vectors(table, width, ctx.seed), heartbeat)
        vectors = features.joined([while_waiting(together, heartbeat), of_attributes])
        source = "codes of attributes and of what occurs together"
    else:
        vectors, source = while_waiting(together, heartbeat), "codes of what occurs together"
    codebooks = params.pq_codebooks
    if form != "vectors" and vectors.shape[1] < codebooks:
        codebooks = vectors.shape[1]
        ctx.warn(f"So few items and attributes carry {codebooks} codes, not the {params.pq_codebooks} asked for.")
    trained = np.bincount(rows.items, minlength=data.n_items) > 0
    codes = features.from_vectors(
        np.asarray(vectors, np.float32), trained, codebooks, 2**params.pq_bits,
        np.random.default_rng([ctx.seed, 5]), lambda step, of: ctx.progress(step, 2 * of, phase="codes"),
    )  # fmt: skip
    return codes, source
