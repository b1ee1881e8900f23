"""Asking a server over HTTP: several questions at once, within its rates, again where that may help.

The only file here that knows HTTP. An address comes from the operator's file alone, redirects are not followed, and
what a server says about a failure is shortened and cleaned of the key before anybody sees it.
"""

from __future__ import annotations

import json
import logging
import random
import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from worker.contract.errors import JobError
from worker.llm.backend import Entry, Limits, Told
from worker.llm.limits import Bucket, take
from worker.llm.retry import TRIES, pause_s, worth_another

for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # below that they write addresses down

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_HEARD_EVERY_S = 0.3
_IN_A_ROW = 20  # so many failures without an answer between them, and the server is given up
_SHOWN = 200
BYTES_A_TOKEN = 3  # English has about 4: what cannot be counted is estimated high, and texts are cut early
_ADDRESS = re.compile(r"\bhttps?://[^\s'\"<>]+")  # servers quote their own, and those behind them


def about_tokens(text: str) -> int:
    """How many tokens a text takes, where they cannot be counted."""
    return -(-len(text.encode()) // BYTES_A_TOKEN)


@dataclass(frozen=True)
class Request:
    """A question: where it goes below the base address, its JSON, and about how many tokens it takes."""

    path: str
    body: Mapping[str, Any]
    tokens: int = 0


@dataclass(frozen=True)
class Failed:
    """No answer. `status`: of HTTP, 0 where there was no response. `passing`: it may be gone another time.

    `lost`: about how many tokens the server read, and may charge, for answers that did not arrive whole.
    """

    reason: str
    status: int
    passing: bool
    lost: int = 0


Reply = dict[str, Any] | Failed


@dataclass
class Server:
    """A server at the entry's `base_url`; `headers` carry the key."""

    entry: Entry
    headers: Mapping[str, str] = field(repr=False)
    limits: Limits

    def __post_init__(self) -> None:
        entry = self.entry
        base = entry.text("base_url").rstrip("/")
        address = urlsplit(base)
        if address.scheme not in ("http", "https") or not address.hostname or address.username or address.query:
            raise entry.wrong("has a 'base_url' that is no plain http or https address")
        self._secret = str(entry.fields.get("api_key") or "")
        timeout = entry.number("timeout_s", 60.0)
        self._client = httpx.Client(
            base_url=base, headers=dict(self.headers), timeout=timeout, follow_redirects=False,
            limits=httpx.Limits(max_connections=self.limits.concurrency),
        )  # fmt: skip
        self._threads = ThreadPoolExecutor(self.limits.concurrency, thread_name_prefix="llm")
        self._requests = Bucket(entry.number("requests_per_minute", 0))
        self._tokens = Bucket(entry.number("tokens_per_minute", 0))
        self._stopped = threading.Event()
        self._rng = random.Random()  # noqa: S311 - of pauses only, nothing that comes out depends on it

    def ask(self, request: Request) -> Reply:
        """The answer to one question, after up to six tries. Raises `JobError` where no other would fare better."""
        return self._trying("POST", request.path, json.dumps(request.body).encode(), request.tokens)

    def get(self, path: str) -> Reply:
        """What lies at a path."""
        return self._trying("GET", path, b"", 0)

    def ask_all(self, requests: Sequence[Request], told: Told) -> list[Reply]:
        """Answers in the order of the questions.

        Raises what `told` raises, and `JobError` `model_unavailable` once the server fails twenty times in a row.
        """
        futures: list[Future[Reply]] = [self._threads.submit(self.ask, request) for request in requests]
        pending, failures = set(futures), 0
        try:
            while pending:
                done, pending = wait(pending, _HEARD_EVERY_S, FIRST_COMPLETED)
                for one in done:
                    reply = one.result()
                    failures = failures + 1 if isinstance(reply, Failed) else 0
                    if isinstance(reply, Failed) and failures >= _IN_A_ROW:
                        raise self._unavailable(f"failed {failures} times in a row: {reply.reason}")
                told(len(futures) - len(pending))
        except BaseException:
            self.close()
            raise
        return [future.result() for future in futures]

    def upload(self, path: str, fields: Mapping[str, str], name: str, content: bytes) -> Reply:
        """Send a file beside form fields."""
        whole = httpx.Request("POST", path, data=fields, files={"file": (name, content, "application/jsonl")})
        return self._trying("POST", path, whole.read(), 0, whole.headers["Content-Type"])

    def lines(self, path: str) -> list[dict[str, Any]] | Failed:
        """A file of JSON lines at a path."""
        found = self._trying("GET", path, b"", 0, lines=True)
        return found if isinstance(found, Failed) else found["lines"]

    def pause(self, seconds: float) -> None:
        """Wait, or until a stop."""
        self._stopped.wait(seconds)

    def close(self) -> None:
        """Stop asking; questions that are under way end with their connections."""
        self._stopped.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _trying(
        self, verb: str, path: str, body: bytes, tokens: int, kind: str = "application/json", *, lines: bool = False
    ) -> Reply:
        failed, lost = Failed("was not asked", 0, passing=True), 0
        for tried in range(1, TRIES + 1):
            take(self._requests, 1, self._stopped)
            take(self._tokens, tokens, self._stopped)
            if self._stopped.is_set():
                return Failed("the job was stopped", 0, passing=True)
            asked_to_wait = ""
            try:
                response = self._client.request(verb, path, content=body, headers={"Content-Type": kind})
            except (httpx.TransportError, httpx.DecodingError) as trouble:
                failed = Failed(type(trouble).__name__, 0, passing=True)
                lost += 0 if isinstance(trouble, _NEVER_SENT) else tokens
            except RuntimeError:  # the client was closed meanwhile
                return Failed("the job was stopped", 0, passing=True)
            else:
                if response.is_success:
                    found = _parsed(response.text, lines=lines)
                    if found is not None:
                        return found
                    failed = Failed("an answer that is no JSON object", response.status_code, passing=True)
                    lost += tokens
                else:
                    failed = self._refused(response)
                    asked_to_wait = response.headers.get("Retry-After", "")
                    if not failed.passing:
                        return replace(failed, lost=lost)
            if tried < TRIES:
                self._stopped.wait(pause_s(tried, asked_to_wait, self._rng))
        return Failed(f"{failed.reason}, after {TRIES} tries", failed.status, passing=True, lost=lost)

    def _refused(self, response: httpx.Response) -> Failed:
        status = response.status_code
        if status in (401, 403):  # some servers quote the key, so what they say is not repeated
            raise self._unavailable(f"refuses the operator's key (HTTP {status})")
        if status == 404 or response.is_redirect:
            raise self._unavailable(f"is not at the operator's address (HTTP {status})")
        return Failed(f"HTTP {status}: {self._cleaned(response.text)}".rstrip(": "), status, worth_another(status))

    def _cleaned(self, said: str) -> str:
        try:
            error = json.loads(said).get("error", {})
            said = str(error.get("message", "") if isinstance(error, dict) else error)
        except (ValueError, AttributeError):
            pass
        said = " ".join(said.split())
        base = self._client.base_url
        said = said.replace(self._secret, "***") if self._secret else said
        said = _ADDRESS.sub("***", said)
        for place in (base.netloc.decode(), base.host):
            said = said.replace(place, "***")
        return said[:_SHOWN]

    def _unavailable(self, what: str) -> JobError:
        return JobError(
            "model_unavailable",
            f"The server of the model {self.entry.name!r} {what}.",
            hint="Try again later, or ask the operator to look at the model's entry in the file of credentials.",
            pointer="/params/backend",
        )


def _parsed(text: str, *, lines: bool) -> dict[str, Any] | None:
    try:
        if lines:
            return {"lines": [json.loads(line) for line in text.split("\n") if line.strip()]}
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
