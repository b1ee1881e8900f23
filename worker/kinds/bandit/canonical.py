"""The files of a dataset version: rounds in Parquet, everything wide as mapped arrays, a manifest in JSON.

    rounds.parquet            action, reward, propensity, split[, context, user, position, timestamp, weight]
                              [, guardrails:NAME...][, segments:NAME..., numbers into the words that log.json lists]
    contexts.npy              (U, d) float32; column `context` is the row of a round, absent when round i has row i
    actions.parquet           action_id, where ids are not the numbers 0..A-1
    embeddings.npy            (A, d_e) float32;  hierarchy.npy (levels, A) int32
    truth.npy, truth_index.npy   expected rewards of a simulated log
    support/                  indices, indptr, everything, index: the supported actions where only they are known
    policies/logging/, policies/target-NAME/   see `policy_files.write_policy`
    log.json                  sizes, names, bounds, where the propensities come from, warnings

Arrays are .npy without pickles, so that loading maps them and a process holds only the pages it reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import TEST, TRAIN, VALIDATION, BanditLog, Segments
from worker.kinds.bandit.policies import Policy, SparseTable, narrow
from worker.kinds.bandit.policy_files import load_array, read_policy, write_policy
from worker.kinds.bandit.support import Support
from worker.kinds.bandit.truth import Truth

MANIFEST, ROUNDS, ACTIONS = "log.json", "rounds.parquet", "actions.parquet"
SPLITS = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}
_GUARDRAILS, _SEGMENTS = "guardrails:", "segments:"
_LOGGING, _TARGET = "logging", "target-"
_COLUMNS = ("action", "reward", "propensity", "context", "user", "position", "timestamp", "weight", "split")


def write(log: BanditLog, folder: Path, extra: Mapping[str, Any] | None = None) -> None:
    """Write a log; `extra`: more for the manifest (`propensity_source`, `context_features`, `options`...).

    The same log gives the same bytes.
    """
    columns = {name: getattr(log, name, None) for name in _COLUMNS}
    columns["context"] = log.context_index
    columns["split"] = np.zeros(log.n, np.int8) if log.split is None else log.split
    columns |= {f"{_GUARDRAILS}{name}": values for name, values in log.guardrails.items()}
    columns |= {f"{_SEGMENTS}{name}": one.code for name, one in log.segments.items()}
    table = pa.table({name: pa.array(values) for name, values in columns.items() if values is not None})
    parquet.write_table(table, folder / ROUNDS, compression="zstd")
    if log.action_ids is not None:
        parquet.write_table(pa.table({"action_id": pa.array(log.action_ids, pa.string())}), folder / ACTIONS)
    truth = log.truth
    arrays = {
        "contexts": log.contexts,
        "embeddings": log.embeddings,
        "hierarchy": log.hierarchy,
        "truth": None if truth is None else truth.values,
        "truth_index": None if truth is None else truth.index,
    }
    _save(folder, arrays)
    if log.support is not None:
        (folder / "support").mkdir()
        entries = log.support.entries
        _save(
            folder / "support",
            {
                "indices": entries.indices.astype(np.int32),
                "indptr": entries.indptr,
                "everything": log.support.everything,
                "index": log.support.index,
            },
        )
    policies = ({_LOGGING: log.logging} if log.logging is not None else {}) | {
        _TARGET + name: policy for name, policy in sorted(log.targets.items())
    }
    known = "estimated" if log.estimated else "attested" if log.attested else None
    source: dict[str, Any] = {} if known is None else {"propensity_source": known}
    if log.first_action:
        source["first_action"] = log.first_action
    words = {"segments": {name: list(one.words) for name, one in log.segments.items()}} if log.segments else {}
    manifest = (
        source
        | words
        | dict(extra or {})
        | {
            "rounds": log.n,
            "actions": log.n_actions,
            "reward_range": log.reward_range,
            "warnings": list(log.warnings),
            "policies": {
                name: write_policy(narrow(policy), folder / "policies" / name) for name, policy in policies.items()
            },
        }
    )
    (folder / MANIFEST).write_text(json.dumps(manifest, sort_keys=True, indent=1) + "\n")


def _save(folder: Path, arrays: Mapping[str, NDArray[Any] | None]) -> None:
    for name, values in arrays.items():
        if values is not None:
            np.save(folder / f"{name}.npy", np.ascontiguousarray(values), allow_pickle=False)


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a version."""
    return json.loads((folder / MANIFEST).read_text())


