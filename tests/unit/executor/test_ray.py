"""Processes of a Ray cluster that a test starts: the same bits, whatever happens to any of them.

One cluster serves all tests here, for its start and that of an actor take seconds, or minutes on a busy machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests.unit.executor.maps import Deadly, Marked, Slow, Waves, add, devour, fail_oddly, refuse
from tests.unit.executor.waiting import until
from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.executor.passes import map_shards, run_pass
from worker.executor.ray import Ray

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Ray]:
    handler = signal.getsignal(signal.SIGTERM)
    cluster = Ray(2)
    assert list(map_shards(abs, [-1], Context(executor=cluster), name="first")) == [1]
    assert signal.getsignal(signal.SIGTERM) == handler
    yield cluster
    cluster.close()


class Logged(Context):
    """Keeps what it is told."""

    said: list[str]

    def log(self, text: str) -> None:
        self.said = [*getattr(self, "said", []), text]


def test_the_bits_are_those_of_one_process(cluster: Ray) -> None:
    shards = [5, 3, 9, 1, 4, 7]
    here = run_pass(Waves(), shards, add, Context(), name="waves")
    there = run_pass(Waves(), shards, add, Context(executor=cluster), name="waves")
    assert there["sum"].tobytes() == here["sum"].tobytes()
    assert there["rows"] == here["rows"]
    assert there["sum"].flags.writeable


def test_the_shard_of_a_dead_worker_is_mapped_by_another(cluster: Ray, tmp_path: Path) -> None:
    ctx = Logged(executor=cluster)
    deadly = Deadly(tmp_path, times=1)
    assert list(map_shards(deadly, range(6), ctx, name="deadly")) == [0, 10, 20, 30, 40, 50]
    assert deadly.tries(2) == 2
    assert "shard 3 of 6 is gone" in ctx.said[0]


def test_a_worker_that_is_killed_from_outside_is_replaced(cluster: Ray, tmp_path: Path) -> None:
    slow = Slow(tmp_path, seconds=5.0)

    def kill() -> None:
        until(lambda: slow.tries(0) > 0, 300)
        os.kill(int((tmp_path / "0").read_text()), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    assert list(map_shards(slow, range(6), Context(executor=cluster), name="slow")) == list(range(6))
    thread.join()
    assert slow.tries(0) == 2


def test_errors_come_back_as_they_were_and_in_their_turn(cluster: Ray) -> None:
    ctx = Context(executor=cluster)
    with pytest.raises(JobError, match="Shard 0 is bad") as caught:
        list(map_shards(refuse, range(4), ctx, name="refuse"))
    assert (caught.value.code, caught.value.hint, caught.value.pointer) == ("invalid_input", "Mend it.", "/files")
    with pytest.raises(MemoryError):
        list(map_shards(devour, range(1), ctx, name="devour"))
    with pytest.raises(RuntimeError, match="OddError: 0 and 2"):
        list(map_shards(fail_oddly, range(1), ctx, name="odd"))


def test_a_shard_that_kills_every_worker_ends_the_pass(cluster: Ray, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"deadly: the process at shard 3 of 3 is gone .*, 3 times") as caught:
        list(map_shards(Deadly(tmp_path, times=99), range(3), Context(executor=cluster), name="deadly"))
    assert caught.value.code == "worker_lost"


def test_a_cancel_is_obeyed_while_a_shard_is_mapped(cluster: Ray, tmp_path: Path) -> None:
    ctx = Context(executor=cluster)
    slow = Slow(tmp_path)
    stopped: list[float] = []
    threading.Thread(
        target=lambda: (until(lambda: slow.tries(0) > 0, 300), ctx.stop(), stopped.append(time.monotonic()))
    ).start()
    with pytest.raises(Cancelled):
        list(map_shards(slow, range(4), ctx, name="slow"))
    assert time.monotonic() - stopped[0] < 2.0
    until(lambda: not any(psutil.pid_exists(pid) for pid in slow.processes()), 60)


def test_a_cluster_is_reached_by_its_address(cluster: Ray, tmp_path: Path) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    done = subprocess.run([sys.executable, "-c", program(tmp_path, f"Ray(1, address={address!r})", seconds=0.0)])
    assert done.returncode == 0
    assert [Marked(tmp_path).tries(shard) for shard in range(4)] == [1, 1, 1, 1]
    assert ray.is_initialized()


@pytest.mark.parametrize(
    ("number", "everybody", "ends"),
    [
        (signal.SIGTERM, False, (3,)),
        # As a worker ends a job, the whole group at once: Ray, too, may end the process, with 1, when one of its own
        # threads sees that the raylet is gone. The worker knows why it ended the job and goes by that.
        (signal.SIGTERM, True, (3, 1)),
        (signal.SIGKILL, True, (-9,)),
    ],
)
def test_nothing_of_a_cluster_outlives_the_process_that_started_it(
    tmp_path: Path, number: int, everybody: bool, ends: tuple[int, ...]
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", program(tmp_path, "Ray(1)", seconds=600.0)]
    parent = subprocess.Popen(command, start_new_session=True, env=environment)
    try:
        until(lambda: Marked(tmp_path).tries(0) > 0 or parent.poll() is not None, 600)
        assert parent.poll() is None
        others = [one for one in psutil.process_iter() if one.pid != parent.pid and _session(one.pid) == parent.pid]
        assert len(others) > 3
        (os.killpg if everybody else os.kill)(parent.pid, number)
        assert parent.wait(60) in ends
    finally:
        parent.kill()
        parent.wait()
    until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in others), 60)
    assert number == signal.SIGKILL or not Path(f"/tmp/distillery-ray-{parent.pid}").exists()


def program(folder: Path, executor: str, *, seconds: float) -> str:
    """A pass over four shards, the first of them slow; it ends with 3 when it is stopped."""
    return f"""
import signal, sys
from pathlib import Path
from tests.unit.executor.maps import Slow
from worker.contract.context import Context
from worker.contract.errors import Cancelled
from worker.executor.passes import map_shards
from worker.executor.ray import Ray

ctx = Context(executor={executor})
signal.signal(signal.SIGTERM, lambda *_: ctx.stop())
try:
    list(map_shards(Slow(Path({str(folder)!r}), seconds={seconds}), range(4), ctx, name="slow"))
except Cancelled:
    ctx.executor.close()
    sys.exit(3)
ctx.executor.close()
"""


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0
