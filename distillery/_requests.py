"""One request, with everything that every request needs: retries, backoff, idempotency keys, problem
documents."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from distillery._effects import Emit, Open, Operation, Pause, Reply, Request, Send
from distillery.errors import ResponseTimeout, TransportError, of_problem

TRIES = 10  # about 24 s: long enough for a service that restarts
_IMPATIENT_TRIES = 5  # about 4 s: where nobody has ever answered, and for those that say "not now"
_AWAY_STATUS = {502, 503, 504}
_LONGEST_BACKOFF_S = 4.0
_LONGEST_PAUSE_S = 30.0
_GONE = (404, 410)


def call(request: Request, *, tries: int = TRIES) -> Operation[Reply]:
    """Send a request and return its 2xx or 304 answer.

    Tries again, at most `tries` times in all and with exponential backoff, when the connection fails or the
    service asks for it, but only where repeating cannot do a thing twice: GET, PUT, DELETE, and POST with
    an `Idempotency-Key`. A service that restarts is waited for; one that has never answered is given up
    sooner. Raises the `APIError` of the problem document, or the `TransportError` of the last try.
    """
    return _attempts(request, Send, tries)


def open_stream(request: Request) -> Operation[Reply]:
    """The same, but the body of the answer is left to be read piece by piece."""
    return _attempts(request, Open, TRIES)


def get_json(path: str, **params: Any) -> Operation[Any]:
    """GET a JSON document."""
    reply = yield from call(Request("GET", path, params=params))
    return json.loads(reply.body)


def post_json(path: str, body: Any = None, **params: Any) -> Operation[Any]:
    """POST a JSON document exactly once, however often it has to be sent; returns the answer's document."""
    request = Request("POST", path, params=params, json=body, headers={"Idempotency-Key": fresh_key()})
    reply = yield from call(request)
    return json.loads(reply.body) if reply.body else None


def pages(path: str, **params: Any) -> Operation[list[dict[str, Any]]]:
    """Every item of a list, page after page; each is also emitted as it comes."""
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        page = yield from get_json(path, **params, page_token=token or None)
        for item in items_of(page):
            yield Emit(item)
            found.append(item)
        token = page.get("next_page_token") or ""
        if not token:
            return found


def items_of(page: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The items of one page of a list."""
    yield from page["items"]


def fresh_key() -> str:
    """A new idempotency key: 192 random bits."""
    return secrets.token_urlsafe(24)


def _attempts(request: Request, effect: type[Send] | type[Open], tries: int) -> Operation[Reply]:
    repeatable = request.method != "POST" or "Idempotency-Key" in request.headers
    tries = tries if repeatable else 1
    unsure = False  # whether an earlier try may have been done without our hearing of it
    for attempt in range(1, tries + 1):
        try:
            reply: Reply = yield effect(replace(request))
        except TransportError as error:
            if attempt >= min(tries, _tries_after(error)):
                raise
            unsure = True
            yield Pause(_backoff(attempt))
            continue
        if reply.status < 400 or (unsure and request.method == "DELETE" and reply.status in _GONE):
            return reply
        asked = _retry_after(reply)
        if attempt >= min(tries, _tries_at(reply)) or asked > _LONGEST_PAUSE_S:
            raise of_problem(problem_of(reply))
        yield Pause(max(asked, _backoff(attempt)))
    raise AssertionError("the last try returns or raises")


def problem_of(reply: Reply) -> dict[str, Any]:
    """The problem document of an answer; one is made up for answers of something in between, such as a
    proxy."""
    try:
        document = json.loads(reply.body)
    except ValueError:
        document = None
    if isinstance(document, dict) and "status" in document:
        return document
    text = reply.body.decode("utf-8", "replace").strip()[:200]
    return {
        "type": "about:blank",
        "title": f"HTTP {reply.status}",
        "status": reply.status,
        "detail": f"The answer was HTTP {reply.status} and no problem document: {text or 'empty'}",
        "code": "",
    }


def _tries_after(error: TransportError) -> int:
    return TRIES if error.reached and not isinstance(error, ResponseTimeout) else _IMPATIENT_TRIES


def _tries_at(reply: Reply) -> int:
    if reply.status in _AWAY_STATUS:
        return TRIES
    # 409 with Retry-After: the first try with this idempotency key is still being answered.
    waiting = reply.status == 429 or (reply.status == 409 and "retry-after" in reply.headers)
    return _IMPATIENT_TRIES if waiting else 1


def _retry_after(reply: Reply) -> float:
    try:
        return max(0.0, float(reply.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0


def _backoff(attempt: int) -> float:
    # 0.25, 0.5, 1, 2, 4, 4... s, each times U(0.5, 1.5): clients cut off together do not come back together.
    pause = min(_LONGEST_BACKOFF_S, 0.25 * 2 ** (attempt - 1))
    return pause * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, guards nothing
