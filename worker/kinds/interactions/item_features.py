"""What is known of items beside who used them: tags and numbers, one row an item.

A tag is a column of its own with value 1 where an item has it; a number is a column of its values. Learners that read
features get them as `inputs`: an item's tags as a mean, numbers as standard scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from scipy import sparse

from worker.contract.errors import JobError

VALUES_FILE, NAMES_FILE = "item_features.parquet", "features.parquet"
Rows = sparse.csr_array


@dataclass(frozen=True)
class ItemFeatures:
    """`values`: CSR (I, F) float32; `names` (F,) text; `tags` (F,) bool: the feature is a tag, else a number."""

    values: Rows
    names: np.ndarray
    tags: np.ndarray

    def __post_init__(self) -> None:
        """ValueError where names or tags are not one a column, or a value is no number."""
        if not self.values.shape[1] == len(self.names) == len(self.tags):
            raise ValueError(f"{len(self.names)} names and {len(self.tags)} tags for {self.values.shape[1]} features")
        if not np.isfinite(self.values.data).all():
            raise ValueError("a feature is a finite number")

    def __len__(self) -> int:
        return self.values.shape[0]

    @property
    def known(self) -> int:
        """Items that have any feature."""
        return int(np.count_nonzero(np.diff(self.values.indptr)))

    def inputs(self) -> Rows:
        """The features as a learner reads them, CSR (I, F) float32: tags over the number of the item's tags, numbers
        less their mean, over their standard deviation, among the items that have any feature; 0 for the others."""
        tags = sparse.csr_array(self.values[:, np.flatnonzero(self.tags)])
        own = np.maximum(np.asarray(tags.sum(axis=1), np.float64).ravel(), 1)
        known = np.diff(self.values.indptr) > 0
        numbers = self.values[:, np.flatnonzero(~self.tags)].toarray().astype(np.float64)
        centred = np.where(known[:, None], numbers - numbers[known].mean(axis=0), 0) if known.any() else numbers
        deviation = np.sqrt(np.square(centred).sum(axis=0) / max(1, known.sum()))
        scores = centred / np.where(deviation > 1e-12, deviation, np.inf)
        found = sparse.hstack([sparse.diags_array(1 / own) @ tags, Rows(scores)], format="csr")
        return Rows(found, dtype=np.float32)


def save(features: ItemFeatures, folder: Path) -> None:
    """Write the canonical files: item int32, feature int32 and value float32 of every stored value, sorted; the name
    of every feature, and whether it is a tag."""
    values = Rows(features.values, dtype=np.float32)
    values.sort_indices()
    item = np.repeat(np.arange(values.shape[0], dtype=np.int32), np.diff(values.indptr))
    stored = pa.table({"item": item, "feature": values.indices.astype(np.int32), "value": values.data})
    parquet.write_table(stored, folder / VALUES_FILE, compression="zstd")
    names = pa.table({"name": pa.array(features.names, pa.string()), "tag": pa.array(features.tags, pa.bool_())})
    parquet.write_table(names, folder / NAMES_FILE)


def load(folder: Path, items: int) -> ItemFeatures:
    """The features of `items` items back from their files; `JobError` `invalid_input` where they do not fit."""
    stored, names = parquet.read_table(folder / VALUES_FILE), parquet.read_table(folder / NAMES_FILE)
    item, feature, value = (stored[name].to_numpy() for name in ("item", "feature", "value"))
    shape = items, names.num_rows
    if len(item) and not (0 <= item.min() <= item.max() < shape[0] and 0 <= feature.min() <= feature.max() < shape[1]):
        raise JobError("invalid_input", "A feature is of an item that the version does not have.")
    values = Rows((value, (item, feature)), shape=shape, dtype=np.float32)
    return ItemFeatures(values, np.asarray(names["name"].to_pylist(), dtype=str), names["tag"].to_numpy())
