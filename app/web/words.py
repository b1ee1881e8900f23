"""Numbers, sizes, times and states as people read them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

_SPACE = "\u202f"
NOTHING = "–"
STATES = {
    "open": "waiting for files",
    "ingesting": "being read",
    "ready": "ready",
    "queued": "waiting",
    "running": "running",
    "cancelling": "stopping",
    "succeeded": "done",
    "failed": "failed",
    "cancelled": "cancelled",
    "pending": "waiting",
    "delivered": "delivered",
}
TASKS = {
    "distil": ("Distil", "Learn a tiny synthetic dataset that trains models as well as the whole."),
    "select": ("Select", "Keep the few real rows that matter most."),
    "evaluate": ("Judge", "Measure how good a summary is on held-out data."),
    "compare": ("Compare", "Put several results side by side."),
    "estimate": ("Estimate", "Say from logs what a new policy would have earned."),
    "learn": ("Learn", "Learn a policy from logs."),
    "advise": ("Advise", "Say what would work on this data, before anything expensive runs."),
    "tokenise": ("Tokenise", "Turn sequences into pieces that models learn from."),
    "audit": ("Audit", "Look for what the data hides."),
    "search": ("Search", "Evolve a better recipe."),
}


def task_name(task: str) -> str:
    """What a task is called; one that a plug-in brings by its own name."""
    return TASKS.get(task, (task.replace("_", " ").capitalize(), ""))[0]


def task_order(task: str) -> tuple[int, str]:
    """Where a task stands in a gallery."""
    known = list(TASKS)
    return (known.index(task) if task in TASKS else len(known), task)


def number(value: Any) -> str:
    """A number of up to four digits after its leading zeros: 12 345, 0.0179; a dash where there is none."""
    if value is None or isinstance(value, bool):
        return NOTHING if value is None else ("yes" if value else "no")
    if not isinstance(value, int | float) or not math.isfinite(value):
        return str(value)
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}".replace(",", _SPACE)
    text = f"{value:,.2f}" if abs(value) >= 100 else f"{value:.4g}"
    return text.replace(",", _SPACE)


def size(value: float | None) -> str:
    """Bytes in decimal units: 812 B, 18.0 kB, 1.58 MB."""
    if value is None:
        return NOTHING
    if value < 1000:
        return f"{value:.0f}{_SPACE}B"
    step = min(4, int(math.log(value) / math.log(1000) + 0.00005))
    scaled, unit = value / 1000**step, ("B", "kB", "MB", "GB", "TB")[step]
    return f"{scaled:.3g}{_SPACE}{unit}" if scaled < 100 else f"{scaled:.0f}{_SPACE}{unit}"


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours: 3 s, 4.2 min, 2.5 h."""
    if seconds is None:
        return NOTHING
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.3g}{_SPACE}h"
    if seconds >= 120:
        return f"{seconds / 60:.2g}{_SPACE}min" if seconds < 6000 else f"{seconds / 60:.0f}{_SPACE}min"
    return f"{seconds:.0f}{_SPACE}s" if seconds >= 10 else f"{seconds:.2g}{_SPACE}s"


def moment(value: datetime | None) -> str:
    """A time as text, in UTC: 1 Dec 2026, 08:20."""
    if value is None:
        return NOTHING
    at = value.astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M}"


def ago(value: datetime | None) -> str:
    """How long ago a time was: 3 min ago; a date when that is more than a day."""
    if value is None:
        return "never"
    passed = (datetime.now(UTC) - value).total_seconds()
    if passed < 60:
        return "just now"
    if passed < 3600:
        return f"{passed / 60:.0f}{_SPACE}min ago"
    return f"{passed / 3600:.0f}{_SPACE}h ago" if passed < 86_400 else moment(value)


def took(start: datetime | None, end: datetime | None) -> str:
    """From one time to another, or to now."""
    return NOTHING if start is None else duration(max(0.0, ((end or datetime.now(UTC)) - start).total_seconds()))


def label(name: str) -> str:
    """A field's name as words: `inner_lambda` is Inner lambda."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def prose(text: str) -> Markup:
    """A description: what stands between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def state(value: str) -> str:
    """What a state is called."""
    return STATES.get(value, value)
