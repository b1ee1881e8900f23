"""The log from Vowpal Wabbit's examples: their named features become a context matrix."""

from __future__ import annotations

import zlib
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.columns import Wanted
from worker.ingest.format import Detected
from worker.ingest.ids import IdMap
from worker.ingest.limits import Meter, too_large
from worker.ingest.table import Table, Words, read_batches
from worker.kinds.bandit.upload.features import ENCODED_BYTES
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.raw import RawLog

_MOST_NAMES = 1_000_000


def examples_table(detected: Detected) -> Table:
    """The columns of the examples, which have no other names."""
    action, reward, chance, features = detected.columns
    wanted = (
        Wanted("action", action, "id"),
        Wanted("reward", reward, "number"),
        Wanted("propensity", chance, "number"),
        Wanted("features", features, "text"),
    )
    for one in wanted:
        one.column.role = "context" if one.column is features else one.name
    return Table(detected, wanted)


def read_examples(table: Table, options: IngestOptions, meter: Meter) -> RawLog:
    """All rounds. Reward is minus the cost. More feature names than max_categories x 4 are hashed."""
    actions, rewards, chances = IdMap(), list[NDArray[Any]](), list[NDArray[Any]]()
    names: dict[str, int] = {}
    counts, places, values = list[NDArray[Any]](), array("i"), list[NDArray[Any]]()
    for batch in read_batches([table], meter):
        actions.add(batch["action"])
        rewards.append(batch["reward"].to_numpy(zero_copy_only=False))
        chances.append(batch["propensity"].to_numpy(zero_copy_only=False))
        features = batch["features"]
        counts.append(np.diff(features.offsets.to_numpy()))
        places.extend(names.setdefault(name, len(names)) for name in features.keys.to_pylist())
        values.append(features.items.to_numpy(zero_copy_only=False))
        if len(names) > _MOST_NAMES:
            raise too_large(f"{table.name} has too many features", len(names), _MOST_NAMES, "columns")
    ids = Words(*actions.finish())
    raw = RawLog(len(ids.codes), ids, np.concatenate(rewards), np.concatenate(chances))
    raw.one_based, raw.n_actions = True, options.n_actions
    if names:
        rows = np.repeat(np.arange(raw.n, dtype=np.int32), np.concatenate(counts))
        at = (rows, np.frombuffer(places, np.int32), np.concatenate(values))
        raw.contexts = _matrix(raw.n, names, *at, options)
    return raw


def _matrix(
    n: int,
    names: dict[str, int],
    rows: NDArray[np.int32],
    places: NDArray[np.int32],
    values: NDArray[np.float32],
    options: IngestOptions,
) -> NDArray[np.float32]:
    most = max(4 * options.max_categories, options.hash_columns)
    width = len(names)
    if width > most:
        width = options.hash_columns
        place = np.array([zlib.crc32(name.encode()) % width for name in names])
    else:
        place = np.arange(width)
    if n * width * 4 > ENCODED_BYTES:
        raise JobError(
            "dense_too_large",
            f"{n:,} contexts of {width:,} columns are too large.",
            hint="Lower max_categories or hash_columns.",
            pointer="/options/hash_columns",
        )
    matrix = np.zeros((n, width), np.float32)
    np.add.at(matrix, (rows, place[places]), values)
    return matrix
