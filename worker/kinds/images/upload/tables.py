"""CSV: of paths to images beside it, `filepath,label`; or of pixels, a row an image, `label,pixel0,pixel1,...`."""

from __future__ import annotations

import math
import re
import unicodedata
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
from worker.kinds.images.upload.decoding import Form
from worker.kinds.images.upload.folder import content, is_image, refuse_unread
from worker.kinds.images.upload.numbers import Scale
from worker.kinds.images.upload.parts import PART_NAMES, part_of, part_of_file, part_of_path
from worker.kinds.images.upload.piece import Found, Piece, refuse

_LABEL = Role("label", "category", ("label", "class", "target", "y", "digit", "labels", "category"), required=True)
_IMAGES = (
    "filepath", "path", "file", "filename", "image", "image_path", "img", "file_path", "file_name", "image_file",
    "image_name",
)  # fmt: skip
PIXELS = Schema("a table of pixels", (_LABEL,))
PATHS = Schema(
    "a table of paths to images",
    (
        Role("image", "text", _IMAGES, required=True),
        _LABEL,
        Role("split", "split", ("split", "part", "subset", "set")),
    ),
)
_LEAST_PIXELS = 4
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_INDICES = (".csv", ".tsv")
_SUFFIXES = (*_INDICES, ".txt")


def is_table(source: Source) -> bool:
    """Whether a file's name is that of a text table."""
    return PurePosixPath(source.name).suffix.lower() in _SUFFIXES


def recognises_pixels(sources: Sequence[Source]) -> bool:
    """Whether there are tables and no images."""
    return any(is_table(source) for source in sources) and not any(is_image(source) for source in sources)


def recognises_paths(sources: Sequence[Source]) -> bool:
    """Whether there is a CSV or TSV that names images, which should lie beside it."""
    return any(_names_images(source) for source in sources if PurePosixPath(source.name).suffix.lower() in _INDICES)


def _names_images(source: Source) -> bool:
    """Whether the first line of a table has a known name of a column of paths: others lie beside folders, too."""
    first = next(iter(Sample(source, *source.head(Meter(Limits()))).lines), "")
    return any(plain_name(cell) in _IMAGES for cell in re.split(r"[,;\t|]", first))


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
        scale = Scale(table.name)
        for at, _, values in _pixel_rows(table, Meter(meter.limits)):
            scale.look(values, at)
            meter.tick()
        for at, words, values in _pixel_rows(table, meter):
            pixels = scale.pixels(values).reshape(-1, *shape).transpose(0, 2, 3, 1)
            names = [f"{table.name}[{row}]" for row in range(at, at + len(pixels))]
            yield Piece(
                np.stack([form.array(one) for one in pixels]), _as_numbers(words), names, part_of_file(table.name)
            )


