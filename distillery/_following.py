"""Following a job: its events as they happen, and waiting for its end.

Server-sent events where they get through; where they do not (a proxy that buffers, a service that cannot
stream), the same events by long polling. Both go on where the last event left off, so none is missed and
none comes twice.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from distillery import errors
from distillery._effects import Close, Emit, Open, Operation, Pause, Read, Reply, Request
from distillery._requests import call, get_json, problem_of
from distillery._sse import EventParser

ENDED = ("succeeded", "failed", "cancelled")
_HOLD_S = 20.0  # how long the service holds a polling request
_SILENCE_S = 40.0  # a stream gives a sign of life each 15 s; one that is silent for longer is dead
_BROKEN_STREAMS = 3


@dataclass
class _Position:
    """How far the job has been followed. `seen`: the last event's number; `until`: monotonic time to stop
    at."""

    job_id: str
    seen: int
    until: float | None
    ended: bool = False
    pause_s: float = 0.0

    def left_s(self) -> float:
        return float("inf") if self.until is None else self.until - time.monotonic()

    def pass_on(self, event: dict[str, Any]) -> Operation[None]:
        if event["seq"] > self.seen:
            self.seen = event["seq"]
            self.ended = event["type"] in ENDED
            yield Emit(event)


class _NoStream(Exception):
    """The service, or something before it, answers with something that is no event stream."""


def follow(job_id: str, *, after: int = 0, timeout_s: float | None = None) -> Operation[None]:
    """Emit the job's events {"seq", "at", "type", "data"} with `seq` > `after` until it has ended, or the
    time is up.

    `waiting` is no event of its history: it says what a queued job waits for, under the number of the last one.
    """
    at = _Position(job_id, after, None if timeout_s is None else time.monotonic() + timeout_s)
    broken = 0
    # Close to the time limit polling takes over: it can be told to the second how long to wait.
    while broken < _BROKEN_STREAMS and at.left_s() > _HOLD_S and not at.ended:
        start, at.pause_s = at.seen, 0.5
        try:
            yield from _stream(at)
        except (errors.TransportError, errors.ServerError):
            pass
        except _NoStream:
            break
        yield Close()
        broken = 0 if at.seen > start else broken + 1
        if not at.ended:
            yield Pause(at.pause_s)
    if not at.ended:
        yield from _poll(at)


def wait(job_id: str, *, timeout_s: float | None = None, after: int = 0) -> Operation[dict[str, Any]]:
    """The job's view once it has ended, its events emitted on the way.

    Raises `JobFailed` or `JobCancelled` by how it ended, and `WaitTimeout` when it has not ended in time.
    """
    yield from follow(job_id, after=after, timeout_s=timeout_s)
    job = yield from get_json(f"/v1/jobs/{job_id}")
    if job["state"] not in ENDED:
        raise errors.WaitTimeout(job, timeout_s or 0.0)
    if job["state"] != "succeeded":
        raise errors.of_job(job)
    return job


def _stream(at: _Position) -> Operation[None]:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if at.seen:
        headers["Last-Event-ID"] = str(at.seen)
    path = f"/v1/jobs/{at.job_id}/events"
    reply: Reply = yield Open(Request("GET", path, headers=headers, timeout_s=_SILENCE_S))
    if reply.status in (401, 403, 404) or reply.status >= 500:
        raise errors.of_problem(problem_of(reply))
    if reply.status != 200 or not reply.headers.get("content-type", "").startswith("text/event-stream"):
        raise _NoStream
    parser = EventParser()
    while (chunk := (yield Read())) is not None:
        for event in parser.feed(chunk):
            if event.type in ("end", "bye", "resync"):
                at.ended = at.ended or event.type == "end"
                at.pause_s = parser.retry_s if parser.retry_s is not None else at.pause_s
                return
            if event.type == "waiting":
                yield Emit(_waiting(at, json.loads(event.data)))
            else:
                yield from at.pass_on(json.loads(event.data))
        if at.ended or at.left_s() < _HOLD_S:
            return


def _waiting(at: _Position, data: dict[str, Any]) -> dict[str, Any]:
    return {"seq": at.seen, "at": datetime.now(UTC).isoformat(), "type": "waiting", "data": data}


def _poll(at: _Position) -> Operation[None]:
    etag = ""
    while True:
        hold_s = max(0.0, min(_HOLD_S, at.left_s()))
        headers = {"Prefer": f"wait={int(hold_s)}"} if etag and hold_s >= 1 else {}
        if etag:
            headers["If-None-Match"] = etag
        path = f"/v1/jobs/{at.job_id}"
        asked_at = time.monotonic()
        reply = yield from call(Request("GET", path, headers=headers, timeout_s=hold_s + 10))
        if reply.status != 304:
            etag = reply.headers.get("etag", "")
            yield from _catch_up(at)
            job = json.loads(reply.body)
            at.ended = at.ended or job["state"] in ENDED
            if job["state"] == "queued":
                yield Emit(_waiting(at, {"before": job["queue_position"]}))
        if at.ended or at.left_s() <= 0:
            return
        if time.monotonic() - asked_at < 0.5:
            # Answered at once: nothing was held, so do not ask again at once either.
            yield Pause(max(0.0, min(1.0, at.left_s())))


def _catch_up(at: _Position) -> Operation[None]:
    while True:
        page = yield from get_json(f"/v1/jobs/{at.job_id}/events", after=at.seen)
        for event in page["items"]:
            yield from at.pass_on(event)
        if not page["items"]:
            return
