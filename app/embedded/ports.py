"""The socket that the API listens on, opened before anything is started and kept for as long as the service runs.

A port that is looked up, let go and bound again seconds later may be somebody else's by then, and whoever asks there
whether the API is ready hears of another service. So the one that opens the socket keeps it, the API inherits it, and
a connection that comes while the API starts again waits in the socket's queue instead of being refused.
"""

from __future__ import annotations

import errno
import socket

from app.embedded.errors import EmbeddedError

DEFAULT_PORT = 8080
_TRIES = 50
_BACKLOG = 2048  # as uvicorn asks for


def listen(host: str, wanted: int | None) -> socket.socket:
    """A listening socket.

    `wanted` None: on the default port or the next free one after it; 0: any free one; else exactly that one.
    Raises EmbeddedError when it cannot be had.
    """
    if wanted is None:
        for port in range(DEFAULT_PORT, DEFAULT_PORT + _TRIES):
            opened = _opened(host, port)
            if not isinstance(opened, str):
                return opened
        raise EmbeddedError(
            f"no port from {DEFAULT_PORT} to {DEFAULT_PORT + _TRIES - 1} is free on {host}; name another with --port."
        )
    opened = _opened(host, wanted)
    for _ in range(_TRIES if wanted == 0 else 0):  # a free one may be taken between its choice and our listening
        opened = _opened(host, wanted) if isinstance(opened, str) else opened
    if isinstance(opened, str):
        raise EmbeddedError(f"port {wanted} on {host} {opened}; name another with --port, or 0 for any free one.")
    return opened


def port_of(listener: socket.socket) -> int:
    """The port that a socket listens on."""
    return int(listener.getsockname()[1])


def browsable(host: str, port: int) -> str:
    """The address a user on this machine types; a server on every address is reached through loopback."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - a lookup
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def _opened(host: str, port: int) -> socket.socket | str:
    """A listening socket, or what stands in its way."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        # A port whose last connections are still closing counts as free. Two sockets may be bound to one port then,
        # so only listening settles whose it is.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        return _refusal(error)
    return listener


def _refusal(error: OSError | OverflowError) -> str:
    if isinstance(error, OverflowError):
        return "does not exist (ports go from 1 to 65535)"
    if error.errno == errno.EADDRINUSE:
        return "is in use by another program"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "may not be opened by this account"
    return f"cannot be opened ({error.strerror})"
