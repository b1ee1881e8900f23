"""What is legal in a table of interactions and yet unlikely, and what was left out of it: said as warnings, each with
what decides it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from worker.contract.context import Context
from worker.ingest.arrow import Arrow, pc
from worker.ingest.columns import Column

_FEW_VALIDATION_EVENTS = 500
_HEAVY_DUPLICATES = 0.1
_LOOKED_AT = 1_000
_ENOUGH = 50  # rows, below which everything may be different
_NOBODY = pa.array(["-", "--", "?", "missing", "unknown", "undefined", "anonymous"])
_DATE = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?$"


def of_ratings(rating: np.ndarray, threshold: float | None) -> list[str]:
    """Warnings about ratings (n,): those of 0 or less count as events unless a threshold leaves them out."""
    unliked = int((rating <= 0).sum())
    if not unliked or threshold is not None:
        return []
    if unliked == len(rating):
        return [f"All {unliked:,} ratings are 0 or less: is this the rating column?"]
    smallest = float(rating[rating > 0].min())
    return [
        f"{unliked:,} of {len(rating):,} rows are rated 0 or less, and count as events like the others: "
        f"binarize_threshold={smallest:g} leaves them out."
    ]


def of_ids(columns: Mapping[str, Column], words: Mapping[str, Arrow], rows: int) -> list[str]:
    """Warnings about the ids: as many as rows, or times. `words`: the distinct ids by role."""
    warnings: list[str] = []
    for role in ("user", "item"):
        found, name = words[role], columns[role].name
        warnings += _doubtful_words(found, role, name)
        if rows >= _ENOUGH and len(found) > 0.9 * rows:
            warnings.append(
                f"The column {name!r}, taken for the {role}, has {len(found):,} values in {rows:,} rows: nearly every "
                f'row has its own. If it is not the {role}, name another: columns={{"{role}": "..."}}.'
            )
        if len(found) and _are_times(found[:_LOOKED_AT]):
            warnings.append(
                f"The column {name!r}, taken for the {role}, holds times. If it is not the {role}, name another: "
                f'columns={{"{role}": "..."}}.'
            )
    return warnings


def _doubtful_words(words: Arrow, role: str, name: str) -> list[str]:
    """Warnings about ids that stand for a missing one, or for several."""
    warnings: list[str] = []
    nobody = words.filter(pc.is_in(pc.utf8_lower(words), _NOBODY)).to_pylist()
    if nobody:
        warnings.append(
            f"The {role} ids {', '.join(map(repr, nobody[:5]))} count like all others: if they mean that the {role} is "
            "not known, remove their rows."
        )
    lists = pc.match_substring_regex(words[:_LOOKED_AT], r"^[\[({].*,.*[\])}]$")
    if len(words) and pc.all(lists).as_py():
        warnings.append(
            f"The column {name!r}, taken for the {role}, holds lists such as {words[0].as_py()[:40]!r}, each taken for "
            f"one id: to have a row for each value, make lists of the texts and write `df.explode({name!r})`."
        )
    return warnings


def _are_times(words: Arrow) -> bool:
    return bool(pc.all(pc.match_substring_regex(words, _DATE)).as_py())


def of_parts(read: Sequence[str], parts: Mapping[str, str]) -> list[str]:
    """A warning about files that are named like the parts of a published split but were not all read."""
    left = [name for name in parts if name not in read]
    if not left or not any(parts.get(name) == "train" for name in read):
        return []
    return [
        f"{', '.join(parts)} look like the parts of a published split, of which only the first part was read and not "
        f"{', '.join(left)}: split=files reads them all and keeps that split."
    ]


def warn_of_losses(
    detected: Mapping[str, Any], counts: Mapping[str, int], validation: int, minima: Mapping[str, int], ctx: Context
) -> None:
    """Warn of what was left out, and of too few `validation` events. `minima`: of events a user and an item where the
    split was published, by option.
    """
    removed, rows = counts.get("duplicates_removed", 0), max(1, counts["rows"])
    if removed > _HEAVY_DUPLICATES * rows:
        ctx.warn(f"{removed:,} of {rows:,} rows repeat a pair of user and item ({removed / rows:.0%}).")
    if counts.get("in_no_part"):
        ctx.warn(f"{counts['in_no_part']:,} rows are in no part of the published split and were left out.")
    if minima and counts.get("rare_events"):
        few = " or ".join(f"{name}={least}" for name, least in minima.items() if least > 1)
        cure = " and ".join(f"{name}=1" for name, least in minima.items() if least > 1)
        ctx.warn(
            f"{counts['rare_events']:,} events of the published split were left out, because their user or item has "
            f"fewer than {few} asks for: {cure} keeps them."
        )
    if counts["overlap"]:
        ctx.warn(f"The published split has {counts['overlap']:,} pairs in two parts; they stay in one only.")
    if validation < _FEW_VALIDATION_EVENTS:
        ctx.warn(f"Only {validation:,} validation events: what is chosen on them (lambda, stopping) is unreliable.")
    if len(detected["files"]) > 1:
        ctx.warn(f"{len(detected['files'])} files of one form were read as one table.")
    unread = [entry["file"] for entry in detected["ignored"] if entry["why"] != "documentation"]
    if unread:
        more = f" and {len(unread) - 10} more" if len(unread) > 10 else ""
        ctx.warn(f"Not read: {', '.join(unread[:10])}{more} (the detection says why).")
