"""Which colour, marker and dash a thing has: decided here, once for a whole report, and the same in all of its plots.

A label in a plot names a thing, and things are of families: the full data, this summary in its forms, random picks,
head users, any other baseline, a learner, a policy, an estimator. A family has a colour and a marker of its own; those
of the first four are the same in every report. Members of a family differ by how their marker is filled, and by their
dashes. Most colours are those of Okabe and Ito, distinct for every kind of colour vision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

INK, MUTED, LINE, QUIET, HEAT = "#24292f", "#66707a", "#e3e6e9", "#b4bcc4", "#5b6b7c"
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"
_FREE_COLOURS = ("#cc79a7", "#e69f00", "#7a68b3", "#8b5a2b", "#7d8b2f", "#56b4e9")
COLOURS = (BLUE, VERMILION, GREEN, *_FREE_COLOURS)

FULL, OWN, RANDOM, HEAD, REFERENCE = "full", "summary", "random", "head", "reference"
"""Families of fixed looks. `OWN`: what the report is about; `REFERENCE`: a line that others are held against."""

_FIXED = {
    FULL: (INK, "o"),
    OWN: (BLUE, "s"),
    RANDOM: (VERMILION, "^"),
    HEAD: (GREEN, "D"),
    REFERENCE: (MUTED, ""),
}
_FREE_MARKERS = ("v", "P", "X", "p", "<", ">", "h", "d")
_FILLS = ("full", "none", "left", "top", "right", "bottom")
_REFERENCE_DASH = (0, (4, 3))
_DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)))


@dataclass(frozen=True)
class Look:
    """How a thing is drawn; `dash` and `fill` of the marker as matplotlib takes them."""

    colour: str
    marker: str
    dash: object = "-"
    fill: str = "full"


class Looks:
    """The looks of all labels of a report. Labels that `families` does not know are families of their own."""

    def __init__(self, families: Mapping[str, str], labels: Iterable[str] = ()) -> None:
        everything = dict(families) | {label: f"label {label}" for label in labels if label not in families}
        self._looks: dict[str, Look] = {}
        members: dict[str, int] = {}
        free = 0
        bases: dict[str, tuple[str, str]] = dict(_FIXED)
        for label, family in everything.items():
            number = members[family] = members.get(family, -1) + 1
            # Beyond as many members as there are fills the family goes on as another one.
            turn, number = divmod(number, len(_FILLS))
            branch = f"{family} {turn}" if turn else family
            if branch not in bases:
                bases[branch] = _free(free)
                free += 1
            colour, marker = bases[branch]
            dash = _REFERENCE_DASH if family == REFERENCE else _DASHES[number]
            self._looks[label] = Look(colour, marker, dash, _FILLS[number])

    def of(self, label: str) -> Look:
        """The look of a label; that of a reference line where it is unknown."""
        return self._looks.get(label, Look(*_FIXED[REFERENCE], _REFERENCE_DASH))

    def of_bar(self, label: str, *, stressed: bool) -> Look:
        """The look of a lying bar that is named beside it: without a look of its own it is quiet, unless stressed."""
        return self._looks.get(label, Look(BLUE if stressed else QUIET, ""))


def family_of_baseline(method: str) -> str:
    """The family of a cheap pick by the name of its method, such as `random-users` or `head-users`."""
    first = method.partition("-")[0]
    return first if first in (RANDOM, HEAD) else method


def _free(number: int) -> tuple[str, str]:
    """The pair of a family without a fixed one; no pair comes twice among the first 48."""
    turn, colour = divmod(number, len(_FREE_COLOURS))
    return _FREE_COLOURS[colour], _FREE_MARKERS[(colour + turn) % len(_FREE_MARKERS)]
