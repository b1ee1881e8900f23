"""Questions sent as one file, and answered within a day at a lower price.

What was sent is kept with its number at the server, so an attempt that is killed while it waits goes on waiting for
the same answers; nothing is sent, or paid, twice. Answers come in any order and are told apart by the number of the
question. An attempt waits as long as its time limit lets it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.llm.backend import Told
from worker.llm.http import Failed, Reply, Request, Server

_MISSING = Failed("the batch has no answer to it", 0, passing=True)
_INLINE_BYTES = 15_000_000  # the server takes 20 MB in one request


@dataclass
class _Sent:
    """Batches that were sent, by a hash of what was in them."""

    ctx: Context

    def __post_init__(self) -> None:
        self._kept = self.ctx.keep("batches")

    def number(self, digest: bytes) -> str:
        """How the server calls the batch of this content; "" where none was sent."""
        return next((bytes(one["id"]).decode() for one in self._kept if bytes(one["digest"]) == digest), "")

    def note(self, digest: bytes, number: str) -> None:
        """Remember it, on the disk when this returns."""
        self._kept.append({"digest": _bytes(digest), "id": _bytes(number.encode())})


@dataclass
class OpenAIFile:
    """A file of requests to `url`, uploaded and named in a batch (`/files`, `/batches`)."""

    server: Server
    ctx: Context
    url: str
    poll_s: float

    def send(self, requests: Sequence[Request], told: Told) -> list[Reply]:
        """Answers in the order of the requests."""
        lines = [
            json.dumps({"custom_id": str(at), "method": "POST", "url": self.url, "body": one.body})
            for at, one in enumerate(requests)
        ]
        content = ("\n".join(lines) + "\n").encode()
        digest, sent = hashlib.sha256(content).digest(), _Sent(self.ctx)
        number = sent.number(digest)
        if not number:
            file = _whole(self.server, self.server.upload("/files", {"purpose": "batch"}, "requests.jsonl", content))
            asked = {"input_file_id": file["id"], "endpoint": self.url, "completion_window": "24h"}
            number = str(_whole(self.server, self.server.ask(Request("/batches", asked)))["id"])
            sent.note(digest, number)
        state: dict[str, Any] = {}
        while state.get("status") not in ("completed", "failed", "expired", "cancelled"):
            if state:
                _rest(self.server, self.poll_s, told)
            state = _whole(self.server, self.server.get(f"/batches/{number}"))
        found: dict[int, Reply] = {}
        for name in ("output_file_id", "error_file_id"):
            if state.get(name):
                answers = self.server.lines(f"/files/{state[name]}/content")
                if isinstance(answers, Failed):  # they are paid for: another attempt reads them
                    raise _lost(self.server, f"has answers that cannot be read: {answers.reason}")
                for one in answers:
                    found[int(one["custom_id"])] = _of_line(one)
        if not found:
            raise _lost(self.server, f"ended as {state.get('status')!r} without an answer")
        return [found.get(at, _MISSING) for at in range(len(requests))]


@dataclass
class GeminiInline:
    """Requests inside the call that makes the batch (`batchGenerateContent`), some 15 MB at a time."""

    server: Server
    ctx: Context
    model: str
    poll_s: float

    def send(self, requests: Sequence[Request], told: Told) -> list[Reply]:
        """Answers in the order of the requests."""
        groups = list(_groups([{"request": r.body, "metadata": {"key": str(i)}} for i, r in enumerate(requests)]))
        numbers = [self._submit(group) for group in groups]  # all wait at once
        found: dict[int, Reply] = {}
        for number in numbers:
            state: dict[str, Any] = {}
            while not state.get("done"):
                if state:
                    _rest(self.server, self.poll_s, told)
                state = _whole(self.server, self.server.get(f"/{number}"))
            if "error" in state:
                raise _lost(self.server, "failed")
            answers: Any = state.get("response") or {}
            for one in (answers.get("inlinedResponses") or {}).get("inlinedResponses") or ():
                error = one.get("error")
                reply = Failed(f"code {error.get('code')}", 0, passing=True) if error else one.get("response") or {}
                found[int(one["metadata"]["key"])] = reply
        return [found.get(at, _MISSING) for at in range(len(requests))]

    def _submit(self, group: list[dict[str, Any]]) -> str:
        digest, sent = hashlib.sha256(json.dumps(group).encode()).digest(), _Sent(self.ctx)
        number = sent.number(digest)
        if not number:
            batch = {"displayName": digest.hex()[:16], "inputConfig": {"requests": {"requests": group}}}
            asked = Request(f"/models/{self.model}:batchGenerateContent", {"batch": batch})
            number = str(_whole(self.server, self.server.ask(asked))["name"])
            sent.note(digest, number)
        return number


def _groups(requests: Sequence[dict[str, Any]]) -> Any:
    group: list[dict[str, Any]] = []
    size = 0
    for one in requests:
        length = len(json.dumps(one))
        if group and size + length > _INLINE_BYTES:
            yield group
            group, size = [], 0
        group.append(one)
        size += length
    if group:
        yield group


def _of_line(line: Mapping[str, Any]) -> Reply:
    response: Any = line.get("response") or {}
    status, body = int(response.get("status_code") or 0), response.get("body")
    if line.get("error") or status != 200 or not isinstance(body, dict):
        return Failed(f"HTTP {status} within the batch", status, passing=status != 400)
    return body


def _rest(server: Server, seconds: float, told: Told) -> None:
    """Wait between two looks, hearing of a stop meanwhile."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        told(0)
        server.pause(min(left, 0.5))


def _whole(server: Server, reply: Reply) -> dict[str, Any]:
    if isinstance(reply, Failed):
        raise _lost(server, f"failed: {reply.reason}")
    return reply


def _lost(server: Server, what: str) -> JobError:
    return JobError(
        "model_unavailable",
        f"A batch of questions to the model {server.entry.name!r} {what}.",
        hint="Try again later, or use an entry of the model without `batch`.",
        pointer="/params/backend",
    )


def _bytes(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8)
