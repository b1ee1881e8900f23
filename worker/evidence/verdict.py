"""The verdict of every report: a status out of a closed list, a sentence, a value with its interval, and why.

Each status has one tone and one label, here and nowhere else. How a status is reached is a rule of its own: of
summaries in `worker.evidence.summary_verdict`, of policies and logs in their kind. What all of them share is the rule
of `beside_cheap`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Tone = Literal["good", "even", "open"]
Status = Literal[
    "ahead", "cheap_would_do", "cheap_is_better", "cheap_pick", "measured", "undetermined",
    "better", "not_worse", "worse", "cannot_tell", "equivalent", "short", "sound", "thin", "blind", "doubtful",
    "helps", "no_evidence", "hurts", "predicted", "reliable", "partly_reliable", "unreliable",
]  # fmt: skip
WORDS: dict[Status, tuple[Tone, str]] = {
    "ahead": ("good", "Ahead of the cheap baselines"),
    "cheap_would_do": ("even", "A cheap baseline would do"),
    "cheap_is_better": ("even", "A cheap baseline is better"),
    "cheap_pick": ("even", "A cheap pick itself"),
    "measured": ("even", "Measured, with nothing cheap beside it"),
    "undetermined": ("open", "Undetermined"),
    "better": ("good", "Better than the logging policy"),
    "not_worse": ("good", "Not worse than the logging policy"),
    "worse": ("even", "Worse than the logging policy"),
    "cannot_tell": ("open", "The logs cannot tell"),
    "equivalent": ("good", "As good as the full data"),
    "short": ("open", "Short of the full data"),
    "sound": ("good", "Sound"),
    "thin": ("even", "Thin"),
    "blind": ("open", "Blind"),
    "doubtful": ("open", "Doubtful"),
    "helps": ("good", "Text helps"),
    "no_evidence": ("even", "No evidence that text helps"),
    "hurts": ("even", "Text hurts"),
    "predicted": ("even", "Predicted, not measured"),
    "reliable": ("good", "Reliable"),
    "partly_reliable": ("even", "Reliable in part"),
    "unreliable": ("even", "Unreliable"),
}
"""Status -> its tone (good news, a draw, an open question) and its label, in a few words."""


@dataclass(frozen=True)
class Verdict:
    """A verdict.

    `status`: for programs; `sentence`: for people, complete. `value` with the ends of its 95 % interval in `unit`, None
    where there is none. `reasons`: why nothing could be said; `settled_by`: what would settle it. `caveat`: bad news
    that the headline must carry, such as that a summary is larger than its source; the tone is then never good.
    `details`: JSON fields of this sort of verdict, such as `targets`; in JSON they stand beside the others.
    """

    status: Status
    sentence: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    reasons: tuple[str, ...] = ()
    settled_by: tuple[str, ...] = ()
    caveat: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if self.status not in WORDS:
            raise ValueError(f"{self.status!r} is not a status of a verdict")
        if not self.sentence:
            raise ValueError("the verdict lacks its sentence")
        if taken := self.details.keys() & self._own().keys():
            raise ValueError(f"details of a verdict cannot be called {', '.join(sorted(taken))}")

    @property
    def label(self) -> str:
        """The status in a few words."""
        return WORDS[self.status][1]

    @property
    def tone(self) -> Tone:
        """Good news, a draw, or an open question."""
        tone = WORDS[self.status][0]
        return "even" if tone == "good" and self.caveat else tone

    def to_json(self) -> dict[str, Any]:
        """All fields as one JSON object."""
        return {**self._own(), **self.details}

    def _own(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "label": self.label,
            "tone": self.tone,
            "sentence": self.sentence,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "unit": self.unit,
            "reasons": list(self.reasons),
            "settled_by": list(self.settled_by),
            "caveat": self.caveat,
        }


ROUNDING = 1e-9
"""Differences of shares that are smaller come of the order in which numbers were added."""


def beside_cheap(low: float, high: float) -> Literal["ahead", "cheap_would_do", "cheap_is_better", "undetermined"]:
    """What an interval says of the paired difference between something made with effort and a cheap alternative.

    Above 0 (in favour of the former) throughout: `ahead`; below 0 throughout: `cheap_is_better`; holding 0:
    `cheap_would_do`; unknown (NaN): `undetermined`.
    """
    if math.isnan(low) or math.isnan(high):
        return "undetermined"
    if low > ROUNDING:
        return "ahead"
    return "cheap_is_better" if high < -ROUNDING else "cheap_would_do"
