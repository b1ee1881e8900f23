"""Where the service is and which key opens it: said, in the environment, or found in a running embedded
home."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from distillery._home import look
from distillery.errors import NotConfigured


@dataclass(frozen=True)
class Connection:
    """An address and the API key for it. `source`: where they come from, for messages."""

    url: str
    api_key: str
    source: str


def find_connection(url: str | None = None, api_key: str | None = None) -> Connection:
    """The connection to use.

    Arguments win over `DISTILLERY_URL` and `DISTILLERY_API_KEY`; without an address the embedded service
    that runs in `$DISTILLERY_HOME` or the default home is taken. Its key is used for its own address only,
    never for another. Raises `NotConfigured`, saying what to do.
    """
    url = url or os.environ.get("DISTILLERY_URL") or ""
    api_key = api_key or os.environ.get("DISTILLERY_API_KEY") or ""
    if url and api_key:
        return Connection(url.rstrip("/"), api_key, "environment")
    embedded = look()
    if url and not (embedded.running and embedded.url.rstrip("/") == url.rstrip("/")):
        raise NotConfigured(f"There is no API key for {url}.", "Set DISTILLERY_API_KEY or pass api_key=.")
    if not url and not embedded.running:
        raise NotConfigured(
            f"No service is running in {embedded.home} and DISTILLERY_URL is not set.",
            "Start one with `distillery up`, or set DISTILLERY_URL and DISTILLERY_API_KEY.",
        )
    key = api_key or embedded.api_key()
    if not key:
        raise NotConfigured(f"The key of the service in {embedded.home} cannot be read.", "Set DISTILLERY_API_KEY.")
    return Connection(embedded.url.rstrip("/"), key, f"embedded service in {embedded.home}")


def request_headers(connection: Connection) -> dict[str, str]:
    """The headers of every request."""
    return {"Authorization": f"Bearer {connection.api_key}", "User-Agent": f"distillery-python/{_version()}"}


def _version() -> str:
    try:
        return version("distillery-service")
    except PackageNotFoundError:  # run from a clone that was never installed
        return "0"
