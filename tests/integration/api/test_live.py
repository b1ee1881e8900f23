"""The real process: streams, signals, slow clients, start-up."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from sqlalchemy import Engine, create_engine, text

from app.embedded.ports import listen, port_of
from app.jobs.commit import Outcome
from app.settings import Settings
from tests.engines import Engines
from tests.integration.api.conftest import Api, announce, file_settings, new_tenant
from tests.service import Service

ROOT = Path(__file__).resolve().parents[3]


class Live:
    """`python -m app.main` on a socket of ours; with further settings."""

    def __init__(self, settings: Settings, **further: object) -> None:
        names = ("database_url", "broker_url", "blob_dir", "staging_dir", "secret")
        environment = {f"DISTILLERY_{name.upper()}": str(getattr(settings, name)) for name in names}
        environment |= {f"DISTILLERY_{name.upper()}": str(value) for name, value in further.items()}
        with listen("127.0.0.1", 0) as listener:  # so that what connects waits until the process answers
            self.port, number = port_of(listener), listener.fileno()
            self.log = settings.blob_dir.parent / f"{self.port}.log"
            environment = {**os.environ, **environment, "DISTILLERY_LISTEN_FD": str(number)}
            command = [sys.executable, "-m", "app.main"]
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=log, pass_fds=[number])
        self.url = f"http://127.0.0.1:{self.port}"
        try:
            assert httpx2.get(f"{self.url}/healthz", timeout=60).status_code == 200, self.log.read_text()
        except BaseException:
            self.close()
            raise
        spent = psutil.Process(self.process.pid).cpu_times()
        self.cpu_s = spent.user + spent.system

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Seconds until it has ended."""
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - begun

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def home(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Engine]]:
    with engines.database() as url:
        settings = file_settings(url, tmp_path_factory.mktemp("live"))
        engine = create_engine(url)
        announce(engine)
        yield settings, engine
        engine.dispose()


@pytest.fixture(scope="module")
def live(home: tuple[Settings, Engine]) -> Iterator[Live]:
    process = Live(home[0])
    try:
        yield process
    finally:
        process.close()


@pytest.fixture
def mortal(home: tuple[Settings, Engine]) -> Iterator[Live]:
    """A process of its own, for a test that ends it."""
    process = Live(home[0])
    try:
        yield process
    finally:
        process.close()


@pytest.fixture
def impatient(home: tuple[Settings, Engine]) -> Iterator[Live]:
    """A process that waits a second for a request's head."""
    process = Live(home[0], header_s=1.0)
    try:
        yield process
    finally:
        process.close()


@pytest.fixture
def live_api(live: Live, home: tuple[Settings, Engine]) -> Iterator[Api]:
    with httpx2.Client(base_url=live.url, timeout=30) as http:
        yield new_tenant(http, home[1], home[0])


class Stream:
    """An open event stream, read in a thread: (time, id, type, data) of each event."""

    def __init__(self, api: Api, job_id: str, last_id: int | str | None = None, path: str = "") -> None:
        self.events: list[tuple[float, str, str, Any]] = []
        self.waiting: list[Any] = []  # what a queued job waits for; no events of its history
        self.opened = threading.Event()
        self.headers = {"Authorization": f"Bearer {api.token}", "Accept": "text/event-stream"}
        if last_id is not None:
            self.headers["Last-Event-ID"] = str(last_id)
        self.url = str(api.client.base_url).rstrip("/") + (path or f"/v1/jobs/{job_id}/events")
        self.status = 0
        self.retry = ""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        assert self.opened.wait(10)

    def _read(self) -> None:
        with httpx2.stream("GET", self.url, headers=self.headers, timeout=60) as answer:
            self.status = answer.status_code
            self.response_headers = answer.headers
            event: dict[str, str] = {}
            self.opened.set()
            try:
                for line in answer.iter_lines():
                    if line:
                        name, _, value = line.partition(": ")
                        event[name] = value
                    elif "event" in event:
                        data = json.loads(event["data"])
                        if event["event"] == "waiting":
                            self.waiting.append(data)
                        else:
                            self.events.append((time.monotonic(), event.get("id", ""), event["event"], data))
                        event = {}
                    else:
                        self.retry = event.pop("retry", self.retry)
                        event = {}
            except httpx2.HTTPError:
                pass

    def wait(self, count: int, timeout: float = 10.0) -> None:
        end = time.monotonic() + timeout
        while len(self.events) < count:
            assert time.monotonic() < end, self.events
            time.sleep(0.01)


