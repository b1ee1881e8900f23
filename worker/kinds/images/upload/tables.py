"""CSV: of paths to images beside it, `filepath,label`; or of pixels, a row an image, `label,pixel0,pixel1,...`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from worker.ingest.columns import COUNTED, Wanted, plain_name
from worker.ingest.detect import detect
from worker.ingest.format import Detected
from worker.ingest.formats import FORMATS
from worker.ingest.limits import Limits, Meter
from worker.ingest.sample import Sample
from worker.ingest.sources import Source
from worker.ingest.table import Role, Schema, Table, as_table, numbered_batches, read_columns
from worker.kinds.images.upload.arrays import as_pixels
from worker.kinds.images.upload.decoding import Form
from worker.kinds.images.upload.folder import content, is_image
from worker.kinds.images.upload.parts import part_in, part_of
from worker.kinds.images.upload.piece import Found, Piece, refuse

_LABEL = Role("label", "category", ("label", "class", "target", "y", "digit", "labels", "category"), required=True)
PIXELS = Schema("a table of pixels", (_LABEL,))
PATHS = Schema(
    "a table of paths to images",
    (
        Role("image", "text", ("filepath", "path", "file", "filename", "image", "image_path", "img"), required=True),
        _LABEL,
        Role("split", "split", ("split", "part", "subset", "set")),
    ),
)
_LEAST_PIXELS = 4
_INDICES = (".csv", ".tsv")
_SUFFIXES = (*_INDICES, ".txt")


def is_table(source: Source) -> bool:
    """Whether a file's name is that of a text table."""
    return PurePosixPath(source.name).suffix.lower() in _SUFFIXES


def recognises_pixels(sources: Sequence[Source]) -> bool:
    """Whether there are tables and no images."""
    return any(is_table(source) for source in sources) and not any(is_image(source) for source in sources)


def recognises_paths(sources: Sequence[Source]) -> bool:
    """Whether a CSV or TSV that names images lies beside them."""
    if not any(is_image(source) for source in sources):
        return False
    return any(_names_images(source) for source in sources if PurePosixPath(source.name).suffix.lower() in _INDICES)


def _names_images(source: Source) -> bool:
    """Whether the first line of a table has a known name of a column of paths: others lie beside folders, too."""
    first = source.head(Meter(Limits()))[0].partition(b"\n")[0].decode("utf-8", "replace")
    return any(plain_name(cell) in PATHS.names - PIXELS.names for cell in re.split(r"[,;\t|]", first))


def _detected(source: Source, options: Any, names: frozenset[str], meter: Meter) -> Detected:
    return detect(Sample(source, *source.head(meter), options.hints(), names), FORMATS, meter)


def find_pixels(sources: Sequence[Source], form: Form, meter: Meter, options: Any) -> Found:
    """The images of tables whose other columns are pixels; which part one is for stands in the name of its file."""
    tables = sorted((source for source in sources if is_table(source)), key=lambda source: source.name)
    read = [_pixel_table(_detected(source, options, PIXELS.names, meter), options) for source in tables]
    others = tuple(source.name for source in sources if not is_table(source))
    return Found("pixels", tuple(one.name for one in tables), _pixel_pieces(read, form, meter), ignored=others)


