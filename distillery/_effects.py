"""What the protocol asks of a transport. The protocol is written once, as generators that yield these.

An *operation* is a generator that yields effects, is sent their answers and returns a result. It does no
I/O over the network itself, so the same operation runs under `Client` and under `AsyncClient`
(`_transport.py` has both drivers).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """One HTTP request. `body`: makes a fresh iterator over the bytes each time it is sent."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Iterator[bytes]] | None = None
    timeout_s: float | None = None


@dataclass(frozen=True)
class Reply:
    """The answer. `headers` has lower-case names; `body` is empty when the answer was opened as a stream."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Send:
    """Send a request and read the whole answer; answered with a `Reply`."""

    request: Request


@dataclass(frozen=True)
class Open:
    """Send a request and leave the body of a 2xx answer to be `Read`; answered with a `Reply`."""

    request: Request


@dataclass(frozen=True)
class Read:
    """The next bytes of the open answer; None at its end."""


@dataclass(frozen=True)
class Close:
    """Give the open answer up, if there is one."""


@dataclass(frozen=True)
class Pause:
    """Let some time pass."""

    seconds: float


@dataclass(frozen=True)
class Compute:
    """Do something slow on this machine, such as hashing a file; answered with what the function returns."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Emit:
    """Hand a value to whoever follows the operation."""

    value: Any


Effect = Send | Open | Read | Close | Pause | Compute | Emit
Operation = Generator[Effect, Any, T]
