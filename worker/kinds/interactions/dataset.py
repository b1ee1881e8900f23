"""Who used what: the in-memory dataset, its canonical files, and what a user is told about it.

Canonical files of a version: `interactions.parquet` (user int32, item int32, split int8, optionally rating
float32 and timestamp int64; sorted by user, item; no pair twice; the ingest options as metadata),
`texts.parquet` (text of every event, in the order of the events, where the upload kept it),
`users.parquet` (user_id, optionally weight: how many users a row stands for) and `items.parquet` (item_id,
optionally title), whose row numbers are the indices; `item_features.parquet` and `features.parquet` where items are
described (`item_features`). The split is drawn at ingest and lies in the version, so
every job on a version holds out the same data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.interactions import item_features
from worker.kinds.interactions.item_features import ItemFeatures
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.sequence import places
from worker.kinds.interactions.splits import SPLIT_NAMES, TEST, TEST_INPUT, TRAIN, VALIDATION, VALIDATION_INPUT
from worker.numerics.quantiles import spread

EVENTS_FILE, USERS_FILE, ITEMS_FILE = "interactions.parquet", "users.parquet", "items.parquet"
TEXTS_FILE = "texts.parquet"
_OPTIONS = b"distillery.options"
Rows = sparse.csr_array


@dataclass(frozen=True)
class Queries:
    """Held-out users: who they are (q,), what the learner sees of them and may not recommend again (q, I),
    and what it should have recommended (q, I)."""

    users: np.ndarray
    inputs: Rows
    targets: Rows

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: np.ndarray) -> Queries:
        """The queries with these row numbers."""
        return Queries(self.users[rows], Rows(self.inputs[rows]), Rows(self.targets[rows]))

    def with_targets(self) -> Queries:
        """Only the queries that have at least one target: the others say nothing about a learner."""
        counts = np.diff(self.targets.indptr)
        return self if counts.all() else self.take(np.flatnonzero(counts))


@dataclass(frozen=True)
class Events:
    """The interaction table in columns of equal length, sorted by user, then item. `split` as in `splits`."""

    user: np.ndarray
    item: np.ndarray
    split: np.ndarray
    rating: np.ndarray | None = None
    timestamp: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: np.ndarray) -> Events:
        """The events with these row numbers, or where a mask is true."""
        columns = (self.rating, self.timestamp)
        rating, timestamp = (None if column is None else column[rows] for column in columns)
        return Events(self.user[rows], self.item[rows], self.split[rows], rating, timestamp)


@dataclass(frozen=True)
class Interactions:
    """A dataset of implicit feedback with its split. Index u stands for `user_ids[u]`, i for `item_ids[i]`.

    `weights`: float32 (U,), how many users each stands for, in versions made of summaries; else None. `texts`: reads
    the text of every event, str (events,), "" where it has none; None where the upload kept none. `item_features`:
    reads what is known of the items; None where nothing is.
    """

    events: Events
    user_ids: np.ndarray
    item_ids: np.ndarray
    titles: np.ndarray | None = None
    options: dict[str, Any] = field(default_factory=dict)
    weights: np.ndarray | None = None
    texts: Callable[[], np.ndarray] | None = None
    item_features: Callable[[], ItemFeatures] | None = None

    @classmethod
    def from_columns(
        cls,
        user: np.ndarray,
        item: np.ndarray,
        split: np.ndarray,
        *,
        user_ids: np.ndarray | None = None,
        item_ids: np.ndarray | None = None,
        rating: np.ndarray | None = None,
        timestamp: np.ndarray | None = None,
        titles: np.ndarray | None = None,
        options: Mapping[str, Any] | None = None,
        weights: np.ndarray | None = None,
    ) -> Interactions:
        """A dataset from index columns in any order; ids default to "0", "1", ...

        Events with a negative split code are left out. Pairs that occur twice are kept and count twice in
        the rows; `save` refuses them, since a version has none.
        """
        user_ids = _ids(user_ids, user)
        item_ids = _ids(item_ids, item)
        events = Events(
            np.asarray(user, np.int32),
            np.asarray(item, np.int32),
            np.asarray(split, np.int8),
            None if rating is None else np.asarray(rating, np.float32),
            None if timestamp is None else np.asarray(timestamp, np.int64),
        )
        order = np.lexsort((events.item, events.user))
        events = events.take(order[events.split[order] >= 0])
        weights = None if weights is None else np.asarray(weights, np.float32)
        return cls(events, user_ids, item_ids, titles, dict(options or {}), weights)

    @property
    def n_users(self) -> int:
        """Users U, those without training events included."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Items I."""
        return len(self.item_ids)

    @cached_property
    def train(self) -> Rows:
        """The training part as CSR (U, I) float32 0/1; a row may be empty."""
        return self.part(TRAIN)

    def part(self, *codes: int, in_order: bool = False) -> Rows:
        """The events of some split codes as CSR (U, I) float32; `in_order` with each event's place in its user's order
        of time as value, see `sequence` (ValueError without times)."""
        chosen = np.isin(self.events.split, codes)
        user, item = self.events.user[chosen], self.events.item[chosen]
        if in_order:
            if self.events.timestamp is None:
                raise ValueError("events without times have no order")
            return places(user, item, self.events.timestamp[chosen], (self.n_users, self.n_items))
        rows = Rows((np.ones(len(user), np.float32), (user, item)), shape=(self.n_users, self.n_items))
        rows.sum_duplicates()
        return rows

    def training_rows(self) -> Rows:
        """The non-empty training rows (n, I), in the order of users."""
        return self.training().matrix

    def training(self) -> UserRows:
        """The same rows with their weights: what learners are trained on."""
        return UserRows(self.train, self.weights).filled()

    def queries(self, part: str, *, in_order: bool = False) -> Queries:
        """Users with at least one `validation` or `test` target.

        Inputs of validation: training events and the validation fold-in; of test: training, validation and
        test fold-in events. With weak splits there is no fold-in; with strong generalisation there is only
        that. `in_order`: values of inputs are places in the order of time.
        """
        if part == "validation":
            codes, targets = (TRAIN, VALIDATION_INPUT), self.part(VALIDATION)
        elif part == "test":
            codes, targets = (TRAIN, VALIDATION, TEST_INPUT), self.part(TEST)
        else:
            raise ValueError(f"{part!r} is not validation or test")
        inputs = self.part(*codes, in_order=in_order)
        users = np.flatnonzero(np.diff(targets.indptr))
        return Queries(users, Rows(inputs[users]), Rows(targets[users]))


