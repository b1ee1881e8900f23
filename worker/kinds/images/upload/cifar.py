"""CIFAR's binary version: records of a label, or a coarse and a fine one, and 3 x 32 x 32 bytes, plane by plane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np

from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.kinds.images.dataset import TEST, TRAIN
from worker.kinds.images.upload.decoding import Form
from worker.kinds.images.upload.piece import Found, Piece, refuse

CURE = "Upload cifar-10-binary.tar.gz or cifar-100-binary.tar.gz, or the .bin files in them."
_PIXELS, _RECORDS, _MOST_FILES = 3 * 32 * 32, 1024, 50
_NAMES = {"batches.meta.txt": 1, "fine_label_names.txt": 2}


def recognises(sources: Sequence[Source]) -> bool:
    """Whether there are .bin files."""
    return len(sources) <= _MOST_FILES and any(_is_binary(source) for source in sources)


def _is_binary(source: Source) -> bool:
    return source.name.lower().endswith(".bin")


def find(sources: Sequence[Source], form: Form, meter: Meter, options: object) -> Found:
    """The images of all .bin files; those with test in their name are for testing."""
    batches = sorted((source for source in sources if _is_binary(source)), key=lambda source: source.name)
    names: tuple[str, ...] = ()
    labels = 1
    for source in sources:
        base = PurePosixPath(source.name).name
        if base in _NAMES:
            labels = _NAMES[base]
            text = source.head(meter)[0].decode("utf-8", "replace")
            names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names and all(PurePosixPath(source.name).name in ("train.bin", "test.bin") for source in batches):
        labels = 2
    used = {source.name for source in batches}
    others = tuple(s.name for s in sources if s.name not in used and not s.name.lower().endswith((".txt", ".html")))
    return Found("cifar", tuple(sorted(used)), _pieces(batches, labels, form, meter), names, others)


def _pieces(batches: Sequence[Source], labels: int, form: Form, meter: Meter) -> Iterator[Piece]:
    each = labels + _PIXELS
    for source in batches:
        part = TEST if "test" in PurePosixPath(source.name).name.lower() else TRAIN
        at, rest = 0, b""
        with source.open(meter) as stream:
            while chunk := stream.read(_RECORDS * each):
                rest += chunk
                whole = len(rest) // each
                if not whole:
                    continue
                raw = np.frombuffer(rest[: whole * each], np.uint8).reshape(whole, each)
                rest = rest[whole * each :]
                pixels = np.ascontiguousarray(raw[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
                if form.side or form.channels == "1":
                    pixels = np.stack([form.array(one) for one in pixels])
                written = [f"{source.name}[{row}]" for row in range(at, at + whole)]
                yield Piece(pixels, raw[:, labels - 1].astype(np.int64), written, part)
                at += whole
                meter.tick()
        if rest or not at:
            raise refuse(
                f"{source.name} has {len(rest)} bytes beyond {at:,} records of {each:,} bytes: it is no file of CIFAR.",
                CURE,
            )
