"""The pool of processes: the same bits as one process, whatever happens to any of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.unit.executor.maps import Deadly, Marked, Slow, Waves, add, devour, fail_oddly, refuse
from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.executor.local import Local
from worker.executor.passes import map_shards, run_pass


@pytest.fixture
def pool() -> Iterator[Local]:
    pool = Local(2)
    yield pool
    pool.close()


class Logged(Context):
    """Keeps what it is told."""

    said: list[str]

    def log(self, text: str) -> None:
        self.said = [*getattr(self, "said", []), text]


def test_the_bits_are_those_of_one_process(pool: Local) -> None:
    shards = [5, 3, 9, 1, 4, 7]
    here = run_pass(Waves(), shards, add, Context(), name="waves")
    there = run_pass(Waves(), shards, add, Context(executor=pool), name="waves")
    assert there["sum"].tobytes() == here["sum"].tobytes()
    assert there["rows"] == here["rows"]


def test_processes_are_taken_again_and_are_at_most_as_many(pool: Local, tmp_path: Path) -> None:
    ctx = Context(executor=pool)
    marked = Marked(tmp_path)
    assert list(map_shards(marked, range(8), ctx, name="one")) == list(range(8))
    assert list(map_shards(marked, range(8), ctx, name="two")) == list(range(8))
    assert 1 <= len(marked.processes()) <= 2
    assert os.getpid() not in marked.processes()


def test_a_single_shard_is_mapped_here(pool: Local, tmp_path: Path) -> None:
    marked = Marked(tmp_path)
    assert list(map_shards(marked, [0], Context(executor=pool), name="one")) == [0]
    assert marked.processes() == {os.getpid()}


def test_the_shard_of_a_dead_process_is_mapped_by_another(pool: Local, tmp_path: Path) -> None:
    ctx = Logged(executor=pool)
    deadly = Deadly(tmp_path, times=2)
    assert list(map_shards(deadly, range(6), ctx, name="deadly")) == [0, 10, 20, 30, 40, 50]
    assert deadly.tries(2) == 3
    assert "shard 3 of 6 was ended by signal 9" in ctx.said[0]


def test_a_shard_that_kills_every_process_ends_the_pass(pool: Local, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"deadly: the process at shard 3 of 6 was ended by signal 9, 3 times") as caught:
        list(map_shards(Deadly(tmp_path, times=99), range(6), Context(executor=pool), name="deadly"))
    assert caught.value.code == "worker_lost"


def test_no_more_than_twice_the_processes_are_ahead(pool: Local, tmp_path: Path) -> None:
    slow = Slow(tmp_path, seconds=2.0)
    partials = map_shards(slow, range(20), Context(executor=pool), name="slow")
    assert next(partials) == 0
    assert {shard for shard in range(20) if slow.tries(shard)} == {0, 1, 2, 3}
    assert list(partials) == list(range(1, 20))


def test_a_cancel_is_obeyed_while_a_shard_is_mapped(pool: Local, tmp_path: Path) -> None:
    ctx = Context(executor=pool)
    slow = Slow(tmp_path)
    threading.Thread(target=lambda: (_until(lambda: slow.tries(0) > 0), ctx.stop())).start()
    with pytest.raises(Cancelled):
        list(map_shards(slow, range(4), ctx, name="slow"))
    cancelled = time.monotonic()
    _until(lambda: not any(psutil.pid_exists(pid) for pid in slow.processes() - _waiting(pool)))
    assert time.monotonic() - cancelled < 2.0


def test_an_error_is_raised_as_it_was_and_in_its_turn(pool: Local) -> None:
    with pytest.raises(JobError, match="Shard 0 is bad") as caught:
        list(map_shards(refuse, range(4), Context(executor=pool), name="refuse"))
    assert (caught.value.code, caught.value.hint, caught.value.pointer) == ("invalid_input", "Mend it.", "/files")
    with pytest.raises(MemoryError):
        list(map_shards(devour, range(2), Context(executor=pool), name="devour"))
    with pytest.raises(RuntimeError, match="OddError: 0 and 2"):
        list(map_shards(fail_oddly, range(2), Context(executor=pool), name="odd"))
    assert list(map_shards(abs, range(-3, 0), Context(executor=pool), name="after")) == [3, 2, 1]


def test_passes_may_be_under_way_together(pool: Local) -> None:
    ctx = Context(executor=pool)
    outer = map_shards(abs, range(-6, 0), ctx, name="outer")
    assert [(one, list(map_shards(abs, range(-3, 0), ctx, name=f"inner {one}"))) for one in outer] == [
        (one, [3, 2, 1]) for one in (6, 5, 4, 3, 2, 1)
    ]


def test_processes_share_the_threads() -> None:
    pool = Local(2, threads=6)
    try:
        found = list(map_shards(threads_of, range(2), Context(executor=pool), name="threads"))
    finally:
        pool.close()
    assert found == ["3", "3"]


def threads_of(_: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def test_processes_end_with_their_parent_and_not_by_a_signal_to_all(tmp_path: Path) -> None:
    program = (
        "from tests.unit.executor.maps import Slow; from pathlib import Path; from worker.executor.local import Local\n"
        "from worker.executor.passes import map_shards; from worker.contract.context import Context\n"
        f"list(map_shards(Slow(Path({str(tmp_path)!r})), range(4), Context(executor=Local(2)), name='slow'))"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    slow = Slow(tmp_path)
    try:
        _until(lambda: slow.tries(3) > 0)
        processes = slow.processes()
        for pid in processes:
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.3)
        assert all(psutil.pid_exists(pid) for pid in processes)
    finally:
        parent.kill()
        parent.wait()
    _until(lambda: not any(psutil.pid_exists(pid) for pid in processes))


def test_the_memory_of_a_pass_is_its_arrays_alone(pool: Local) -> None:
    partials = [one.copy() for one in map_shards(ramp, range(6), Context(executor=pool), name="ramp")]
    np.testing.assert_array_equal(partials, [np.arange(5) + shard for shard in range(6)])
    assert all(one.flags.writeable for one in map_shards(ramp, range(6), Context(executor=pool), name="again"))


def ramp(shard: int) -> np.ndarray:
    return np.arange(5) + shard


def _waiting(pool: Local) -> set[int]:
    return {hand.process.pid for hand in pool._spare}  # pyright: ignore[reportPrivateUsage]


def _until(holds: Callable[[], bool], within_s: float = 20.0) -> None:
    give_up = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up, "it never came true"
        time.sleep(0.02)
