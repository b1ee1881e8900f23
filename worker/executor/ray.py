"""Processes of a Ray cluster: one that is there already, or one that this process starts on its own machine.

Every process of a pass is an actor, so that `setup` runs once in each; shards and partials go to and fro as bytes. Ray
Data's `map_batches` would make actors, too, but its blocks are tables of Arrow, its order holds only at the price of
its streaming, and it neither merges from left to right nor says which shard a dead actor had. Our own loop
(`worker.executor.dispatch`) does all of that for the local pool already, so Ray places the processes and nothing more.

Actors live as long as a pass: between two passes the processors are free for others. The data itself does not travel:
the machines of a cluster see the files of a shard under the same paths, or the pass is refused.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.executor.dispatch import Died, InOrder
from worker.executor.mapper import Mapper, Outcome, answer, outcome_of, to_bytes
from worker.executor.reach import check, files_of

S = TypeVar("S")
P = TypeVar("P")

# Results depend on these.
_PACKAGES = ("distillery-service", "numpy", "scipy", "torch", "pyarrow")
# Room for the partials that are in flight, in bytes a process; more of them spill to the disk.
_STORE_BYTES = 256_000_000
_FOLDER = "distillery-ray-"


class Actor:
    """One process of a pass. It refuses to begin where its results or its files might be others."""

    def __init__(self) -> None:
        self._mapper = Mapper()

    def take_up(self, function: bytes, files: Mapping[str, int], versions: Mapping[str, str]) -> bytes:
        """See `Mapper.take_up`."""
        refused = answer(lambda: _check(files, versions))
        return refused if outcome_of(refused).error else self._mapper.take_up(function)

    def map(self, shard: bytes, files: Mapping[str, int]) -> bytes:
        """See `Mapper.map`."""
        refused = answer(lambda: check(files))
        return refused if outcome_of(refused).error else self._mapper.map(shard)


class Ray:
    """`processes` actors at once, each on one processor (and one GPU for a job that has one); 0: as many as there are.

    `address`: of a cluster, as `ray.init` takes it; "": one of `processes` processors is started here with the first
    pass and ended by `close`. In a process that has a connection already, that one is used, and left open.
    """

    def __init__(self, processes: int = 0, *, address: str = "") -> None:
        self.processes = processes
        self._address = address
        self._is_ours = False
        self._folder: Path | None = None

    def map(
        self, function: Callable[[S], P], shards: Sequence[S], ctx: Context, *, name: str, start: int = 0
    ) -> Iterator[P]:
        """See `Executor.map`. JobError `executor_unavailable` without a cluster that can do it."""
        if start >= len(shards):
            return iter(())
        self._connect()
        crew = _Crew(function, self.processes, gpu=ctx.device.startswith("cuda"))
        return InOrder(crew, shards, ctx, name=name, start=start).partials()

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._is_ours:
            import ray

            ray.shutdown()
            self._is_ours = False
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _connect(self) -> None:
        ray = _import_ray(starts=not self._address)
        if ray.is_initialized():
            return
        before = signal.getsignal(signal.SIGTERM)
        try:
            if self._address:
                ray.init(address=self._address, log_to_driver=False, logging_level="ERROR")
            else:
                self._start(ray)
            self._is_ours = True
        except SystemExit:  # Ray's own handler of SIGTERM, while it starts
            raise Cancelled from None
        except Exception as error:
            ray.shutdown()  # of what had started before
            raise JobError(
                "executor_unavailable",
                f"Ray at {self._address or 'this machine'} cannot be used: {_first_line(error)}",
                hint="Ask the operator to look at the Ray cluster and at DISTILLERY_RAY_ADDRESS.",
            ) from error
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)

    def _start(self, ray: Any) -> None:
        _remove_leftovers()
        self._folder = _home() / f"{_FOLDER}{os.getpid()}"
        processes = self.processes or os.cpu_count() or 1
        ray.init(
            address="local",
            num_cpus=processes,
            include_dashboard=False,
            object_store_memory=_STORE_BYTES * processes,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=str(self._folder),
            _system_config={"worker_niceness": 0},  # else they would yield to all other processes, and never run
        )


@dataclass(eq=False)
class _Hand:
    actor: Any
    answer: Any  # a reference to what it will answer


class _Crew:
    """The actors of one pass."""

    def __init__(self, function: object, processes: int, *, gpu: bool) -> None:
        import ray
        from ray.exceptions import RayError

        self._ray, self._gone = ray, RayError  # its errors: the actor or its machine is gone, or its answer is
        self.size = processes or _places(ray, "CPU")
        if gpu:
            self.size = min(self.size, _places(ray, "GPU"))
        self._class: Any = ray.remote(num_cpus=1, num_gpus=int(gpu), max_restarts=0)(Actor)
        self._function = ray.put(to_bytes(function))
        self._files = files_of(function)

    def hire(self) -> _Hand:
        actor = self._class.remote()
        return _Hand(actor, actor.take_up.remote(self._function, self._files, versions()))

    def assign(self, hand: _Hand, shard: object) -> None:
        hand.answer = hand.actor.map.remote(to_bytes(shard), files_of(shard))

    def wait(self, hands: Sequence[_Hand], timeout_s: float) -> list[_Hand]:
        ready, _ = self._ray.wait([hand.answer for hand in hands], num_returns=1, timeout=timeout_s)
        return [hand for hand in hands if hand.answer in ready]

    def result(self, hand: _Hand) -> Outcome:
        try:
            return outcome_of(self._ray.get(hand.answer))
        except self._gone as error:
            self.dismiss(hand, idle=False)
            raise Died(f"is gone ({_first_line(error)})") from None

    def dismiss(self, hand: _Hand, *, idle: bool) -> None:
        with contextlib.suppress(self._gone):
            self._ray.kill(hand.actor)


def _places(ray: Any, resource: str) -> int:
    if (found := int(ray.cluster_resources().get(resource, 0))) == 0:
        raise JobError(
            "executor_unavailable",
            f"The Ray cluster has no {resource} to offer.",
            hint="Ask the operator to add machines to the Ray cluster, or to set DISTILLERY_EXECUTOR=local.",
        )
    return found


def _import_ray(*, starts: bool) -> Any:
    if starts and "ray" not in sys.modules:
        # A cluster listens on every address of its machine: without the token nobody else gets work done there. Ray
        # reads this when it is imported.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise JobError(
            "executor_unavailable",
            "This worker runs passes on Ray, which is not installed.",
            hint="Ask the operator to install distillery-service[ray], or to set DISTILLERY_EXECUTOR=local.",
        ) from None
    return ray


def versions() -> dict[str, str]:
    """Of the packages that results depend on, as they are installed here."""
    found: dict[str, str] = {}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _check(files: Mapping[str, int], expected: Mapping[str, str]) -> None:
    here = versions()
    if other := [name for name in _PACKAGES if here.get(name) != expected.get(name)]:
        differ = ", ".join(f"{name} {here.get(name, 'missing')}, not {expected.get(name, 'missing')}" for name in other)
        raise JobError(
            "executor_unavailable",
            f"A machine of the Ray cluster has another installation, so that results could differ: {differ}.",
            hint="Ask the operator to run one image on the workers and on the Ray cluster.",
        )
    check(files)


def _home() -> Path:
    """Where clusters have their folders: names of sockets are short, so not wherever a job has its files."""
    return Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108


def _remove_leftovers() -> None:
    """What clusters left whose process was killed."""
    for folder in _home().glob(f"{_FOLDER}*"):
        if not Path(f"/proc/{folder.name.removeprefix(_FOLDER)}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
