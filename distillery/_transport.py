"""The only module that touches httpx: it performs effects, once blocking and once with async/await."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import httpx

from distillery._effects import Close, Compute, Effect, Emit, Open, Operation, Pause, Read, Reply, Request, Send
from distillery.errors import ConnectError, ConnectionLost, ResponseTimeout, TransportError

T = TypeVar("T")
Follow = Callable[[Any], object]
_DEFAULT_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


class SyncTransport:
    """Runs operations with a blocking httpx client; safe to share between threads."""

    def __init__(self, url: str, headers: dict[str, str], **options: Any) -> None:
        self._http = httpx.Client(base_url=url, headers=headers, **_options(url, options))
        self._elsewhere: dict[str, httpx.Client] = {}
        self._options = options
        self._reached = False

    def run(self, operation: Operation[T], follow: Follow | None = None) -> T:
        """Run an operation to its result; `follow` sees every value it emits."""
        steps = self._steps(operation)
        try:
            while True:
                value = next(steps)
                if follow is not None:
                    follow(value)
        except StopIteration as end:
            return end.value
        finally:
            steps.close()

    def iterate(self, operation: Operation[Any]) -> Iterator[Any]:
        """The values an operation emits, as they come."""
        yield from self._steps(operation)

    def close(self) -> None:
        """Close the connections."""
        for http in (self._http, *self._elsewhere.values()):
            http.close()

    def _client_for(self, request: Request) -> httpx.Client:
        """What asks for this: an absolute address is another server's, which must not see our key."""
        if (origin := _origin(request)) is None:
            return self._http
        if origin not in self._elsewhere:
            self._elsewhere[origin] = httpx.Client(base_url=origin, **_options(origin, self._options))
        return self._elsewhere[origin]

    def _steps(self, operation: Operation[T]) -> Any:
        stream = _SyncStream(self._client_for)
        answer: Any = None
        error: TransportError | None = None
        try:
            while True:
                try:
                    effect = operation.throw(error) if error else operation.send(answer)
                except StopIteration as end:
                    return end.value
                answer, error = None, None
                if isinstance(effect, Emit):
                    yield effect.value
                    continue
                try:
                    answer = stream.perform(effect)
                except httpx.HTTPError as cause:
                    error = _translated(cause, stream.address, reached=self._reached)
                else:
                    self._reached = self._reached or isinstance(answer, Reply)
        finally:
            operation.close()
            stream.close()


class AsyncTransport:
    """Runs operations with httpx's asynchronous client, under asyncio."""

    def __init__(self, url: str, headers: dict[str, str], **options: Any) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=headers, **_options(url, options))
        self._elsewhere: dict[str, httpx.AsyncClient] = {}
        self._options = options
        self._reached = False

    async def run(self, operation: Operation[T], follow: Follow | None = None) -> T:
        """Run an operation to its result; `follow` sees every value it emits."""
        result: list[T] = []
        async for value in self._steps(operation, result):
            if follow is not None:
                follow(value)
        return result[0]

    async def iterate(self, operation: Operation[Any]) -> AsyncIterator[Any]:
        """The values an operation emits, as they come."""
        async for value in self._steps(operation, []):
            yield value

    async def close(self) -> None:
        """Close the connections."""
        for http in (self._http, *self._elsewhere.values()):
            await http.aclose()

    def _client_for(self, request: Request) -> httpx.AsyncClient:
        """As `SyncTransport._client_for`."""
        if (origin := _origin(request)) is None:
            return self._http
        if origin not in self._elsewhere:
            self._elsewhere[origin] = httpx.AsyncClient(base_url=origin, **_options(origin, self._options))
        return self._elsewhere[origin]

    async def _steps(self, operation: Operation[T], result: list[T]) -> AsyncIterator[Any]:
        # An async generator cannot return a value, so the result goes into a list.
        stream = _AsyncStream(self._client_for)
        answer: Any = None
        error: TransportError | None = None
        try:
            while True:
                try:
                    effect = operation.throw(error) if error else operation.send(answer)
                except StopIteration as end:
                    result.append(end.value)
                    return
                answer, error = None, None
                if isinstance(effect, Emit):
                    yield effect.value
                    continue
                try:
                    answer = await stream.perform(effect)
                except httpx.HTTPError as cause:
                    error = _translated(cause, stream.address, reached=self._reached)
                else:
                    self._reached = self._reached or isinstance(answer, Reply)
        finally:
            operation.close()
            await stream.close()


