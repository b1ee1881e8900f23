"""ImageFolder: an archive of `[split/]class/file.png`, the folder of an image being its class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.kinds.images.upload.decoding import MOST_BYTES, SUFFIXES, UNREAD, Form
from worker.kinds.images.upload.parts import part_of
from worker.kinds.images.upload.piece import Found, Piece, refuse

CURE = (
    "Put every image into a folder named as its class: class/file.png, or train/class/file.png and test/class/file.png."
)


def is_image(source: Source) -> bool:
    """Whether a file's name is that of an image."""
    return PurePosixPath(source.name).suffix.lower() in SUFFIXES


def refuse_unread(sources: Sequence[Source]) -> None:
    """Refuse an upload that holds images of a form that is not read."""
    found = [source.name for source in sources if PurePosixPath(source.name).suffix.lower() in UNREAD]
    if found:
        raise refuse(
            f"{found[0]} is an image of a form that is not read here ({len(found):,} such files).",
            "Save it as PNG, JPEG, BMP or WebP, of a film the image that is meant, or take it out.",
        )


def recognises(sources: Sequence[Source]) -> bool:
    """Whether there are image files, be it of forms that are not read."""
    return any(PurePosixPath(source.name).suffix.lower() in SUFFIXES + UNREAD for source in sources)


def find(sources: Sequence[Source], form: Form, meter: Meter, options: object) -> Found:
    """The images of the archive. Raises `JobError` where the folders do not tell classes."""
    refuse_unread(sources)
    images = sorted((source for source in sources if is_image(source)), key=lambda source: source.name)
    paths = [PurePosixPath(source.name.replace("\\", "/")).parts[:-1] for source in images]
    while paths and all(len(path) > 1 for path in paths) and len({path[0] for path in paths}) == 1:
        if part_of(paths[0][0]) is not None:
            break
        paths = [path[1:] for path in paths]  # a folder around all of it
    placed = [(part_of(path[0]) if len(path) > 1 else None, path[-1] if path else "") for path in paths]
    if any(not name for _, name in placed):
        bare = images[next(at for at, (_, name) in enumerate(placed) if not name)]
        raise refuse(f"{bare.name} lies in no folder that would be its class.", CURE)
    if any(len(path) > 2 or (len(path) == 2 and part_of(path[0]) is None) for path in paths):
        deep = images[next(at for at, path in enumerate(paths) if len(path) > 2 or part_of(path[0]) is None)]
        raise refuse(f"{deep.name} lies deeper than [split/]class/file.", CURE)
    if all(part_of(name) is not None for _, name in placed):
        names = ", ".join(sorted({name for _, name in placed}))
        raise refuse(f"The folders {names} are parts of a split, and none below them is a class.", CURE)
    others = tuple(source.name for source in sources if not is_image(source))
    return Found("folder", (), _pieces(images, placed, form, meter), ignored=others)


def _pieces(
    images: Sequence[Source], placed: Sequence[tuple[int | None, str]], form: Form, meter: Meter
) -> Iterator[Piece]:
    for source, (part, name) in zip(images, placed, strict=True):
        yield Piece(form.file(content(source, meter), source.name, meter)[None], [name], [source.name], part)
        meter.tick()


def content(source: Source, meter: Meter) -> bytes:
    """The bytes of an image file. Raises `JobError` for one larger than any image."""
    parts: list[bytes] = []
    size = 0
    with source.open(meter) as stream:
        while chunk := stream.read(1 << 20):
            size += len(chunk)
            if size > MOST_BYTES:
                raise refuse(
                    f"{source.name} has more than {MOST_BYTES:,} bytes.",
                    "Make the image smaller.",
                    code="decoded_too_large",
                )
            parts.append(chunk)
    return b"".join(parts)