def test_import_when_only_the_api_then_no_torch_and_no_pyarrow() -> None:
    heavy = ("torch", "pyarrow", "numpy", "scipy", "polars", "redis", "celery")
    code = f"import sys, app.main; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_process_when_started_and_stopped_then_neither_takes_ten_times_what_it_may(mortal: Live) -> None:
    assert mortal.cpu_s < 10
    assert mortal.stop() < 10


def test_stream_when_events_come_then_each_arrives_at_once_and_it_ends_with_the_job(live_api: Api) -> None:
    job_id = live_api.job()["id"]
    stream = Stream(live_api, job_id)
    assert stream.response_headers["content-type"].startswith("text/event-stream")
    assert stream.response_headers["cache-control"] == "no-store"
    stream.wait(1)
    delays = []
    for n in range(5):
        before = time.monotonic()
        live_api.log(job_id, f"line {n}")
        stream.wait(2 + n)
        delays.append(stream.events[-1][0] - before)
    assert sorted(delays)[2] < 5, "a third of the time after which a silent stream looks by itself"
    live_api.finish(job_id, Outcome())
    stream.thread.join(10)
    assert not stream.thread.is_alive()
    assert [kind for _, _, kind, _ in stream.events] == ["created", *["log"] * 5, "started", "succeeded", "end"]
    ids = [int(number) for _, number, kind, _ in stream.events if kind != "end"]
    assert ids == list(range(1, 9))
    assert stream.retry == "2000"
    pages = live_api.get(f"/v1/jobs/{job_id}/events").json()["items"]
    assert [data for _, _, kind, data in stream.events if kind != "end"] == pages
    assert live_api.get(f"/v1/jobs/{job_id}/events?after=6").json()["items"] == pages[6:]
    assert live_api.get(f"/v1/jobs/{job_id}/events?limit=2").json()["items"] == pages[:2]


def test_stream_when_the_job_is_queued_then_says_what_it_waits_for(live_api: Api) -> None:
    reference = live_api.version()
    first, second = (live_api.job(reference, seed=seed)["id"] for seed in (1, 2))
    streams = [Stream(live_api, job_id) for job_id in (first, second)]
    for before, stream in enumerate(streams):
        stream.wait(1)
        Service.wait(lambda stream=stream: stream.waiting, 10, "what it waits for")
        assert stream.waiting == [{"before": before, "workers": 0}]


def test_stream_when_resumed_then_neither_gap_nor_repeat(live_api: Api) -> None:
    job_id = live_api.job()["id"]
    live_api.log(job_id, *(f"line {n}" for n in range(20)))
    first = Stream(live_api, job_id)
    first.wait(10)
    writing = threading.Thread(target=live_api.log, args=(job_id, *(f"more {n}" for n in range(30))))
    writing.start()
    seen = [int(number) for _, number, _, _ in first.events]
    second = Stream(live_api, job_id, last_id=seen[-1])
    writing.join()
    live_api.post(f"/v1/jobs/{job_id}/cancel")
    second.thread.join(10)
    seen += [int(number) for _, number, kind, _ in second.events if kind != "end"]
    assert seen == list(range(1, 53))


def test_streams_when_their_key_ends_then_end_within_a_heartbeat(live_api: Api, home: tuple[Settings, Engine]) -> None:
    """Whether it is revoked or expires, and whether or not anything happens to the job."""
    job_id = live_api.job()["id"]
    keys = [live_api.post("/v1/api-keys", json={"name": "x", "scopes": ["jobs:read"]}).json() for _ in range(3)]
    readers = [Api(live_api.client, live_api.engine, live_api.blobs, live_api.tenant_id, key["token"]) for key in keys]
    streams = [Stream(reader, job_id) for reader in readers]
    for stream in streams:
        stream.wait(1)
    assert live_api.delete(f"/v1/api-keys/{keys[0]['id']}").status_code == 204
    with home[1].begin() as conn:
        conn.execute(text("UPDATE api_key SET expires_at = now() WHERE id = :id"), {"id": keys[1]["id"]})
    for stream in streams[:2]:
        stream.thread.join(60)
        assert not stream.thread.is_alive()
        assert [kind for _, _, kind, _ in stream.events][-1] == "bye"
    assert streams[2].thread.is_alive()
    live_api.post(f"/v1/jobs/{job_id}/cancel")
    streams[2].thread.join(10)
    assert [kind for _, _, kind, _ in streams[2].events][-1] == "end"


