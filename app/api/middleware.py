"""The gate every request passes: an id, limits on headers and bodies, and a document for every failure."""

from __future__ import annotations

import asyncio
import errno
import re
import time

import structlog
from psycopg.errors import DiskFull
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import Problem, render
from app.settings import Settings
from app.store.blobs import CorruptBlob, StoreUnavailable
from app.store.ids import new_id

LEAST_BYTES_PER_S = 1000
_RESUMABLE = re.compile(r"/v1/uploads/[^/]+$")
_UPLOADS = {"PUT": re.compile(r"/v1/datasets/[^/]+/files/"), "PATCH": _RESUMABLE, "POST": _RESUMABLE}
_FILE_NAMES = re.compile(r"^(/v1/datasets/[^/]*/(?:versions/[^/]*/)?files/).+", re.DOTALL)
_GIVEN_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)
log = structlog.get_logger()


class Gate:
    """Gives each request an id, refuses what is too large or too slow, and turns every error into a problem."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _GIVEN_ID.fullmatch(given) else new_id("req")
        scope["distillery.request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)  # threads of this request inherit it
        started, begun, status = False, time.monotonic(), 0

        async def sending(message: Message) -> None:
            nonlocal started, status
            if message["type"] == "http.response.start":
                started, status = True, message["status"]
                sent = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                if all(name.lower() != b"x-content-type-options" for name, _ in sent):
                    sent.append((b"x-content-type-options", b"nosniff"))
                message["headers"] = sent
            await send(message)

        try:
            self._check(scope, headers)
            await self.app(scope, self._limited(scope, receive), sending)
        except ClientDisconnect:
            log.debug("client_went_away")
        except Exception as error:
            if started:
                raise  # the server cuts the connection: a truncated answer must not look whole
            problem = of_error(error)
            if problem.status_code == 500:
                log.exception("request_failed")
            await render(Request(scope), problem)(scope, receive, sending)
        finally:
            path, spent_ms = _shown(scope), round(1000 * (time.monotonic() - begun))
            about = {"tenant": scope["distillery.tenant"]} if "distillery.tenant" in scope else {}
            log.info("request", method=scope["method"], path=path, status=status, ms=spent_ms, **about)
            structlog.contextvars.unbind_contextvars("request_id")

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size + len(scope["raw_path"]) + len(scope["query_string"]) > self.settings.header_limit_bytes:
            raise Problem(
                "headers_too_large", f"At most {self.settings.header_limit_bytes} bytes of headers are taken."
            )
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            raise Problem("malformed_request", "The address contains a NUL character.")
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._limit(scope):
            raise _too_large(self._limit(scope))

    def _limit(self, scope: Scope) -> int:
        way = _UPLOADS.get(scope["method"])
        upload = way is not None and way.match(scope["path"])
        return self.settings.upload_limit_bytes if upload else self.settings.json_limit_bytes

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` with a limit on the body's size, on each wait for it, and on its mean rate."""
        limit, size, waited, more = self._limit(scope), 0, 0.0, True
        stall_s = self.settings.body_stall_s

        async def receiving() -> Message:
            nonlocal size, waited, more
            if not more:
                return await receive()
            begun = time.monotonic()
            try:
                async with asyncio.timeout(stall_s):
                    message = await receive()
            except TimeoutError:
                raise Problem("request_timeout", headers={"Connection": "close"}) from None
            waited += time.monotonic() - begun
            more = bool(message.get("more_body", False))
            size += len(message.get("body", b""))
            if size > limit:
                raise _too_large(limit)
            if more and waited > stall_s and size < LEAST_BYTES_PER_S * waited:
                raise Problem("request_timeout", headers={"Connection": "close"})
            return message

        return receiving


def _shown(scope: Scope) -> str:
    """The path for the log; without the names of a tenant's files, which outlive them there."""
    # The raw path: percent-encoded, so nobody can write lines of their own into the log.
    return _FILE_NAMES.sub(r"\1{path}", scope["raw_path"].decode("latin-1"))


def of_error(error: Exception) -> Problem:
    """The problem that an exception nobody handled stands for."""
    match error:
        case Problem():
            return error
        case DBAPIError(orig=DiskFull()):
            return Problem("insufficient_storage")
        case OperationalError() | InterfaceError() | PoolTimeout():
            return Problem("database_unavailable", headers={"Retry-After": "2"})
        case DBAPIError() if error.connection_invalidated:
            return Problem("database_unavailable", headers={"Retry-After": "2"})
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return Problem("insufficient_storage")
        case StoreUnavailable():
            return Problem("store_unavailable", headers={"Retry-After": "5"})
        case CorruptBlob() | FileNotFoundError():
            return Problem("corrupt_blob")
        case _:
            return Problem("internal")


def _too_large(limit: int) -> Problem:
    return Problem("payload_too_large", f"At most {limit} bytes are taken here.", headers={"Connection": "close"})
