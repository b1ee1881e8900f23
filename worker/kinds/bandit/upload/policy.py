"""Uploaded policies: what may be given for the logging policy, target policies and scores, read and checked.

Dense npz (n, A); CSR npz `data, indices, indptr, shape`; either with one row a distinct context and `index` (n,); a
long table `round, action, prob`; a two-tower scorer `weights` (d, d_e)[, `embeddings`, `bias`, `beta`, `contexts`,
`index`].
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow, pc
from worker.ingest.format import Detected
from worker.ingest.formats.arrays import Arrays, check_length
from worker.ingest.limits import Meter
from worker.ingest.table import Words, as_table, read_columns
from worker.kinds.bandit.policies import DenseTable, Policy, ScorerTable, SparseTable, Table
from worker.kinds.bandit.policy_files import compact, row_blocks
from worker.kinds.bandit.upload.actions import Actions
from worker.kinds.bandit.upload.dictionary import matrix, read_dense
from worker.kinds.bandit.upload.raw import number_words
from worker.kinds.bandit.upload.roles import PROBABILITY_NAMES, policy_schema

SUM_TOLERANCE = 1e-4

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
    columns: Arrow | None = None  # ids of its columns, where it names them; heeded for policies without a log alone


def read_arrays(name: str, arrays: Arrays) -> RawPolicy:
    """A policy from an npz."""
    names = set(arrays.shapes)
    parts: dict[str, Any] = {}
    if "index" in names:
        parts["index"] = arrays.read("index", np.int32)
    ids = arrays.find("action_ids", dimensions=(1,))
    found = _read_numbers(name, arrays, parts)
    return replace(found, columns=arrays.words(ids)) if ids and found.form != "long" else found


def _read_numbers(name: str, arrays: Arrays, parts: dict[str, Any]) -> RawPolicy:
    names = set(arrays.shapes)
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
    column = arrays.find(*PROBABILITY_NAMES, dimensions=(1,))
    lengths = {arrays.shapes[part] for part in ("round", "action", column) if part}
    if len(lengths) != 1:
        raise JobError("invalid_input", f"The arrays of {arrays.source.name} differ in length.", pointer="/files")
    check_length(next(iter(lengths))[0], arrays.meter, arrays.source.name)
    parts = {"row": arrays.read("round", np.int64)} | ({"data": arrays.read(column, np.float64)} if column else {})
    return RawPolicy(name, "long", parts, None, number_words(arrays.words("action")))


def read_table(name: str, detected: Detected, meter: Meter, *, round_ids: bool, support: bool = False) -> RawPolicy:
    """A policy from a long table; `round_ids`: rounds go by the ids of the log's round column, else by number."""
    schema = policy_schema(round_ids=round_ids, support=support)
    found = read_columns([as_table(detected, {}, schema)], meter)
    parts = {"row": found.numbers["round"]} if "round" in found.numbers else {}
    if "probability" in found.numbers:
        parts["data"] = found.numbers["probability"]
    return RawPolicy(name, "long", parts, None, found.words["action"], found.words.get("round"))


@dataclass(frozen=True)
class ActionsAndContexts:
    """What an uploaded policy is read against: the log's rounds, their ids, actions, contexts and embeddings."""

    n: int
    actions: Actions
    rounds: Words | None = None
    contexts: NDArray[np.float32] | None = None
    context_index: NDArray[np.int32] | None = None
    embeddings: NDArray[np.float32] | None = None


