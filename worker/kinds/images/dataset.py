"""Images with classes: mapped from disk, as canonical files, and their split.

Canonical files of a version: `pixels.npy`, uint8 (n, h, w, c); `rows.parquet`, a row an image: `label`, the number of
its class, `split`, `source`, what it was called in the upload, and, in versions made of summaries, `weight` and `soft`;
and `schema.json`: the classes in order, mean and deviation of the channels of the training part, and where the split is
from. The split is drawn at ingest and lies in the version, so every job on a version holds out the same images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from worker.ingest.arrow import Arrow
from worker.kinds.images.encoding import Encoding
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.pixel_file import PixelFile, mapped

TRAIN, VALIDATION, TEST = 0, 1, 2
PARTS = ("train", "validation", "test")
PIXELS_FILE, ROWS_FILE, SCHEMA_FILE = "pixels.npy", "rows.parquet", "schema.json"
_BLOCK = 2048


@dataclass(frozen=True)
class Schema:
    """`classes`: their names, in order; `encoding`: of the training part; `split`: where it is from, in words."""

    classes: tuple[str, ...]
    encoding: Encoding
    split: str = "random"

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"classes": list(self.classes), "encoding": self.encoding.to_json(), "split": self.split}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Schema:
        """Back from its JSON."""
        return cls(tuple(stored["classes"]), Encoding.from_json(stored["encoding"]), stored["split"])


@dataclass(frozen=True)
class Images:
    """`pixels`: uint8 (n, h, w, c), mapped; `label`: int64 (n,), numbers into the classes; `split`: int8 (n,), see
    `PARTS`; `source`: text (n,), None where nothing is known. `weights` float32 (n,) and `soft` float32 (n, C): in
    versions made of summaries."""

    pixels: np.ndarray
    label: np.ndarray
    split: np.ndarray
    schema: Schema
    source: Arrow | None = field(default=None, compare=False)
    weights: np.ndarray | None = None
    soft: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.label)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.schema.classes

    @property
    def encoding(self) -> Encoding:
        """How networks see the pixels."""
        return self.schema.encoding

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, h, w) of an image."""
        h, w, c = self.pixels.shape[1:]
        return c, h, w

    @cached_property
    def train(self) -> ImageSet:
        """The training part: all that methods may look at to make a summary."""
        return self.part(TRAIN)

    @cached_property
    def counts(self) -> np.ndarray:
        """Training images of each class (C,)."""
        return np.bincount(self.train.y, minlength=len(self.classes))

    def part(self, code: int) -> ImageSet:
        """One part of the split."""
        return self.chosen(np.flatnonzero(self.split == code))

    def chosen(self, rows: np.ndarray) -> ImageSet:
        """Images by their numbers."""
        return ImageSet(
            self.pixels,
            self.label[rows],
            self.encoding,
            len(self.classes),
            rows,
            None if self.soft is None else self.soft[rows],
            None if self.weights is None else self.weights[rows],
        )


def save(images: Images, folder: Path) -> None:
    """Write the canonical files."""
    folder.mkdir(parents=True, exist_ok=True)
    h, w, c = images.pixels.shape[1:]
    file = PixelFile(folder / PIXELS_FILE, (h, w, c))
    for start in range(0, len(images), _BLOCK):
        file.append(images.pixels[start : start + _BLOCK])
    file.close()
    save_rows(images, folder)


def save_rows(images: Images, folder: Path) -> None:
    """Write all canonical files but the pixels."""
    columns: dict[str, Any] = {
        "label": pa.array(images.label, pa.int32()),
        "split": pa.array(images.split, pa.int8()),
    }
    if images.source is not None:
        columns["source"] = images.source
    if images.weights is not None:
        columns["weight"] = pa.array(images.weights, pa.float32())
    if images.soft is not None:
        flat = pa.array(np.asarray(images.soft, np.float32).ravel(), pa.float32())
        columns["soft"] = pa.FixedSizeListArray.from_arrays(flat, images.soft.shape[1])
    parquet.write_table(pa.table(columns), folder / ROWS_FILE, compression="zstd")
    text = json.dumps(images.schema.to_json(), indent=1, ensure_ascii=False)
    (folder / SCHEMA_FILE).write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> Images:
    """The canonical files, pixels mapped."""
    rows = parquet.read_table(folder / ROWS_FILE).combine_chunks()
    schema = Schema.from_json(json.loads((folder / SCHEMA_FILE).read_text(encoding="utf-8")))
    soft = None
    if "soft" in rows.column_names:
        flat = rows["soft"].combine_chunks().flatten().to_numpy()
        soft = flat.reshape(len(rows), len(schema.classes)).astype(np.float32)
    return Images(
        mapped(folder / PIXELS_FILE),
        rows["label"].to_numpy().astype(np.int64),
        rows["split"].to_numpy().astype(np.int8),
        schema,
        rows["source"] if "source" in rows.column_names else None,
        rows["weight"].to_numpy().astype(np.float32) if "weight" in rows.column_names else None,
        soft,
    )


def channel_statistics(pixels: np.ndarray, rows: np.ndarray) -> Encoding:
    """Mean and deviation by channel of pixels / 255 over these images, summed in whole numbers."""
    total = np.zeros(pixels.shape[3], np.int64)
    squares = np.zeros(pixels.shape[3], np.int64)
    for start in range(0, len(rows), _BLOCK):
        block = pixels[rows[start : start + _BLOCK]].astype(np.int64)
        total += block.sum(axis=(0, 1, 2))
        squares += (block * block).sum(axis=(0, 1, 2))
    count = max(1, len(rows) * pixels.shape[1] * pixels.shape[2])
    mean = total / count / 255
    variance = np.maximum(squares / count / 255**2 - mean**2, 0)
    std = np.where(variance > 1e-8, np.sqrt(variance), 1.0)
    return Encoding(mean.astype(np.float32), std.astype(np.float32))
