"""Arrays in an npz: `x` or `images`, `y` or `labels`, or the same once for every part, as `x_train`, `y_test`."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence

import numpy as np

from worker.ingest.formats.npz import Array, archive_of, open_array
from worker.ingest.limits import Meter
from worker.ingest.sources import ZIP, Source
from worker.kinds.images.dataset import TRAIN
from worker.kinds.images.upload.decoding import Form
from worker.kinds.images.upload.numbers import Scale, speak_for_themselves
from worker.kinds.images.upload.parts import PART_NAMES
from worker.kinds.images.upload.piece import Found, Piece, refuse

CURE = "numpy.savez_compressed('images.npz', x_train=x, y_train=y, x_test=x_test, y_test=y_test), or x and y alone."
_PIECE_VALUES = 4_000_000
_PIXELS, _LABELS = ("x", "images", "data", "image"), ("y", "labels", "label", "targets")
_LONGEST = 2**63


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
        pairs, others = _pairs(archive, source.name)
    return Found("npz", (source.name,), _pieces(source, pairs, form, meter), ignored=others)


def _pairs(archive: zipfile.ZipFile, where: str) -> tuple[list[tuple[str, str, int | None]], tuple[str, ...]]:
    """(pixels, labels, part) of every part, and the arrays that are neither. Beside parts that are named, `x` is for
    training."""
    names = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
    plain = {name.lower(): name for name in names}
    found: list[tuple[str, str, int | None]] = []
    for suffix, part in (("", None), *PART_NAMES.items()):
        forms = (f"{{}}_{suffix}", f"{suffix}_{{}}") if suffix else ("{}",)
        x = next((plain[key] for one in _PIXELS for form in forms if (key := form.format(one)) in plain), None)
        y = next((plain[key] for one in _LABELS for form in forms if (key := form.format(one)) in plain), None)
        if (x is None) != (y is None):
            has, lacks = (x, "labels") if x else (y, "images")
            raise refuse(f"{where} has the array {has} but no {lacks} for it.", f"Save both: {CURE}")
        if x is not None and y is not None:
            found.append((x, y, part))
    if not found:
        raise refuse(f"{where} has no images and labels; it holds {', '.join(names)[:300] or 'nothing'}.", CURE)
    if len(found) > 1 and all(part != TRAIN for _, _, part in found):
        found = [(x, y, TRAIN if part is None else part) for x, y, part in found]
    used = {name for x, y, _ in found for name in (x, y)}
    return found, tuple(f"{where}[{name!r}]" for name in names if name not in used)


def _pieces(source: Source, pairs: Sequence[tuple[str, str, int | None]], form: Form, meter: Meter) -> Iterator[Piece]:
    with archive_of(source, meter) as archive:
        for name, labels_name, part in pairs:
            labels = _labels(archive, labels_name, meter)
            scale = _scale(archive, name, meter)
            opened = open_array(archive, name, meter)
            shape = _nhwc(opened.shape, name)
            if shape[0] != len(labels):
                raise refuse(
                    f"{name} has {shape[0]:,} images and {labels_name} {len(labels):,} labels.",
                    "Save a label for every image.",
                )
            for start, raw in _blocks(opened):
                pixels = scale.pixels(raw)
                if opened.shape[1:] != shape[1:]:
                    pixels = pixels.reshape(-1, *shape[1:]) if raw.ndim == 3 else pixels.transpose(0, 2, 3, 1)
                pixels = np.stack([form.array(one) for one in pixels]) if _changes(form, shape) else pixels
                names = [f"{name}[{at}]" for at in range(start, start + len(pixels))]
                yield Piece(pixels, labels[start : start + len(pixels)], names, part)
                meter.tick()


def _scale(archive: zipfile.ZipFile, name: str, meter: Meter) -> Scale:
    """What the numbers of an array stand for; it is read once more where that takes all of them."""
    scale, opened = Scale(name), open_array(archive, name, Meter(meter.limits))
    if not speak_for_themselves(opened.dtype):
        _nhwc(opened.shape, name)
        for start, raw in _blocks(opened):
            scale.look(raw, start)
            meter.tick()
    return scale


def _blocks(opened: Array) -> Iterator[tuple[int, np.ndarray]]:
    """The images of an array (b, ...), some at a time, and the number of the first."""
    each = math.prod(opened.shape[1:])
    many = max(1, _PIECE_VALUES // each)
    for start in range(0, opened.shape[0], many):
        count = min(many, opened.shape[0] - start)
        yield start, opened.take(count * each).reshape(count, *opened.shape[1:])


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
        try:
            return np.char.decode(values, "utf-8")
        except UnicodeDecodeError as broken:
            raise refuse(f"The labels {name} are bytes and no text in UTF-8.", "Save them as text.") from broken
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        raise refuse(f"The labels {name} are not whole numbers.", "Save them as integers or text.")
    if values.dtype.kind in "uf" and len(values) and not -_LONGEST <= values.min() <= values.max() < _LONGEST:
        raise refuse(f"The labels {name} reach {values.max():.4g}.", "Number the classes from 0 on, or name them.")
    return values if values.dtype.kind == "U" else values.astype(np.int64)


def _nhwc(shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    """The shape (n, h, w, c) of an array (n, h, w), (n, h, w, c) or (n, c, h, w)."""
    if len(shape) == 3 and 0 not in shape[1:]:
        return (*shape, 1)
    if len(shape) == 4 and shape[3] in (1, 3, 4) and 0 not in shape[1:]:
        return shape
    if len(shape) == 4 and shape[1] in (1, 3, 4) and 0 not in shape[1:]:
        return shape[0], shape[2], shape[3], shape[1]
    raise refuse(
        f"The images {name} have the shape {shape}.",
        "Save them as (n, height, width), (n, height, width, channels) or (n, channels, height, width), with 1 or 3 "
        "channels.",
    )
