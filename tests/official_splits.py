"""The published splits of MovieLens-1M and Amazon Magazine, as they lie beside the clone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pyarrow import csv, parquet

from tests.shared_data import shared
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.splits import clean, column


def official(name: str, *, dedup: bool = True, across_parts: bool = True) -> Interactions:
    """`ml-1m` or `amazon-magazine` with its published split; skips the calling test when the data is absent.

    `dedup` leaves no pair twice: training wins over validation, that over test. Not `across_parts`, it keeps the
    first of equal pairs inside each part only: rows are binary, while test items that are also in training are
    masked and can never be hit; the reproduced Magazine figures are those. Without `dedup` the published rows are
    kept as they are, value 2 for a pair twice in training included.
    """
    types = {"user_id": "int64", "item_id": "int64", "split": "string"}
    options = csv.ConvertOptions(column_types=types, include_columns=list(types))
    table = csv.read_csv(shared(name) / "interactions.csv.gz", convert_options=options)
    split = column(table["split"].to_numpy(zero_copy_only=False))
    kept = split >= 0
    user_ids, user = np.unique(table["user_id"].to_numpy()[kept], return_inverse=True)
    item_ids, item = np.unique(table["item_id"].to_numpy()[kept], return_inverse=True)
    split = split[kept]
    if dedup:
        pair = user * len(item_ids) + item
        order = np.argsort(split, kind="stable")
        part = 0 if across_parts else split[order].astype(np.int64)
        _, first = np.unique(part * len(user_ids) * len(item_ids) + pair[order], return_index=True)
        chosen = order[first]
        user, item, split = user[chosen], item[chosen], split[chosen]
    return Interactions.from_columns(user, item, split, user_ids=user_ids, item_ids=item_ids)


def msweb(seed: int) -> Interactions:
    """The demo's dataset as ingest makes it: users with three visits or more, in a split drawn with `seed`."""
    table = parquet.read_table(Path(__file__).parents[1] / "distillery" / "data" / "msweb.parquet")
    user_ids, user = np.unique(np.asarray(table["user_id"].to_pylist()).astype(str), return_inverse=True)
    item_ids, item = np.unique(np.asarray(table["item_id"].to_pylist()).astype(str), return_inverse=True)
    kept = np.bincount(user)[user] >= 3
    user_ids, user = user_ids[np.unique(user[kept])], np.unique(user[kept], return_inverse=True)[1]
    order = np.lexsort((item[kept], user))
    user, item = user[order], item[kept][order]
    return Interactions.from_columns(user, item, clean(user, seed=seed), user_ids=user_ids, item_ids=item_ids)
