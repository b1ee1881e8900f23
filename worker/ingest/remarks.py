"""What cells went through on their way in, counted over all batches, so that nothing is altered without a word."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Remarks:
    """Counts of cells by role: ids like 12.0 that were read as 12, and times with and without a zone. `left_out`: what
    could not be read and was passed over, in sentences."""

    float_ids: Counter[str] = field(default_factory=Counter[str])
    zoned: Counter[str] = field(default_factory=Counter[str])
    naive: Counter[str] = field(default_factory=Counter[str])
    empty_files: list[str] = field(default_factory=list[str])
    left_out: list[str] = field(default_factory=list[str])

    def sentences(self) -> list[str]:
        """What the user should know about them."""
        lines = [
            f"{count:,} {role} ids written like 12.0 were read as whole numbers like 12; where these are names and not "
            f"numbers, upload them as text that says so, as in v12.0."
            for role, count in self.float_ids.items()
        ]
        lines += [
            f"{self.naive[role]:,} cells of {role} have no time zone and {count:,} have one: those without were taken "
            "as UTC."
            for role, count in self.zoned.items()
            if count and self.naive[role]
        ]
        lines += self.left_out
        if self.empty_files:
            more = f" and {len(self.empty_files) - 10} more" if len(self.empty_files) > 10 else ""
            lines.append(f"Files without rows: {', '.join(self.empty_files[:10])}{more}.")
        return lines
