"""Tiny summaries that train models as well as the whole dataset, each with its evidence: the client.

`Client` and `AsyncClient` talk to a running service, `errors` holds everything they raise. `verify_webhook` is for
programs that the service tells of the end of jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distillery import errors

if TYPE_CHECKING:
    from distillery._async_client import AsyncClient
    from distillery._client import Client
    from distillery._verification import verify_webhook

__all__ = ["AsyncClient", "Client", "errors", "verify_webhook"]


def __getattr__(name: str) -> Any:
    # httpx takes a good part of a second to import; `distillery --help` and `status` do not need it.
    if name == "Client":
        from distillery._client import Client

        return Client
    if name == "AsyncClient":
        from distillery._async_client import AsyncClient

        return AsyncClient
    if name == "verify_webhook":
        from distillery._verification import verify_webhook

        return verify_webhook
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
