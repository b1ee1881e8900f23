"""An embedded service that nobody uses shrinks by itself, and still answers the next job."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil

from tests.planted import planted_csv
from tests.service import Service

IDLE_MB = 350
SPARE_IDLE_S = 3.0


def proportional_mb(service: Service) -> float:
    """Memory of every process of the service; a page that several of them share counts once."""
    supervisor = psutil.Process(service.state()["pid"])
    total = 0
    for process in [supervisor, *supervisor.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / 2**20


def test_idle_service_when_no_job_comes_then_the_spare_goes_and_the_whole_stays_below_350_mb(tmp_path: Path):
    with Service(spare_idle_s=SPARE_IDLE_S, threads=1) as service:
        Service.wait(lambda: not service.children(), 30, "the spare to be given up")
        assert proportional_mb(service) <= IDLE_MB
        file = planted_csv(tmp_path / "planted.csv", users=60, items=20)
        with service.client as client, ThreadPoolExecutor() as pool:
            upload = pool.submit(client.datasets.upload, str(file), kind="interactions")
            pair = Service.wait(lambda: len(both := service.children()) == 2 and both, 60, "a new spare behind a job")
            assert upload.result(60).reference.endswith("@1")
        made_at = max(child.create_time() for child in pair)
        Service.wait(lambda: not service.children(), 30, "the new spare to be given up")
        assert time.time() - made_at >= SPARE_IDLE_S, "it went before its time was up"
        assert proportional_mb(service) <= IDLE_MB
