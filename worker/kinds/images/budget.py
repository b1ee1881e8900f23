"""How large a summary may be: as a budget, or as images per class, the customary form."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.contract.budget import OR_NONE, Budget, resolve
from worker.contract.errors import JobError
from worker.kinds.images.dataset import Images
from worker.kinds.images.summary import LABEL

FORMS = ("budget", "ipc")
DEFAULT_IPC = 1


class SizeParams(BaseModel):
    """The size of a summary: one of two forms; an image of every class when neither is given."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget | None = Field(
        None,
        description='Images (100), a share of the training images ("1%") or bytes ("150kB").',
        json_schema_extra=OR_NONE,
    )
    ipc: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Images per class; 1 when no size is given.",
        json_schema_extra={"units_each": "classes", "units_unsaid": DEFAULT_IPC},
    )

    @model_validator(mode="after")
    def _one_size(self) -> SizeParams:
        if self.budget is not None and self.ipc is not None:
            raise ValueError("give budget or ipc, not both")
        if self.budget is None and self.ipc is None:
            self.ipc = DEFAULT_IPC
        return self


def image_bytes(data: Images, *, soft: bool = False, made: bool = False, views: int = 1) -> int:
    """Bytes that an image takes with its class, or with a soft label of each of its `views`.

    Pixels take a byte each, two where they are `made`.
    """
    c, h, w = data.shape
    label = 2 * len(data.classes) * views if soft else np.dtype(LABEL).itemsize
    return c * h * w * (2 if made else 1) + label


def counts_of(data: Images, params: SizeParams, *, bytes_each: float | None = None) -> np.ndarray:
    """Images of each class (C,) that a size comes to: alike in every class, as far as there are so many.

    `bytes_each`: what one takes (those of a real image with its class unless given). Raises `JobError` that names the
    field and the bounds.
    """
    room = data.counts
    classes = len(data.classes)
    if params.ipc is not None:
        total, least = params.ipc * classes, int(room.min())
        most = min(least, (len(data.train) - 1) // classes)
        cure = f"Ask for ipc={most}" if most else "Upload more images of every class: none is left to choose from"
        if params.ipc > least:
            others = ", or for a budget, which takes more of other classes" if most else ""
            raise JobError(
                "budget_too_large",
                f"The class {data.classes[int(room.argmin())]!r} has {least} training images, fewer than "
                f"ipc={params.ipc}.",
                hint=f"{cure}{others}.",
                pointer="/params/ipc",
            )
        if total >= len(data.train):
            raise JobError(
                "budget_too_large",
                f"ipc={params.ipc} comes to {total} images; the dataset has {len(data.train)} for training.",
                hint=f"{cure}.",
                pointer="/params/ipc",
            )
        return np.full(classes, params.ipc, np.int64)
    if params.budget is None:
        raise ValueError("a size has a budget or images per class")
    each = image_bytes(data) if bytes_each is None else bytes_each
    total = resolve(params.budget, total_units=len(data.train), bytes_per_unit=each, lowest=classes)
    return balanced(total, room)


def balanced(total: int, room: np.ndarray) -> np.ndarray:
    """`total` spread over classes (C,) alike, with no more than its `room` for any; the first get what remains."""
    given = np.zeros(len(room), np.int64)
    while (left := min(total, int(room.sum())) - int(given.sum())) > 0:
        open_ = np.flatnonzero(given < room)
        share = max(1, left // len(open_))
        for at in open_[:left] if left < len(open_) else open_:
            given[at] += min(share, int(room[at] - given[at]))
    return given
