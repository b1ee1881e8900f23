"""The parent of one attempt: claims the job, starts the child, keeps the lease, and commits once.

It never imports torch. Losing the fence means another owner has the job: the child is killed and nothing written.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from app import tracing
from app.jobs.checkpoint import delete_blobs, drop_old_checkpoints, save_checkpoint, save_kept
from app.jobs.commit import Outcome, commit_result
from app.jobs.finish import AttemptEnd, cancel_attempt, fail_attempt, release_attempt
from app.jobs.limits import seconds
from app.jobs.renew import renew_lease
from app.jobs.states import JobRow, append_event
from app.settings import Settings
from app.store.blobs import Blobs, StoredBlob, StoreUnavailable
from app.store.open_blobs import open_blobs
from worker.runtime import limits
from worker.runtime.children import Child, Children, kill_group
from worker.runtime.claiming import Claimer
from worker.runtime.file_trouble import FILE_TROUBLE, as_job_failure
from worker.runtime.prepare import prepare
from worker.runtime.protocol import OUTPUTS, Assignment
from worker.runtime.slots import Slots, slots_of

log = structlog.get_logger()
T = TypeVar("T")
TICK_S = 0.5
LONGEST_OUTAGE_S = 600.0
_REPORT_IT = "This is a fault of the service: tell its operator the id of the job, and try other settings meanwhile."


class Attempt:
    """One claimed job and its child. `run` returns when the attempt is over, however it ended."""

    def __init__(self, engine: Engine, blobs: Blobs, settings: Settings, children: Children, row: JobRow) -> None:
        self.row: JobRow = row
        self._engine = engine
        self._blobs = blobs
        self._settings = settings
        self._children = children
        self._child: Child | None = None
        self._answer: dict[str, Any] | None = None
        self._progress: dict[str, Any] | None = None
        self._stages = tracing.Stages()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._woken = threading.Event()
        self._end_by: float | None = None  # when the child must be gone
        self._why = ""  # why it was reported to go: cancel, release, lost, memory, time
        self._keep_broken = False
        self._peak_memory = 0
        self._has_processes = (settings.executor, settings.executor_processes) != ("local", 1)
        self._cpu_s = 0.0
        self._device_since: float | None = None  # when the child took a CUDA device
        self._kills_before = limits.out_of_memory_kills()
        self._log = log.bind(
            job_id=row["id"],
            attempt=row["attempt"],
            fence=row["fence"],
            tenant=row["tenant_id"],
            request_id=row["request_id"],
        )

    def run(self) -> None:
        """Run the child to its end and write down what came of it."""
        self._log.info("attempt_started", method=self.row["method"])
        # The lease is kept from here to the commit: files may come from, and go to, a store far away.
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        try:
            if (assignment := self._prepare()) is not None:
                self._finish(self._work(assignment))
        finally:
            self._over.set()
            self._woken.set()  # the slot need not wait for the watcher's next look
            watcher.join()
            self._clear_staging()

    def _prepare(self) -> Assignment | None:
        """The inputs, laid out; None when the attempt ended here."""
        try:
            return self._persist(lambda conn: prepare(conn, self._blobs, self._settings, self.row))
        except FILE_TROUBLE as trouble:
            self._fail(as_job_failure(trouble), AttemptEnd(gpu_s=0.0))
            return None

    def _clear_staging(self) -> None:
        """Remove what this attempt left; a later owner of the job may be at work beside it."""
        home = self._settings.staging_dir / self.row["id"]
        shutil.rmtree(home / str(self.row["fence"]), ignore_errors=True)
        with contextlib.suppress(OSError):
            home.rmdir()

    def _work(self, assignment: Assignment) -> int:
        """Run the child to its end; returns its exit code."""
        child = self._child = self._children.take()
        try:
            self._talk(child, assignment.to_line())
        finally:
            self._stages.end()
            kill_group(child)  # whatever it may have left running
            self._child = None
        return child.wait()

    def cancel(self) -> None:
        """The user wants it to end: a moment to end by itself, then SIGKILL."""
        self._tell_to_go("cancel", self._settings.cancel_grace_s)

    def release(self) -> None:
        """The worker stops: time to write a checkpoint, then SIGKILL; the job goes back to the queue."""
        self._tell_to_go("release", self._settings.stop_grace_s)

    def _talk(self, child: Child, assignment: bytes) -> None:
        assert child.stdin is not None  # noqa: S101 - both are pipes
        assert child.stdout is not None  # noqa: S101
        try:
            child.stdin.write(assignment)
            child.stdin.flush()
        except BrokenPipeError:
            pass  # it died while waiting; its exit code tells
        for line in child.stdout:
            self._hear(json.loads(line))
        child.stdin.close()
        child.stdout.close()
        child.wait()

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message.pop("t")
        if kind == "progress":
            self._stages.enter(message["phase"])
            if not self._has_processes:  # looking at many takes milliseconds
                self._note_memory()
            with self._lock:
                self._progress = message
        elif kind == "device":
            self._device_since = time.monotonic() if message["device"] == "cuda" else None
        elif kind in ("done", "error", "stopped"):
            self._answer = {"t": kind, **message}
            self._flush_progress()
        elif kind == "checkpoint":
            self._keep_checkpoint(Path(message["path"]), int(message["step"]))
        elif kind == "keep":
            self._keep_file(Path(message["path"]))
        elif kind in ("log", "warning"):
            # Its text may quote the data: it belongs to the job, in whose log it is, and goes with it.
            self._log.info("child_says", kind=kind, characters=len(message["text"]))
            self._try(lambda conn: append_event(conn, self.row["id"], kind, message, fence=self.row["fence"]))

    def _keep_checkpoint(self, path: Path, step: int) -> None:
        try:
            stored = self._blobs.put_file(path)
        except FILE_TROUBLE as trouble:
            self._log.warning("checkpoint_not_kept", step=step, error=str(trouble))
            return

        def write(conn: Connection) -> list[str]:
            save_checkpoint(conn, self.row, stored, step)
            return drop_old_checkpoints(conn, self.row["id"])

        with contextlib.suppress(StoreUnavailable):  # the sweeper takes them later
            delete_blobs(self._blobs, self._try(write) or [])

    def _keep_file(self, path: Path) -> None:
        """A file of `ctx.keep`. One that cannot be stored is a gap, so none that comes after it is stored either."""
        if self._keep_broken:
            return
        folder = self._settings.staging_dir / self.row["id"] / str(self.row["fence"])
        name = path.relative_to(folder / "keep").as_posix()
        link = folder / "kept" / name  # storing moves a file away, and the child still reads this one
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.hardlink_to(path)
            stored = self._blobs.put_file(link)
        except FILE_TROUBLE as trouble:
            self._log.warning("file_not_kept", error=str(trouble))
            self._keep_broken = True
            return
        self._keep_broken = not self._try(lambda conn: save_kept(conn, self.row, stored, name))

    def _watch(self) -> None:
        """Twice a second: deadline, memory, progress; every heartbeat: the lease."""
        asked = self.row["limits"]
        memory_mb = int(asked.get("memory_mb", self._settings.memory_limit_mb))
        time_s = seconds(asked, "time_s")
        started = last_beat = last_heard = time.monotonic()
        while not self._over.is_set():
            self._woken.wait(TICK_S)
            self._woken.clear()
            now = time.monotonic()
            self._watch_usage(memory_mb)
            if now - started > 2 * time_s + LONGEST_OUTAGE_S:
                self._tell_to_go("time", 0.0)
            child = self._child
            if self._end_by is not None and now > self._end_by and child is not None:
                kill_group(child)
            self._flush_progress()
            if now - last_beat >= self._settings.heartbeat_s:
                last_beat = now
                if self._beat():
                    last_heard = now
                elif now - last_heard > LONGEST_OUTAGE_S:
                    self._tell_to_go("lost", 0.0)

    def _beat(self) -> bool:
        """Renew the lease; False when the database cannot be reached."""
        try:
            with self._engine.begin() as conn:
                state = renew_lease(conn, self.row["id"], self.row["fence"], self._settings.lease_s)
        except DBAPIError:
            return False
        if state is None and not self._over.is_set():
            self._log.warning("fence_lost")
            self._tell_to_go("lost", 0.0)
        elif state == "cancelling":
            self.cancel()
        return True

    def _watch_usage(self, memory_mb: int) -> None:
        if (child := self._child) is None:
            return
        private = self._note_memory()
        self._cpu_s = max(self._cpu_s, limits.cpu_seconds(child.pid))
        if memory_mb and private > memory_mb * 1_000_000:
            self._tell_to_go("memory", 0.0)

    def _note_memory(self) -> int:
        private = self._private_bytes(child.pid) if (child := self._child) is not None else 0
        self._peak_memory = max(self._peak_memory, private)
        return private

    def _private_bytes(self, child: int) -> int:
        # A child leads a session of its own.
        return limits.private_bytes_of_session(child) if self._has_processes else limits.private_bytes(child)

    def _tell_to_go(self, why: str, grace_s: float) -> None:
        if self._why and not (why == "lost" or grace_s < (self._end_by or 0) - time.monotonic()):
            return
        self._why = self._why if self._why == "lost" else why
        self._end_by = time.monotonic() + grace_s
        if (child := self._child) is not None:
            kill_group(child, signal.SIGTERM if grace_s else signal.SIGKILL)
        self._woken.set()
        if grace_s:
            timer = threading.Timer(grace_s, self._woken.set)
            timer.daemon = True
            timer.start()

    def _flush_progress(self) -> None:
        with self._lock:
            progress, self._progress = self._progress, None
        if progress is None:
            return
        done = self._try(
            lambda conn: append_event(
                conn,
                self.row["id"],
                "progress",
                progress,
                fence=self.row["fence"],
                values={"progress": progress},
            )
        )
        if done:
            self.row = {**self.row, "progress": progress}

    def _finish(self, exit_code: int) -> None:
        """Write the one outcome of this attempt, waiting out a database that is away."""
        self._flush_progress()  # the last thing that a child said before it died
        answer = self._answer or {}
        end = self._attempt_end(exit_code, answer)
        if self._why == "lost":
            return
        if answer.get("t") == "done" and self._why != "cancel":
            try:
                outcome = self._store_outputs(answer)
            except FILE_TROUBLE as trouble:
                self._fail(as_job_failure(trouble), end)
                return
            self._over.set()  # from here on the fence is no longer ours to keep
            try:
                with tracing.span("commit"):
                    committed = self._persist(lambda conn: commit_result(conn, self.row, outcome, end))
            except DBAPIError as error:  # Postgres is there and will not have it: nor will it the next time
                self._log.error("not_stored", error=type(error.orig).__name__)
                self._fail({"code": "internal", "detail": "The result could not be stored.", "hint": _REPORT_IT}, end)
                return
            if committed is not None:
                self._log.info("succeeded")
                return
            self._log.warning("commit_refused")
            self._persist(lambda conn: cancel_attempt(conn, self.row, end))
        elif self._why == "cancel":
            self._persist(lambda conn: cancel_attempt(conn, self.row, end))
        elif self._why == "release":
            self._persist(lambda conn: release_attempt(conn, self.row, end))
        else:
            self._fail(self._error(exit_code, answer), end)

    def _fail(self, error: dict[str, Any], end: AttemptEnd) -> None:
        self._over.set()
        self._log.warning("attempt_failed", code=error["code"])  # the detail may quote data
        # What another place or half the memory may cure is tried at once; a full disk or a store needs time.
        pause_s = 0.5 if error["code"] in ("worker_lost", "out_of_memory") else self._settings.retry_pause_s
        self._persist(lambda conn: fail_attempt(conn, self.row, error, end, backoff_s=pause_s))

    def _store_outputs(self, answer: dict[str, Any]) -> Outcome:
        out = self._settings.staging_dir / self.row["id"] / str(self.row["fence"]) / "out"
        files = {name: self._store_folder(out / name) for name in OUTPUTS}
        parts = {name: answer.get(name, {}) for name in ("manifest", "verdict", "version", "environment", "cut")}
        return Outcome(**files, **parts)

    def _store_folder(self, folder: Path) -> dict[str, StoredBlob]:
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.is_dir() else []
        return {path.relative_to(folder).as_posix(): self._blobs.put_file(path) for path in paths}

    def _attempt_end(self, exit_code: int, answer: dict[str, Any]) -> AttemptEnd:
        reported: dict[str, Any] = answer.get("cost", {})
        # The child knows its own peak best, but nothing of the processes that it had.
        peak_mb = max(float(reported.get("peak_rss_mb", 0.0)), round(self._peak_memory / 1e6, 1))
        cpu_s = float(reported.get("cpu_s", self._cpu_s))
        held_s = time.monotonic() - self._device_since if self._device_since else 0.0
        gpu_s = float(reported.get("gpu_s", round(held_s, 3)))
        cost = {"cpu_s": cpu_s, "gpu_s": gpu_s, **reported, "peak_rss_mb": peak_mb}
        return AttemptEnd(exit_code, str(self.row["progress"].get("phase", "")), peak_mb, cpu_s, gpu_s, cost)

    def _error(self, exit_code: int, answer: dict[str, Any]) -> dict[str, Any]:
        if answer.get("t") == "error":
            return {name: answer[name] for name in ("code", "detail", "hint", "pointer")}
        phase = self.row["progress"].get("phase", "") or "its start"
        if self._why == "time":
            detail = f"The job was still in {phase} long after its time limit."
            return {"code": "timeout", "detail": detail, "hint": ""}
        used = f"{self._peak_memory / 1e6:.0f} MB"
        # Signal 9 without a word from us is the kernel's out-of-memory killer, or somebody's hand.
        if self._why == "memory" or limits.out_of_memory_kills() > self._kills_before:
            detail = f"The job used {used} in {phase} and was stopped."
            return {"code": "out_of_memory", "detail": detail, "hint": limits.OUT_OF_MEMORY_HINT}
        detail = f"The job's process ended with code {exit_code} in {phase}, having used at least {used}."
        return {"code": "worker_lost", "detail": detail, "hint": "It is tried again from its last checkpoint."}

    def _try(self, work: Callable[[Connection], T]) -> T | None:
        """One transaction; what it would have written is not worth waiting for when the database is away."""
        try:
            with self._engine.begin() as conn:
                return work(conn)
        except DBAPIError:
            return None

    def _persist(self, work: Callable[[Connection], T]) -> T | None:
        """One transaction, tried again while the database is away; the fence keeps a repeat harmless."""
        give_up = time.monotonic() + LONGEST_OUTAGE_S
        while True:
            try:
                with self._engine.begin() as conn:
                    return work(conn)
            except DBAPIError as error:
                away = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
                if not away or time.monotonic() > give_up:
                    raise
                self._log.warning("database_away", error=type(error).__name__)
                time.sleep(1.0)


class Supervisor:
    """Every attempt of this worker."""

    def __init__(self, engine: Engine, settings: Settings, children: Children, worker_id: str) -> None:
        self._engine = engine
        self._settings = settings
        self._claimer = Claimer(engine, settings, worker_id)
        self._slots = slots_of(settings)
        self._blobs = open_blobs(settings)
        self._children = children
        self._attempts: dict[str, Attempt] = {}
        self.is_stopping = False

    def work(self) -> None:
        """Run what waits in our queues, one after the other, for as long as slots of theirs are free.

        Which job a hint was about does not matter: tenants take turns. And Celery would let a second pass before it
        hands a free slot the next hint; Postgres need not be waited for.
        """
        for slots in self._slots:
            again = True
            while again and slots.enter():
                try:
                    while (row := self._claim(slots)) is not None:
                        self._run(row)
                finally:
                    again = slots.leave()

    def _claim(self, slots: Slots) -> JobRow | None:
        return None if self.is_stopping else self._claimer.claim(slots.queues)

    def _run(self, row: JobRow) -> None:
        attempt = Attempt(self._engine, self._blobs, self._settings, self._children, row)
        self._attempts[row["id"]] = attempt
        try:
            with tracing.span("attempt", parent=row["traceparent"], job_id=row["id"], attempt=row["attempt"]):
                attempt.run()
        finally:
            self._attempts.pop(row["id"], None)

    def is_busy(self) -> bool:
        """Whether any attempt runs."""
        return bool(self._attempts)

    def cancel(self, job_id: str) -> None:
        """Pass a cancel on to the attempt, if it is one of ours."""
        if (attempt := self._attempts.get(job_id)) is not None:
            attempt.cancel()

    def stop(self) -> None:
        """Claim nothing more, ask every child for a checkpoint, and wait until all are back in the queue."""
        self.is_stopping = True
        for attempt in list(self._attempts.values()):
            attempt.release()
        give_up = time.monotonic() + self._settings.shutdown_grace_s
        while self._attempts and time.monotonic() < give_up:
            time.sleep(0.05)
        self._children.close()
