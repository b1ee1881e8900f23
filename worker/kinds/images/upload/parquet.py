"""Parquet as Hugging Face writes it: a column `image` of {bytes, path}, or of bytes, and one of labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from worker.ingest.arrow import Arrow
from worker.ingest.formats.parquet import opened
from worker.ingest.limits import Meter
from worker.ingest.parquet_pages import extent
from worker.ingest.sources import Source
from worker.kinds.images.upload.decoding import MOST_BYTES, Form
from worker.kinds.images.upload.parts import part_of_file
from worker.kinds.images.upload.piece import Found, Piece, refuse

CURE = "Write a column image of {bytes, path}, as `datasets` does, and a column label of whole numbers or text."
_IMAGES = ("image", "img", "picture", "images", "bytes")
_LABELS = ("label", "fine_label", "labels", "class", "target", "digit", "y")
_AT_ONCE, _PAGE_BYTES = 64, 512_000_000


def recognises(sources: Sequence[Source]) -> bool:
    """Whether there is a Parquet file."""
    return any(_is_parquet(source) for source in sources)


def _is_parquet(source: Source) -> bool:
    return source.name.lower().endswith((".parquet", ".pq"))


def find(sources: Sequence[Source], form: Form, meter: Meter, options: Any) -> Found:
    """The images of all files; which part of a split one is for stands in its name, or in that of its folder."""
    files = sorted((source for source in sources if _is_parquet(source)), key=lambda source: source.name)
    names = _names(files, meter, options.columns)
    others = tuple(source.name for source in sources if not _is_parquet(source))
    return Found(
        "parquet", tuple(one.name for one in files), _pieces(files, form, meter, options.columns), names, others
    )


def _names(files: Sequence[Source], meter: Meter, asked: Mapping[str, str | int]) -> tuple[str, ...]:
    """The names of the classes, which all files must agree on: numbers stand for them."""
    names: tuple[str, ...] = ()
    for place, source in enumerate(files):
        with opened(source, Meter(meter.limits)) as (file, _):
            found = _class_names(file.schema_arrow, _label(file.schema_arrow, asked, source.name))
        if place and found != names:
            said = [", ".join(one)[:80] or "none" for one in (names, found)]
            raise refuse(
                f"{files[0].name} and {source.name} name classes differently: {said[0]}; and {said[1]}.",
                "Write all files with one list of names, in `datasets` by `cast` to one `Features`.",
            )
        names = found
    return names


def _pieces(files: Sequence[Source], form: Form, meter: Meter, asked: Mapping[str, str | int]) -> Iterator[Piece]:
    for source in files:
        part = part_of_file(source.name)
        with opened(source, meter) as (file, raw):
            image = _image(file.schema_arrow, asked, source.name)
            label = _label(file.schema_arrow, asked, source.name)
            meter.rows_read(file.metadata.num_rows, source.name)
            meter.rows -= file.metadata.num_rows  # announced only; counted when read
            nested = pa.types.is_struct(file.schema_arrow.field(image).type)
            column = f"{image}.bytes" if nested else image
            extent(raw, file.metadata, {column, label}, meter, source.name, _PAGE_BYTES)
            at = 0
            for batch in file.iter_batches(_AT_ONCE, columns=[column, label]):
                meter.decoded(batch.nbytes, source.name)
                pictures = batch.column(image)
                pictures = pictures.field("bytes") if nested else pictures
                labels = _labels(batch.column(label), source.name, at)
                for row, picture in enumerate(pictures):
                    name = f"{source.name}[{at + row}]"
                    yield Piece(
                        form.file(_bytes(picture, name), name, meter)[None], labels[row : row + 1], [name], part
                    )
                at += batch.num_rows
                meter.tick()


def _bytes(picture: Arrow, name: str) -> bytes:
    buffer = picture.as_buffer() if picture.is_valid else None
    if buffer is None or not buffer.size:
        raise refuse(
            f"{name} holds no image, perhaps only a path or an address of one.",
            "Write the bytes of the images into the file, in `datasets` with `embed_external_files=True`.",
        )
    if buffer.size > MOST_BYTES:
        raise refuse(f"{name} has more than {MOST_BYTES:,} bytes.", "Make the image smaller.", code="decoded_too_large")
    return bytes(buffer)


def _image(schema: Arrow, asked: Mapping[str, str | int], where: str) -> str:
    def holds(field: Arrow) -> bool:
        kind = field.type
        if pa.types.is_struct(kind):
            at = kind.get_field_index("bytes")
            return at >= 0 and _is_bytes(kind.field(at).type)
        return _is_bytes(kind)

    return _column(schema, asked, "image", _IMAGES, holds, where)


def _label(schema: Arrow, asked: Mapping[str, str | int], where: str) -> str:
    def holds(field: Arrow) -> bool:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        return pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)

    return _column(schema, asked, "label", _LABELS, holds, where)


def _column(
    schema: Arrow, asked: Mapping[str, str | int], role: str, names: Sequence[str], holds: Any, where: str
) -> str:
    wanted = asked.get(role, "")
    if isinstance(wanted, int):
        wanted = schema.names[wanted] if wanted < len(schema.names) else str(wanted)
    for name in [wanted] if wanted else names:
        if name in schema.names and holds(schema.field(name)):
            return name
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema)[:400]
    named = f" {wanted!r}" if wanted else ""
    raise refuse(
        f"{where} has no column{named} of {role}s. Columns: {columns}.",
        f'{CURE} Other names are said as columns={{"{role}": "name"}}.',
        f"/columns/{role}",
        "unknown_column",
    )


def _is_bytes(kind: Arrow) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _labels(column: Arrow, where: str, at: int) -> np.ndarray:
    if column.null_count:
        first = at + next(row for row, one in enumerate(column) if not one.is_valid)
        raise refuse(f"{where}[{first}] has no label.", "Leave images without a label out.")
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_integer(column.type):
        try:
            return column.cast(pa.int64()).to_numpy()
        except pa.ArrowInvalid as broken:
            raise refuse(
                f"{where} has a label above {2**63 - 1}, from [{at}] on.", "Number the classes from 0 on, or name them."
            ) from broken
    return np.array(column.to_pylist(), dtype=str)


def _class_names(schema: Arrow, label: str) -> tuple[str, ...]:
    """The names of the classes that `datasets` writes into the schema; empty where there are none."""
    stored = (schema.metadata or {}).get(b"huggingface")
    try:
        names = json.loads(stored)["info"]["features"][label]["names"] if stored else ()
    except (ValueError, KeyError, TypeError):
        return ()
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return ()
