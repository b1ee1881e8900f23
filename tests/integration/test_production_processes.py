"""The commands of docker-compose.yml, started by hand as on five machines: they share Postgres and Redis over TCP and
an S3-like store, and no folder. The same job gives the same bytes as in an embedded installation."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from app.embedded.binaries import redis_server
from app.embedded.postgres import SUPERUSER
from deploy.write_secrets import write
from distillery import Client
from tests.compose import ROOT, compose, filled_in, ours
from tests.planted import planted_csv
from tests.s3_server import S3Server
from tests.service import Service
from tests.tcp_engines import PASSWORD, TcpEngines

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

PARAMS = {"budget": 30, "steps": 40, "validate_every": 20, "row_mass": 12, "draws": 1, "tau": 3.0, "patience": 5000}
EVALUATE = {"learners": ["popularity", "ease"], "bootstrap": 100, "draws": 1}
DATABASE = "production"


class Production:
    """Every process of the compose file, each with a data folder and a folder for temporary files of its own."""

    def __init__(self, engines: TcpEngines, s3: S3Server) -> None:
        self.engines = engines
        self.s3 = s3
        self.folder = Path(tempfile.mkdtemp(prefix="distillery-production-"))
        self.port = 0  # the API takes a free one
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        engines.create_database(DATABASE)
        secrets = self.folder / "secrets"
        write(secrets)
        known = {"postgres_superuser": "superuser", "redis": PASSWORD, "blob_secret_key": "secretofthestore"}
        for name, value in known.items():
            (secrets / name).chmod(0o644)
            (secrets / name).write_text(f"{value}\n")
        self.secrets = {path.name: path.read_text().strip() for path in secrets.iterdir()}

    def environment(self, service: str, machine: str) -> dict[str, str]:
        """The environment that Compose would set, with its host names and folders replaced by those here."""
        store = self.s3.settings("production")
        variables = {f"DISTILLERY_{name.upper()}": value for name, value in store.items() if name != "blob_secret_key"}
        places = {
            "distillery@postgres:": f"{SUPERUSER}@postgres:",
            "@postgres:5432/distillery": f"@127.0.0.1:{self.engines.postgres.port}/{DATABASE}",
            "//redis:6379": f"//127.0.0.1:{self.engines.redis.port}",
            "/data/": f"{self.folder / machine / 'data'}/",
            "/tmp/": f"{self.folder / machine / 'tmp'}/",
            "/run/secrets/": f"{self.folder / 'secrets'}/",
        }
        found = {name: filled_in(value, variables) for name, value in ours()[service]["environment"].items()}
        for name in found:
            for there, here in places.items():
                found[name] = found[name].replace(there, here)
        if service == "api":
            found |= {"DISTILLERY_HOST": "127.0.0.1", "DISTILLERY_PORT": "0"}
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        return {**kept, **found, "DISTILLERY_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}

    def command(self, service: str) -> list[str]:
        words = ours()[service]["command"]
        assert words[0] == "python"
        return [sys.executable, *words[1:]]

    def start(self, service: str, machine: str = "") -> subprocess.Popen[bytes]:
        machine = machine or service
        for name in ("data", "tmp"):
            (self.folder / machine / name).mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{machine}.log").open("ab") as log:
            process = subprocess.Popen(
                self.command(service), env=self.environment(service, machine), stderr=log, stdout=log, cwd=self.folder
            )
        self.processes[machine] = process
        return process

    def listens(self) -> int | None:
        """The port that the API says it has."""
        said = [re.search(r"running on http://127\.0\.0\.1:(\d+)", line["event"]) for line in self.lines("api")]
        return next((int(found.group(1)) for found in said if found), None)

    def lines(self, machine: str) -> list[dict[str, Any]]:
        """The log of a process, every line of which must be a JSON object."""
        return [json.loads(line) for line in (self.folder / f"{machine}.log").read_text().splitlines()]

    def health(self, service: str, machine: str = "") -> int:
        """The exit code of the service's health check."""
        machine = machine or service
        words = ours()[service]["healthcheck"]["test"][1:]
        words = [word.replace(":8080/", f":{self.port}/") for word in words]
        return subprocess.run(
            [sys.executable, *words[1:]], env=self.environment(service, machine), cwd=self.folder, check=False
        ).returncode

    def long_secrets(self) -> list[str]:
        """Those that cannot be part of another word."""
        return [secret for secret in self.secrets.values() if secret != "superuser"]

    def api_key(self) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "app.store.api_keys"],
            env=self.environment("dispatcher", "dispatcher"),
            capture_output=True,
            text=True,
            check=True,
            cwd=self.folder,
        )
        return done.stdout.strip()

    def close(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(45)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def production() -> Iterator[Production]:
    with ExitStack() as stack:
        engines, s3 = TcpEngines(), S3Server()
        stack.callback(engines.close)
        engines.start()
        stack.callback(s3.close)
        s3.start()
        production = Production(engines, s3)
        stack.callback(production.close)
        for once in ("roles", "migrate"):
            assert production.start(once).wait(60) == 0, production.lines(once)
        for service, machine in (
            ("api", ""), ("dispatcher", ""), ("worker-io", ""), ("worker-cpu", "worker-cpu-1"),
            ("worker-cpu", "worker-cpu-2"),
        ):  # fmt: skip
            production.start(service, machine)
        yield production


@dataclass(frozen=True)
class Site:
    """An API to talk to."""

    url: str
    key: str

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=30)

    def upload(self, file: Path) -> str:
        with Client(self.url, self.key) as client:
            return client.datasets.upload(str(file), kind="interactions").reference

    def distil(self, reference: str) -> tuple[str, dict[str, Any]]:
        """The hash of the summary, and the job."""
        body = {"method": "distill-cf", "dataset": reference, "params": PARAMS, "evaluate": EVALUATE}
        with self.http() as http:
            answer = http.post("/v1/jobs", json=body)
            assert answer.status_code == 202, answer.text
            job_id = answer.json()["id"]

            def ended() -> dict[str, Any] | None:
                job = http.get(f"/v1/jobs/{job_id}").raise_for_status().json()
                return job if job["state"] in ("succeeded", "failed", "cancelled") else None

            job = Service.wait(ended, 180, f"{job_id} to end", every_s=0.3)
            assert job["state"] == "succeeded", job["error"]
            summary = http.get(f"/v1/summaries/{job['result']['summary']}").json()
            return summary["content_sha256"], job


