"""The tables beside the log, told by their file names: embeddings, hierarchy, policies, scores, support."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.ingest.detect import detect
from worker.ingest.detected import Detected
from worker.ingest.limits import Meter
from worker.ingest.sources import ZIP, Source
from worker.ingest.unsafe import refuse_unsafe
from worker.kinds.bandit.upload.actions import Actions, place_rows
from worker.kinds.bandit.upload.arrays import Arrays, open_arrays
from worker.kinds.bandit.upload.dictionary import matrix
from worker.kinds.bandit.upload.features import Arrow, Feature, encode, fill_missing
from worker.kinds.bandit.upload.log_table import as_feature, is_category
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.policy import RawPolicy, read_arrays, read_table
from worker.kinds.bandit.upload.tables import ALIASES, Content, read_columns, roles_of
from worker.contract.errors import JobError

_EXTENSION = re.compile(r"(\.(csv|tsv|txt|parquet|pq|jsonl|json|npz|gz))+$", re.IGNORECASE)
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
class Side:
    """One file beside the log: its `role`, and the `name` of the policy in it."""

    role: str
    name: str
    source: Source


def classify(source: Source) -> Side | None:
    """What a file is by its name; None: it may be the log."""
    path = PurePosixPath(source.name.replace("\\", "/"))
    stem = _EXTENSION.sub("", path.name)
    plain = stem.lower().replace(" ", "_")
    if path.parent.name.lower() in _FOLDERS:
        return Side(_FOLDERS[path.parent.name.lower()], _clean(stem), source)
    for role, pattern in _ROLES:
        match = pattern.match(plain)
        if match:
            named = match.groupdict().get("name")
            return Side(role, _clean(named) if named else role, source)
    return None


def _clean(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:60] or "target"


def nearest(sides: list[Side], log: str) -> list[Side]:
    """Of several tables for one purpose the one that lies beside the log and shares its name's beginning."""
    chosen: dict[tuple[str, str], Side] = {}
    folder, stem = PurePosixPath(log).parent, _EXTENSION.sub("", PurePosixPath(log).name)

    def closeness(side: Side) -> tuple[bool, bool]:
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


def opened(source: Source, meter: Meter) -> Arrays | None:
    """The arrays of a file that is an npz, None for any other; refuses what can carry code."""
    head, whole = source.head(meter)
    refuse_unsafe(source.name, head, whole)
    return open_arrays(source, meter) if head.startswith(ZIP) else None


def read_actions(side: Side, options: IngestOptions, meter: Meter) -> ActionTable:
    """Embeddings or a hierarchy."""
    what = side.source.name
    arrays = opened(side.source, meter)
    if arrays is not None:
        name = arrays.find(
            "embeddings", "action_embeddings", "action_context", "hierarchy", "E", "arr_0", dimensions=(2,)
        )
        name = name or next((found for found, shape in arrays.shapes.items() if len(shape) == 2), "")
        if not name:
            raise JobError("invalid_input", f"{what} holds no array of two dimensions.", pointer="/files")
        values = matrix(arrays, name)
        if side.role == "hierarchy":
            values = np.ascontiguousarray(values.T)
        ids = arrays.find("action", "actions", "action_id", "action_ids", "item_id", dimensions=(1,))
        words = arrays.words(ids) if ids else None
        if words is not None and len(words) != len(values):
            raise JobError(
                "invalid_input", f"{what} has {len(words):,} ids for {len(values):,} rows.", pointer="/files"
            )
        return ActionTable(words, len(values), values, what=what)
    detected = detect_table(side.source, meter)
    roles = roles_of(detected, {}, ("action",), {"action": ALIASES["action"]})
    rest = [
        c for c in detected.columns if c is not roles["action"] and c.name and c.type in {"integer", "number", "text"}
    ]
    if not rest:
        raise JobError("invalid_input", f"{what} has no column besides the action's id.", pointer="/files")
    roles |= {f"feature:{column.name}": column for column in rest}
    contents: dict[str, Content] = {"action": "id"}
    for column in rest:
        named = side.role == "hierarchy" or is_category(column, options)
        contents[f"feature:{column.name}"] = "category" if named else "feature"
    columns = read_columns([(detected, roles)], contents, meter)
    features = [as_feature(columns, f"feature:{column.name}", column.name) for column in rest]
    ids_in_rows = columns.words["action"].words.take(pa.array(columns.words["action"].codes))
    return ActionTable(ids_in_rows, columns.n, None, features, what)


def detect_table(source: Source, meter: Meter) -> Detected:
    """A side table's format; it has a header."""
    return detect(source, IngestOptions.model_validate({}), meter)


def read_policies(
    sides: list[Side], meter: Meter, *, round_ids: bool, report: Callable[[], None] = lambda: None
) -> dict[tuple[str, str], RawPolicy]:
    """All uploaded policies, scores and supports by (role, name)."""
    found: dict[tuple[str, str], RawPolicy] = {}
    for side in sides:
        arrays = opened(side.source, meter)
        if arrays is not None:
            raw = read_arrays(side.source.name, arrays)
        else:
            detected = detect_table(side.source, meter)
            raw = read_table(side.source.name, detected, meter, round_ids=round_ids, support=side.role == "support")
        found[side.role, side.name] = raw
        report()
    return found


def ids_of(raw: RawPolicy) -> list[Arrow]:
    """The action ids that a long table names."""
    return [] if raw.action is None else [raw.action.words]