def test_streams_when_quiet_then_hold_no_transaction(live_api: Api, home: tuple[Settings, Engine]) -> None:
    job_id = live_api.job()["id"]
    streams = [Stream(live_api, job_id) for _ in range(30)]  # more than the pool has connections
    for stream in streams:
        stream.wait(1)
    with home[1].connect() as conn:
        open_now = conn.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
            )
        ).scalar_one()
    assert open_now == 0
    assert live_api.get(f"/v1/jobs/{job_id}").status_code == 200


def test_stream_when_the_job_has_ended_then_replays_and_ends(live_api: Api) -> None:
    job_id = live_api.job()["id"]
    live_api.post(f"/v1/jobs/{job_id}/cancel")
    stream = Stream(live_api, job_id)
    stream.thread.join(5)
    assert [kind for _, _, kind, _ in stream.events] == ["created", "cancelled", "end"]
    assert stream.events[-1][3] == {"state": "cancelled"}


def test_stream_of_several_jobs_when_resumed_then_has_each_job_s_events_once_and_ends_with_the_last(
    live_api: Api,
) -> None:
    reference = live_api.version()
    first, second = (live_api.job(reference, seed=seed)["id"] for seed in range(2))
    path = f"/v1/events?jobs={first},{second}"
    begun = Stream(live_api, "", path=path)
    begun.wait(2)
    live_api.log(second, "a", "b")
    begun.wait(4)
    live_api.finish(first, Outcome())
    begun.wait(6)
    assert begun.events[-1][1] == "3.3"
    resumed = Stream(live_api, "", last_id=begun.events[3][1], path=path)
    resumed.wait(2)
    live_api.log(second, "c")
    live_api.post(f"/v1/jobs/{second}/cancel")
    resumed.thread.join(10)
    assert [kind for _, _, kind, _ in resumed.events] == ["started", "succeeded", "log", "cancelled", "end"]
    told = [data for _, _, _, data in [*begun.events[:4], *resumed.events[:-1]]]
    for job_id in (first, second):
        own = live_api.get(f"/v1/jobs/{job_id}/events").json()["items"]
        assert [{**event, "job": job_id} for event in own] == [event for event in told if event["job"] == job_id]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("jobs=job_none", 404),
        ("jobs={job},job_none", 404),
        ("jobs=", 422),
        ("jobs={job}&after=1.2", 422),
        ("", 422),
        ("jobs=" + ",".join(f"job_{number}" for number in range(101)), 422),
    ],
)
def test_stream_of_several_jobs_when_asked_wrongly_then_refused(live_api: Api, query: str, status: int) -> None:
    answer = live_api.get("/v1/events?" + query.format(job=live_api.job()["id"]))
    assert answer.status_code == status, answer.text