def _pixel_rows(table: Table, meter: Meter) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Some rows at a time: the number of the first, their labels as words (b,), and their pixels float64 (b, D)."""
    at = 0
    for _, batch in numbered_batches([table], meter):
        roles = batch.schema.names
        words = np.array([str(one) for one in batch.column(roles.index("label")).to_pylist()])
        columns = [batch.column(place) for place, role in enumerate(roles) if role != "label"]
        values = np.stack([column.to_numpy(zero_copy_only=False) for column in columns], axis=1).astype(np.float64)
        wrong = ~np.isfinite(values).all(axis=1)
        if wrong.any():
            row = at + int(wrong.argmax()) + 1
            raise refuse(f"{table.name} has a blank or infinite pixel in row {row:,}.", "Fill it in.")
        yield at, words, values
        at += len(words)


def _as_numbers(words: np.ndarray) -> np.ndarray:
    """Words as int64 where every one is a whole number as it is usually written: 01 and 1 are two words."""
    return words.astype(np.int64) if all(_NUMBER.fullmatch(word) for word in words) else words


def find_paths(sources: Sequence[Source], form: Form, meter: Meter, options: Any) -> Found:
    """The images that a table names, each with its class."""
    tables = [source for source in sources if PurePosixPath(source.name).suffix.lower() in _INDICES]
    read = [as_table(_detected(source, options, PATHS.names, meter), _asked(options), PATHS) for source in tables]
    listed = list[tuple[Source, str, int | None]]()
    refuse_unread(sources)
    listed = list[tuple[Source, str, int | None]]()
    images = _Pictures(sources)
    for table in read:
        listed += _listed(table, images, options.split != "random", meter)
    used = {source.name for source, _, _ in listed} | {source.name for source in tables}
    ignored = tuple(source.name for source in sources if source.name not in used)
    return Found("index", tuple(one.name for one in tables), _listed_pieces(listed, form, meter), ignored=ignored)


class _Pictures:
    """The images of an upload by their paths, which a table may write in several ways."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._paths: dict[str, Source] = {}
        self._bases = dict[str, list[Source]]()
        for source in sources:
            if is_image(source):
                path = _plain_path(source.name)
                self._paths[path] = source
                self._bases.setdefault(PurePosixPath(path).name, []).append(source)

    def named(self, path: str, table: Table, row: int) -> Source:
        """The image that row `row` of a table means: by its path in the upload, by that from the table on, or by the
        name of the file alone, where only one has it. Raises `JobError` for none, or for several."""
        plain = _plain_path(path)
        beside = _plain_path(str(PurePosixPath(table.name).parent / plain))
        if (found := self._paths.get(beside) or self._paths.get(plain)) is not None:
            return found
        same = self._bases.get(PurePosixPath(plain).name, [])
        if len(same) == 1:
            return same[0]
        why = f"which {same[0].name} and {same[1].name} may be" if same else "which is not in the upload"
        raise refuse(
            f"{table.name} names {path[:120]!r} in row {row:,}, {why}.",
            "Put the image into the archive, under the path that the table has.",
        )


def _plain_path(path: str) -> str:
    """A path as it is compared: slashes one way, letters composed (macOS takes accents apart)."""
    return unicodedata.normalize("NFC", path.strip().replace("\\", "/")).removeprefix("./")


def _asked(options: Any) -> dict[str, str | int]:
    return {role: name for role, name in options.columns.items() if role in ("image", "label", "split")}


def _listed(table: Table, images: _Pictures, heeds_split: bool, meter: Meter) -> list[tuple[Source, str, int | None]]:
    """(image, class, part) of every row; the part stands in a column, or in the name of the table or of a folder."""
    columns = read_columns([table], meter)
    labels = columns.words["label"]
    words = labels.words.to_pylist()
    splits = columns.words.get("split") if heeds_split else None
    said = [] if splits is None else [_said(str(word or ""), table.name) for word in splits.words.to_pylist()]
    of_file = part_of_file(table.name)
    found = list[tuple[Source, str, int | None]]()
    for row, path in enumerate(columns.numbers["image"]):
        source = images.named(str(path or ""), table, row + 1)
        if splits is not None:
            part = said[splits.codes[row]]
        else:
            part = part_of_path(source.name) if of_file is None else of_file
        found.append((source, str(words[labels.codes[row]] or ""), part))
    return found


def _said(word: str, where: str) -> int | None:
    """The part that a cell says; None for a blank one. Raises `JobError` for a word that is none."""
    part = part_of(word)
    if part is None and word.strip():
        raise refuse(
            f"{where} has the split {word[:40]!r}; known are {', '.join(PART_NAMES)}.",
            "Write one of these, or say split=random, which draws a split.",
            "/columns/split",
        )
    return part


def _listed_pieces(listed: Sequence[tuple[Source, str, int | None]], form: Form, meter: Meter) -> Iterator[Piece]:
    for source, word, part in listed:
        pixels = form.file(content(source, meter), source.name, meter)[None]
        yield Piece(pixels, [word], [source.name], part)
        meter.tick()
