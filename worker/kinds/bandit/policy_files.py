"""Policies in files: what may be uploaded for the logging policy, target policies and scores; and their stored form.

Uploaded: dense npz (n, A); CSR npz `data, indices, indptr, shape`; either with one row a distinct context and `index`
(n,); a long table `round, action, prob`; a two-tower scorer `weights` (d, d_e)[, `embeddings`, `bias`, `beta`,
`contexts`, `index`]. Stored: one .npy an array, which loads by mapping.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute
from numpy.typing import NDArray
from scipy import sparse

from worker.ingest.detected import Detected
from worker.ingest.limits import Meter
from worker.kinds.bandit.policies import DenseTable, Policy, ScorerTable, SparseTable, Table
from worker.kinds.bandit.upload.actions import Actions
from worker.kinds.bandit.upload.arrays import Arrays, check_length
from worker.kinds.bandit.upload.dictionary import matrix, read_dense
from worker.kinds.bandit.upload.features import distinct_rows
from worker.kinds.bandit.upload.tables import Columns, Words, read_columns, roles_of
from worker.runtime.errors import JobError

pc: Any = pyarrow.compute  # its functions are made at run time, unknown to type checkers

SUM_TOLERANCE = 1e-4
_FEW = 0.25  # share of non-zero probabilities up to which a dense table is stored sparse
_MAPPED_FROM = 1 << 16  # bytes
_ENTRIES = 1 << 21  # of a sparse policy looked at in one go
_NAMES = {
    "round": ("round", "round_id", "row", "i"),
    "action": ("action", "item_id", "a", "arm", "action_id"),
    "probability": ("prob", "probability", "p", "pi", "propensity", "score", "value"),
}
_TABLE_NAMES = ("probabilities", "policy", "pi", "pi_b", "action_dist", "table", "values", "scores", "arr_0")


@dataclass
class RawPolicy:
    """A policy, a table of scores or a support as uploaded. `form`: dense, csr, long or scorer; `arrays`: its parts."""

    name: str
    form: str
    arrays: dict[str, Any]
    width: int | None = None  # actions it has, where it goes by position
    action: Words | None = None  # of a long table
    round: Words | None = None


def read_arrays(name: str, arrays: Arrays) -> RawPolicy:
    """A policy from an npz."""
    names = set(arrays.shapes)
    parts: dict[str, Any] = {}
    if "index" in names:
        parts["index"] = arrays.read("index", np.int32)
    if {"data", "indices", "indptr", "shape"} <= names:
        return _read_csr(name, arrays, parts)
    if "weights" in names and len(arrays.shapes["weights"]) == 2:
        for part in ("weights", "embeddings", "contexts"):
            if part in names:
                parts[part] = matrix(arrays, part)
        if "bias" in names:
            parts["bias"] = arrays.read("bias", np.float32)
        if "beta" in names:
            parts["beta"] = float(arrays.read("beta", np.float64).reshape(-1)[0])
        return RawPolicy(name, "scorer", parts, len(parts["embeddings"]) if "embeddings" in parts else None)
    if {"round", "action"} <= names:
        return _read_long_arrays(name, arrays)
    table = arrays.find(*_TABLE_NAMES, dimensions=(2, 3)) or next(
        (found for found, shape in arrays.shapes.items() if len(shape) in (2, 3)), ""
    )
    if not table:
        raise JobError(
            "invalid_input",
            f"{arrays.source.name} holds no policy. Arrays: {', '.join(list(arrays.shapes)[:20])}.",
            hint="Save `probabilities` (n, A), or data, indices, indptr and shape, or round, action and prob.",
            pointer="/files",
        )
    parts["table"] = read_dense(arrays, table, None)
    return RawPolicy(name, "dense", parts, parts["table"].shape[1])


def _read_csr(name: str, arrays: Arrays, parts: dict[str, Any]) -> RawPolicy:
    rows, width = (int(size) for size in arrays.read("shape", np.int64).reshape(-1)[:2])
    if arrays.shapes["indptr"] != (rows + 1,) or arrays.shapes["indices"] != arrays.shapes["data"] or width < 1:
        raise _unfit(arrays.source.name)
    if "format" in arrays.shapes and arrays.word("format") != "csr":
        raise JobError("unsupported", f"{arrays.source.name} is not CSR.", hint="Save it with `matrix.tocsr()`.")
    check_length(rows, arrays.meter, arrays.source.name)
    check_length(arrays.shapes["data"][0], arrays.meter, arrays.source.name)
    indptr = arrays.read("indptr", np.int64)
    nnz = arrays.shapes["data"][0]
    if indptr[0] != 0 or indptr[-1] != nnz or (np.diff(indptr) < 0).any():
        raise _unfit(arrays.source.name)
    parts["indices"] = arrays.read("indices", np.int32)
    if nnz and (parts["indices"].min() < 0 or parts["indices"].max() >= width):
        raise JobError(
            "action_out_of_range", f"{arrays.source.name} has a column outside its {width:,} actions.", pointer="/files"
        )
    exact = nnz * 8 <= 64_000_000 and arrays.kinds["data"] == "f"
    parts["data"] = arrays.read("data", np.float64 if exact else np.float32)
    parts["indptr"] = indptr.astype(np.int32) if nnz < 2**31 else indptr
    return RawPolicy(name, "csr", parts, width)


def _unfit(where: str) -> JobError:
    return JobError(
        "invalid_input", f"data, indices, indptr and shape of {where} do not fit together.", pointer="/files"
    )


def _read_long_arrays(name: str, arrays: Arrays) -> RawPolicy:
    from worker.kinds.bandit.upload.raw import number_words

    column = arrays.find(*_NAMES["probability"], dimensions=(1,))
    lengths = {arrays.shapes[part] for part in ("round", "action", column) if part}
    if len(lengths) != 1:
        raise JobError("invalid_input", f"The arrays of {arrays.source.name} differ in length.", pointer="/files")
    check_length(next(iter(lengths))[0], arrays.meter, arrays.source.name)
    parts = {"row": arrays.read("round", np.int64)} | ({"data": arrays.read(column, np.float64)} if column else {})
    return RawPolicy(name, "long", parts, None, number_words(arrays.words("action")))


def read_table(name: str, detected: Detected, meter: Meter, *, round_ids: bool, support: bool = False) -> RawPolicy:
    """A policy from a long table; `round_ids`: rounds go by the ids of the log's round column, else by number."""
    required = ("round", "action") if support else ("round", "action", "probability")
    roles = roles_of(detected, {}, required, _NAMES)
    roles = {role: column for role, column in roles.items() if role in required}
    contents = {"round": "id" if round_ids else "number", "action": "id", "probability": "number"}
    found: Columns = read_columns([(detected, roles)], {role: contents[role] for role in roles}, meter)  # type: ignore[misc]
    parts = {"row": found.numbers["round"]} if "round" in found.numbers else {}
    if "probability" in found.numbers:
        parts["data"] = found.numbers["probability"]
    return RawPolicy(name, "long", parts, None, found.words["action"], found.words.get("round"))


