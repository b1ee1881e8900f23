"""Target policies uploaded after the log: a version of their own, read against a log when a job names both.

    policies.json                 names, roles and forms, how scores become policies, warnings
    policies/NAME/*.npy           the arrays as uploaded, mapped when loaded
    policies/NAME/actions.parquet     the ids that the arrays name, where they name any

They are kept as they came, since only a log says which actions and rounds there are; what can be checked without one is
checked at once. Against a log they are read by the very code that reads policies uploaded with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet
from scipy import sparse

from worker.contract.errors import JobError
from worker.ingest.sources import Source
from worker.ingest.table import Words
from worker.ingest.upload import Upload
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import Policy
from worker.kinds.bandit.policy_files import load_array
from worker.kinds.bandit.upload.actions import Actions
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.policy import ActionsAndContexts, RawPolicy, as_policy
from worker.kinds.bandit.upload.scores import from_scores
from worker.kinds.bandit.upload.side_tables import SideTable, classify, clean_name, read_policies

MANIFEST = "policies.json"
_SCORES = ("score_policy", "temperature", "epsilon", "renormalise")


@dataclass(frozen=True)
class UploadedPolicies:
    """Policies by name: what was uploaded and as what (`target` or `scores`); `options`: how scores become policies."""

    found: Mapping[str, tuple[str, RawPolicy]]
    options: Mapping[str, Any]

    def on(self, log: BanditLog) -> dict[str, Policy]:
        """The policies on all rounds of a log; raises `JobError` for those not about its rounds and actions."""
        ids = None if log.action_ids is None else pa.array(log.action_ids, pa.string())
        actions = Actions(log.n_actions, ids, log.first_action)
        known = ActionsAndContexts(log.n, actions, None, log.contexts, log.context_index, log.embeddings)
        return {name: self._policy(role, raw, known) for name, (role, raw) in self.found.items()}

    def check(self) -> None:
        """What can be known without a log; raises `JobError` for probabilities that do not sum to one, and the like."""
        for role, raw in self.found.values():
            if raw.form != "scorer":
                self._policy(role, raw, _of_itself(raw))

    def _policy(self, role: str, raw: RawPolicy, known: ActionsAndContexts) -> Policy:
        raw = _by_number(raw, known.actions)
        if role == "scores":
            how = self.options
            return from_scores(raw, known, how["score_policy"], how["temperature"], how["epsilon"])
        return as_policy(raw, known, renormalise=self.options["renormalise"])[0]


def ingest_policies(upload: Upload, given: IngestOptions) -> UploadedPolicies:
    """Every file of an upload as a target policy, named by its file; checked as far as that goes without a log."""
    sides: dict[str, SideTable] = {}
    for source in upload.named(given.file):
        side = _as_policy_file(source)
        if side.name in sides:
            raise JobError(
                "invalid_input",
                f"{sides[side.name].source.name} and {source.name} are both the policy {side.name}.",
                hint="Give every policy a file name of its own.",
                pointer="/files",
            )
        sides[side.name] = side
    if not sides:
        raise JobError("invalid_input", "The upload has no files.", hint="Upload NAME.npz.", pointer="/files")
    read = read_policies([*sides.values()], upload, round_ids=False)
    found = {name: (role, raw) for (role, name), raw in sorted(read.items(), key=lambda one: one[0][1])}
    policies = UploadedPolicies(found, {name: getattr(given, name) for name in _SCORES})
    policies.check()
    return policies


def write(policies: UploadedPolicies, folder: Path, warnings: Sequence[str]) -> None:
    """Write canonical files; the same policies give the same bytes."""
    about: dict[str, Any] = {}
    for name, (role, raw) in policies.found.items():
        place = folder / "policies" / name
        place.mkdir(parents=True)
        arrays: dict[str, Any] = dict(raw.arrays)
        beta = arrays.pop("beta", None)
        if raw.action is not None:
            arrays["action"] = raw.action.codes
        words = raw.columns if raw.action is None else raw.action.words
        if words is not None:
            parquet.write_table(pa.table({"action_id": words.cast(pa.string())}), place / "actions.parquet")
        for part, values in arrays.items():
            np.save(place / f"{part}.npy", np.ascontiguousarray(values), allow_pickle=False)
        about[name] = {"role": role, "form": raw.form, "width": raw.width, "file": raw.name, "beta": beta}
    text = json.dumps(
        {"policies": about, "options": dict(policies.options), "warnings": list(warnings)}, sort_keys=True, indent=1
    )
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def holds_policies(folder: Path) -> bool:
    """Whether canonical files are those of policies without a log."""
    return (folder / MANIFEST).exists()


def load(folder: Path) -> UploadedPolicies:
    """The policies back from their files; arrays are mapped."""
    about = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    found: dict[str, tuple[str, RawPolicy]] = {}
    for name, one in about["policies"].items():
        place = folder / "policies" / name
        arrays: dict[str, Any] = {path.stem: load_array(path) for path in sorted(place.glob("*.npy"))}
        if one["beta"] is not None:
            arrays["beta"] = one["beta"]
        ids = place / "actions.parquet"
        words: Any = parquet.read_table(ids)["action_id"].combine_chunks() if ids.exists() else None
        action = Words(arrays.pop("action"), words) if "action" in arrays else None
        columns = words if action is None else None
        found[name] = (one["role"], RawPolicy(one["file"], one["form"], arrays, one["width"], action, None, columns))
    return UploadedPolicies(found, about["options"])


def describe(folder: Path) -> dict[str, Any]:
    """Statistics, preview and warnings, as of a log."""
    about, policies = json.loads((folder / MANIFEST).read_text(encoding="utf-8")), load(folder)
    found = {
        name: {"role": role, "form": raw.form, "rounds": _rounds(raw), "actions": raw.width}
        for name, (role, raw) in policies.found.items()
    }
    statistics = {"policies": found, "options": about["options"]}
    preview = [{"policy": name, **one} for name, one in found.items()]
    return {"statistics": statistics, "preview": preview, "warnings": about["warnings"]}


def _as_policy_file(source: Source) -> SideTable:
    """A file by its name: scores where it says so, else a policy named like the file."""
    side = classify(source)
    if side is not None and side.role in ("target", "scores"):
        return side
    stem = PurePosixPath(source.name.replace("\\", "/")).name.split(".")[0]
    return SideTable("target", clean_name(stem), source)


def _rounds(raw: RawPolicy) -> int | None:
    """How many rounds a policy speaks of; None for a scorer that goes by the log's own contexts."""
    if "index" in raw.arrays:
        return len(raw.arrays["index"])
    if raw.form == "dense":
        return len(raw.arrays["table"])
    if raw.form == "csr":
        return len(raw.arrays["indptr"]) - 1
    if raw.form == "long":
        rows = np.asarray(raw.arrays["row"])
        return int(np.nanmax(rows, initial=-1)) + 1
    return len(raw.arrays["contexts"]) if "contexts" in raw.arrays else None


