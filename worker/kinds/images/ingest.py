"""Uploaded images to a dataset version: decoded within limits, of one size, with classes and a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from worker.contract.context import Context
from worker.contract.kind import Sources
from worker.contract.text import storable
from worker.ingest.limits import Limits, Meter
from worker.ingest.options import ColumnMap, ReadOptions, column_map, parse_options
from worker.ingest.sources import Source
from worker.kinds.images import dataset, description, splits, uploaded_network
from worker.kinds.images.class_names import classes_of
from worker.kinds.images.copies import hash_of
from worker.kinds.images.dataset import TEST, TRAIN, VALIDATION, Images, Schema, channel_statistics
from worker.kinds.images.pixel_file import PixelFile, mapped
from worker.kinds.images.splits import UNKNOWN
from worker.kinds.images.upload import conversions, layouts
from worker.kinds.images.upload.decoding import Channels, Form
from worker.kinds.images.upload.piece import Found, Piece, refuse
from worker.kinds.images.upload.tables import PATHS

LEAST_IMAGES = 20
_DARK = 32
"""Brightest pixel below which all pictures look black."""
_NO_TEST = "no test images given"


class IngestOptions(ReadOptions):
    """How images with classes become a dataset version."""

    columns: ColumnMap = column_map(PATHS, example='{"label": "digit", "image": "filepath"}')
    layout: Literal[("auto", *layouts.NAMES)] = Field(
        "auto", description="Form of the upload; `auto` looks at its files."
    )
    resize: int = Field(
        0,
        ge=0,
        le=1024,
        description="Side in pixels that images are brought to: the shorter side is scaled, the middle cut out; 0 "
        "keeps their size, which must then be one for all.",
    )
    channels: Channels = Field("auto", description="3 for colour, 1 for grey; auto: grey where all images are.")
    class_order: Literal["lexicographic", "numeric"] = Field(
        "lexicographic",
        description="Order of classes that are words: as text, or by the numbers in them (2 before 10).",
    )
    split: Literal["auto", "given", "random"] = Field(
        "auto",
        description="The split of the upload, or one that is drawn (a fifth of every class for testing); auto: the "
        "given one where there is one.",
    )
    val_fraction: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Share of the training images held out for validation where the upload has none, 5,000 at most.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of what is drawn of the split.")


def ingest(
    sources: Sources, options: Mapping[str, Any], out: Path, ctx: Context, limits: Mapping[str, int]
) -> dict[str, Any]:
    """Write the canonical files of a version to `out`; see `worker.contract.kind.Ingest`.

    Raises `JobError` whose pointer names the option or the files at fault.
    """
    given = parse_options(IngestOptions, options)
    meter = Meter(Limits(**limits))
    files = _named(conversions.opened(sources, meter), given.file)
    _report(meter, files, ctx)
    if uploaded_network.is_network(files):
        return uploaded_network.ingest(files[0], out, meter, ctx)
    found = layouts.find(files, given.layout, Form(given.resize, given.channels), meter, given)
    out.mkdir(parents=True, exist_ok=True)
    collected = _Collected(out / dataset.PIXELS_FILE, given.channels)
    for piece in found.pieces:
        collected.add(piece)
        meter.rows_read(len(piece.pixels), "The upload")
        meter.tick()
    pixels = collected.finish()
    classes, label = classes_of(collected.labels, found.names, given.class_order, collected.names)
    ctx.progress(0, 2, phase="split")
    part = np.concatenate(collected.parts)
    split, said = _split(part, label, given)
    _tell(collected, found, label, split, classes, said, ctx)
    schema = Schema(classes, channel_statistics(pixels, np.flatnonzero(split == TRAIN)), said)
    names = pa.array([storable(name) for name in collected.names], pa.string())
    dataset.save_rows(Images(pixels, label, split, schema, names), out)
    ctx.progress(1, 2, phase="describe")
    described = description.describe(out)
    ctx.progress(2, 2, phase="describe")
    shape = list(pixels.shape[1:])
    return described | {
        "schema": {
            dataset.PIXELS_FILE: {"type": "uint8", "image": shape},
            dataset.ROWS_FILE: {"label": "int32", "split": "int8", "source": "string"},
        },
        "warnings": list(ctx.warnings),
        "detection": {
            "layout": found.layout,
            "files": list(found.files[:100]),
            "ignored": list(found.ignored[:100]),
            "split": said,
            "classes": list(classes[:100]),
        },
    }


def _named(files: Sequence[Source], pattern: str) -> list[Source]:
    """The files whose name, or last part of it, matches; all for the pattern ""."""
    found = [one for one in files if not pattern or any(fnmatch(n, pattern) for n in (one.name, Path(one.name).name))]
    if not found:
        names = ", ".join(one.name for one in files[:20])
        raise refuse(f"No file matches {pattern!r}. Files: {names}.", "Name one of them.", "/options/file")
    return found


def _report(meter: Meter, files: Sequence[Source], ctx: Context) -> None:
    total = max(1, sum(source.packed_bytes for source in files))
    meter.tick = lambda: ctx.progress(min(int(meter.packed_done), total), total, phase="read")
    meter.tick()


class _Collected:
    """What was read until now: pixels on disk, all else in memory."""

    def __init__(self, path: Path, channels: Channels) -> None:
        self.labels: list[Sequence[str] | np.ndarray] = []
        self.names: list[str] = []
        self.parts: list[np.ndarray] = []
        self.hashes: list[bytes] = []
        self.brightest = 0
        self._path, self._channels = path, channels
        self._file: PixelFile | None = None

    def add(self, piece: Piece) -> None:
        """Images of one size; grey ones become coloured with the first coloured one."""
        pixels = piece.pixels
        if self._file is None:
            h, w, c = pixels.shape[1:]
            if h * w == 1:
                raise refuse(
                    f"{piece.names[0]} has a single pixel: networks of images have nothing to see in it.",
                    "Upload its numbers as a table (kind `table`).",
                )
            self._file = PixelFile(self._path, (h, w, c))
        h, w, c = self._file.shape
        if pixels.shape[1:3] != (h, w):
            raise refuse(
                f"Images differ in size: {self.names[0]} has {w} x {h} pixels, {piece.names[0]} "
                f"{pixels.shape[2]} x {pixels.shape[1]}.",
                f"Say to which size they are to be brought, as in resize={min(h, w, *pixels.shape[1:3])}.",
                "/options/resize",
            )
        if pixels.shape[3] > c:
            self._file = self._file.coloured()
        elif pixels.shape[3] < c:
            pixels = np.repeat(pixels, c, axis=3)
        self._file.append(pixels)
        self.brightest = max(self.brightest, int(pixels.max(initial=0)))
        self.labels.append(piece.labels)
        self.names += piece.names
        self.parts.append(np.full(len(pixels), UNKNOWN if piece.part is None else piece.part, np.int8))
        self.hashes += [hash_of(one) for one in pixels]

    def finish(self) -> np.ndarray:
        """The pixels, mapped."""
        if self._file is None or self._file.count < LEAST_IMAGES:
            count = 0 if self._file is None else self._file.count
            raise refuse(f"The upload has {count} images.", f"Upload {LEAST_IMAGES} at least.")
        self._file.close()
        return mapped(self._path)


def _split(part: np.ndarray, label: np.ndarray, given: IngestOptions) -> tuple[np.ndarray, str]:
    """int8 (n,), and how it came about."""
    drawn = f"random, a fifth of every class for testing, seed {given.seed}"
    known = bool((part != UNKNOWN).all())
    if given.split == "given" and not known:
        raise refuse(
            "The upload does not say of every image which part of a split it is in.",
            "Say split=random, or upload the images in folders or files named train and test.",
            "/options/split",
        )
    if given.split == "random" or not known:
        return splits.random_split(label, given.val_fraction, given.seed), drawn
    if not (part == TRAIN).any():
        raise refuse("The upload has no training images.", "Upload those, too, or say split=random.", "/options/split")
    if not (part == TEST).any():
        split = splits.random_split(label, 0.0, given.seed)
        kept = part == VALIDATION
        split[kept] = VALIDATION
        return splits.with_validation(split, label, given.val_fraction, given.seed), f"{_NO_TEST}; {drawn}"
    return splits.with_validation(part, label, given.val_fraction, given.seed), "given"


def _tell(
    collected: _Collected, found: Found, label: np.ndarray, split: np.ndarray, classes: Sequence[str],
    said: str, ctx: Context,
) -> None:  # fmt: skip
    """Refuse what nothing can be learned from, and warn of what is doubtful."""
    counts = np.bincount(label[split == TRAIN], minlength=len(classes))
    if len(classes) < 2:
        raise refuse(f"All images have one class, {classes[0]!r}.", "Upload images of two classes at least.")
    if not counts.all():
        raise refuse(
            f"The class {classes[int(counts.argmin())]!r} has no training image.",
            "Add some, leave the class out, or say split=random.",
        )
    parts = np.concatenate(collected.parts)
    if (parts != UNKNOWN).any() and not (parts != UNKNOWN).all():
        ctx.warn("Some images lie in a part of a split and some in none: the split was drawn.")
    elif said.startswith(_NO_TEST):
        ctx.warn("The upload has no test images: a fifth of every class was drawn for testing.")
    if counts.min() < 10:
        rare = classes[int(counts.argmin())]
        ctx.warn(
            f"Of the class {rare!r} there {_are(int(counts.min()), 'training image')}: images per class end there."
        )
    tested = np.bincount(label[split == TEST], minlength=len(classes))
    if not tested.all():
        _tell_untested(tested, classes, ctx)
    if collected.brightest < _DARK:
        ctx.warn(
            f"No pixel is brighter than {collected.brightest} of 255, so pictures look black. Networks see them "
            "standardised and do not mind; to see them, upload numbers of 0 to 255, or floats of 0 to 1."
        )
    _tell_equal(collected.hashes, label, split, ctx)
    if found.ignored:
        several = len(found.ignored) > 1
        ctx.warn(
            f"{len(found.ignored):,} {'files or arrays are' if several else 'file or array is'} not of the form "
            f"{found.layout!r} that was read, or named nowhere in it, and {'were' if several else 'was'} left out: "
            f"{', '.join(found.ignored[:3])[:200]}{' and others' if len(found.ignored) > 3 else ''}."
        )


def _tell_untested(tested: np.ndarray, classes: Sequence[str], ctx: Context) -> None:
    """Warn of classes that test images say nothing of; `tested` (C,): test images of each."""
    if not tested.any():
        ctx.warn(
            "No test image could be held out: a class needs three images for one. Nothing can be measured on this "
            "version; upload more of each class, or a split with test images."
        )
        return
    without = np.flatnonzero(tested == 0)
    ctx.warn(
        f"{len(without):,} of {len(classes):,} classes have no test image, such as {classes[int(without[0])]!r}: what "
        "is measured says nothing of them."
    )


def _tell_equal(hashes: Sequence[bytes], label: np.ndarray, split: np.ndarray, ctx: Context) -> None:
    """Warn of equal images: in training and test, in several classes, at all."""
    times = Counter(hashes)
    if len(times) == len(hashes):
        return
    classes, parts = dict[bytes, set[int]](), dict[bytes, set[int]]()
    for one, own, part in zip(hashes, label.tolist(), split.tolist(), strict=True):
        if times[one] > 1:
            classes.setdefault(one, set()).add(own)
            parts.setdefault(one, set()).add(part)
    again = sum(part == TEST and TRAIN in parts.get(one, ()) for one, part in zip(hashes, split.tolist(), strict=True))
    if again:
        ctx.warn(
            f"{again:,} test {'images equal' if again > 1 else 'image equals'} a training image: figures on them are "
            "too good (leakage)."
        )
    torn = sum(len(one) > 1 for one in classes.values())
    if torn:
        ctx.warn(
            f"{torn:,} {'images are' if torn > 1 else 'image is'} in several classes: no network can tell these right."
        )
    twice = len(hashes) - len(times)
    ctx.warn(f"{twice:,} {'images repeat others' if twice > 1 else 'image repeats another'} of the upload.")


def _are(count: int, what: str) -> str:
    return f"is one {what}" if count == 1 else f"are {count:,} {what}s"
