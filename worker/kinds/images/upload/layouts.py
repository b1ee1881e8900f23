"""The forms of upload by name, and which of them some files are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.ingest.unsafe import refuse_unsafe
from worker.kinds.images.upload import arrays, cifar, folder, idx, parquet, tables
from worker.kinds.images.upload.decoding import Form
from worker.kinds.images.upload.piece import Found, refuse


@dataclass(frozen=True)
class Layout:
    """A form of upload: whether files are it, and how they are read."""

    recognises: Callable[[Sequence[Source]], bool]
    find: Callable[[Sequence[Source], Form, Meter, Any], Found]


_LAYOUTS: dict[str, Layout] = {
    "parquet": Layout(parquet.recognises, parquet.find),
    "index": Layout(tables.recognises_paths, tables.find_paths),
    "folder": Layout(folder.recognises, folder.find),
    "idx": Layout(idx.recognises, idx.find),
    "cifar": Layout(cifar.recognises, cifar.find),
    "pixels": Layout(tables.recognises_pixels, tables.find_pixels),
    "npz": Layout(arrays.recognises, arrays.find),
}
NAMES = tuple(_LAYOUTS)
CURE = (
    "Upload an archive of class/file.png, an npz of images and labels, Parquet files as Hugging Face writes them, IDX "
    "files as of MNIST, CIFAR's binary files, or a CSV of paths or pixels with a label."
)


def find(sources: Sequence[Source], layout: str, form: Form, meter: Meter, options: Any) -> Found:
    """The images of an upload. Raises `JobError` where it has no form that is known."""
    if layout == "auto":
        one = next((one for one in _LAYOUTS.values() if one.recognises(sources)), None)
    else:
        one = _LAYOUTS[layout]
        if layout != "index" and not one.recognises(sources):
            one = None
    if one is None:
        for source in sources[:10]:
            refuse_unsafe(source.name, *source.head(meter))  # says what else it is, where that is known
        names = ", ".join(source.name for source in sources[:10])
        raise refuse(
            f"No images were recognised in {names}.", CURE, "/files" if layout == "auto" else "/options/layout"
        )
    return one.find(sources, form, meter, options)
