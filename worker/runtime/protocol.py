"""What parent and child say to each other: one assignment down, then one JSON object a line up.

Messages of the child, by `t`: `ready` {offer}, `device` {device}, `progress` {phase, step, total, fraction, eta_s,
metrics}, `log` {text}, `warning` {text}, `checkpoint` {step, path}, `keep` {path}, `done` {manifest, verdict, version,
environment, cost}, `error` {code, detail, hint, pointer, cost}, `stopped` {cost}.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

LONGEST_LINE = 64 * 1024
OUTPUTS = ("summary", "dataset", "report", "canonical", "figures")


@dataclass(frozen=True)
class GivenInput:
    """A further input of a job: the files of a summary, those of its report (`evidence`), or the canonical files of a
    dataset version of a kind."""

    type: str
    kind: str
    folder: str


@dataclass(frozen=True)
class Assignment:
    """Everything one attempt needs to know; paths are local, so the child needs neither database nor store.

    `data`: folder of the dataset's canonical files. `sources`: uploaded files of an ingest, (name, path). `inputs`: by
    name, one or several. `checkpoint`: the last resume point, "" without one. `keep`: folder of the durable files of
    earlier attempts, and of this one. `figures`: folder with what earlier jobs on the same content remembered, a file a
    job. `time_s`: for making, `evaluate_s`: for judging; 0 is no limit. `credentials`: of a method that needs them,
    else empty; they are told to no other process and written nowhere. `executor`, `executor_processes`, `ray_address`:
    as in `app.settings`.
    """

    job: dict[str, Any]
    folder: str
    data: str = ""
    sources: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    inputs: dict[str, list[GivenInput]] = field(default_factory=dict[str, list[GivenInput]])
    checkpoint: str = ""
    checkpoint_every_s: float = 10.0
    device: str = "auto"
    threads: int = 0
    memory_mb: int = 0
    time_s: float = 0.0
    evaluate_s: float = 0.0
    ingest_limits: dict[str, int] = field(default_factory=dict[str, int])
    credentials: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    executor: str = "local"
    executor_processes: int = 1
    ray_address: str = ""

    @property
    def out(self) -> Path:
        """Where the attempt leaves its files, one folder of `OUTPUTS` each."""
        return Path(self.folder) / "out"

    @property
    def keep(self) -> Path:
        """Where durable files lie, those of earlier attempts included."""
        return Path(self.folder) / "keep"

    @property
    def figures(self) -> Path:
        """Where figures of earlier jobs lie."""
        return Path(self.folder) / "figures"

    def to_line(self) -> bytes:
        """The assignment as one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> Assignment:
        """The assignment back from its line."""
        fields = json.loads(line)
        inputs = {name: [GivenInput(**one) for one in given] for name, given in fields.pop("inputs").items()}
        return Assignment(**fields, inputs=inputs)


class Speaker:
    """The child's end: writes messages to the pipe, each whole and at most 64 kB."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe

    def say(self, kind: str, **content: Any) -> None:
        """Send one message; what JSON or Postgres could not hold (NaN, infinity, NUL) becomes null or a blank."""
        line = json.dumps({"t": kind, **_storable(content)}, default=str, allow_nan=False).encode() + b"\n"
        if kind in ("log", "warning") and len(line) > LONGEST_LINE:
            line = json.dumps({"t": kind, "text": str(content["text"])[: LONGEST_LINE // 8]}).encode() + b"\n"
        self._pipe.write(line)
        self._pipe.flush()


def _storable(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case str():
            return value.replace("\0", " ").encode(errors="replace").decode()
        case Mapping():
            return {str(_storable(name)): _storable(one) for name, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case list() | tuple():
            return [_storable(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value
