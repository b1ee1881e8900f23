"""Another dataset version as a summary of this one: a subset made elsewhere, judged like ours."""

from __future__ import annotations

import numpy as np

from worker.contract.errors import JobError
from worker.contract.product import Origin
from worker.kinds.images.copies import hash_of
from worker.kinds.images.dataset import TRAIN, Images
from worker.kinds.images.summary import ImagesSummary


def held_out_images(data: Images, pixels: np.ndarray) -> np.ndarray:
    """Which images uint8 (n, h, w, c) equal a validation or test image of `data`, and no training image: bool (n,)."""
    held = {hash_of(data.pixels[row]) for row in np.flatnonzero(data.split != TRAIN)}
    asked = [hash_of(one) for one in pixels]
    suspects = {one for one in asked if one in held}
    if suspects:
        suspects -= {hash_of(data.pixels[row]) for row in np.flatnonzero(data.split == TRAIN)}
    return np.array([one in suspects for one in asked], bool)


def adopt(data: Images, other: Images) -> ImagesSummary:
    """A dataset version as a summary of `data`: its images, whatever their split in it, classes matched by name.

    Images that `data` holds out are left out with a warning. Raises `JobError` `invalid_input` where the images are of
    another size, or of a class that `data` does not have, or where none is left.
    """
    if other.shape != data.shape:
        ours, theirs = (f"{w} x {h} {'coloured' if c > 1 else 'grey'} pixels" for c, h, w in (data.shape, other.shape))
        raise _unfit(f"has images of {theirs}, the dataset of {ours}", "Upload it with the same resize and channels.")
    place = {name: number for number, name in enumerate(data.classes)}
    foreign = [name for at, name in enumerate(other.classes) if name not in place and (other.label == at).any()]
    if foreign:
        raise _unfit(
            f"has a class {foreign[0][:60]!r}, which the dataset does not have",
            "Name classes as the dataset does.",
        )
    label = np.array([place.get(name, -1) for name in other.classes], np.int64)[other.label]
    pixels = np.asarray(other.pixels)
    kept = np.flatnonzero(~held_out_images(data, pixels))
    if not len(kept):
        raise _unfit("holds nothing but validation and test images of the dataset", "Make it of training images.")
    said: tuple[str, ...] = ()
    if len(kept) < len(other):
        said = (
            f"{len(other) - len(kept):,} images of the subset are validation or test images of the dataset; they were "
            "left out, since nothing may be trained on what it is asked.",
        )
    kept = kept[np.argsort(label[kept], kind="stable")]
    weights = np.ones(len(kept), np.float32) if other.weights is None else other.weights[kept]
    soft: np.ndarray | None = None
    if other.soft is not None:
        soft = np.zeros((len(kept), len(data.classes)), np.float32)
        for at, name in enumerate(other.classes):
            if name in place:
                soft[:, place[name]] = other.soft[kept, at]
    return ImagesSummary(
        np.ascontiguousarray(pixels[kept]),
        label[kept],
        data.classes,
        data.encoding,
        data.shape,
        weights,
        None if soft is None else soft.astype(np.float16).astype(np.float32),
        origin=Origin("uploaded subset"),
        warnings=said,
    )


def _unfit(what: str, hint: str) -> JobError:
    return JobError("invalid_input", f"The subset {what}.", hint=hint, pointer="/inputs/summary")
