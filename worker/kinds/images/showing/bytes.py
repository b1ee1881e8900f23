"""What the bytes of a summary are: pixels, labels, and what it takes to decode them."""

from __future__ import annotations

from collections.abc import Sequence

from worker.evidence.table import Cell, Column, Table
from worker.kinds.images.summary import ImagesSummary

_PARTS = ("pixels", "labels", "weights", "decoder", "whitening")


def table(names: Sequence[str], summaries: Sequence[ImagesSummary]) -> Table:
    """A row a summary."""
    rows: list[dict[str, Cell]] = []
    for name, one in zip(names, summaries, strict=True):
        parts = one.parts_in_bytes
        rows.append(
            {"set": name, "stored": one.stored, "images": len(one), "total": sum(parts.values())}
            | {part: parts[part] for part in _PARTS}
        )
    columns = (
        Column("set", "set", "text"),
        Column("stored", "stored", decimals=0),
        Column("images", "images for training", decimals=0),
        *(Column(part, part, unit="B", decimals=0) for part in (*_PARTS, "total")),
    )
    caption = (
        "What is stored of a summary: images, canvases or bases, their labels (two bytes a class, or two for every "
        "class where labels are soft), and what decoding or whitening them takes. Alternatives of equal bytes have as "
        "many as the total."
    )
    return Table("bytes", caption, columns, tuple(rows), heading="What the bytes are", folded=True)
