"""The stored form of policies: as small as it can be, one .npy an array, which loads by mapping."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.bandit.policies import DenseTable, Policy, ScorerTable, SparseTable, Table
from worker.numerics.distinct import distinct_rows

_FEW = 0.25  # share of non-zero probabilities up to which a dense table is stored sparse
_MAPPED_FROM = 1 << 16  # bytes
_ENTRIES = 1 << 21  # of a sparse policy looked at in one go


def row_blocks(indptr: NDArray[np.integer]) -> Iterator[tuple[slice, slice]]:
    """(rows, entries) in blocks of a few million entries, so that temporary arrays stay small."""
    start = 0
    while start < len(indptr) - 1:
        stop = max(start + 1, int(np.searchsorted(indptr, indptr[start] + _ENTRIES, side="right")) - 1)
        yield slice(start, stop), slice(int(indptr[start]), int(indptr[stop]))
        start = stop


def compact(policy: Policy) -> Policy:
    """The same policy in its smaller form: few probabilities a row sparse, equal rows once."""
    table, index = policy.table, policy.index
    if isinstance(table, DenseTable):
        if table.values.size and np.count_nonzero(table.values) <= _FEW * table.values.size:
            return compact(Policy(SparseTable(sparse.csr_array(table.values)), index))
        if index is None:
            first, back = distinct_rows(table.values)
            if len(first) <= 0.8 * table.n_rows:
                table, index = DenseTable(np.ascontiguousarray(table.values[first])), back
        above = _above_floor(table.values)
        return Policy(table if above is None else above, index)
    if isinstance(table, SparseTable) and index is None and table.floor is None and table.n_rows:
        first, back = _distinct_sparse(table.entries)
        if len(first) <= 0.8 * table.n_rows:
            return Policy(SparseTable(table.entries[first]), back)
    return policy


def _above_floor(values: NDArray[np.floating]) -> SparseTable | None:
    """Rows that give most actions the same least probability (epsilon-greedy, uniform): it and what exceeds it."""
    if not values.size:
        return None
    floor = values.min(axis=1)
    few = _FEW * values.size
    sample = slice(0, len(values), max(1, len(values) // 100))
    if np.count_nonzero(values[sample] > floor[sample, None]) > _FEW * values[sample].size:
        return None
    above = values > floor[:, None]
    if np.count_nonzero(above) > few:
        return None
    row, action = np.nonzero(above)
    entries = sparse.csr_array((values[row, action] - floor[row], (row, action.astype(np.int32))), values.shape)
    return SparseTable(entries, floor)


def _distinct_sparse(entries: sparse.csr_array) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """First row of every distinct row, and the distinct row of every row; rows that may collide stay apart."""
    counts = np.diff(entries.indptr)
    bits = np.ascontiguousarray(entries.data).view(np.uint32 if entries.data.itemsize == 4 else np.uint64)
    rows = counts.astype(np.uint64)
    for some, part in row_blocks(entries.indptr):
        key = bits[part].astype(np.uint64) ^ np.uint64(0x5851F42D4C957F2D)
        key *= (entries.indices[part].astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(key, dtype=np.uint64)])
        bounds = entries.indptr[some.start : some.stop + 1] - part.start
        rows[some] += sums[bounds[1:]] - sums[bounds[:-1]]
    _, first, back = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    first, back = first[order], rank[back]
    if len(first) > 0.8 * len(rows) or not np.array_equal(counts, counts[first[back]]):
        return np.arange(len(rows)), np.arange(len(rows), dtype=np.int32)
    at = np.arange(entries.nnz) - np.repeat(entries.indptr[:-1] - entries.indptr[first[back]], counts)
    same = np.array_equal(entries.indices, entries.indices[at]) and np.array_equal(entries.data, entries.data[at])
    return (first, back) if same else (np.arange(len(rows)), np.arange(len(rows), dtype=np.int32))


def write_policy(policy: Policy, folder: Path) -> dict[str, Any]:
    """Store a policy as arrays in `folder`; returns its form for the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    table = policy.table
    arrays: dict[str, Any] = {"index": policy.index}
    beta = 1.0
    if isinstance(table, DenseTable):
        form, arrays["table"] = "dense", table.values
    elif isinstance(table, SparseTable):
        entries = table.entries
        form = "csr"
        arrays |= {"data": entries.data, "indices": entries.indices, "indptr": entries.indptr, "floor": table.floor}
    elif isinstance(table, ScorerTable):
        form, beta = "scorer", table.beta
        arrays |= {
            "contexts": table.contexts,
            "weights": table.weights,
            "embeddings": table.embeddings,
            "bias": table.bias,
        }
    else:
        raise TypeError(f"no stored form for {type(table).__name__}")
    for name, values in arrays.items():
        if values is not None:
            np.save(folder / f"{name}.npy", np.ascontiguousarray(values), allow_pickle=False)
    (folder / "policy.json").write_text(
        json.dumps({"form": form, "actions": table.n_actions, "rows": table.n_rows, "beta": beta}, sort_keys=True)
    )
    return {"form": form, "rows": table.n_rows, "grouped": policy.index is not None}


def load_array(path: Path) -> NDArray[Any]:
    """A stored array; a large one is mapped, so that only the pages that are used take memory."""
    return np.load(path, mmap_mode="r" if path.stat().st_size > _MAPPED_FROM else None, allow_pickle=False)


def read_policy(folder: Path) -> Policy:
    """A policy as `write_policy` stored it; arrays are mapped, not read."""
    about = json.loads((folder / "policy.json").read_text())
    arrays = {path.stem: load_array(path) for path in sorted(folder.glob("*.npy"))}
    index = arrays.get("index")
    if about["form"] == "dense":
        table: Table = DenseTable(arrays["table"])
    elif about["form"] == "csr":
        parts = (arrays["data"], arrays["indices"], arrays["indptr"])
        table = SparseTable(sparse.csr_array(parts, (about["rows"], about["actions"]), copy=False), arrays.get("floor"))
    else:
        table = ScorerTable(
            arrays["contexts"], arrays["weights"], arrays["embeddings"], arrays.get("bias"), about["beta"]
        )
    if table.n_rows != about["rows"] or table.n_actions != about["actions"]:
        raise JobError("invalid_input", f"The stored policy {folder.name} does not have the shape it says.")
    return Policy(table, index)
