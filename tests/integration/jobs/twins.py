"""The model that random histories are compared with: what jobs must be, whose turn it is, what answers a request.

What the documentation promises is written down again here: read from the code, it would check the code against itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TERMINAL = {"succeeded", "failed", "cancelled"}
OWNED = {"running", "cancelling"}
# What service.md promises, written down again: reading the table of the code would check it against itself.
TRIES = {
    "worker_lost": 3, "out_of_memory": 2, "disk_full": 5, "store_unavailable": 5, "database_unavailable": 5,
    "executor_unavailable": 5,
}  # fmt: skip
CODES = [*TRIES, "invalid_input", "internal", "timeout"]
MOST_JOBS = 20
LONG_S = 3600.0


@dataclass(frozen=True)
class Asked:
    """What a user asks for. Jobs ask the same question when all but `forced`, `priority` and `limits` is equal."""

    tenant: str = "ten_a"
    seed: int = 0
    deterministic: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)
    forced: bool = False
    priority: int = 0

    @property
    def question(self) -> tuple[Any, ...]:
        return self.tenant, self.seed, self.deterministic

    def seconds(self, name: str) -> float:
        return self.limits.get(name, 3600)

    def has_at_least(self, other: Asked) -> bool:
        """Whether it may take as long as the other, in the same memory."""
        times = all(self.seconds(name) >= other.seconds(name) for name in ("time_s", "evaluate_s"))
        return times and self.limits.get("memory_mb") == other.limits.get("memory_mb")


@dataclass
class Twin:
    """What a job must be."""

    id: str
    asked: Asked
    born: int
    checkpoint: int | None = None
    retry_of: str | None = None
    state: str = "queued"
    fence: int = 0
    attempt: int = 0
    degrade: int = 0
    due: bool = True
    published: bool = False
    expired: bool = False
    events: list[str] = field(default_factory=lambda: ["created"])
    outcomes: dict[int, str | None] = field(default_factory=dict)
    points: set[int] = field(default_factory=set)
    summary: bool = False
    cached_from: str | None = None
    ended: int = 0
    started: int = 0
    cut: dict[str, float] = field(default_factory=dict)

    def owned_by(self, fence: int) -> bool:
        return self.state in OWNED and self.fence == fence

    def end(self, state: str, outcome: str) -> str:
        self.state = state
        self.events.append({"queued": "requeued"}.get(state, state))
        self.outcomes[self.fence] = outcome
        self.expired = False
        return state

    def fail(self, code: str) -> str:
        earlier = Counter(self.outcomes.values())[code]
        if self.state == "cancelling":
            return self.end("cancelled", "cancelled")
        if earlier + 1 >= TRIES.get(code, 1):
            return self.end("failed", code)
        if code == "out_of_memory":
            self.degrade = 1
        self.due = self.published = False
        return self.end("queued", code)

    def release(self) -> str:
        if self.state == "cancelling":
            return self.end("cancelled", "cancelled")
        self.attempt -= 1
        self.due, self.published = True, False
        return self.end("queued", "released")


class Shelf:
    """A blob store without bytes: what the sweeper asks of one."""

    def __init__(self, staging: Path) -> None:
        self.staging = staging
        self.hashes: set[str] = set()

    def iterate(self):
        return [(sha256, 0.0) for sha256 in sorted(self.hashes)]

    def delete(self, sha256: str) -> None:
        self.hashes.remove(sha256)


def answers(twins: Iterable[Twin], asked: Asked, has_result: Any) -> tuple[set[str], Twin | None]:
    """Ids of live jobs one of which must answer what is asked; if there is none, the finished one that must."""
    same = [twin for twin in twins if twin.asked.question == asked.question]
    live = {
        twin.id
        for twin in same
        if twin.state in ("queued", "running") and not twin.asked.forced and twin.asked.has_at_least(asked)
    }
    done = [twin for twin in same if twin.state == "succeeded" and has_result(twin)]
    # What a limit cut is as good only for a request that would have been cut there or before.
    good = [twin for twin in done if all(asked.seconds(name) <= at for name, at in twin.cut.items())]
    return live, max(good, key=lambda twin: (not twin.cut, twin.ended), default=None)


def next_in_turn(twins: Iterable[Twin], most: Mapping[str, int]) -> Twin | None:
    """The job that must be claimed next. `most`: running jobs that each tenant may have; 0: any number."""
    twins = list(twins)
    running = Counter(twin.asked.tenant for twin in twins if twin.state in OWNED)
    last = {name: max((twin.started for twin in twins if twin.asked.tenant == name), default=0) for name in most}
    full = {name for name, allowed in most.items() if allowed and running[name] >= allowed}
    allowed = [twin for twin in twins if twin.state == "queued" and twin.due and twin.asked.tenant not in full]
    return min(
        allowed,
        key=lambda twin: (running[twin.asked.tenant], last[twin.asked.tenant], -twin.asked.priority, twin.born),
        default=None,
    )


def before(twins: Iterable[Twin], one: Twin) -> int:
    """How many jobs of its own tenant come before a job that waits: all that it may be told."""
    own = [twin for twin in twins if twin.state == "queued" and twin.asked.tenant == one.asked.tenant]
    return sum((-twin.asked.priority, twin.born) < (-one.asked.priority, one.born) for twin in own)