def _of_itself(raw: RawPolicy) -> ActionsAndContexts:
    """What the policy itself says of rounds and actions."""
    words: Any = raw.columns if raw.action is None else raw.action.words
    actions = Actions(raw.width or 0) if words is None else Actions(len(words), words)
    return ActionsAndContexts(_rounds(raw) or 0, actions)


def _by_number(raw: RawPolicy, actions: Actions) -> RawPolicy:
    """The policy with its columns in the order of the log's actions.

    Columns without ids stand for actions by number; a log whose actions have ids would have to guess their order.
    """
    if raw.form == "long":
        return raw
    if raw.columns is None:
        if raw.width is not None and actions.ids is not None:
            raise JobError(
                "action_out_of_range",
                f"The columns of {raw.name} go by position, and the log's actions have ids.",
                hint="Add an array `action_ids` that names every column, or upload a long table round,action,prob.",
                pointer="/inputs/targets",
            )
        if raw.width is not None and raw.width != actions.n:
            raise JobError(
                "action_out_of_range",
                f"{raw.name} has {raw.width:,} actions, the log {actions.n:,}.",
                hint="Give one column for every action of the log, or name the columns in an array `action_ids`.",
                pointer="/inputs/targets",
            )
        return raw
    place = actions.of_words(raw.columns, raw.name)
    if len(np.unique(place)) < len(place):
        raise JobError("invalid_input", f"action_ids of {raw.name} names an action twice.", pointer="/inputs/targets")
    return replace(raw, arrays=raw.arrays | _placed(raw, place, actions.n), width=actions.n, columns=None)


def _placed(raw: RawPolicy, place: NDArray[np.int32], n_actions: int) -> dict[str, Any]:
    """The arrays that change when columns move to `place` among `n_actions`."""
    if raw.form == "dense":
        given = raw.arrays["table"]
        table = np.zeros((len(given), n_actions), given.dtype)
        table[:, place] = given
        return {"table": table}
    if raw.form == "csr":
        parts = (raw.arrays["data"], place[raw.arrays["indices"]], raw.arrays["indptr"])
        entries = sparse.csr_array(parts, (len(parts[2]) - 1, n_actions))
        entries.sort_indices()
        return {"data": entries.data, "indices": entries.indices, "indptr": entries.indptr}
    if len(place) < n_actions:
        raise JobError(
            "embedding_missing_action",
            f"The scorer {raw.name} names {len(place):,} of the log's {n_actions:,} actions.",
            hint="A scorer gives every action a probability; name them all in action_ids.",
            pointer="/inputs/targets",
        )
    order = np.argsort(place)
    return {part: raw.arrays[part][order] for part in ("embeddings", "bias") if part in raw.arrays}
