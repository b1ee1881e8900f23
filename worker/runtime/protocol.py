"""What parent and child say to each other: one brief down, then one JSON object a line up.

Messages of the child, by `t`: `ready` {offer}, `device` {device}, `progress` {phase, step, total, fraction, eta_s,
metrics}, `log` {text}, `warning` {text}, `checkpoint` {step, path}, `done` {manifest, verdict, version, environment, cost},
`error` {code, detail, hint, pointer, cost}, `stopped` {cost}.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

LONGEST_LINE = 64 * 1024
OUTPUTS = ("summary", "dataset", "report", "canonical")


@dataclass(frozen=True)
class Brief:
    """Everything one attempt needs to know; paths are local, so the child needs neither database nor store.

    `inputs`: {type, folder} by name, a list of such where the job gives several. `credentials`: of a method that needs
    them, else empty; they are told to no other process and written nowhere.
    """

    job: dict[str, Any]
    folder: str
    data: str = ""
    sources: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    checkpoint: str = ""
    checkpoint_every_s: float = 10.0
    device: str = "auto"
    threads: int = 0
    memory_mb: int = 0
    time_s: float = 0.0
    ingest_limits: dict[str, int] = field(default_factory=dict[str, int])
    credentials: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)

    @property
    def out(self) -> Path:
        """Where the attempt leaves its files, one folder of `OUTPUTS` each."""
        return Path(self.folder) / "out"

    def to_line(self) -> bytes:
        """The brief as one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> Brief:
        """The brief back from its line."""
        return Brief(**json.loads(line))


class Speaker:
    """The child's end: writes messages to the pipe, each whole and at most 64 kB."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe

    def say(self, kind: str, **content: Any) -> None:
        """Send one message."""
        line = json.dumps({"t": kind, **content}, default=str).encode() + b"\n"
        if kind in ("log", "warning") and len(line) > LONGEST_LINE:
            line = json.dumps({"t": kind, "text": str(content["text"])[: LONGEST_LINE // 8]}).encode() + b"\n"
        self._pipe.write(line)
        self._pipe.flush()