def pairs(raw: RawPolicy, known: ActionsAndContexts) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Row and action of every line of a long table, both in range."""
    assert raw.action is not None  # noqa: S101 - long tables have actions
    action = known.actions.codes(raw.action, raw.name)
    if raw.round is not None and known.rounds is not None:
        last = np.full(len(known.rounds.words), -1, np.int64)
        last[known.rounds.codes] = np.arange(known.n)
        place = pc.fill_null(pc.index_in(raw.round.words, known.rounds.words), -1).to_numpy(zero_copy_only=False)
        row = np.where(place >= 0, last[place], -1)[raw.round.codes]
    else:
        values = np.asarray(raw.arrays["row"])
        row = np.where(np.isfinite(values) & (np.floor(values) == values), values, -1).astype(np.int64)
    if len(row) and (row.min() < 0 or row.max() >= known.n):
        at = int(np.argmax((row < 0) | (row >= known.n))) + 1
        raise JobError(
            "invalid_input",
            f"Row {at:,} of {raw.name} names no round of the log.",
            hint=f"Rounds are 0 to {known.n - 1:,} in the order of the log, or the ids of its column round.",
            pointer="/files",
        )
    return row, action


def table_of(raw: RawPolicy, known: ActionsAndContexts) -> tuple[Table, NDArray[np.int32] | None]:
    """The numbers of an uploaded policy or score table as they are, and the row of every round."""
    if raw.form == "scorer":
        return _scorer(raw, known)
    if raw.form == "long":
        row, action = pairs(raw, known)
        key = row * known.actions.n + action
        order = slice(None) if (np.diff(key) > 0).all() else np.argsort(key, kind="stable")
        key = key[order]
        if (np.diff(key) == 0).any():
            raise JobError("invalid_input", f"{raw.name} has two lines for one round and action.", pointer="/files")
        indptr = np.zeros(known.n + 1, np.int32)
        np.cumsum(np.bincount(row, minlength=known.n), out=indptr[1:])
        entries = sparse.csr_array((raw.arrays["data"][order], action[order], indptr), (known.n, known.actions.n))
        return SparseTable(entries), None
    if raw.form == "csr":
        parts = (raw.arrays["data"], raw.arrays["indices"], raw.arrays["indptr"])
        entries: Any = sparse.csr_array(parts, (len(raw.arrays["indptr"]) - 1, known.actions.n))
        entries.sort_indices()
        steps = np.diff(entries.indices)
        ends = entries.indptr[1:-1]
        steps[ends[(ends > 0) & (ends < len(entries.indices))] - 1] = 1
        if (steps == 0).any():
            raise JobError("invalid_input", f"{raw.name} names an action twice in one row.", pointer="/files")
        return SparseTable(entries), _index(raw, entries.shape[0], known)
    return DenseTable(raw.arrays["table"]), _index(raw, len(raw.arrays["table"]), known)


def _index(raw: RawPolicy, rows: int, known: ActionsAndContexts) -> NDArray[np.int32] | None:
    index = raw.arrays.get("index")
    if index is None:
        if rows == known.n:
            return None
        if rows == 1:
            return np.zeros(known.n, np.int32)
        raise JobError(
            "invalid_input",
            f"{raw.name} has {rows:,} rows for {known.n:,} rounds.",
            hint="Give one row a round, or an array `index` (n,) with the row of every round.",
            pointer="/files",
        )
    if index.shape != (known.n,) or (len(index) and (index.min() < 0 or index.max() >= rows)):
        raise JobError(
            "invalid_input", f"The index of {raw.name} does not name a row for every round.", pointer="/files"
        )
    return index


def _scorer(raw: RawPolicy, known: ActionsAndContexts) -> tuple[Table, NDArray[np.int32] | None]:
    weights = raw.arrays["weights"]
    embeddings = raw.arrays.get("embeddings", known.embeddings)
    contexts, index = raw.arrays.get("contexts"), None
    if contexts is None:
        contexts, index = known.contexts, known.context_index
    else:
        index = _index(raw, len(contexts), known)
    bias = raw.arrays.get("bias")
    fits = embeddings is not None and contexts is not None and weights.shape == (contexts.shape[1], embeddings.shape[1])
    if not fits or (bias is not None and bias.shape != (known.actions.n,)):
        raise JobError(
            "invalid_input",
            f"The scorer {raw.name} has weights {weights.shape}, which do not lead from its contexts "
            f"{getattr(contexts, 'shape', None)} to its embeddings {getattr(embeddings, 'shape', None)}.",
            hint="weights is (context columns, embedding columns); upload contexts and embeddings with it.",
            pointer="/files",
        )
    return ScorerTable(contexts, weights, embeddings, bias, raw.arrays.get("beta", 1.0)), index


def as_policy(raw: RawPolicy, known: ActionsAndContexts, *, renormalise: bool = False) -> tuple[Policy, bool]:
    """A checked policy with equal rows stored once, and whether rows were rescaled.

    Raises `policy_not_normalised` where a probability is outside [0, 1] or a row does not sum to one.
    """
    table, index = table_of(raw, known)
    if isinstance(table, ScorerTable):
        return Policy(table, index), False
    values = table.values if isinstance(table, DenseTable) else table.entries.data
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
    for rows, part in row_blocks(table.entries.indptr):
        starts = table.entries.indptr[rows] - part.start
        some = np.diff(table.entries.indptr[rows.start : rows.stop + 1]) > 0
        if some.any():
            sums[rows][some] = np.add.reduceat(table.entries.data[part].astype(np.float64), starts[some])
    return sums


def _scaled(table: Table, factor: NDArray[np.float64]) -> Table:
    if isinstance(table, DenseTable):
        return DenseTable((table.values * factor[:, None]).astype(table.values.dtype))
    assert isinstance(table, SparseTable)  # noqa: S101
    entries = table.entries.copy()
    entries.data = (entries.data * np.repeat(factor, np.diff(entries.indptr))).astype(entries.data.dtype)
    return SparseTable(entries)