@dataclass(frozen=True)
class Surroundings:
    """What an uploaded policy is read against: the log's rounds, their ids, actions, contexts and embeddings."""

    n: int
    actions: Actions
    rounds: Words | None = None
    contexts: NDArray[np.float32] | None = None
    context_index: NDArray[np.int32] | None = None
    embeddings: NDArray[np.float32] | None = None


def pairs(raw: RawPolicy, around: Surroundings) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Row and action of every line of a long table, both in range."""
    assert raw.action is not None  # noqa: S101 - long tables have actions
    action = around.actions.codes(raw.action, raw.name)
    if raw.round is not None and around.rounds is not None:
        known = np.full(len(around.rounds.words), -1, np.int64)
        known[around.rounds.codes] = np.arange(around.n)
        place = pc.fill_null(pc.index_in(raw.round.words, around.rounds.words), -1).to_numpy(zero_copy_only=False)
        row = np.where(place >= 0, known[place], -1)[raw.round.codes]
    else:
        values = np.asarray(raw.arrays["row"])
        row = np.where(np.isfinite(values) & (np.floor(values) == values), values, -1).astype(np.int64)
    if len(row) and (row.min() < 0 or row.max() >= around.n):
        at = int(np.argmax((row < 0) | (row >= around.n))) + 1
        raise JobError(
            "invalid_input",
            f"Row {at:,} of {raw.name} names no round of the log.",
            hint=f"Rounds are 0 to {around.n - 1:,} in the order of the log, or the ids of its column round.",
            pointer="/files",
        )
    return row, action


def table_of(raw: RawPolicy, around: Surroundings) -> tuple[Table, NDArray[np.int32] | None]:
    """The numbers of an uploaded policy or score table as they are, and the row of every round."""
    if raw.form == "scorer":
        return _scorer(raw, around)
    if raw.form == "long":
        row, action = pairs(raw, around)
        key = row * around.actions.n + action
        order = slice(None) if (np.diff(key) > 0).all() else np.argsort(key, kind="stable")
        key = key[order]
        if (np.diff(key) == 0).any():
            raise JobError("invalid_input", f"{raw.name} has two lines for one round and action.", pointer="/files")
        indptr = np.zeros(around.n + 1, np.int32)
        np.cumsum(np.bincount(row, minlength=around.n), out=indptr[1:])
        entries = sparse.csr_array((raw.arrays["data"][order], action[order], indptr), (around.n, around.actions.n))
        return SparseTable(entries), None
    if raw.form == "csr":
        parts = (raw.arrays["data"], raw.arrays["indices"], raw.arrays["indptr"])
        entries: Any = sparse.csr_array(parts, (len(raw.arrays["indptr"]) - 1, around.actions.n))
        entries.sort_indices()
        steps = np.diff(entries.indices)
        ends = entries.indptr[1:-1]
        steps[ends[(ends > 0) & (ends < len(entries.indices))] - 1] = 1
        if (steps == 0).any():
            raise JobError("invalid_input", f"{raw.name} names an action twice in one row.", pointer="/files")
        return SparseTable(entries), _index(raw, entries.shape[0], around)
    return DenseTable(raw.arrays["table"]), _index(raw, len(raw.arrays["table"]), around)


def _index(raw: RawPolicy, rows: int, around: Surroundings) -> NDArray[np.int32] | None:
    index = raw.arrays.get("index")
    if index is None:
        if rows == around.n:
            return None
        if rows == 1:
            return np.zeros(around.n, np.int32)
        raise JobError(
            "invalid_input",
            f"{raw.name} has {rows:,} rows for {around.n:,} rounds.",
            hint="Give one row a round, or an array `index` (n,) with the row of every round.",
            pointer="/files",
        )
    if index.shape != (around.n,) or (len(index) and (index.min() < 0 or index.max() >= rows)):
        raise JobError(
            "invalid_input", f"The index of {raw.name} does not name a row for every round.", pointer="/files"
        )
    return index


def _scorer(raw: RawPolicy, around: Surroundings) -> tuple[Table, NDArray[np.int32] | None]:
    weights = raw.arrays["weights"]
    embeddings = raw.arrays.get("embeddings", around.embeddings)
    contexts, index = raw.arrays.get("contexts"), None
    if contexts is None:
        contexts, index = around.contexts, around.context_index
    else:
        index = _index(raw, len(contexts), around)
    bias = raw.arrays.get("bias")
    fits = embeddings is not None and contexts is not None and weights.shape == (contexts.shape[1], embeddings.shape[1])
    if not fits or (bias is not None and bias.shape != (around.actions.n,)):
        raise JobError(
            "invalid_input",
            f"The scorer {raw.name} has weights {weights.shape}, which do not lead from its contexts "
            f"{getattr(contexts, 'shape', None)} to its embeddings {getattr(embeddings, 'shape', None)}.",
            hint="weights is (context columns, embedding columns); upload contexts and embeddings with it.",
            pointer="/files",
        )
    return ScorerTable(contexts, weights, embeddings, bias, raw.arrays.get("beta", 1.0)), index  # type: ignore[arg-type]


def as_policy(raw: RawPolicy, around: Surroundings, *, renormalise: bool = False) -> tuple[Policy, bool]:
    """A checked policy with equal rows stored once, and whether rows were rescaled.

    Raises `policy_not_normalised` where a probability is outside [0, 1] or a row does not sum to one.
    """
    table, index = table_of(raw, around)
    if isinstance(table, ScorerTable):
        return Policy(table, index), False
    values = table.values if isinstance(table, DenseTable) else table.entries.data  # type: ignore[union-attr]
    sums = _sums(table)
    if not np.isfinite(sums).all() or (values.size and values.min() < 0):
        raise JobError(
            "policy_not_normalised",
            f"{raw.name} holds probabilities that are negative, NaN or infinite.",
            hint="Scores are uploaded as target_scores; a policy holds probabilities.",
            pointer="/files",
        )
    off = np.abs(sums - 1)
    if off.max(initial=0) > SUM_TOLERANCE:
        worst = int(np.argmax(off))
        if not renormalise or (sums <= 0).any():
            worst = int(np.argmin(sums)) if renormalise else worst
            raise JobError(
                "policy_not_normalised",
                f"Row {worst:,} of {raw.name} sums to {sums[worst]:.6g}, not 1 ({int((off > SUM_TOLERANCE).sum()):,} "
                "such rows).",
                hint="Correct it, or set renormalise; a row without any probability cannot be rescaled.",
                pointer="/options/renormalise",
            )
        table = _scaled(table, 1 / sums)
    return compact(Policy(table, index)), bool(off.max(initial=0) > SUM_TOLERANCE)


def _sums(table: Table) -> NDArray[np.float64]:
    if isinstance(table, DenseTable):
        return table.values.sum(axis=1, dtype=np.float64)
    assert isinstance(table, SparseTable)  # noqa: S101 - the only other stored form
    sums = np.zeros(table.n_rows)
    for rows, part in _row_blocks(table.entries.indptr):
        starts = table.entries.indptr[rows] - part.start
        some = np.diff(table.entries.indptr[rows.start : rows.stop + 1]) > 0
        if some.any():
            sums[rows][some] = np.add.reduceat(table.entries.data[part].astype(np.float64), starts[some])
    return sums


def _row_blocks(indptr: NDArray[np.integer]) -> Iterator[tuple[slice, slice]]:
    """(rows, entries) in blocks of a few million entries, so that temporary arrays stay small."""
    start = 0
    while start < len(indptr) - 1:
        stop = max(start + 1, int(np.searchsorted(indptr, indptr[start] + _ENTRIES, side="right")) - 1)
        yield slice(start, stop), slice(int(indptr[start]), int(indptr[stop]))
        start = stop


def _scaled(table: Table, factor: NDArray[np.float64]) -> Table:
    if isinstance(table, DenseTable):
        return DenseTable((table.values * factor[:, None]).astype(table.values.dtype))
    assert isinstance(table, SparseTable)  # noqa: S101
    entries = table.entries.copy()
    entries.data = (entries.data * np.repeat(factor, np.diff(entries.indptr))).astype(entries.data.dtype)
    return SparseTable(entries)


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
    """Rows that give most actions the same least probability (epsilon-greedy, uniform) as that and what lies above."""
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
    for some, part in _row_blocks(entries.indptr):
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
    told = json.loads((folder / "policy.json").read_text())
    arrays = {path.stem: load_array(path) for path in sorted(folder.glob("*.npy"))}
    index = arrays.get("index")
    if told["form"] == "dense":
        table: Table = DenseTable(arrays["table"])
    elif told["form"] == "csr":
        parts = (arrays["data"], arrays["indices"], arrays["indptr"])
        table = SparseTable(sparse.csr_array(parts, (told["rows"], told["actions"]), copy=False), arrays.get("floor"))
    else:
        table = ScorerTable(
            arrays["contexts"], arrays["weights"], arrays["embeddings"], arrays.get("bias"), told["beta"]
        )
    if table.n_rows != told["rows"] or table.n_actions != told["actions"]:
        raise JobError("invalid_input", f"The stored policy {folder.name} does not have the shape it says.")
    return Policy(table, index)