@pytest.fixture(scope="module")
def site(production: Production) -> Site:
    production.port = Service.wait(production.listens, 60, "the API's port", every_s=0.2)
    url = f"http://127.0.0.1:{production.port}"
    Service.wait(lambda: production.health("api") == 0, 60, "the API", every_s=0.5)
    for machine in ("worker-cpu-1", "worker-cpu-2"):
        Service.wait(
            lambda machine=machine: "worker_ready" in [line["event"] for line in production.lines(machine)],
            90, machine, every_s=0.5,
        )  # fmt: skip
    return Site(url, production.api_key())


def test_job_when_run_by_the_processes_of_compose_then_the_bytes_are_those_of_embedded(
    production: Production, site: Site, tmp_path: Path
):
    file = planted_csv(tmp_path / "planted.csv")
    made, job = site.distil(site.upload(file))
    with Service(threads=1) as embedded:
        key = json.loads((embedded.home / "run" / "credentials").read_text())["api_key"]
        other = Site(embedded.state()["url"], key)
        alike, _ = other.distil(other.upload(file))
    assert made == alike
    lines = [line for name in ("worker-cpu-1", "worker-cpu-2") for line in production.lines(name)]
    (started,) = [line for line in lines if line["event"] == "attempt_started" and line["job_id"] == job["id"]]
    assert {"attempt", "fence", "tenant", "request_id", "process", "timestamp", "level"} <= set(started)
    requests = [line for line in production.lines("api") if line["event"] == "request"]
    assert started["request_id"] in {line["request_id"] for line in requests}
    assert started["tenant"] in {line.get("tenant") for line in requests}


def test_report_when_asked_for_pictures_then_each_plot_comes_in_both_forms(site: Site, tmp_path: Path):
    _, job = site.distil(site.upload(planted_csv(tmp_path / "planted.csv")))
    report = f"/v1/reports/{job['result']['report']}"
    with site.http() as http:
        names = [plot["name"] for plot in http.get(report).json()["plots"]]
        assert names
        for name in names:
            assert http.get(f"{report}/plots/{name}.svg").status_code == 200, name
            answer = http.get(f"{report}/plots/{name}.png")
            assert answer.headers["content-type"] == "image/png"
            assert answer.content.startswith(b"\x89PNG"), name


def test_two_workers_when_jobs_wait_then_both_take_some(production: Production, site: Site, tmp_path: Path):
    reference = site.upload(planted_csv(tmp_path / "p.csv", seed=1))
    body = {"method": "random-users", "dataset": reference, "params": {"budget": 20}, "evaluate": EVALUATE}
    with site.http() as http:
        ids = [http.post("/v1/jobs", json={**body, "seed": seed}).json()["id"] for seed in range(6)]

        def all_ended() -> bool:
            return all(http.get(f"/v1/jobs/{job_id}").json()["state"] == "succeeded" for job_id in ids)

        Service.wait(all_ended, 120, "six jobs", every_s=0.5)
    took = {
        name: {line["job_id"] for line in production.lines(name) if line["event"] == "attempt_started"} & set(ids)
        for name in ("worker-cpu-1", "worker-cpu-2")
    }
    assert all(took.values()), took
    assert sorted(job_id for taken in took.values() for job_id in taken) == sorted(ids), "one was taken twice"


