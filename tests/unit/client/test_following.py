from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from distillery import AsyncClient, Client, _following, errors
from distillery._effects import Pause
from tests.unit.client.http_server import Answer, Asked, document, problem, serving

DONE = {"id": "job_1", "state": "succeeded", "method": "m", "dataset": "ds_1@1", "result": {"summary": "sum_1"}}
EVENTS = [
    {"seq": 1, "at": "t", "type": "created", "data": {}},
    {"seq": 2, "at": "t", "type": "progress", "data": {"phase": "fit", "fraction": 0.5}},
    {"seq": 3, "at": "t", "type": "succeeded", "data": {}},
]


def wire(event: dict[str, Any]) -> bytes:
    return f"id: {event['seq']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def stream(chunks: Iterator[bytes] | list[bytes]) -> Answer:
    return Answer(200, headers={"Content-Type": "text/event-stream; charset=utf-8"}, chunks=iter(chunks))


class Service:
    """A job with three events. `streams`: what the event stream gives at each connection; none: it cannot stream."""

    def __init__(self, *streams: list[bytes], job: dict[str, Any] = DONE, visible: int = 3) -> None:
        self.streams = list(streams)
        self.job = job
        self.visible = visible
        self.resumed_at: list[str | None] = []

    def __call__(self, asked: Asked) -> Answer:
        if asked.headers.get("accept") == "text/event-stream":
            self.resumed_at.append(asked.headers.get("last-event-id"))
            return stream(self.streams.pop(0)) if self.streams else problem(404, "not_found")
        if "/events" in asked.path:
            after = int(asked.path.partition("after=")[2])
            return document({"items": [e for e in EVENTS[: self.visible] if e["seq"] > after]})
        return document(self.job, ETag='"x"')


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_following, "Pause", lambda seconds: Pause(min(seconds, 0.02)))


def follow(service: Service) -> list[int]:
    with serving(service) as server, Client(server.url, "k") as client:
        return [event["seq"] for event in client.job("job_1").events()]


def test_events_when_the_job_waits_then_say_what_for_without_a_number_of_their_own() -> None:
    chunks = [wire(EVENTS[0]), b'event: waiting\ndata: {"before": 2, "workers": 1}\n\n', *map(wire, EVENTS[1:])]
    with serving(Service(chunks)) as server, Client(server.url, "k") as client:
        events = list(client.job("job_1").events())
    assert [(event["seq"], event["type"]) for event in events[:3]] == [(1, "created"), (1, "waiting"), (2, "progress")]
    assert events[1]["data"] == {"before": 2, "workers": 1}


def test_events_when_streamed_then_come_in_order() -> None:
    assert follow(Service([wire(event) for event in EVENTS])) == [1, 2, 3]


def test_events_when_stream_breaks_then_goes_on_behind_the_last_one() -> None:
    service = Service([wire(EVENTS[0]), wire(EVENTS[1])[:20]], [wire(EVENTS[1])], [wire(EVENTS[2])])
    assert follow(service) == [1, 2, 3]
    assert service.resumed_at == [None, "1", "2"]


def test_events_when_sent_twice_then_are_passed_on_once() -> None:
    assert follow(Service([wire(EVENTS[0]), wire(EVENTS[0]), wire(EVENTS[1]), wire(EVENTS[2])])) == [1, 2, 3]


def test_events_when_service_says_bye_then_connects_again() -> None:
    bye = b"event: bye\ndata: {}\nretry: 10\n\n"
    service = Service([wire(EVENTS[0]), bye, wire(EVENTS[2])], [wire(EVENTS[1]), wire(EVENTS[2])])
    assert follow(service) == [1, 2, 3]
    assert service.resumed_at == [None, "1"]


def test_events_when_streams_stay_empty_then_falls_back_to_polling() -> None:
    service = Service([], [], [])
    assert follow(service) == [1, 2, 3]
    assert len(service.resumed_at) == 3


def test_events_when_proxy_changes_the_type_then_falls_back_to_polling() -> None:
    class Proxied(Service):
        def __call__(self, asked: Asked) -> Answer:
            if asked.headers.get("accept") == "text/event-stream":
                return Answer(200, b"<html>", {"Content-Type": "text/html"})
            return super().__call__(asked)

    assert follow(Proxied()) == [1, 2, 3]


def test_events_when_job_is_unknown_then_raises_not_found() -> None:
    class Unknown(Service):
        def __call__(self, asked: Asked) -> Answer:
            return problem(404, "not_found") if asked.path.startswith("/v1/jobs/job_1/") else super().__call__(asked)

    with pytest.raises(errors.NotFound):
        follow(Unknown([]))


def test_events_when_consumer_stops_early_then_closes_the_stream() -> None:
    def endless() -> Iterator[bytes]:
        yield wire(EVENTS[0])
        while True:
            yield b": still here\n\n"
            time.sleep(0.01)

    with serving(Service(endless())) as server, Client(server.url, "k") as client:
        for event in client.job("job_1").events():
            assert event["seq"] == 1
            break


def test_async_events_when_streamed_then_come_in_order() -> None:
    async def run(url: str) -> list[int]:
        async with AsyncClient(url, "k") as client:
            return [event["seq"] async for event in (await client.job("job_1")).events()]

    with serving(Service([wire(event) for event in EVENTS])) as server:
        assert asyncio.run(run(server.url)) == [1, 2, 3]


def test_wait_when_job_succeeds_then_has_its_results_and_told_every_event() -> None:
    told: list[Any] = []
    with serving(Service([wire(event) for event in EVENTS])) as server, Client(server.url, "k") as client:
        job = client.job("job_1").wait(progress=told.append)
    assert job.summary.id == "sum_1"
    assert [event["seq"] for event in told] == [1, 2, 3]
    with pytest.raises(errors.NoResult, match="no report"):
        _ = job.report


def test_wait_when_job_fails_then_raises_the_error_of_its_code() -> None:
    why = {"code": "out_of_memory", "detail": "It needed 9 GB.", "hint": "Raise limits.memory_mb."}
    failed = DONE | {"state": "failed", "error": why}
    service = Service([wire(EVENTS[0]), wire({"seq": 2, "at": "t", "type": "failed", "data": {}})], job=failed)
    with serving(service) as server, Client(server.url, "k") as client:
        with pytest.raises(errors.OutOfMemory, match="9 GB") as caught:
            client.job("job_1").wait()
        assert caught.value.hint == "Raise limits.memory_mb."
        assert caught.value.job["id"] == "job_1"


def test_wait_when_job_is_cancelled_then_raises_job_cancelled() -> None:
    cancelled = DONE | {"state": "cancelled", "error": None}
    service = Service([wire({"seq": 1, "at": "t", "type": "cancelled", "data": {}})], job=cancelled)
    with (
        serving(service) as server,
        Client(server.url, "k") as client,
        pytest.raises(errors.JobCancelled, match="was cancelled"),
    ):
        client.job("job_1").wait()


def test_wait_when_time_is_up_then_raises_in_time_and_leaves_the_job_alone() -> None:
    service = Service(job=DONE | {"state": "running"}, visible=2)
    with serving(service) as server, Client(server.url, "k") as client:
        began = time.monotonic()
        with pytest.raises(errors.WaitTimeout, match="still running"):
            client.job("job_1").wait(timeout=0.3)
        assert 0.25 < time.monotonic() - began < 3
    assert not [path for path in server.paths() if path.startswith("POST")]
