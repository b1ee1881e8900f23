"""The tables beside the log, known by their file names: embeddings, hierarchy, policies, scores, support."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.columns import DESCRIBING, Wanted
from worker.ingest.format import Detected
from worker.ingest.formats.arrays import Arrays
from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.ingest.table import Table, as_table, read_columns
from worker.ingest.upload import Upload
from worker.kinds.bandit.upload.actions import Actions, place_rows
from worker.kinds.bandit.upload.dictionary import matrix
from worker.kinds.bandit.upload.features import Arrow, Feature, encode, fill_missing
from worker.kinds.bandit.upload.log_table import as_feature, described_by
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.policy import RawPolicy, read_arrays, read_table
from worker.kinds.bandit.upload.roles import ACTIONS

_EXTENSION = re.compile(
    r"(\.(csv|tsv|txt|parquet|pq|arrow|arrows|feather|ipc|jsonl|json|npz|h5|hdf5|gz))+$", re.IGNORECASE
)
_ROLES = (
    ("embeddings", re.compile(r"^((action_|item_)?embeddings?|action_context|(.+_)?item_context)$")),
    ("hierarchy", re.compile(r"^((action_)?hierarchy)$")),
    ("logging", re.compile(r"^(logging_policy|behaviou?r_policy|pi_b)$")),
    ("target", re.compile(r"^(target_policy|evaluation_policy|pi_e)([_.-](?P<name>.+))?$")),
    ("scores", re.compile(r"^(target_scores?)([_.-](?P<name>.+))?$")),
    ("support", re.compile(r"^(logging_)?support$")),
)  # fmt: skip
_FOLDERS = {"target_policies": "target", "target_scores": "scores"}


@dataclass(frozen=True)
class SideTable:
    """One file beside the log: its `role`, and the `name` of the policy in it."""

    role: str
    name: str
    source: Source


def classify(source: Source) -> SideTable | None:
    """What a file is by its name; None: it may be the log."""
    path = PurePosixPath(source.name.replace("\\", "/"))
    stem = _EXTENSION.sub("", path.name)
    plain = stem.lower().replace(" ", "_")
    if path.parent.name.lower() in _FOLDERS:
        return SideTable(_FOLDERS[path.parent.name.lower()], clean_name(stem), source)
    for role, pattern in _ROLES:
        match = pattern.match(plain)
        if match:
            named = match.groupdict().get("name")
            return SideTable(role, clean_name(named) if named else role, source)
    return None


def clean_name(name: str) -> str:
    """A policy's name as it may stand in a path."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:60] or "target"


def nearest(sides: list[SideTable], log: str) -> list[SideTable]:
    """Of several tables for one purpose the one that lies beside the log and shares its name's beginning."""
    chosen: dict[tuple[str, str], SideTable] = {}
    folder, stem = PurePosixPath(log).parent, _EXTENSION.sub("", PurePosixPath(log).name)

    def closeness(side: SideTable) -> tuple[bool, bool]:
        path = PurePosixPath(side.source.name)
        return path.parent == folder, path.name.startswith(stem)

    for side in sides:
        key = (side.role, side.name)
        other = chosen.get(key)
        if other is None or closeness(side) > closeness(other):
            chosen[key] = side
        elif closeness(side) == closeness(other):
            raise JobError(
                "invalid_input",
                f"{other.source.name} and {side.source.name} are both the {side.role} table ({side.name}).",
                hint="Upload one of them, or give target policies different names: target_policies/NAME.npz.",
                pointer="/files",
            )
    return [chosen[key] for key in sorted(chosen)]


