"""A summary of images: a few of them, real or made, with classes or soft labels, in memory and as files.

What is read back is, bit for bit, what was measured:

    summary.npz         `x`: real images uint8 (s, h, w, c), or made ones float16 (s, c, h, w) as networks see them, or
                        what they are decoded from; `y` (m,); `weights` (m,); `soft` (m * views, C)
    images/             the same as PNG, in folders by class
    contact_sheet.png   all of them, or some of each class, a row a class
    preprocess.json     classes, mean and deviation of the channels, size, decoder, views
    zca.npz             of whitened ones: mean, matrix and its inverse
    train_recipe.json   how networks were trained on it
    indices.csv         of real images: their numbers in the version, what they were called, class, weight
    load.py             a loader that needs numpy, and torch where something is decoded or viewed
    summary.json        where it comes from
    dataset/            the images as canonical files of a dataset version, all for training
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from worker.contract.context import Context
from worker.contract.product import Origin, Product
from worker.evidence.table import formula_safe
from worker.kinds.images import dataset
from worker.kinds.images.dataset import TRAIN, Images, Schema
from worker.kinds.images.decoder import Decoder
from worker.kinds.images.encoding import ZCA, Encoding
from worker.kinds.images.image_set import ImageSet, Loss, as_probabilities
from worker.kinds.images.loader import LOADER
from worker.kinds.images.sheet import contact_sheet, png
from worker.kinds.images.views import Views
from worker.numerics.npz import npz_bytes, write_npz

FORMAT, VERSION = "distillery-images", 1
MOST_FILES = 2_000
"""Images that are delivered as PNG, too; of more, the first of each class."""
LABEL = np.uint16
"""What a class is stored as."""
_SHEET_COLUMNS, _SHEET_ROWS = 10, 50
PIXELS, ALONE = Decoder(), Views()


@dataclass(frozen=True)
class ImagesSummary(Product):
    """What a method makes of images.

    `x`: uint8 (s, h, w, c), real images or crops of them, or float16 (s, c, h, w), made ones as networks see them under
    `encoding`, or what `decoder` makes m images of, with `coefficients` (m, K) where that takes some. `y`: int64 (m,);
    `weights`: float32 (m,); `soft`: float32 (m * views, C), a label of every view of every image: probabilities, or
    scores where the loss is not cross-entropy. `shape`: (c, h, w) of an image. `rate`: the step size that networks are
    to be trained with, where it was learned, too. `rows`: int64 (m,), numbers of real images in the version; None for
    made ones.
    """

    type: ClassVar[str] = "images"

    x: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]
    encoding: Encoding
    shape: tuple[int, int, int]
    weights: np.ndarray
    soft: np.ndarray | None = None
    loss: Loss = "cross-entropy"
    rate: float | None = None
    rows: np.ndarray | None = None
    decoder: Decoder = PIXELS
    coefficients: np.ndarray | None = None
    views: Views = ALONE
    origin: Origin = field(default_factory=Origin)
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Images, whatever the number of views that networks are trained on."""
        return len(self.y)

    @property
    def stored(self) -> int:
        """Images, canvases or bases that are stored: what a budget counts."""
        return len(self.x)

    @property
    def real(self) -> bool:
        """Whether it stores pixels of real images, whole or crops of them, and no made numbers."""
        return self.x.dtype == np.uint8

    @cached_property
    def images(self) -> ImageSet:
        """What learners are trained on: every view of every image, those of an image one after another."""
        if self.views.count == 1:
            return replace(self._alone, soft=self.soft)
        each = self._alone.take(np.repeat(np.arange(len(self)), self.views.count))
        return replace(each, soft=self.soft, maps=self.views.maps(len(self)))

    @cached_property
    def _alone(self) -> ImageSet:
        """The images without further views, and without soft labels."""
        x = self.x
        if not self.real or self.decoder.kind != "pixels":
            seen = {"x": self.encoding.encode(self.x)} if self.real else {}
            x = self.decoder.images(self._arrays | seen, self.shape)
        return ImageSet(
            x,
            self.y,
            self.encoding,
            len(self.classes),
            weights=self.weights if np.ptp(self.weights) > 1e-6 else None,
            loss=self.loss,
            rate=self.rate,
        )

    @cached_property
    def pixels(self) -> np.ndarray:
        """The images as uint8 (m, h, w, c): what a PNG of them holds."""
        return self._alone.pixels(np.arange(len(self)))

    @property
    def probabilities(self) -> np.ndarray | None:
        """What the soft label of each image itself says, float32 (m, C); None where there is none."""
        if self.soft is None or self.loss == "mse":
            return None
        own = self.soft[:: self.views.count]
        return own if self.loss == "cross-entropy" else as_probabilities(own, self.loss)

    @property
    def _arrays(self) -> dict[str, np.ndarray]:
        """What is stored, but for whitening."""
        found = {"x": self.x, "y": self.y.astype(LABEL), "weights": self.weights}
        if self.soft is not None:
            found["soft"] = self.soft.astype(np.float16)
        if self.coefficients is not None:
            found["coefficients"] = self.coefficients
        return found

    @property
    def needed(self) -> list[np.ndarray]:
        """What networks are trained on, as it is stored, but for whitening: weights that are alike, and classes beside
        soft labels, say nothing."""
        idle = {"weights"} if np.ptp(self.weights) <= 1e-6 else set[str]()
        idle |= set() if self.soft is None else {"y"}
        return [array for name, array in self._arrays.items() if name not in idle]

    @property
    def parts_in_bytes(self) -> Mapping[str, int]:
        """Bytes of what a user needs to train on it, by what they are: pixels, labels, weights, decoder, whitening."""
        labels = self._arrays["y" if self.soft is None else "soft"].nbytes
        whitening = self.encoding.whitening
        found = {
            "pixels": self.x.nbytes,
            "labels": labels,
            "weights": self.weights.nbytes if np.ptp(self.weights) > 1e-6 else 0,
            "decoder": 0 if self.coefficients is None else self.coefficients.nbytes,
            "whitening": 0 if whitening is None else whitening.matrix.nbytes + whitening.mean.nbytes,
        }
        return {name: int(size) for name, size in found.items()}

    def packed(self) -> bytes:
        """summary.npz."""
        return npz_bytes(self._arrays)

    def write(self, folder: Path, data: Images) -> None:
        """Write the delivered files."""
        (folder / "summary.npz").write_bytes(self.packed())
        self._write_pictures(folder)
        if (zca := self.encoding.whitening) is not None:
            write_npz(folder / "zca.npz", {"mean": zca.mean, "matrix": zca.matrix, "inverse": zca.inverse})
        if self.rows is not None:
            self._write_indices(folder, self.rows, data)
        (folder / "load.py").write_text(LOADER, encoding="utf-8")
        _write_json(
            folder / "preprocess.json",
            self.encoding.to_json()
            | {
                "classes": list(self.classes),
                "channels": self.shape[0],
                "size": list(self.shape[1:]),
                "order": "n, channels, height, width",
                "whitened": self.encoding.whitening is not None,
                "decoder": self.decoder.to_json(),
                "views": self.views.to_json(),
            },
        )
        _write_json(
            folder / "train_recipe.json",
            {
                "optimizer": "SGD",
                "learning_rate": 0.01 if self.rate is None else self.rate,
                "learning_rate_learned": self.rate is not None,
                "momentum": 0.9,
                "weight_decay": 5e-4,
                "batch": 256,
                "schedule": "a tenth of the learning rate from half-time on",
                "loss": "cross-entropy" if self.loss == "cross-entropy" else "mse",
                "labels": "hard" if self.soft is None else "logits" if self.loss == "logits" else "soft",
            },
        )
        about = {
            "format": FORMAT,
            "version": VERSION,
            "images": len(self),
            "stored": self.stored,
            "real": self.real,
            "loss": self.loss,
            "rate": self.rate,
            "bytes": dict(self.parts_in_bytes),
            "rows": self.rows is not None,
            "origin": self.origin.to_json(),
            "warnings": list(self.warnings),
        }
        _write_json(folder / "summary.json", about)
        dataset.save(self.version(), folder / "dataset")

    def version(self) -> Images:
        """The images as a dataset version of their own, all for training; made ones rounded to pixels."""
        split = np.full(len(self), TRAIN, np.int8)
        plain = Schema(self.classes, Encoding(self.encoding.mean, self.encoding.std), "all for training")
        weights = self.weights if np.ptp(self.weights) > 1e-6 else None
        return Images(self.pixels, self.y, split, plain, None, weights, self.probabilities)

    def _write_pictures(self, folder: Path) -> None:
        shown = first_of_each(self.y, len(self.classes), max(1, MOST_FILES // len(self.classes)))
        chosen = range(len(self)) if len(self) <= MOST_FILES else np.sort(np.concatenate(shown))
        names = [f"{number:0{len(str(len(self.classes) - 1))}d}" for number in range(len(self.classes))]
        for row in chosen:
            place = folder / "images" / names[self.y[row]]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{row}.png").write_bytes(png(self.pixels[row]))
        (folder / "contact_sheet.png").write_bytes(sheet_of(self.pixels, self.y, len(self.classes)))

    def _write_indices(self, folder: Path, rows: np.ndarray, data: Images) -> None:
        with (folder / "indices.csv").open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(["row", "source", "class", "weight"])
            sources = [""] * len(rows) if data.source is None else data.source.take(pa.array(rows)).to_pylist()
            for row, source, label, weight in zip(rows, sources, self.y, self.weights, strict=True):
                out.writerow([int(row), formula_safe(source), formula_safe(self.classes[label]), float(weight)])

    @classmethod
    def read(cls, folder: Path) -> ImagesSummary:
        """The summary back from its files. Raises `ValueError` for files that are not such a bundle."""
        about = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if about.get("format") != FORMAT or about.get("version") != VERSION:
            raise ValueError(f"{folder} is not a bundle of this kind and version")
        seen = json.loads((folder / "preprocess.json").read_text(encoding="utf-8"))
        with np.load(folder / "summary.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        zca: ZCA | None = None
        if seen["whitened"]:
            with np.load(folder / "zca.npz", allow_pickle=False) as stored:
                zca = ZCA(stored["mean"], stored["matrix"], stored["inverse"])
        rows: np.ndarray | None = None
        if about["rows"]:
            with (folder / "indices.csv").open(newline="", encoding="utf-8") as file:
                rows = np.array([int(line["row"]) for line in csv.DictReader(file)], np.int64)
        height, width = seen["size"]
        return cls(
            arrays["x"],
            arrays["y"].astype(np.int64),
            tuple(seen["classes"]),
            Encoding.from_json(seen, zca),
            (seen["channels"], height, width),
            arrays["weights"],
            arrays["soft"].astype(np.float32) if "soft" in arrays else None,
            about["loss"],
            about["rate"],
            rows,
            Decoder(**seen["decoder"]),
            arrays.get("coefficients"),
            Views.from_json(seen.get("views")),
            Origin.from_json(about["origin"]),
            tuple(about["warnings"]),
        )

    def judge(self, data: Images, params: Any, ctx: Context) -> Any:
        """Measure it beside the full data and cheap picks; see `worker.kinds.images.judge`."""
        from worker.kinds.images.judge import judge  # learners need torch, and reading a summary does not

        return judge(data, [self], params, ctx)


def of_pixels(
    data: Images, x: np.ndarray, y: np.ndarray, origin: Origin, *, decoder: Decoder = PIXELS
) -> ImagesSummary:
    """Pixels of real images uint8 (s, h, w, c), which count alike; `y` has a class for every image that `decoder`
    gives."""
    weights = np.ones(len(y), np.float32)
    return ImagesSummary(x, y, data.classes, data.encoding, data.shape, weights, decoder=decoder, origin=origin)


def of_rows(data: Images, rows: np.ndarray, origin: Origin, *, weights: np.ndarray | None = None) -> ImagesSummary:
    """Real images, by their numbers in the version (s,), in the order of their classes."""
    order = np.argsort(data.label[rows], kind="stable")
    rows = np.asarray(rows, np.int64)[order]
    weights = np.ones(len(rows), np.float32) if weights is None else weights[order].astype(np.float32)
    return ImagesSummary(
        np.ascontiguousarray(data.pixels[rows]),
        data.label[rows],
        data.classes,
        data.encoding,
        data.shape,
        weights,
        rows=rows,
        origin=origin,
    )


def made(
    data: Images,
    x: np.ndarray,
    y: np.ndarray,
    origin: Origin,
    *,
    encoding: Encoding | None = None,
    soft: np.ndarray | None = None,
    loss: Loss = "cross-entropy",
    weights: np.ndarray | None = None,
    rate: float | None = None,
    decoder: Decoder = PIXELS,
    coefficients: np.ndarray | None = None,
    warnings: tuple[str, ...] = (),
) -> ImagesSummary:
    """Made images (s, c, h, w) as networks see them under `encoding` (the dataset's unless given), kept as float16:
    what is measured is what is delivered. `y`, `soft` and `weights` have a row for every image that `decoder` gives."""
    return ImagesSummary(
        np.clip(x, -6e4, 6e4).astype(np.float16),
        np.asarray(y, np.int64),
        data.classes,
        data.encoding if encoding is None else encoding,
        data.shape,
        np.ones(len(y), np.float32) if weights is None else np.asarray(weights, np.float32),
        None if soft is None else _rounded(soft),
        loss,
        rate,
        decoder=decoder,
        coefficients=None if coefficients is None else coefficients.astype(np.float16),
        origin=origin,
        warnings=warnings,
    )


def _rounded(soft: np.ndarray) -> np.ndarray:
    """Soft labels as they are stored: what is measured is what is delivered."""
    return np.asarray(soft).astype(np.float16).astype(np.float32)


def first_of_each(y: np.ndarray, classes: int, most: int) -> list[np.ndarray]:
    """The first `most` images of each class, by number."""
    return [np.flatnonzero(y == one)[:most] for one in range(classes)]


def sheet_of(pixels: np.ndarray, y: np.ndarray, classes: int) -> bytes:
    """A contact sheet as PNG: a row a class, up to ten of each and fifty classes."""
    rows = first_of_each(y, classes, _SHEET_COLUMNS)[:_SHEET_ROWS]
    return png(contact_sheet([pixels[row] for row in rows if len(row)]))


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
