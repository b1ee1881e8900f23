"""Contact sheets: many small images as one picture, a row a class."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

_SIDE, _GAP, _WHITE = 64, 2, 255


def png(pixels: np.ndarray) -> bytes:
    """One image uint8 (h, w, c), c = 1 or 3, as PNG; equal pixels give equal bytes."""
    out = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(out, "PNG")
    return out.getvalue()


def contact_sheet(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of images uint8 (b, h, w, c) as one image uint8 (H, W, c); small ones are enlarged by a whole number, so
    that every pixel stays one colour."""
    h, w, c = next(row.shape[1:] for row in rows)
    times = max(1, _SIDE // max(h, w))
    columns = max(len(row) for row in rows)
    high, wide = h * times + _GAP, w * times + _GAP
    sheet = np.full((len(rows) * high + _GAP, columns * wide + _GAP, c), _WHITE, np.uint8)
    for at, row in enumerate(rows):
        for place, image in enumerate(row):
            y, x = _GAP + at * high, _GAP + place * wide
            sheet[y : y + h * times, x : x + w * times] = image.repeat(times, axis=0).repeat(times, axis=1)
    return sheet
