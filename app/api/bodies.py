"""Request bodies that are files: streamed, a megabyte at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from app.api.problems import Problem
from app.store.blobs import CHUNK


async def batches(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces of about a megabyte, so that writing takes one thread hop for each and not for each packet.

    What had come before the client went, or became too slow, is still given out before that is raised.
    """
    waiting: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            waiting.append(chunk)
            size += len(chunk)
            if size >= CHUNK:
                whole, waiting, size = b"".join(waiting), [], 0
                yield whole
    except (ClientDisconnect, Problem):
        if size:
            yield b"".join(waiting)
        raise
    if size:
        yield b"".join(waiting)