def test_download_when_the_file_lies_in_the_bucket_then_it_comes_whole(site: Site, production: Production):
    with site.http() as http:
        job = http.get("/v1/jobs", params={"page_size": 1}).json()["items"][0]
        answer = http.get(f"/v1/summaries/{job['result']['summary']}/download").raise_for_status()
        part = http.get(answer.request.url, headers={"Range": "bytes=10-99"})
        assert part.content == answer.content[10:100]
    assert not list((production.folder / "api" / "data").rglob("*summary*")), "the API keeps no files"


@pytest.mark.parametrize(
    ("service", "machine"), [("api", ""), ("dispatcher", ""), ("worker-cpu", "worker-cpu-1")], ids=lambda name: name
)
def test_health_check_when_the_process_runs_then_it_passes(production, site, service: str, machine: str):
    assert production.health(service, machine) == 0


def test_ready_when_asked_then_every_part_is_ok(site: Site):
    with site.http() as http:
        answer = http.get("/readyz")
    assert answer.json()["status"] == "ready", answer.text
    assert answer.json()["checks"]["store"] == "ok"


def test_logs_when_read_then_no_password_stands_in_them(production: Production, site: Site):
    said = "".join(path.read_text() for path in production.folder.glob("*.log"))
    for secret in (*production.long_secrets(), "dsk_"):
        assert secret not in said.replace("dsk_***", "")


def test_processes_when_looked_at_then_no_secret_stands_in_an_environment_or_a_command_line(
    production: Production, site: Site
):
    looked = 0
    for process in production.processes.values():
        if process.poll() is None:
            for each in (one := psutil.Process(process.pid), *one.children(recursive=True)):
                shown = " ".join([*each.environ().values(), *each.cmdline()])
                assert not [secret for secret in production.long_secrets() if secret in shown], each.cmdline()
                looked += 1
    assert looked >= 5


def test_roles_when_the_service_runs_then_it_is_the_application_that_owns_nothing(production: Production, site: Site):
    superuser = production.engines.postgres.url(DATABASE, role=SUPERUSER)
    with create_engine(superuser, poolclass=NullPool).connect() as conn:
        roles = text("SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'distillery'")
        assert set(conn.scalars(roles)) == {"distillery_app"}
        owners = text("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
        assert set(conn.scalars(owners)) == {"distillery_owner"}
        might = text("SELECT rolname FROM pg_roles WHERE rolsuper AND rolname LIKE 'distillery%'")
        assert not list(conn.scalars(might))


def test_broker_when_started_by_the_command_of_compose_then_its_password_is_on_no_command_line(tmp_path: Path):
    (tmp_path / "redis").write_text("thepassword\n")
    script = compose()["services"]["redis"]["command"][-1].replace("$$", "$").replace("/run/secrets", str(tmp_path))
    here = f"{redis_server()} - --port 0 --unixsocket {tmp_path / 's'} --dir {tmp_path}"
    assert script.startswith("exec valkey-server - ")
    script = script.replace("valkey-server -", here, 1)
    server = subprocess.Popen(["sh", "-c", script], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        Service.wait((tmp_path / "s").exists, 30, "the socket")
        with redis.Redis(unix_socket_path=str(tmp_path / "s"), password="thepassword") as client:
            assert client.ping()
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("appendonly") == {"appendonly": "yes"}
        with redis.Redis(unix_socket_path=str(tmp_path / "s")) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        words = " ".join(psutil.Process(server.pid).cmdline())
        assert "redis-server" in words, "it is the first process of its container"
        assert "thepassword" not in words
    finally:
        server.terminate()
        server.wait(20)


def test_processes_when_told_to_stop_then_each_ends_well_in_its_grace(production: Production, site: Site):
    for machine in ("api", "dispatcher", "worker-cpu-1", "worker-cpu-2"):
        service = machine.rstrip("-12") if machine.startswith("worker") else machine
        grace = int(ours()[service]["stop_grace_period"].removesuffix("s"))
        process = production.processes[machine]
        process.send_signal(signal.SIGTERM)
        # uvicorn ends with the signal it was told to stop by, once everything is closed.
        well = (0, -signal.SIGTERM) if machine == "api" else (0,)
        assert process.wait(grace) in well, production.lines(machine)[-5:]
    assert any(line["event"].startswith("Finished server process") for line in production.lines("api"))
