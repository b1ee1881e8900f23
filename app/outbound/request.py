"""One request to an address that a user named: pinned to the checked addresses, within a time limit, never redirected.

`http.client` knows nothing of proxies and follows no redirects; what is added here is the pinned connection and a
deadline over the whole exchange (a socket's own timeout starts anew with each byte of a host that dribbles).
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from app.outbound.ssrf import Resolver, Rules, Target, parse_target, resolve

ANSWER_BYTES = 64 * 1024
TOTAL_S = 15.0
IDLE_S = 15.0
CHUNK = 1 << 16


class OutboundError(Exception):
    """No whole answer came. `reason`: timeout, connect, tls, protocol or truncated."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Answer:
    """The status and at most 64 kB of the body."""

    status: int
    body: bytes


class Exchange:
    """An answer whose body is read piece by piece; every wait counts against the deadline."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.getheaders()}

    def read(self, size: int = CHUNK) -> bytes:
        """At most `size` bytes; empty at the end of a whole body. Raises `OutboundError`."""
        with _described():
            piece = self._response.read(size)
        if not piece and size and self._response.length:
            raise OutboundError("truncated")  # http.client takes an early end for the end
        return piece


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    rules: Rules,
    *,
    total_s: float = TOTAL_S,
    resolver: Resolver | None = None,
) -> Answer:
    """POST and return the answer. Its body is cut at 64 kB, and where it broke off: the status is the answer.

    Raises `UnsafeTarget`, `Unresolvable`, `OutboundError`.
    """
    with exchange("POST", url, rules, body=body, headers=headers, total_s=total_s, resolver=resolver) as answer:
        held = b""
        with suppress(OutboundError):
            while len(held) < ANSWER_BYTES and (piece := answer.read(ANSWER_BYTES - len(held))):
                held += piece
        return Answer(answer.status, held)


@contextmanager
def exchange(
    method: str,
    url: str,
    rules: Rules,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    total_s: float = TOTAL_S,
    resolver: Resolver | None = None,
) -> Generator[Exchange]:
    """Send a request; the connection lives as long as the `with` block. Raises as `post` does."""
    deadline = time.monotonic() + total_s
    target = parse_target(url, rules)
    addresses = resolve(target, rules, deadline, resolver)
    with _described():
        stream = _connect(target, addresses, deadline)
    try:
        connection = http.client.HTTPConnection(target.authority)
        limited = _Deadlined(stream, deadline)
        connection.sock = limited  # pyright: ignore[reportAttributeAccessIssue]
        sent = {"Host": target.authority, "Connection": "close", "Accept-Encoding": "identity", **(headers or {})}
        with _described():
            connection.request(method, target.path, body, sent)
            response = connection.getresponse()
        limited.head_left = None
        yield Exchange(response)
    finally:
        stream.close()


def _connect(target: Target, addresses: list[str], deadline: float) -> socket.socket:
    """A connection to the first of these addresses that takes one; a TLS peer must prove to be the named host."""
    failure: OSError = ConnectionError()
    for address in addresses:
        try:
            # The text is an address already, so nothing is looked up a second time.
            plain = socket.create_connection((address, target.port), _left(deadline))
        except TimeoutError:
            raise
        except OSError as error:
            failure = error
            continue
        if target.scheme == "http":
            return plain
        try:
            plain.settimeout(_left(deadline))
            return ssl.create_default_context().wrap_socket(plain, server_hostname=target.host)
        except BaseException:
            plain.close()
            raise
    raise failure


class _Deadlined:
    """What `http.client` uses of a socket, each wait limited to `IDLE_S` and to the time that is left.

    `head_left`: bytes that may still come before the head is complete; None once it is.
    """

    def __init__(self, stream: socket.socket, deadline: float) -> None:
        self.head_left: int | None = ANSWER_BYTES
        self._stream = stream
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._stream.settimeout(min(IDLE_S, _left(self._deadline)))
        self._stream.sendall(data)

    def recv_into(self, buffer: Any) -> int:
        self._stream.settimeout(min(IDLE_S, _left(self._deadline)))
        count = self._stream.recv_into(buffer)
        if self.head_left is not None:
            self.head_left -= count
            if self.head_left < 0:
                raise http.client.HTTPException("the head of the answer is too large")
        return count

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Nothing: http.client closes too early; `exchange` closes the socket."""


class _Reader(io.RawIOBase):
    def __init__(self, source: _Deadlined) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._source.recv_into(buffer)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@contextmanager
def _described() -> Generator[None]:
    """Errors of the connection as one of a few words, which may be shown to whoever named the address."""
    try:
        yield
    except TimeoutError:
        raise OutboundError("timeout") from None
    except ssl.SSLError:
        raise OutboundError("tls") from None
    except (http.client.IncompleteRead, ConnectionResetError, BrokenPipeError):
        raise OutboundError("truncated") from None
    except (http.client.HTTPException, ValueError):
        raise OutboundError("protocol") from None
    except OSError:
        raise OutboundError("connect") from None