def _ids(ids: np.ndarray | None, index: np.ndarray) -> np.ndarray:
    if ids is not None:
        return np.asarray(ids).astype(str)
    return np.arange(int(np.max(index, initial=-1)) + 1).astype(str)


def save(data: Interactions, folder: Path) -> None:
    """Write the canonical files of a dataset into an existing folder; ValueError when a pair occurs twice."""
    events = data.events
    repeated = (events.user[1:] == events.user[:-1]) & (events.item[1:] == events.item[:-1])
    if repeated.any():
        raise ValueError(f"{int(repeated.sum())} pairs of user and item occur more than once")
    columns = {"user": events.user, "item": events.item, "split": events.split}
    columns |= {name: getattr(events, name) for name in ("rating", "timestamp") if getattr(events, name) is not None}
    table = pa.table(columns).replace_schema_metadata({_OPTIONS: json.dumps(data.options, sort_keys=True)})
    items = {"item_id": pa.array(data.item_ids, pa.string())}
    if data.titles is not None:
        items["title"] = pa.array(data.titles, pa.string())
    parquet.write_table(table, folder / EVENTS_FILE, compression="zstd")
    users = {"user_id": pa.array(data.user_ids, pa.string())}
    if data.weights is not None:
        users["weight"] = pa.array(data.weights, pa.float32())
    parquet.write_table(pa.table(users), folder / USERS_FILE)
    parquet.write_table(pa.table(items), folder / ITEMS_FILE)
    if data.texts is not None:
        texts = pa.table({"text": pa.array(data.texts(), pa.string())})
        parquet.write_table(texts, folder / TEXTS_FILE, compression="zstd")
    if data.item_features is not None:
        item_features.save(data.item_features(), folder)


