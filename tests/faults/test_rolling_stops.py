"""SIGTERM to one part after the other while programs use the service through the client library."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from distillery import Client
from distillery._following import ENDED
from tests.planted import planted_csv
from tests.service import Service

pytestmark = pytest.mark.faults
PARTS = ("worker", "dispatcher", "api")
EVALUATE = {"learners": ["popularity"], "bootstrap": 100, "draws": 1}


@dataclass(eq=False)
class Program(threading.Thread):
    """Starts jobs, waits for each, by events or by asking again and again, and downloads what it made."""

    client: Client
    dataset: str
    folder: Path
    seeds: Iterator[int]
    streams: bool
    ending: threading.Event
    finished: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        while not self.ending.is_set() and not self.errors:
            try:
                self.finished.append(self.one_job())
            except BaseException as error:
                self.errors.append(error)

    def one_job(self) -> str:
        seed = next(self.seeds)
        job = self.client.run("random-users", self.dataset, budget=20, evaluate=EVALUATE, seed=seed)
        if self.streams:
            job.wait()
        else:
            while job.refresh().state not in ENDED:
                time.sleep(0.1)
        assert job.state == "succeeded", job.view
        folder = job.summary.download(self.folder / str(seed))
        assert (folder / "manifest.json").is_file()
        return job.id


def stop(service: Service, part: str) -> float:
    """SIGTERM; seconds until another process does its work."""
    begun, pid = time.monotonic(), service.pid(part)
    os.kill(pid, signal.SIGTERM)

    def replaced() -> bool:
        now = service.state()["parts"][part]
        return now["pid"] not in (0, pid) and now["state"] == "ready"

    Service.wait(replaced, 60, f"another {part}")
    return time.monotonic() - begun


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service(slots=2, threads=1, republish_s=2) as running:
        yield running


@pytest.mark.fault_row(
    12, "SIGTERM to worker, dispatcher and API in turn, under load", "no error reaches the client library", target="0"
)
@pytest.mark.parametrize("rounds", [2, pytest.param(7, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_parts_when_stopped_one_after_the_other_then_no_client_sees_an_error(
    service: Service, tmp_path: Path, measured, rounds: int
) -> None:
    measured.repeats(rounds * len(PARTS))
    seeds = itertools.count(1000 * rounds)
    with service.client as client:
        file = planted_csv(tmp_path / "planted.csv", users=60, items=20)
        dataset = client.datasets.upload(str(file), kind="interactions").reference
        ending = threading.Event()
        programs = [Program(client, dataset, tmp_path, seeds, number % 2 == 0, ending) for number in range(4)]
        for program in programs:
            program.start()
        try:
            for _, part in itertools.product(range(rounds), PARTS):
                measured(f"{part} back", stop(service, part), "s")
                done = [len(program.finished) for program in programs]
                Service.wait(lambda done=done: any_more(programs, done), 60, f"a job after the stop of the {part}")
                if any(program.errors for program in programs):
                    break
        finally:
            ending.set()
            for program in programs:
                program.join(120)
    errors = [error for program in programs for error in program.errors]
    measured("errors", len(errors))
    if errors:
        raise BaseExceptionGroup("seen by the client library", errors)
    finished = [job for program in programs for job in program.finished]
    assert all(program.finished for program in programs)
    assert len(finished) == len(set(finished)) >= rounds * len(PARTS)


def any_more(programs: list[Program], than: list[int]) -> bool:
    """Whether a job was finished since; or a program gave up, which the test then says."""
    return any(program.errors or len(program.finished) > count for program, count in zip(programs, than, strict=True))