def test_stream_when_the_job_is_unknown_then_404(live_api: Api) -> None:
    answer = live_api.get("/v1/jobs/job_none/events", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_sigterm_when_streams_are_open_then_they_say_goodbye_and_the_process_ends(
    mortal: Live, home: tuple[Settings, Engine]
) -> None:
    with httpx2.Client(base_url=mortal.url, timeout=30) as http:
        api = new_tenant(http, home[1], home[0])
        job_id = api.job()["id"]
        streams = [Stream(api, job_id) for _ in range(3)]
        for stream in streams:
            stream.wait(1)
    assert mortal.stop() < 10, "it waited until streams are cut off"
    for stream in streams:
        stream.thread.join(10)
        assert stream.events[-1][2] == "bye"


def test_stream_when_its_listener_is_cut_then_goes_on(live_api: Api, home: tuple[Settings, Engine]) -> None:
    job_id = live_api.job()["id"]
    stream = Stream(live_api, job_id)
    stream.wait(1)
    with home[1].begin() as conn:
        killed = conn.execute(
            text(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND"
                " pid <> pg_backend_pid() AND query LIKE 'LISTEN%'"
            )
        ).scalar_one()
    assert killed == 1
    live_api.log(job_id, "while nobody listened")
    stream.wait(2, timeout=12)
    live_api.log(job_id, "after")
    stream.wait(3, timeout=12)


@contextmanager
def raw(live: Live) -> Iterator[socket.socket]:
    with closing(socket.create_connection(("127.0.0.1", live.port), timeout=20)) as connection:
        yield connection


def test_slow_headers_when_not_finished_in_time_then_cut(impatient: Live) -> None:
    """One client says nothing more, one sends a byte now and then; both are cut when the second is over."""
    with raw(impatient) as silent, raw(impatient) as dribbling:
        begun = time.monotonic()
        ended: dict[str, float] = {}
        clients = {"silent": silent, "dribbling": dribbling}
        for connection in clients.values():
            connection.sendall(b"GET /healthz HTTP/1.1\r\n")
            connection.settimeout(0.02)
        while len(ended) < 2 and time.monotonic() - begun < 10:
            for name in clients.keys() - ended.keys():
                if _is_cut(clients[name], b"X" if name == "dribbling" else b""):
                    ended[name] = time.monotonic() - begun
        assert ended.keys() == clients.keys()
        assert all(after > 0.9 for after in ended.values())


def _is_cut(connection: socket.socket, dribble: bytes) -> bool:
    try:
        connection.sendall(dribble)
        return connection.recv(100) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_keep_alive_when_used_then_stays_open(live: Live) -> None:
    with raw(live) as connection:
        for _ in range(3):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            got = b""
            while b"}" not in got:
                got += connection.recv(4096)
            assert b"200 OK" in got
            time.sleep(0.3)


def test_bytes_when_not_http_then_a_problem(live: Live) -> None:
    with raw(live) as connection:
        connection.sendall(b"\x00\x01 nonsense\r\n\r\n")
        got = b""
        while chunk := connection.recv(4096):
            got += chunk
        assert got.startswith(b"HTTP/1.1 400")
        assert b"application/problem+json" in got


def test_huge_header_when_sent_at_once_then_refused(live: Live) -> None:
    with raw(live) as connection:
        head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: " + b"y" * 60_000 + b"\r\n\r\n"
        connection.sendall(head)
        assert connection.recv(100).split(b" ")[1] in (b"400", b"431")


def test_upload_when_the_client_goes_away_then_staging_is_empty(
    live: Live, live_api: Api, home: tuple[Settings, Engine]
) -> None:
    dataset_id = live_api.dataset()["id"]
    with raw(live) as connection:
        head = (
            f"PUT /v1/datasets/{dataset_id}/files/a.bin HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {live_api.token}"
            "\r\nContent-Length: 10000000\r\n\r\n"
        )
        connection.sendall(head.encode() + bytes(3_000_000))
        staging = home[0].staging_dir
        end = time.monotonic() + 5
        while not any(staging.iterdir()):
            assert time.monotonic() < end
            time.sleep(0.01)
    end = time.monotonic() + 5
    while any(staging.iterdir()):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert live_api.get(f"/v1/datasets/{dataset_id}/files/a.bin").status_code == 404


def test_large_file_when_up_and_downloaded_then_memory_stays_flat(live: Live, live_api: Api) -> None:
    path = f"/v1/datasets/{live_api.dataset()['id']}/files/large.bin"
    piece = os.urandom(1 << 20)
    process = psutil.Process(live.process.pid)
    before = process.memory_info().rss
    assert (
        live_api.put(path, content=(piece for _ in range(300)), headers={"Content-Length": str(300 << 20)}).status_code
        == 201
    )
    received = 0
    headers = {"Authorization": f"Bearer {live_api.token}"}
    with live_api.client.stream("GET", path, headers=headers) as answer:
        for chunk in answer.iter_bytes():
            received += len(chunk)
    assert received == 300 << 20
    assert process.memory_info().rss - before < 64 << 20
