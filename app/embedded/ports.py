"""Finding a TCP port for the API before anything is started."""

from __future__ import annotations

import errno
import socket

from app.embedded.errors import EmbeddedError

DEFAULT_PORT = 8080
_TRIES = 50


def choose_port(host: str, wanted: int | None) -> int:
    """The port to listen on.

    `wanted` None: the default one or the next free one after it; 0: any free one; else exactly that one.
    Raises EmbeddedError when it cannot be had.
    """
    if wanted is None:
        for port in range(DEFAULT_PORT, DEFAULT_PORT + _TRIES):
            if _refusal(host, port) is None:
                return port
        raise EmbeddedError(
            f"no port from {DEFAULT_PORT} to {DEFAULT_PORT + _TRIES - 1} is free on {host}; name another with --port."
        )
    if wanted == 0:
        with _socket(host) as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])
    refusal = _refusal(host, wanted)
    if refusal is not None:
        raise EmbeddedError(f"port {wanted} on {host} {refusal}; name another with --port, or 0 for any free one.")
    return wanted


def browsable(host: str, port: int) -> str:
    """The address a user on this machine types; a server on every address is reached through loopback."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - a lookup
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def _refusal(host: str, port: int) -> str | None:
    try:
        with _socket(host) as probe:
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return "is in use by another program"
        if error.errno in (errno.EACCES, errno.EPERM):
            return "may not be opened by this account"
        return f"cannot be opened ({error.strerror})"
    except OverflowError:
        return "does not exist (ports go from 1 to 65535)"
    return None


def _socket(host: str) -> socket.socket:
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    # As the API will do: a port whose last connections are still closing counts as free.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return probe
