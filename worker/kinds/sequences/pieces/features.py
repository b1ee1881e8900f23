"""Item features: what an action is, as a tuple of small whole numbers, the same number of them for every item.

They come from columns of categories, from lists of attributes, or from codes of vectors (given ones, or what the
training sequences say of items: truncated SVD of their co-occurrence). A last digit tells apart items that are equal in
all the others, drawn at random as published (arXiv:2502.13581, section 4.1).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from worker.contract.errors import JobError
from worker.kinds.sequences.pieces import quantise

WINDOW = 3
"""Actions within this distance count as together."""


def from_columns(columns: np.ndarray) -> np.ndarray:
    """Numbers of the values of every column, int64 (items, k), of categories of any type (items, k)."""
    return np.stack([np.unique(column, return_inverse=True)[1] for column in columns.T], axis=1).astype(np.int64)


def from_attributes(attributes: sparse.csr_array, k: int) -> np.ndarray:
    """Items' attributes (items, A), 0/1, as k columns, int64 (items, k).

    An attribute goes, the most frequent first, to the column where it meets the fewest items that have one already. Of
    several in one column an item keeps its rarest, which says most; 0 stands for none.
    """
    frequency = np.asarray(attributes.sum(0)).ravel()
    order = np.argsort(-frequency, kind="stable")
    columns = np.zeros((attributes.shape[0], k), np.int64)
    by_attribute = attributes.tocsc()
    for attribute in order[frequency[order] > 0]:
        items = by_attribute.indices[by_attribute.indptr[attribute] : by_attribute.indptr[attribute + 1]]
        column = int(np.argmin((columns[items] > 0).sum(0)))
        columns[items, column] = attribute + 1
    return from_columns(columns)


def cooccurrence_vectors(indptr: np.ndarray, items: np.ndarray, n_items: int, width: int, seed: int) -> np.ndarray:
    """What sequences say of items, float32 (n_items, width): SVD of positive pointwise mutual information.

    Two items count by 1 / distance up to a distance of `WINDOW` (Levy and Goldberg, NeurIPS 2014, with the context
    weighting of GloVe). Items without any neighbour are zero.
    """
    sequence = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    counts = sparse.csr_array((n_items, n_items), dtype=np.float64)
    for distance in range(1, WINDOW + 1):
        same = sequence[distance:] == sequence[:-distance]
        one, other = items[:-distance][same], items[distance:][same]
        counts = counts + sparse.csr_array((np.full(len(one), 1 / distance), (one, other)), shape=counts.shape)
    counts = sparse.coo_array(counts + counts.T)
    totals = np.maximum(np.asarray(counts.sum(1)).ravel(), 1e-12)
    mutual = np.log(counts.data * totals.sum() / (totals[counts.coords[0]] * totals[counts.coords[1]]))
    positive = sparse.csr_array((np.maximum(mutual, 0.0), counts.coords), shape=counts.shape)
    left, values = _directions(positive, width, seed)
    return (left * np.sqrt(values)).astype(np.float32)


def attribute_vectors(attributes: sparse.csr_array, width: int, seed: int) -> np.ndarray:
    """Items by their attributes (items, A), float32 (items, width): SVD of unit rows weighted by inverse frequency."""
    frequency = np.maximum(np.asarray(attributes.sum(0)).ravel(), 1)
    weighted = attributes @ sparse.diags_array(np.log(attributes.shape[0] / frequency + 1.0))
    lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(1)).ravel())
    rows = sparse.diags_array(1 / np.maximum(lengths, 1e-12)) @ weighted
    left, values = _directions(sparse.csr_array(rows), width, seed)
    return (left * values).astype(np.float32)


def _directions(matrix: sparse.csr_array, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest left singular directions (n, w) of a matrix and their values (w,), w of `width` at most, the largest
    entry of each positive. A matrix that says nothing has one direction of value 0."""
    width = min(width, max(1, min(matrix.shape) - 1))
    if not matrix.data.any():
        return np.zeros((matrix.shape[0], width)), np.zeros(width)
    if min(matrix.shape) == 1:  # svds takes fewer than all
        left, values, _ = np.linalg.svd(matrix.toarray(), full_matrices=False)
    else:
        left, values, _ = svds(matrix, k=width, rng=np.random.default_rng(seed))
    flip = np.sign(left[np.argmax(np.abs(left), axis=0), np.arange(width)])
    return left * flip, values


def joined(blocks: list[np.ndarray]) -> np.ndarray:
    """Blocks of vectors (items, any) side by side, each scaled to a mean squared length of 1."""
    scaled = [block / max(np.sqrt(np.square(block).sum(1).mean()), 1e-12) for block in blocks]
    return np.concatenate(scaled, axis=1).astype(np.float32)


def from_vectors(
    vectors: np.ndarray,
    trained: np.ndarray,
    codebooks: int,
    codes: int,
    rng: np.random.Generator,
    heartbeat: Callable[[int, int], None],
) -> np.ndarray:
    """Codes of vectors (items, d), int64 (items, codebooks), learned from the items that `trained` (items,) marks."""
    if vectors.shape[1] < codebooks:
        raise JobError(
            "invalid_input",
            f"Vectors of {vectors.shape[1]} numbers cannot be cut into {codebooks} parts.",
            hint=f"Ask for pq_codebooks of at most {vectors.shape[1]}.",
            pointer="/params/pq_codebooks",
        )
    largest = float(np.abs(vectors).max(initial=0))
    if largest:  # squares must not overflow; by a power of two, which rounds nothing
        vectors = np.ldexp(vectors, -int(np.frexp(largest)[1]))
    return quantise.fit(vectors[trained], codebooks, codes, rng, heartbeat).codes(vectors)


def told_apart(features: np.ndarray, buckets: int | None, rng: np.random.Generator) -> tuple[np.ndarray, int, int]:
    """(features with one more digit that no two equal items share, buckets of the digit, items that share a tuple).

    Digits of equal items are the first of a random order of 0..buckets-1. `buckets`: None takes the least power of two
    that suffices, 16 at least. Raises `JobError` where more items are equal than there are buckets.
    """
    _, group, sizes = np.unique(features, axis=0, return_inverse=True, return_counts=True)
    group, most = group.ravel(), int(sizes.max(initial=1))
    if buckets is None:
        buckets = max(16, 1 << (most - 1).bit_length())
    if most > buckets:
        raise JobError(
            "invalid_input",
            f"{most} items have the same features, and a digit of {buckets} values cannot tell them apart.",
            hint=f"Raise hash_buckets to {most}, leave it out, or give more features.",
            pointer="/params/hash_buckets",
        )
    order = np.argsort(group, kind="stable")
    starts = np.cumsum(sizes) - sizes
    number = np.arange(len(group)) - np.repeat(starts, sizes)
    digit = np.empty(len(group), np.int64)
    # one random order a group, of which the first `size` digits are used: rows of a random matrix, in blocks
    rows = max(1, 4_000_000 // buckets)
    for first in range(0, len(sizes), rows):
        orders = np.argsort(rng.random((min(rows, len(sizes) - first), buckets)), axis=1)
        inside = (group[order] >= first) & (group[order] < first + rows)
        digit[order[inside]] = orders[group[order[inside]] - first, number[inside]]
    return np.column_stack([features, digit]), buckets, int((sizes[group] > 1).sum())
