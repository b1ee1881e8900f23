"""What a verdict owes to where a summary comes from.

A split belongs to a version. A summary of another version, of the same rows split otherwise say, may have been made of
what this version tests. Rows that are copied can be looked up, and the kinds do; of what was made of rows, such as an
image or a mean, nothing can be found, and so it is marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worker.evidence.measurements import Measurements

ELSEWHERE = "was made of another version of the data, perhaps of what is tested here"


def marked(m: Measurements, elsewhere: Sequence[bool]) -> Measurements:
    """Measurements in which the summaries, in their order, that were made of another version are marked so."""
    names = [one.name for one in m.sets if one.role == "summary"]
    if len(names) != len(elsewhere):
        raise ValueError(f"{len(elsewhere)} summaries were given, {len(names)} were measured")
    found = {name for name, one in zip(names, elsewhere, strict=True) if one}
    if not found:
        return m
    sets = (
        replace(one, mark=" and ".join(part for part in (one.mark, ELSEWHERE) if part)) if one.name in found else one
        for one in m.sets
    )
    return replace(m, sets=tuple(sets))