def _pixel_table(detected: Detected, options: Any) -> tuple[Table, tuple[int, int, int]]:
    """The table with every column but the label as pixels, and the shape (c, h, w) that these come to."""
    asked = {role: name for role, name in options.columns.items() if role == "label"}
    if not detected.header and "label" not in asked:
        asked = {"label": 0}
    found = as_table(detected, asked, PIXELS)
    taken = {column.index for column in found.columns.values()}
    pixels = [column for column in detected.columns if column.index not in taken]
    other = next((column for column in pixels if column.type not in COUNTED), None)
    count = len(pixels)
    side = math.isqrt(count // 3 if options.channels == "3" or math.isqrt(count) ** 2 != count else count)
    channels = count // max(side * side, 1)
    if other is not None or count < _LEAST_PIXELS or side * side * channels != count or channels not in (1, 3):
        why = f"the column {other.name!r} holds no numbers" if other else f"{count} columns are no square of pixels"
        raise refuse(
            f"{detected.source.name} is no table of pixels: {why}.",
            "Write a row an image: its label, then its pixels row by row, and nothing else; of colour images all of "
            "red, then green, then blue.",
            "/columns",
        )
    wanted = [Wanted(f"pixel:{column.index}", column, "number", required=True) for column in pixels]
    return Table(detected, (*found.wanted, *wanted)), (channels, side, side)


def _pixel_pieces(tables: Sequence[tuple[Table, tuple[int, int, int]]], form: Form, meter: Meter) -> Iterator[Piece]:
    for table, shape in tables:
        part, at, units = part_in(PurePosixPath(table.name).name), 0, list[float]()
        for _, batch in numbered_batches([table], meter):
            roles = batch.schema.names
            words = np.array([str(one) for one in batch.column(roles.index("label")).to_pylist()])
            columns = [batch.column(place) for place, role in enumerate(roles) if role != "label"]
            values = np.stack([column.to_numpy(zero_copy_only=False) for column in columns], axis=1)
            if not np.isfinite(values).all():
                row = int(np.argwhere(~np.isfinite(values))[0][0])
                raise refuse(f"{table.name} has a blank or infinite pixel in row {at + row}.", "Fill it in.")
            whole = bool((values == np.rint(values)).all()) and values.max(initial=0) > 1
            raw = values.astype(np.int64) if whole else values
            pixels = as_pixels(raw, table.name, at, units) if not whole else as_pixels(raw, table.name, at, [])
            pixels = pixels.reshape(-1, *shape).transpose(0, 2, 3, 1)
            names = [f"{table.name}[{row}]" for row in range(at, at + len(pixels))]
            yield Piece(np.stack([form.array(one) for one in pixels]), _as_numbers(words), names, part)
            at += len(pixels)


def _as_numbers(words: np.ndarray) -> np.ndarray:
    return words.astype(np.int64) if all(word.lstrip("-").isdigit() for word in words) else words


def find_paths(sources: Sequence[Source], form: Form, meter: Meter, options: Any) -> Found:
    """The images that a table names, each with its class."""
    tables = [source for source in sources if PurePosixPath(source.name).suffix.lower() in _INDICES]
    read = [as_table(_detected(source, options, PATHS.names, meter), _asked(options), PATHS) for source in tables]
    listed = list[tuple[Source, str, int | None]]()
    images = {source.name: source for source in sources if is_image(source)}
    for table in read:
        listed += _listed(table, images, meter)
    used = {source.name for source, _, _ in listed} | {source.name for source in tables}
    ignored = tuple(source.name for source in sources if source.name not in used)
    return Found("index", tuple(one.name for one in tables), _listed_pieces(listed, form, meter), ignored=ignored)


def _asked(options: Any) -> dict[str, str | int]:
    return {role: name for role, name in options.columns.items() if role in ("image", "label", "split")}


def _listed(table: Table, images: dict[str, Source], meter: Meter) -> list[tuple[Source, str, int | None]]:
    columns = read_columns([table], meter)
    paths = columns.numbers["image"]
    labels = columns.words["label"]
    words = labels.words.to_pylist()
    splits = columns.words.get("split")
    said = [] if splits is None else [part_of(str(word)) for word in splits.words.to_pylist()]
    beside = PurePosixPath(table.name).parent
    of_file = part_in(PurePosixPath(table.name).name)
    bases = {PurePosixPath(name).name: source for name, source in images.items()}
    found = list[tuple[Source, str, int | None]]()
    for row, path in enumerate(paths):
        path = str(path or "").strip().replace("\\", "/").removeprefix("./")
        source = images.get(path) or images.get(str(beside / path)) or bases.get(PurePosixPath(path).name)
        if source is None:
            raise refuse(
                f"{table.name} names {path[:120]!r} in row {row}, which is not in the upload.",
                "Put the image into the archive, under the path that the table has.",
            )
        part = of_file if splits is None else said[splits.codes[row]]
        found.append((source, str(words[labels.codes[row]]), part))
    return found


def _listed_pieces(listed: Sequence[tuple[Source, str, int | None]], form: Form, meter: Meter) -> Iterator[Piece]:
    for source, word, part in listed:
        pixels = form.file(content(source, meter), source.name, meter)[None]
        yield Piece(pixels, [word], [source.name], part)
        meter.tick()
