"""Arrays in an npz: `x` or `images`, `y` or `labels`, or the same once for every part, as `x_train`, `y_test`."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence

import numpy as np

from worker.ingest.formats.npz import archive_of, open_array
from worker.ingest.limits import Meter
from worker.ingest.sources import ZIP, Source
from worker.kinds.images.dataset import TEST, TRAIN, VALIDATION
from worker.kinds.images.upload.decoding import Form
from worker.kinds.images.upload.piece import Found, Piece, refuse

CURE = "numpy.savez_compressed('images.npz', x_train=x, y_train=y, x_test=x_test, y_test=y_test), or x and y alone."
_PIECE_VALUES = 4_000_000
_PIXELS, _LABELS = ("x", "images", "data", "image"), ("y", "labels", "label", "targets")
_PARTS = {"": None, "train": TRAIN, "val": VALIDATION, "validation": VALIDATION, "test": TEST}


def recognises(sources: Sequence[Source]) -> bool:
    """Whether there is an npz."""
    return any(_is_archive(source) for source in sources)


def _is_archive(source: Source) -> bool:
    if source.name.lower().endswith(".npz"):
        return True
    with source.path.open("rb") as raw:  # an npz by another name: an archive of arrays is not unpacked
        return not source.compression and raw.read(4) == ZIP


def find(sources: Sequence[Source], form: Form, meter: Meter, options: object) -> Found:
    """The images of an npz. Raises `JobError` that names what is missing."""
    archives = [source for source in sources if _is_archive(source)]
    if len(archives) > 1:
        raise refuse(f"The upload has {len(archives)} npz files.", "Put all arrays into one npz.")
    source = archives[0]
    with archive_of(source, meter) as archive:
        pairs = _pairs(archive, source.name)
    return Found("npz", (source.name,), _pieces(source, pairs, form, meter))


def _pairs(archive: zipfile.ZipFile, where: str) -> list[tuple[str, str, int | None]]:
    """(pixels, labels, part) of every part."""
    names = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
    plain = {name.lower(): name for name in names}
    found: list[tuple[str, str, int | None]] = []
    for suffix, part in _PARTS.items():
        forms = [(f"{{}}_{suffix}", f"{suffix}_{{}}") if suffix else ("{}",)][0]
        x = next((plain[key] for one in _PIXELS for form in forms if (key := form.format(one)) in plain), None)
        y = next((plain[key] for one in _LABELS for form in forms if (key := form.format(one)) in plain), None)
        if (x is None) != (y is None):
            has, lacks = (x, "labels") if x else (y, "images")
            raise refuse(f"{where} has the array {has} but no {lacks} for it.", f"Save both: {CURE}")
        if x is not None and y is not None:
            found.append((x, y, part))
    if not found:
        raise refuse(f"{where} has no images and labels; it holds {', '.join(names)[:300] or 'nothing'}.", CURE)
    return found


def _pieces(source: Source, pairs: Sequence[tuple[str, str, int | None]], form: Form, meter: Meter) -> Iterator[Piece]:
    with archive_of(source, meter) as archive:
        for name, labels_name, part in pairs:
            labels = _labels(archive, labels_name, meter)
            opened = open_array(archive, name, meter)
            shape = _nhwc(opened.shape, name)
            if shape[0] != len(labels):
                raise refuse(
                    f"{name} has {shape[0]:,} images and {labels_name} {len(labels):,} labels.",
                    "Save a label for every image.",
                )
            each = int(np.prod(opened.shape[1:]))
            many = max(1, _PIECE_VALUES // max(each, 1))
            units: list[float] = []
            for start in range(0, shape[0], many):
                count = min(many, shape[0] - start)
                raw = opened.take(count * each).reshape(count, *opened.shape[1:])
                pixels = as_pixels(raw, name, start, units)
                if opened.shape[1:] != shape[1:]:
                    pixels = pixels.reshape(count, *shape[1:]) if raw.ndim == 3 else pixels.transpose(0, 2, 3, 1)
                pixels = np.stack([form.array(one) for one in pixels]) if _changes(form, shape) else pixels
                names = [f"{name}[{at}]" for at in range(start, start + count)]
                yield Piece(pixels, labels[start : start + count], names, part)
                meter.tick()


def _changes(form: Form, shape: tuple[int, ...]) -> bool:
    return bool(form.side) or shape[3] == 4 or form.channels not in ("auto", str(shape[3]))


def _labels(archive: zipfile.ZipFile, name: str, meter: Meter) -> np.ndarray:
    opened = open_array(archive, name, meter)
    shape = [length for length in opened.shape if length != 1] or [1]
    if len(shape) != 1 or opened.dtype.kind not in "iubUSf":
        raise refuse(
            f"The labels {name} have the shape {opened.shape} and the type {opened.dtype}.",
            "Save one class for every image: whole numbers, or text; of one-hot rows, their argmax.",
        )
    values = opened.take(shape[0])
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        raise refuse(f"The labels {name} are not whole numbers.", "Save them as integers or text.")
    return values if values.dtype.kind == "U" else values.astype(np.int64)


def _nhwc(shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    """The shape (n, h, w, c) of an array (n, h, w), (n, h, w, c) or (n, c, h, w)."""
    if len(shape) == 3:
        return (*shape, 1)
    if len(shape) == 4 and shape[3] in (1, 3, 4):
        return shape
    if len(shape) == 4 and shape[1] in (1, 3, 4):
        return shape[0], shape[2], shape[3], shape[1]
    raise refuse(
        f"The images {name} have the shape {shape}.",
        "Save them as (n, height, width), (n, height, width, channels) or (n, channels, height, width), with 1 or 3 "
        "channels.",
    )


def as_pixels(raw: np.ndarray, name: str, start: int, units: list[float]) -> np.ndarray:
    """Numbers as uint8: 8 bit as they are, 16 bit by their upper half, floats of 0 to 1 or of 0 to 255.

    `units`: what 1.0 stands for, decided by the first piece that tells. Raises `JobError` for NaN and other ranges.
    """
    if raw.dtype == np.uint8:
        return raw
    if raw.dtype.kind == "b":
        return raw.astype(np.uint8) * 255
    if raw.dtype.kind == "f":
        if not np.isfinite(raw).all():
            first = start + int(np.argwhere(~np.isfinite(raw))[0][0])
            raise refuse(f"{name}[{first}] holds NaN or infinity.", "Replace them, or leave the image out.")
        low, high = float(raw.min(initial=0)), float(raw.max(initial=0))
        unit = 255.0 if high <= 1 else 1.0
        units.append(unit)
        if low < 0 or high > 255 or unit != units[0]:
            raise refuse(
                f"The numbers of {name} reach from {low:.3g} to {high:.3g}, at image {start}.",
                "Save pixels of 0 to 255, or floats of 0 to 1 in all images; standardise later, in training.",
            )
        return np.rint(raw * unit).astype(np.uint8)
    if raw.dtype.kind not in "iu":
        raise refuse(f"The images {name} are {raw.dtype}.", "Save them as uint8.")
    low, high = int(raw.min(initial=0)), int(raw.max(initial=0))
    if low >= 0 and raw.dtype == np.uint16 and high > 255:
        return ((raw.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if low < 0 or high > 255:
        raise refuse(f"The numbers of {name} reach from {low} to {high}.", "Save pixels of 0 to 255 as uint8.")
    return raw.astype(np.uint8)
