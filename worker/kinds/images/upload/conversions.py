"""Files that can carry code are never opened; here is how each becomes one that is read."""

from __future__ import annotations

from pathlib import PurePosixPath

from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.ingest.sources import Source, expand
from worker.ingest.unsafe import looks_pickled
from worker.ingest.upload import Files
from worker.kinds.images.upload.piece import refuse

CIFAR = (
    "CIFAR's python version is made of pickles: upload its binary version (cifar-10-binary.tar.gz), or save "
    "`numpy.savez_compressed('images.npz', x_train=x, y_train=y, x_test=x_test, y_test=y_test)`."
)
TENSORS = (
    "Save arrays: `numpy.savez_compressed('images.npz', x=x.numpy(), y=y.numpy())`, pixels of 0 to 255 or of 0 to 1."
)


def opened(files: Files, meter: Meter) -> list[Source]:
    """The files of an upload, archives opened; refuses pickles in any disguise, and shows the conversion."""
    try:
        found = expand(files, meter)
    except JobError as problem:
        if problem.code != "unsafe_format":
            raise
        names = [file.name if not isinstance(file, tuple) else file[0] for file in files]
        code = "pickle" in problem.detail
        hint = _conversion(names) if code else problem.hint
        raise JobError(problem.code, problem.detail, hint=hint, pointer="/files") from problem
    for source in found:
        if PurePosixPath(source.name).suffix.lower() in {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".npz"}:
            continue
        head, whole = source.head(meter)
        if looks_pickled(head, whole):
            raise refuse(
                f"{source.name} is a Python pickle, which can carry code; it was not opened.",
                _conversion([one.name for one in found]),
                code="unsafe_format",
            )
    return found


def _conversion(names: list[str]) -> str:
    cifar = any("batch" in name.lower() or "cifar" in name.lower() for name in names)
    return CIFAR if cifar else TENSORS
