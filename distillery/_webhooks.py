"""Webhooks: where the service tells what happened. `_verification.py` is for those who are told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from distillery._effects import Operation, Request
from distillery._requests import call, get_json, pages, post_json
from distillery._transport import AsyncTransport, SyncTransport

_ROOT = "/v1/webhooks"


def _create(url: str, events: Sequence[str] | None, description: str) -> Operation[dict[str, Any]]:
    body: dict[str, Any] = {"url": url, "description": description}
    return (yield from post_json(_ROOT, body if events is None else {**body, "events": list(events)}))


def _update(endpoint_id: str, changes: Mapping[str, Any]) -> Operation[dict[str, Any]]:
    reply = yield from call(Request("PATCH", f"{_ROOT}/{endpoint_id}", json=dict(changes)))
    return json.loads(reply.body)


def _delete(endpoint_id: str) -> Operation[None]:
    yield from call(Request("DELETE", f"{_ROOT}/{endpoint_id}"))


def _rotate(endpoint_id: str, keep_s: int) -> Operation[dict[str, Any]]:
    return (yield from post_json(f"{_ROOT}/{endpoint_id}/rotate", {"keep_s": keep_s}))


def _test(endpoint_id: str) -> Operation[dict[str, Any]]:
    return (yield from post_json(f"{_ROOT}/{endpoint_id}/test"))


def _deliveries(endpoint_id: str, state: str | None, job: str | None) -> Operation[list[dict[str, Any]]]:
    return (yield from pages(f"{_ROOT}/{endpoint_id}/deliveries", state=state, job=job))


def _redeliver(endpoint_id: str, delivery_id: str) -> Operation[dict[str, Any]]:
    return (yield from post_json(f"{_ROOT}/{endpoint_id}/deliveries/{delivery_id}/redeliver"))


class Webhooks:
    """`client.webhooks`: endpoints that are told what happens. Needs a key with the scope `webhooks:write`."""

    def __init__(self, transport: SyncTransport) -> None:
        self._transport = transport

    def create(self, url: str, *, events: Sequence[str] | None = None, description: str = "") -> dict[str, Any]:
        """A new endpoint; the answer's `secret` is shown this once. `events`: all of them unless given."""
        return self._transport.run(_create(url, events, description))

    def list(self) -> list[dict[str, Any]]:
        """Every endpoint, without its secret."""
        return self._transport.run(pages(_ROOT))

    def get(self, endpoint_id: str) -> dict[str, Any]:
        """One endpoint."""
        return self._transport.run(get_json(f"{_ROOT}/{endpoint_id}"))

    def update(self, endpoint_id: str, **changes: Any) -> dict[str, Any]:
        """Change its `url`, `events`, `description`, or whether it is `enabled`."""
        return self._transport.run(_update(endpoint_id, changes))

    def delete(self, endpoint_id: str) -> None:
        """Send nothing more to it."""
        self._transport.run(_delete(endpoint_id))

    def rotate(self, endpoint_id: str, *, keep_s: int = 86_400) -> dict[str, Any]:
        """Give it a new `secret`; the one so far counts for `keep_s` more seconds."""
        return self._transport.run(_rotate(endpoint_id, keep_s))

    def test(self, endpoint_id: str) -> dict[str, Any]:
        """Send it a test message; returns the delivery."""
        return self._transport.run(_test(endpoint_id))

    def deliveries(self, endpoint_id: str, *, state: str | None = None, job: str | None = None) -> list[dict[str, Any]]:
        """Messages to it, newest first; `state`: pending, delivered or failed."""
        return self._transport.run(_deliveries(endpoint_id, state, job))

    def redeliver(self, endpoint_id: str, delivery_id: str) -> dict[str, Any]:
        """Send a message again."""
        return self._transport.run(_redeliver(endpoint_id, delivery_id))


class AsyncWebhooks:
    """`client.webhooks`: endpoints that are told what happens. Needs a key with the scope `webhooks:write`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, url: str, *, events: Sequence[str] | None = None, description: str = "") -> dict[str, Any]:
        """A new endpoint; the answer's `secret` is shown this once. `events`: all of them unless given."""
        return await self._transport.run(_create(url, events, description))

    async def list(self) -> list[dict[str, Any]]:
        """Every endpoint, without its secret."""
        return await self._transport.run(pages(_ROOT))

    async def get(self, endpoint_id: str) -> dict[str, Any]:
        """One endpoint."""
        return await self._transport.run(get_json(f"{_ROOT}/{endpoint_id}"))

    async def update(self, endpoint_id: str, **changes: Any) -> dict[str, Any]:
        """Change its `url`, `events`, `description`, or whether it is `enabled`."""
        return await self._transport.run(_update(endpoint_id, changes))

    async def delete(self, endpoint_id: str) -> None:
        """Send nothing more to it."""
        await self._transport.run(_delete(endpoint_id))

    async def rotate(self, endpoint_id: str, *, keep_s: int = 86_400) -> dict[str, Any]:
        """Give it a new `secret`; the one so far counts for `keep_s` more seconds."""
        return await self._transport.run(_rotate(endpoint_id, keep_s))

    async def test(self, endpoint_id: str) -> dict[str, Any]:
        """Send it a test message; returns the delivery."""
        return await self._transport.run(_test(endpoint_id))

    async def deliveries(
        self, endpoint_id: str, *, state: str | None = None, job: str | None = None
    ) -> list[dict[str, Any]]:
        """Messages to it, newest first; `state`: pending, delivered or failed."""
        return await self._transport.run(_deliveries(endpoint_id, state, job))

    async def redeliver(self, endpoint_id: str, delivery_id: str) -> dict[str, Any]:
        """Send a message again."""
        return await self._transport.run(_redeliver(endpoint_id, delivery_id))