def _stored_texts(file: Path, events: int) -> Callable[[], np.ndarray] | None:
    def read() -> np.ndarray:
        found = parquet.read_table(file)["text"].fill_null("").to_numpy()
        if len(found) != events:
            raise JobError("invalid_input", f"There are {len(found)} texts for {events} events.")
        return found

    return read if file.exists() else None


def load(folder: Path) -> Interactions:
    """The dataset from its canonical files; raises `JobError` `invalid_input` when they do not fit
    together."""
    table = parquet.read_table(folder / EVENTS_FILE)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    events = Events(**{name: columns[name] for name in Events.__dataclass_fields__ if name in columns})
    users = parquet.read_table(folder / USERS_FILE)
    user_ids = _strings(users["user_id"])
    weights = users["weight"].to_numpy() if "weight" in users.column_names else None
    items = parquet.read_table(folder / ITEMS_FILE)
    titles = _strings(items["title"]) if "title" in items.column_names else None
    item_ids = _strings(items["item_id"])
    if len(events) and not (
        0 <= events.user.min() <= events.user.max() < len(user_ids)
        and 0 <= events.item.min() <= events.item.max() < len(item_ids)
    ):
        raise JobError("invalid_input", "An event names a user or an item that the version does not have.")
    options = json.loads((table.schema.metadata or {}).get(_OPTIONS, b"{}"))
    texts = _stored_texts(folder / TEXTS_FILE, len(events))
    described = (folder / item_features.VALUES_FILE).exists()
    features = (lambda: item_features.load(folder, len(item_ids))) if described else None
    return Interactions(events, user_ids, item_ids, titles, options, weights, texts, features)


def _strings(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.to_pylist(), dtype=str)


def statistics(folder: Path) -> dict[str, Any]:
    """What the user is told about a version: sizes, density, split, time range, how popularity is spread."""
    data = load(folder)
    events = data.events
    per_user = np.bincount(events.user, minlength=data.n_users)
    per_item = np.sort(np.bincount(events.item, minlength=data.n_items))[::-1]
    head = max(1, round(data.n_items / 100))
    found: dict[str, Any] = {
        "events": len(events),
        "users": data.n_users,
        "items": data.n_items,
        "density": len(events) / max(1, data.n_users * data.n_items),
        "events_per_split": {name: int((events.split == code).sum()) for code, name in SPLIT_NAMES.items()},
        "users_with_validation": int(np.count_nonzero(np.diff(data.part(VALIDATION).indptr))),
        "users_with_test": int(np.count_nonzero(np.diff(data.part(TEST).indptr))),
        "events_per_user": spread(per_user),
        "events_per_item": spread(per_item),
        "top_1_percent_item_share": float(per_item[:head].sum() / max(1, len(events))),
        "options": data.options,
    }
    features = None if data.item_features is None else data.item_features()
    found["item_features"] = 0 if features is None else len(features.names)
    if features is not None:
        found["items_with_features"] = features.known
    if events.timestamp is not None and len(events):
        found["time_range"] = [int(events.timestamp.min()), int(events.timestamp.max())]
    if events.rating is not None and len(events):
        found["ratings"] = {"min": float(events.rating.min()), "mean": float(events.rating.mean(dtype=np.float64)),
                            "max": float(events.rating.max())}  # fmt: skip
    return found


def preview(folder: Path, rows: int = 20) -> list[dict[str, Any]]:
    """The first `rows` events with the user's own ids, as JSON-able dicts."""
    data = load(folder)
    events = data.events.take(np.arange(min(rows, len(data.events))))
    shown = []
    for row in range(len(events)):
        user, item = int(events.user[row]), int(events.item[row])
        line: dict[str, Any] = {"user_id": str(data.user_ids[user]), "item_id": str(data.item_ids[item])}
        if data.titles is not None:
            line["title"] = str(data.titles[item])
        if events.rating is not None:
            line["rating"] = float(events.rating[row])
        if events.timestamp is not None:
            line["timestamp"] = int(events.timestamp[row])
        shown.append(line | {"split": SPLIT_NAMES[int(events.split[row])]})
    return shown
