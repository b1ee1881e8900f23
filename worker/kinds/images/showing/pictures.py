"""Contact sheets: real images before, the summary after, and of made images the nearest real one below each."""

from __future__ import annotations

import numpy as np

from worker.evidence.plot import Picture
from worker.kinds.images.dataset import Images
from worker.kinds.images.sheet import contact_sheet, png
from worker.kinds.images.showing.neighbours import nearest, points_of, searched
from worker.kinds.images.summary import ImagesSummary, first_of_each, sheet_of

_COLUMNS, _CLASSES, _PAIRS = 10, 50, 10


def pictures(data: Images, summary: ImagesSummary, *, seed: int) -> tuple[Picture, ...]:
    """Sheets with a row a class (of the first fifty), and pairs of made and real images."""
    classes = len(data.classes)
    rng, train = np.random.default_rng([seed, 4]), data.train
    some = [rng.permutation(np.flatnonzero(train.y == one))[:_COLUMNS] for one in range(min(classes, _CLASSES))]
    before = contact_sheet([train.pixels(rows) for rows in some if len(rows)])
    said = f"A row a class, from {data.classes[0][:40]!r} on, {min(classes, _CLASSES)} of {classes} classes."
    found = [
        Picture("real-images", "Real images, drawn at random", f"Training images. {said}", png(before)),
        Picture(
            "summary-images", "Images of this summary", f"Up to ten a class. {said}",
            sheet_of(summary.pixels, summary.y, classes),
        ),
    ]  # fmt: skip
    if not summary.real:
        found.append(_pairs(data, summary, seed))
    return tuple(found)


def _pairs(data: Images, summary: ImagesSummary, seed: int) -> Picture:
    """Made images, one of each class in turn, above the real image nearest to each."""
    turns = first_of_each(summary.y, len(data.classes), _PAIRS)
    order = [rows[turn] for turn in range(_PAIRS) for rows in turns if turn < len(rows)]
    shown = np.array(order[:_PAIRS], np.int64)
    plain = summary.version().chosen(shown)
    apart, which = nearest(points_of(plain, np.arange(len(shown))), data.train, searched(data, seed))
    sheet = contact_sheet([plain.pixels(np.arange(len(shown))), data.train.pixels(which)])
    return Picture(
        "nearest-real",
        "Made images, and the real image nearest to each",
        "Made images above, below each the training image nearest to it, by standardised pixels; they are "
        f"{apart.min():.2f} to {apart.max():.2f} standard deviations a pixel apart.",
        png(sheet),
    )