def load(folder: Path) -> BanditLog:
    """The log from its files; wide arrays are mapped. Raises `invalid_input` when the files do not fit together."""
    about = manifest(folder)
    table = parquet.read_table(folder / ROUNDS)
    columns: dict[str, Any] = {name: table[name].to_numpy() for name in table.column_names}
    context = columns.pop("context", None)
    guardrails, segments = (_taken(columns, prefix) for prefix in (_GUARDRAILS, _SEGMENTS))
    truth = _mapped(folder / "truth.npy")
    ids = parquet.read_table(folder / ACTIONS)["action_id"].to_pylist() if (folder / ACTIONS).exists() else None
    policies = {name: read_policy(folder / "policies" / name) for name in about["policies"]}
    bounds = about["reward_range"]
    log = BanditLog(
        **columns,
        n_actions=about["actions"],
        contexts=_need(folder, "contexts"),
        context_index=context,
        logging=policies.get(_LOGGING),
        targets={n.removeprefix(_TARGET): p for n, p in policies.items() if n.startswith(_TARGET)},
        embeddings=_mapped(folder / "embeddings.npy"),
        hierarchy=_mapped(folder / "hierarchy.npy"),
        reward_range=None if bounds is None else (bounds[0], bounds[1]),
        action_ids=None if ids is None else np.asarray(ids, dtype=str),
        warnings=tuple(about["warnings"]),
        support=_support(folder / "support", about["actions"]),
        first_action=about.get("first_action", 0),
        estimated=about.get("propensity_source") == "estimated",
        attested=about.get("propensity_source") == "attested",
        guardrails=guardrails,
        segments={name: Segments(code, tuple(about["segments"][name])) for name, code in segments.items()},
        truth=None if truth is None else Truth(truth, _mapped(folder / "truth_index.npy")),
    )
    _check(log, about)
    return log


