"""IDX files, as of MNIST: images of unsigned bytes and their labels, in pairs by the names of the files.

A file begins with two zeros, the type of its numbers (8 for unsigned bytes) and the number of dimensions, then each of
these as a big-endian 32-bit number.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence

import numpy as np

from worker.ingest.limits import Meter
from worker.ingest.sources import Decoded, Source
from worker.kinds.images.upload.decoding import Form
from worker.kinds.images.upload.parts import part_in
from worker.kinds.images.upload.piece import Found, Piece, refuse

CURE = (
    "Upload the files as MNIST has them, plain or gzipped: train-images-idx3-ubyte, train-labels-idx1-ubyte, "
    "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte."
)
_MOST_FILES, _PIECE_VALUES, _UNSIGNED = 20, 4_000_000, 8


def recognises(sources: Sequence[Source]) -> bool:
    """Whether there are files named so."""
    return len(sources) <= _MOST_FILES and any(_is_idx(source) for source in sources)


def _is_idx(source: Source) -> bool:
    return "idx" in source.name.lower() or "ubyte" in source.name.lower()


def find(sources: Sequence[Source], form: Form, meter: Meter, options: object) -> Found:
    """The images of pairs of files. Raises `JobError` where one of a pair is missing."""
    images, labels = dict[int | None, Source](), dict[int | None, Source]()
    for source in sources:
        if not _is_idx(source):
            continue
        side = images if "image" in source.name.lower() else labels if "label" in source.name.lower() else None
        if side is None or part_in(source.name) in side:
            why = "says neither images nor labels" if side is None else "is for the same part as another file"
            raise refuse(f"The name {source.name} {why}.", CURE)
        side[part_in(source.name)] = source
    if images.keys() != labels.keys():
        alone = next(iter(images.keys() ^ labels.keys()))
        there = images.get(alone) or labels[alone]
        raise refuse(f"{there.name} has no {'labels' if alone in images else 'images'} beside it.", CURE)
    pairs = [
        (images[part], labels[part], part) for part in sorted(images, key=lambda part: -1 if part is None else part)
    ]
    used = {source.name for pair in pairs for source in pair[:2]}
    ignored = tuple(source.name for source in sources if source.name not in used)
    return Found("idx", tuple(used), _pieces(pairs, form, meter), ignored=ignored)


def _pieces(pairs: Sequence[tuple[Source, Source, int | None]], form: Form, meter: Meter) -> Iterator[Piece]:
    for image_file, label_file, part in pairs:
        with label_file.open(meter) as stream:
            (count,) = _header(stream, label_file.name, 1)
            meter.promised(count, label_file.name)
            labels = np.frombuffer(_exactly(stream, count, label_file.name), np.uint8).astype(np.int64)
            _refuse_more(stream, label_file.name)
        with image_file.open(meter) as stream:
            images, height, width = _header(stream, image_file.name, 3)
            if images != count:
                raise refuse(
                    f"{image_file.name} has {images:,} images and {label_file.name} {count:,} labels.",
                    "Upload files that belong together.",
                )
            each = height * width
            meter.promised(images * each, image_file.name)
            many = max(1, _PIECE_VALUES // max(each, 1))
            for start in range(0, images, many):
                rows = min(many, images - start)
                raw = np.frombuffer(_exactly(stream, rows * each, image_file.name), np.uint8)
                pixels = raw.reshape(rows, height, width, 1)
                if form.side or form.channels == "3":
                    pixels = np.stack([form.array(one) for one in pixels])
                names = [f"{image_file.name}[{at}]" for at in range(start, start + rows)]
                yield Piece(pixels, labels[start : start + rows], names, part)
                meter.tick()
            _refuse_more(stream, image_file.name)


def _header(stream: Decoded, name: str, dimensions: int) -> tuple[int, ...]:
    magic = _exactly(stream, 4, name)
    if magic[:2] != b"\0\0" or magic[2] != _UNSIGNED or magic[3] != dimensions:
        raise refuse(
            f"{name} begins with {magic.hex()}, not {bytes([0, 0, _UNSIGNED, dimensions]).hex()}: it is no IDX file "
            f"of unsigned bytes in {dimensions} dimension{'s' if dimensions > 1 else ''}.",
            CURE,
        )
    sizes = struct.unpack(f">{dimensions}I", _exactly(stream, 4 * dimensions, name))
    if not math.prod(sizes):
        raise refuse(f"{name} holds no images.", CURE)
    return sizes


def _exactly(stream: Decoded, size: int, name: str) -> bytes:
    parts: list[bytes] = []
    left = size
    while left:
        data = stream.read(min(left, 1 << 20))
        if not data:
            raise refuse(f"{name} ends {left:,} bytes early.", "Upload the whole file.")
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def _refuse_more(stream: Decoded, name: str) -> None:
    if stream.read(1):
        raise refuse(f"{name} goes on after what its header announces.", "Upload the file as it was made.")
