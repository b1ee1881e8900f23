"""What a report lays out, whatever was measured: a verdict with the tables and plots that carry it.

A summary's `Measurements` become findings by rule (`worker.evidence.conclude`). A method that answers a question of
another sort, such as what a policy would have earned, states its findings itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from worker.evidence.plot import Plot
from worker.evidence.table import Table

Tone = Literal["good", "even", "open"]
FOOTNOTE = (
    "Measured on held-out real data. Hyper-parameters were chosen on validation data only. "
    "Square brackets are 95\u202f% intervals."
)


@dataclass(frozen=True)
class KeyFigure:
    """A number that a reader looks for first. `small`: what it is over, or its interval."""

    label: str
    value: str
    small: str = ""


@dataclass(frozen=True)
class Findings:
    """A verdict and its evidence.

    `verdict`: JSON with at least `status` (a word for programs) and `sentence`. `status` and `headline`: the same for
    a reader, in two or three words and in a line; `tone`: good news, a draw, or an open question. `because`: why it is
    judged so. `unit`, `units`: what a row of the kind is called; `test_units` and `n_test`: what was measured on.
    `lead`: name of the plot that stands above the others. `metric`: what the verdict speaks of. `cost`: numbers with
    units. `files`: further files of the report by path.
    """

    kind: str
    unit: str
    units: str
    test_units: str
    n_test: int
    verdict: dict[str, Any]
    status: str
    headline: str
    tone: Tone
    because: str = ""
    key_figures: tuple[KeyFigure, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    warnings: tuple[str, ...] = ()
    protocol: str = ""
    lead: str = ""
    metric: dict[str, Any] = field(default_factory=dict[str, Any])
    cost: dict[str, Any] = field(default_factory=dict[str, Any])
    footnote: str = FOOTNOTE
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def __post_init__(self) -> None:
        missing = {"status", "sentence"} - self.verdict.keys()
        if missing:
            raise ValueError(f"the verdict lacks {', '.join(sorted(missing))}")