class _SyncStream:
    """Performs effects; holds the answer that is open, if one is."""

    def __init__(self, client_for: Callable[[Request], httpx.Client]) -> None:
        self._client_for = client_for
        self.address = ""
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def perform(self, effect: Effect) -> Any:
        match effect:
            case Send(request):
                response = self._send(request)
                return _reply(response, response.content)
            case Open(request):
                self.close()
                response = self._send(request, stream=True)
                if not response.is_success:
                    response.read()
                    return _reply(response, response.content)
                self._response, self._chunks = response, response.iter_bytes()
                return _reply(response, b"")
            case Read():
                return next(self._chunks, None)
            case Close():
                self.close()
            case Pause(seconds):
                time.sleep(seconds)
            case Compute(function):
                return function()
            case Emit():
                raise AssertionError("an Emit goes to the follower")

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
        self._response, self._chunks = None, iter(())

    def _send(self, request: Request, *, stream: bool = False) -> httpx.Response:
        content = None if request.body is None else request.body()
        http = self._client_for(request)
        self.address = str(http.base_url)
        return http.send(http.build_request(**_arguments(request), content=content), stream=stream)


class _AsyncStream:
    """The same with await."""

    def __init__(self, client_for: Callable[[Request], httpx.AsyncClient]) -> None:
        self._client_for = client_for
        self.address = ""
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def perform(self, effect: Effect) -> Any:
        match effect:
            case Send(request):
                response = await self._send(request)
                return _reply(response, response.content)
            case Open(request):
                await self.close()
                response = await self._send(request, stream=True)
                if not response.is_success:
                    await response.aread()
                    return _reply(response, response.content)
                self._response, self._chunks = response, response.aiter_bytes()
                return _reply(response, b"")
            case Read():
                return await anext(self._chunks, None) if self._chunks is not None else None
            case Close():
                await self.close()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Compute(function):
                return await asyncio.to_thread(function)
            case Emit():
                raise AssertionError("an Emit goes to the follower")

    async def close(self) -> None:
        if self._response is not None:
            await self._response.aclose()
        self._response = self._chunks = None

    async def _send(self, request: Request, *, stream: bool = False) -> httpx.Response:
        content = None if request.body is None else _in_threads(request.body())
        http = self._client_for(request)
        self.address = str(http.base_url)
        return await http.send(http.build_request(**_arguments(request), content=content), stream=stream)


def _options(url: str, given: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"timeout": _DEFAULT_TIMEOUT}
    address = httpx.URL(url)
    if address.scheme == "http" and address.host in ("127.0.0.1", "::1", "localhost"):
        # A service on this machine is never reached through a proxy. No TLS happens either, and reading the
        # certificates of the world takes longer than everything else a command does; with none read, a TLS
        # connection could only fail, not be fooled.
        options |= {"trust_env": False, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
    return options | given


def _origin(request: Request) -> str | None:
    """Scheme and authority of an absolute address; None for a path of the service."""
    if request.path.startswith("/"):
        return None
    url = httpx.URL(request.path)
    return f"{url.scheme}://{url.netloc.decode()}"


async def _in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    # Reading a file blocks; the event loop must not.
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk


def _arguments(request: Request) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "method": request.method,
        "url": request.path,
        # Not even an empty set: with one, httpx takes the query off an address that has one already.
        "params": {key: value for key, value in request.params.items() if value is not None} or None,
        "headers": dict(request.headers),
        "json": request.json,
    }
    if request.timeout_s is not None:
        arguments["timeout"] = httpx.Timeout(request.timeout_s, connect=10.0)
    return arguments


def _reply(response: httpx.Response, body: bytes) -> Reply:
    return Reply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)


def _translated(cause: httpx.HTTPError, url: str, *, reached: bool) -> TransportError:
    if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout):
        error: TransportError = ConnectError(f"Nobody answers at {url.rstrip('/')}.")
    elif isinstance(cause, httpx.TimeoutException):
        error = ResponseTimeout(f"{url.rstrip('/')} did not answer in time.")
    else:
        error = ConnectionLost(f"The connection to {url.rstrip('/')} broke: {cause or type(cause).__name__}.")
    error.__cause__ = cause
    error.reached = reached
    return error
