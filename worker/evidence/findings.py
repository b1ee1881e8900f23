"""What a report lays out, whatever was measured: a verdict with the tables, plots and pictures that carry it.

A summary's `Measurements` become findings by rule (`worker.evidence.conclude`). A method that answers a question of
another sort, such as what a policy would have earned, states its findings itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.evidence.measurements import Protocol
from worker.evidence.plot import Picture, Plot
from worker.evidence.table import Table
from worker.evidence.verdict import Tone, Verdict

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

    `headline`: the verdict in a line, by default its label. `because`: why it is judged so. `unit`, `units`: what a row
    of the kind is called; `test_units` and `n_test`: what was measured on. `lead`: name of the plot that stands above
    the others. `metric`: what the verdict speaks of. `protocol`: how it was measured, as the record where learners were
    trained, else in words. `unfinished`: why judging ended early, "" when it did not. `cost`: numbers with units.
    `families`: by the label of what plots show, the family whose look it has (`worker.evidence.looks`).
    `files`: further files of the report by path. `more`: further JSON fields of the report by name.
    """

    kind: str
    unit: str
    units: str
    test_units: str
    n_test: int
    verdict: Verdict
    headline: str = ""
    because: str = ""
    key_figures: tuple[KeyFigure, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    pictures: tuple[Picture, ...] = ()
    warnings: tuple[str, ...] = ()
    protocol: Protocol | str = ""
    lead: str = ""
    families: Mapping[str, str] = field(default_factory=dict[str, str])
    metric: dict[str, Any] = field(default_factory=dict[str, Any])
    unfinished: str = ""
    cost: dict[str, Any] = field(default_factory=dict[str, Any])
    footnote: str = FOOTNOTE
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def unmeasured(cls, *, kind: str, unit: str, units: str, reason: str, warnings: tuple[str, ...] = ()) -> Findings:
        """Findings when judging ended before anything could be said. `reason`: why, without a full stop."""
        verdict = Verdict("undetermined", f"Undetermined: {reason}.", reasons=(reason,))
        return cls(kind, unit, units, units, 0, verdict, warnings=warnings, footnote="Nothing was measured.")

    @property
    def status(self) -> str:
        """The verdict's label."""
        return self.verdict.label

    @property
    def tone(self) -> Tone:
        """The verdict's tone."""
        return self.verdict.tone

    @property
    def title(self) -> str:
        """The headline, or the verdict's label where there is none."""
        return self.headline or self.verdict.label
