"""How near a summary's images come to real ones, and a membership attack by distance."""

from __future__ import annotations

import numpy as np

from worker.evidence.measurements import PrivacyRow
from worker.evidence.membership import by_nearness
from worker.kinds.images.dataset import TEST, Images
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.selection.pickers import pixel_features
from worker.kinds.images.summary import ImagesSummary

LOOKED_AT = 500
_SEARCHED, _BLOCK = 60_000, 4096


def points_of(images: ImageSet, numbers: np.ndarray) -> np.ndarray:
    """Images as points float32 (n, D): root of the mean square between two is a distance in deviations of a pixel."""
    x = pixel_features(images)(numbers)
    return x / np.float32(np.sqrt(max(1, x.shape[1])))


def searched(data: Images, seed: int) -> np.ndarray:
    """Numbers of the training images that are searched: all, or 60,000 at random of more."""
    rows = np.random.default_rng([seed, 5]).permutation(len(data.train))[:_SEARCHED]
    return np.sort(rows)


def nearest(
    points: np.ndarray, images: ImageSet, rows: np.ndarray, leave: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distance (n,) and number (n,) of the nearest of some images to each point (n, D); `leave` (n,): one each to pass
    over."""
    best = np.full(len(points), np.inf, np.float32)
    which = np.zeros(len(points), np.int64)
    own = np.einsum("nd,nd->n", points, points)
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        other = points_of(images, part)
        apart = own[:, None] + np.einsum("nd,nd->n", other, other) - 2 * points @ other.T
        if leave is not None:
            apart[leave[:, None] == part] = np.inf
        at = apart.argmin(axis=1)
        closer = apart[np.arange(len(points)), at] < best
        best[closer] = apart[closer, at[closer]]
        which[closer] = part[at[closer]]
    exact = np.empty(len(points), np.float32)  # of equal images the squares above differ by rounding
    for start in range(0, len(points), _BLOCK):
        part = slice(start, start + _BLOCK)
        exact[part] = np.linalg.norm(points[part] - points_of(images, which[part]), axis=1)
    return exact, which


def privacy(data: Images, summary: ImagesSummary, *, seed: int) -> tuple[PrivacyRow, ...]:
    """Distances in standardised pixels, and an attack that takes images near the summary for those it was made of."""
    rng = np.random.default_rng([seed, 3])
    train, rows = data.train, searched(data, seed)
    shown = _as_pixels(summary)
    own = points_of(shown, np.sort(rng.permutation(len(summary))[:LOOKED_AT]))
    others = np.sort(rng.permutation(rows)[:LOOKED_AT])
    apart, _ = nearest(own, train, rows)
    usual, _ = nearest(points_of(train, others), train, rows, leave=others)
    note = "the summary consists of real images" if summary.real else ""
    found = [
        PrivacyRow("Nearest real image, median", float(np.median(apart)), "SD a pixel", len(apart), note),
        PrivacyRow("Nearest real image, 5th percentile", float(np.quantile(apart, 0.05)), "SD a pixel", len(apart)),
        PrivacyRow("Images equal to a real one", 100 * float(np.mean(apart < 1e-4)), "% of images", len(apart)),
        PrivacyRow(
            "For comparison: a real image and the nearest other, median", float(np.median(usual)), "SD a pixel",
            len(usual),
        ),
    ]  # fmt: skip
    members = np.arange(len(train))
    if summary.rows is not None and train.rows is not None:  # who is in the summary is seen by anyone
        members = np.setdiff1d(members, np.searchsorted(train.rows, summary.rows))
    members = np.sort(rng.permutation(members)[:LOOKED_AT])
    held = data.part(TEST)
    asked = np.sort(rng.permutation(len(held))[:LOOKED_AT])
    if len(members) and len(asked):
        every = np.arange(len(summary))
        inside, _ = nearest(points_of(train, members), shown, every)
        outside, _ = nearest(points_of(held, asked), shown, every)
        found.append(by_nearness(-inside, -outside, "images"))
    return tuple(found)


def _as_pixels(summary: ImagesSummary) -> ImageSet:
    """The images as they look, under the plain encoding: whitened ones cannot be compared with others."""
    plain = summary.version()
    return ImageSet(plain.pixels, plain.label, plain.encoding, len(plain.classes))
