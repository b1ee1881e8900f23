"""The forms of upload by name, and which of them some files are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.kinds.images.upload import arrays, folder
from worker.kinds.images.upload.decoding import Form
from worker.kinds.images.upload.piece import Found, refuse

_FORMS: dict[str, Any] = {"npz": arrays, "folder": folder}
NAMES = tuple(_FORMS)
CURE = (
    "Upload an archive of class/file.png, an npz of images and labels, Parquet files as Hugging Face writes them, IDX "
    "files as of MNIST, CIFAR's binary files, or a CSV of paths or pixels with a label."
)


def find(sources: Sequence[Source], layout: str, form: Form, meter: Meter, options: Any) -> Found:
    """The images of an upload. Raises `JobError` where it has no form that is known."""
    for name, one in _FORMS.items():
        if layout == name or (layout == "auto" and one.recognises(sources)):
            return one.find(sources, form, meter)
    names = ", ".join(source.name for source in sources[:10])
    raise refuse(f"No images were recognised in {names}.", CURE)
