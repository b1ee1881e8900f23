"""Rows of an upload that cannot be read: a few are left out with a warning, many refuse it."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.contract.errors import JobError
from worker.ingest.limits import Meter

MOST = 0.01
_SHOWN, _EARLY = 10, 1_000


@dataclass
class Unreadable:
    """Counts rows of a file, called `what`, that should be `expected`."""

    name: str
    what: str
    expected: str
    total: int = 0
    lost: int = 0
    numbers: list[int] = field(default_factory=list[int])

    def count(self, rows: int, *, lost: bool = False) -> None:
        """So many more rows; `lost`: they cannot be read. Raises `JobError` where far too many cannot."""
        self.total += rows
        if lost:
            self.lost += rows
            if len(self.numbers) < _SHOWN:
                self.numbers.append(self.total)
            if self.lost > max(_EARLY, MOST * self.total):
                raise self._refusal()

    def tell(self, meter: Meter) -> None:
        """At the end: a remark on what was left out, or `JobError` above 1 %."""
        if self.lost > MOST * self.total:
            raise self._refusal()
        if self.lost:
            meter.remarks.left_out.append(f"{self._said()}; they were left out.")

    def _said(self) -> str:
        shown = ", ".join(f"{number:,}" for number in self.numbers)
        more = " ..." if self.lost > len(self.numbers) else ""
        return f"{self.lost:,} of {self.total:,} {self.what} of {self.name} are not {self.expected}: {shown}{more}"

    def _refusal(self) -> JobError:
        return JobError(
            "invalid_input",
            f"{self._said()}; the most that is passed over is {MOST:.0%}.",
            hint="Correct or remove these, or check the encoding: text is read as UTF-8.",
        )
