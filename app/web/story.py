"""What happened to a job, from its events: phases with their times, metrics as they went, the tail of the log."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from app.store.jobs import events_after

_LINES = 200
_POINTS = 2000
_BATCH = 1000


@dataclass
class Phase:
    """A stretch of a job's work. `until`: None while it goes on."""

    name: str
    since: datetime
    until: datetime | None = None


@dataclass
class Story:
    """Grows with the events of one job; `seq`: of the last one told."""

    seq: int = 0
    phases: list[Phase] = field(default_factory=list[Phase])
    metrics: dict[str, list[tuple[float, float]]] = field(default_factory=dict[str, list[tuple[float, float]]])
    lines: deque[tuple[datetime, str, str]] = field(default_factory=lambda: deque(maxlen=_LINES))
    warnings: list[str] = field(default_factory=list[str])
    _begun: datetime | None = None

    def go_on(self, conn: Connection, tenant_id: str, job_id: str) -> None:
        """Read what has happened since."""
        while events := events_after(conn, tenant_id, job_id, self.seq, _BATCH):
            self.tell(events)
            if len(events) < _BATCH:
                return

    def tell(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in further events, in order."""
        for event in events:
            self.seq = event["seq"]
            at, data = event["at"], event["data"]
            self._begun = self._begun or at
            match event["type"]:
                case "progress":
                    self._progress(at, data)
                case "log":
                    self.lines.append((at, "", str(data.get("text", ""))))
                case "warning":
                    text = str(data.get("text") or data.get("detail") or data)
                    self.warnings.append(text)
                    self.lines.append((at, "warning", text))
                case "succeeded" | "failed" | "cancelled" as ended:
                    self._end_phase(at)
                    self.lines.append((at, ended, str(data.get("detail", ""))))
                case "checkpoint":  # too many to be of interest
                    pass
                case other:
                    self.lines.append((at, str(other), ""))

    def _progress(self, at: datetime, data: Mapping[str, Any]) -> None:
        phase = str(data.get("phase") or "")
        if phase and (not self.phases or self.phases[-1].name != phase):
            self._end_phase(at)
            self.phases.append(Phase(phase, at))
        seconds = (at - self._begun).total_seconds() if self._begun else 0.0
        for name, value in (data.get("metrics") or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool) and len(self.metrics) < 12:
                points = self.metrics.setdefault(str(name), [])
                points.append((seconds, float(value)))
                if len(points) > _POINTS:  # every second of the older half says as much
                    self.metrics[str(name)] = points[: _POINTS // 2 : 2] + points[_POINTS // 2 :]

    def _end_phase(self, at: datetime) -> None:
        if self.phases and self.phases[-1].until is None:
            self.phases[-1].until = at