def _taken(columns: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The columns whose name begins so, by the rest of it; they leave the others."""
    return {name.removeprefix(prefix): columns.pop(name) for name in list(columns) if name.startswith(prefix)}


def _support(folder: Path, n_actions: int) -> Support | None:
    if not folder.exists():
        return None
    indices, indptr, everything = (_need(folder, name) for name in ("indices", "indptr", "everything"))
    shape = (len(indptr) - 1, n_actions)
    entries = sparse.csr_array((np.ones(len(indices), bool), indices, indptr), shape)
    return Support(entries, everything, _mapped(folder / "index.npy"))


def _need(folder: Path, name: str) -> NDArray[Any]:
    found = _mapped(folder / f"{name}.npy")
    if found is None:
        raise JobError("invalid_input", f"The version lacks {name}.npy.")
    return found


def _mapped(path: Path) -> NDArray[Any] | None:
    if not path.exists():
        return None
    return load_array(path)


def _check(log: BanditLog, about: Mapping[str, Any]) -> None:
    """Shapes and ranges that cost one look; contents were checked when the version was made."""
    n, wide = log.n, log.n_actions
    policies = [p for p in (log.logging, *log.targets.values()) if p is not None]
    last = int(log.context_index.max(initial=0)) if log.context_index is not None else n - 1
    fits = (
        n == about["rounds"]
        and all(policy.n_rounds == n and policy.n_actions == wide for policy in policies)
        and (n == 0 or (log.action.min() >= 0 and int(log.action.max()) < wide))
        and last < len(log.contexts)
        and (log.embeddings is None or len(log.embeddings) == wide)
        and (log.hierarchy is None or log.hierarchy.shape[1] == wide)
        and (log.action_ids is None or len(log.action_ids) == wide)
        and (log.truth is None or (log.truth.values.shape[1] == wide and len(log.truth.rows) == n))
        and (log.support is None or len(log.support.rows) == n)
    )
    if not fits:
        raise JobError(
            "invalid_input", "The files of the version do not fit together.", hint="Commit the dataset again."
        )


def statistics(folder: Path) -> dict[str, Any]:
    """What the API shows of a version: sizes, rewards, propensities, policies, split."""
    log, about = load(folder), manifest(folder)
    counts = np.bincount(log.action, minlength=log.n_actions)
    inverse = 1 / log.propensity
    quantiles = np.quantile(log.propensity, (0, 0.01, 0.5, 1))
    split = np.zeros(log.n, np.int8) if log.split is None else log.split
    found: dict[str, Any] = {
        "rounds": log.n,
        "actions": log.n_actions,
        "actions_logged": int((counts > 0).sum()),
        "contexts": len(log.contexts),
        "context_columns": log.contexts.shape[1],
        "reward": {
            "mean": float(np.average(log.reward, weights=log.weight)),
            "min": float(log.reward.min()),
            "max": float(log.reward.max()),
            "nonzero": int(np.count_nonzero(log.reward)),
            "binary": bool(np.isin(log.reward, (0, 1)).all()),
            "declared": about["reward_range"],
        },
        "propensity": {
            "source": about.get("propensity_source", "uploaded"),
            "min": float(quantiles[0]),
            "p1": float(quantiles[1]),
            "median": float(quantiles[2]),
            "max": float(quantiles[3]),
            "mean_inverse": float(np.average(inverse, weights=log.weight)),
            "largest_share_of_inverse": float(inverse.max() / inverse.sum()),
        },
        "rounds_per_split": {name: int((split == code).sum()) for code, name in SPLITS.items()},
        "policies": {name: form | _describe(folder, name) for name, form in about["policies"].items()},
        "embedding_columns": 0 if log.embeddings is None else log.embeddings.shape[1],
        "hierarchy_groups": [] if log.hierarchy is None else [int(level.max()) + 1 for level in log.hierarchy],
        "support_known": log.support is not None or log.logging is not None,
        "options": about.get("options", {}),
    }
    if log.user is not None:
        found["users"] = int(log.user.max()) + 1
    if log.guardrails:
        found["guardrails"] = {
            name: {"mean": float(np.average(v, weights=log.weight)), "min": float(v.min()), "max": float(v.max())}
            for name, v in log.guardrails.items()
        }
    if log.segments:
        found["segments"] = {name: len(one.words) for name, one in log.segments.items()}
    if log.position is not None:
        codes, rounds = np.unique(log.position, return_counts=True)
        found["rounds_per_position"] = {str(c): int(k) for c, k in zip(codes[:50], rounds[:50], strict=True)}
    if log.timestamp is not None:
        found["time_range"] = [int(log.timestamp.min()), int(log.timestamp.max())]
    if log.weight is not None:
        found["weight_sum"] = float(log.weight.sum())
    if "true_values" in about:
        found["true_values"] = about["true_values"]
    return found


def _describe(folder: Path, name: str) -> dict[str, Any]:
    table = read_policy(folder / "policies" / name).table
    if isinstance(table, SparseTable):
        return {"entries": int(table.entries.nnz), "per_row": table.entries.nnz / max(1, table.n_rows)}
    return {}


def true_values(log: BanditLog) -> dict[str, float]:
    """The exact values, on the log's contexts, of the policies of a simulated log."""
    if log.truth is None:
        return {}
    policies: dict[str, Policy] = ({"logging": log.logging} if log.logging is not None else {}) | dict(log.targets)
    return {name: log.truth.value(policy, log.weight) for name, policy in policies.items()}


def preview(folder: Path, rows: int = 20) -> list[dict[str, Any]]:
    """The first rounds with the user's own action ids, as JSON-able dicts."""
    log, about = load(folder), manifest(folder)
    base = int(about.get("first_action", 0))
    names = about.get("context_features", [])
    shown = list[dict[str, Any]]()
    for i in range(min(rows, log.n)):
        code = int(log.action[i])
        line: dict[str, Any] = {
            "action": str(base + code) if log.action_ids is None else str(log.action_ids[code]),
            "reward": float(log.reward[i]),
            "propensity": float(log.propensity[i]),
        }
        for name in ("position", "user", "timestamp"):
            values = getattr(log, name)
            if values is not None:
                line[name] = int(values[i])
        line |= {name: float(values[i]) for name, values in log.guardrails.items()}
        line |= {name: one.words[int(one.code[i])] for name, one in log.segments.items()}
        if log.weight is not None:
            line["weight"] = float(log.weight[i])
        described = log.contexts[int(log.rows[i])][:8]
        line["context"] = {
            (names[d] if d < len(names) else str(d)): round(float(value), 6) for d, value in enumerate(described)
        }
        shown.append(line | {"split": SPLITS[0 if log.split is None else int(log.split[i])]})
    return shown


def describe(folder: Path) -> dict[str, Any]:
    """Statistics, preview and warnings of canonical files, as `ingest` returns them."""
    return {
        "statistics": statistics(folder),
        "preview": preview(folder),
        "warnings": list(manifest(folder)["warnings"]),
    }


def schema(folder: Path) -> dict[str, Any]:
    """Columns of the tables and shapes of the arrays, by file."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".parquet":
            found[name] = {field.name: str(field.type) for field in parquet.read_schema(path)}
        elif path.suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            found[name] = {"type": str(array.dtype), "shape": list(array.shape)}
    return found
