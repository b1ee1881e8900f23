"""What is known of items beside their ids: attributes, columns of categories, or vectors.

Attributes come as codes of names, a set for each item; columns are attributes of the form `column=value`, whose first
part is kept apart; vectors are float32. Canonical file: `item_features.npz`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from worker.contract.errors import JobError
from worker.kinds.sequences.rows import Rows
from worker.numerics.npz import write_npz

FILE = "item_features.npz"
Form = Literal["attributes", "columns", "vectors"]


@dataclass(frozen=True)
class ItemFeatures:
    """Features of V items, one of three forms.

    `attributes`: `sets`, Rows (V rows) of numbers of `names`, text (a,). `columns`: `codes`, int32 (V, c), numbers of
    `names`, which are `column=value`, -1 where the item has none, under the `columns`, text (c,). `vectors`: float32
    (V, dim).
    """

    form: Form
    sets: Rows | None = None
    codes: np.ndarray | None = None
    vectors: np.ndarray | None = None
    names: np.ndarray | None = None
    columns: np.ndarray | None = None

    def __len__(self) -> int:
        held = self.sets if self.form == "attributes" else self.codes if self.form == "columns" else self.vectors
        assert held is not None  # noqa: S101 - a form has its array
        return len(held)

    def about(self) -> dict[str, Any]:
        """What a version's statistics say of them."""
        if self.form == "vectors":
            assert self.vectors is not None  # noqa: S101
            return {"form": self.form, "items": len(self), "dim": self.vectors.shape[1]}
        names = [] if self.names is None else self.names
        found: dict[str, Any] = {"form": self.form, "items": len(self), "values": len(names)}
        if self.columns is not None:
            found["columns"] = [str(name) for name in self.columns]
        return found


def save(features: ItemFeatures, folder: Path) -> None:
    """Write the canonical file."""
    arrays: dict[str, np.ndarray] = {}
    if features.sets is not None:
        arrays |= {"indptr": features.sets.indptr, "items": features.sets.items}
    for name in ("codes", "vectors", "names", "columns"):
        value = getattr(features, name)
        if value is not None:
            arrays[name] = np.asarray(value, dtype=str) if name in ("names", "columns") else value
    write_npz(folder / FILE, arrays)


def load(folder: Path, items: int) -> ItemFeatures | None:
    """The features of a version, None where it has none; raises `JobError` when they are of other items."""
    if not (folder / FILE).exists():
        return None
    with np.load(folder / FILE, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    more = {name: arrays.get(name) for name in ("names", "columns")}
    if "vectors" in arrays:
        found = ItemFeatures("vectors", vectors=arrays["vectors"])
    elif "codes" in arrays:
        found = ItemFeatures("columns", codes=arrays["codes"], **more)
    else:
        found = ItemFeatures("attributes", sets=Rows(arrays["indptr"], arrays["items"]), **more)
    if len(found) != items:
        raise JobError("invalid_input", f"There are features of {len(found)} items and {items} items.")
    return found
