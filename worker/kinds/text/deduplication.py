"""Copies of documents, exact and near: who is a copy of whom, and what nearly equals held-out documents.

Near-copies are documents whose word 5-grams overlap by a Jaccard index of 0.8, as 120 MinHashes estimate it
(`worker.kinds.text.minhash`), and those that such pairs link (components). The sketches are a pass over shards, 200
bytes a document, held on the disk; pairs are looked for band by band, so memory is some 40 bytes a document.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from worker.contract.context import Context
from worker.executor.passes import map_shards
from worker.kinds.text import minhash
from worker.kinds.text.dataset import TRAIN, Corpus, Shard
from worker.numerics.compiled import while_waiting

THRESHOLD = 0.8
_PAIRS = 200_000  # compared at a time
_COMPARED = 8  # documents of a piece that share a band with one
_PIECE_BYTES = 4_000_000
_WARM = pa.array(["one two three four five six"])


def first_of_each(data: Corpus, rows: np.ndarray) -> np.ndarray:
    """Of documents (sorted int64) with equal texts the one with the smallest key, sorted."""
    order = np.lexsort((data.key[rows], data.hash[rows]))
    hashes = data.hash[rows][order]
    new = np.ones(len(order), bool)
    new[1:] = hashes[1:] != hashes[:-1]
    return np.sort(rows[order[new]])


def without_near_copies(data: Corpus, rows: np.ndarray, ctx: Context) -> np.ndarray:
    """Of training documents (sorted int64) one of each group of near-copies, the longest; none of a group that has a
    held-out document. Both are counted in warnings."""
    held = np.flatnonzero(data.split > TRAIN)
    groups = near_copies([(data, rows), (data, held)], ctx)
    own = groups[: len(rows)]
    leaking = np.isin(own, groups[len(rows) :])
    order = np.lexsort((data.key[rows], -data.bytes[rows].astype(np.int64), own))
    first = np.ones(len(order), bool)
    first[1:] = own[order][1:] != own[order][:-1]
    best = np.zeros(len(rows), bool)
    best[order[first]] = True
    if copies := int((~best & ~leaking).sum()):
        ctx.warn(f"{copies:,} near-copies of other training documents were left out.")
    if leaks := int(leaking.sum()):
        ctx.warn(
            f"{leaks:,} training documents are near-copies of held-out ones and were left out of the selection; other "
            "training sets still have them."
        )
    return rows[best & ~leaking]


def near_any(
    asked: Sequence[tuple[Corpus, np.ndarray]], others: Sequence[tuple[Corpus, np.ndarray]], ctx: Context, name: str
) -> np.ndarray:
    """Which documents of `asked` are near-copies of one of `others`: bool (n,), one part after the other.

    Parts as in `near_copies`; pairs are compared, not linked on. Sketches of `asked` are held in memory, 200 bytes a
    document; the others pass by. `name` tells the pass from others of the same context. Of the documents of a piece
    of the others that share a band with a document, the first eight are compared with it.
    """
    count = sum(len(rows) for _, rows in asked)
    near = np.zeros(count, bool)
    work = [piece for corpus, rows in others for piece in _pieces(corpus, rows)]
    if not count or not work:
        return near
    while_waiting(lambda: minhash.minima(_WARM), lambda: ctx.progress(0, 1, phase="near-copies"))
    own = [piece for corpus, rows in asked for piece in _pieces(corpus, rows)]
    mine = list(map_shards(minhash.Sketches(), own, ctx, name=f"sketches of {name}", total=2, keep=False))
    bands, low = (np.concatenate([one[key] for one in mine]) for key in ("bands", "low"))
    for found in map_shards(minhash.Sketches(), work, ctx, name=f"near-copies of {name}", step=1, total=2, keep=False):
        for at in range(minhash.BANDS):
            left = np.flatnonzero(~near)
            order = np.argsort(found["bands"][:, at], kind="stable")
            keys = found["bands"][order, at]
            first, end = (np.searchsorted(keys, bands[left, at], side) for side in ("left", "right"))
            for more in range(_COMPARED):
                here = first + more < end
                if not here.any():
                    break
                there = order[first[here] + more]
                near[left[here]] |= minhash.alike(low[left[here]], found["low"][there]) >= THRESHOLD
    return near


def near_copies(parts: Sequence[tuple[Corpus, np.ndarray]], ctx: Context) -> np.ndarray:
    """The group of each document of the parts, one part after the other: int32 (n,), equal for near-copies.

    A part is a corpus and numbers of documents in it, sorted int64.
    """
    ctx.progress(0, 1, phase="near-copies")
    while_waiting(lambda: minhash.minima(_WARM), lambda: ctx.progress(0, 1, phase="near-copies"))
    work = [piece for corpus, rows in parts for piece in _pieces(corpus, rows)]
    n = sum(len(rows) for _, rows in work)
    with tempfile.TemporaryDirectory(prefix="near-copies-") as folder:
        bands = np.lib.format.open_memmap(Path(folder) / "bands.npy", "w+", np.uint32, (minhash.BANDS, n))
        low = np.lib.format.open_memmap(Path(folder) / "low.npy", "w+", np.uint8, (n, minhash.HASHES))
        done = 0
        for found in map_shards(minhash.Sketches(), work, ctx, name="sketches of near-copies"):
            size = len(found["low"])
            bands[:, done : done + size] = found["bands"].T
            low[done : done + size] = found["low"]
            done += size
        return _groups(bands, low, ctx)


def _pieces(corpus: Corpus, rows: np.ndarray) -> Iterator[tuple[Shard, np.ndarray]]:
    """Documents by shard and about 4 MB of text, which take a second at most: a cancelled job stops between pieces."""
    for shard in corpus.shards:
        inside = rows[slice(*np.searchsorted(rows, (shard.first, shard.first + shard.rows)))]
        places = np.cumsum(corpus.bytes[inside], dtype=np.int64) // _PIECE_BYTES
        yield from ((shard, piece) for piece in np.split(inside, np.flatnonzero(np.diff(places)) + 1) if len(piece))


def _groups(bands: np.ndarray, low: np.ndarray, ctx: Context) -> np.ndarray:
    """Components of the pairs that share a band uint32 (20, n) and are alike by their low bits uint8 (n, 120)."""
    group = np.arange(low.shape[0], dtype=np.int32)
    for at, keys in enumerate(bands):
        ctx.progress(at, len(bands), phase="near-copies")
        one, two = _pairs(np.asarray(keys))
        new = group[one] != group[two]  # what is linked already need not be compared
        one, two = one[new], two[new]
        linked = np.zeros(len(one), bool)
        for start in range(0, len(one), _PAIRS):
            ctx.progress(at, len(bands), phase="near-copies")
            some = slice(start, start + _PAIRS)
            linked[some] = minhash.alike(low[one[some]], low[two[some]]) >= THRESHOLD
        if linked.any():
            ends = group[one[linked]], group[two[linked]]
            links = coo_matrix((np.ones(len(ends[0]), bool), ends), (len(group), len(group)))
            group = connected_components(links, directed=False)[1].astype(np.int32)[group]
    return group


def _pairs(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Documents with an equal key: each with the first of them, and with the one before it."""
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    starts = np.flatnonzero(np.append(True, ~same)) if len(keys) else np.empty(0, np.int64)
    heads = order[np.repeat(starts, np.diff(np.append(starts, len(keys))))]
    later = np.flatnonzero(same) + 1
    before, head = order[later - 1], heads[later]
    apart = before != head
    return np.concatenate([head, before[apart]]), np.concatenate([order[later], order[later][apart]])