@dataclass
class ActionTable:
    """A row an action: `ids` of the rows, or None when they go by position; a `matrix` or `features`."""

    ids: Arrow | None
    rows: int
    matrix: NDArray[np.float32] | None = None
    features: list[Feature] = field(default_factory=list[Feature])
    what: str = ""

    def embeddings(self, actions: Actions, options: IngestOptions) -> NDArray[np.float32]:
        """Descriptions (A, d) float32 in order of the actions; raises `embedding_missing_action`."""
        place = place_rows(actions, self.ids, self.rows, self.what, "embedding_missing_action")
        if self.matrix is not None:
            return self.matrix[place]
        features, _ = fill_missing([feature.take(place) for feature in self.features], self.what)
        return encode(features, actions.n, options.max_categories, options.hash_columns, "/files")[0]

    def hierarchy(self, actions: Actions) -> NDArray[np.int32]:
        """Groups (levels, A) int32 from coarse to fine, each level inside the one above."""
        place = place_rows(actions, self.ids, self.rows, self.what, "embedding_missing_action")
        columns = [feature.bits[place] for feature in self.features]
        if self.matrix is not None:
            columns = list(self.matrix[place].T)
        levels = np.zeros((len(columns), actions.n), np.int32)
        above = np.zeros(actions.n, np.int64)
        for level, column in enumerate(columns):
            _, group = np.unique(column, return_inverse=True)
            _, above = np.unique(above * (int(group.max()) + 1) + group, return_inverse=True)
            levels[level] = above
        return levels


def read_actions(side: SideTable, upload: Upload, options: IngestOptions) -> ActionTable:
    """Embeddings or a hierarchy."""
    detected = upload.detect(side.source)
    arrays = detected.layout.get("arrays")
    if arrays is not None:
        return _action_arrays(arrays, side)
    return _action_columns(detected, side, options, upload.meter)


def _action_arrays(arrays: Arrays, side: SideTable) -> ActionTable:
    what = side.source.name
    name = arrays.find("embeddings", "action_embeddings", "action_context", "hierarchy", "E", "arr_0", dimensions=(2,))
    name = name or next((found for found, shape in arrays.shapes.items() if len(shape) == 2), "")
    if not name:
        raise JobError("invalid_input", f"{what} holds no array of two dimensions.", pointer="/files")
    values = matrix(arrays, name)
    if side.role == "hierarchy":
        values = np.ascontiguousarray(values.T)
    ids = arrays.find("action", "actions", "action_id", "action_ids", "item_id", dimensions=(1,))
    words = arrays.words(ids) if ids else None
    if words is not None and len(words) != len(values):
        raise JobError("invalid_input", f"{what} has {len(words):,} ids for {len(values):,} rows.", pointer="/files")
    return ActionTable(words, len(values), values, what=what)


def _action_columns(detected: Detected, side: SideTable, options: IngestOptions, meter: Meter) -> ActionTable:
    what = side.source.name
    table = as_table(detected, {}, ACTIONS)
    action = table.columns["action"]
    rest = [c for c in detected.columns if c is not action and c.name and c.type in DESCRIBING]
    if not rest:
        raise JobError("invalid_input", f"{what} has no column besides the action's id.", pointer="/files")
    described = [
        Wanted(f"feature:{column.name}", column, "category")
        if side.role == "hierarchy"
        else described_by(column, "feature", options)
        for column in rest
    ]
    columns = read_columns([Table(detected, (*table.wanted, *described))], meter)
    features = [as_feature(columns, one.name, one.column.name) for one in described]
    ids_in_rows = columns.words["action"].words.take(pa.array(columns.words["action"].codes))
    return ActionTable(ids_in_rows, columns.n, None, features, what)


def read_policies(sides: Sequence[SideTable], upload: Upload, *, round_ids: bool) -> dict[tuple[str, str], RawPolicy]:
    """All uploaded policies, scores and supports by (role, name)."""
    found: dict[tuple[str, str], RawPolicy] = {}
    for side in sides:
        detected, support = upload.detect(side.source), side.role == "support"
        arrays = detected.layout.get("arrays")
        if arrays is not None:
            raw = read_arrays(side.source.name, arrays)
        else:
            raw = read_table(side.source.name, detected, upload.meter, round_ids=round_ids, support=support)
        found[side.role, side.name] = raw
        upload.meter.tick()
    return found


def ids_of(raw: RawPolicy) -> list[Arrow]:
    """The action ids that a long table names."""
    return [] if raw.action is None else [raw.action.words]
