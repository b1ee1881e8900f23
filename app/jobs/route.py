"""Which queue a job goes to: decided when it is created, by what live workers announced."""

from __future__ import annotations

from sqlalchemy import Connection

from app.jobs.errors import Refused
from app.jobs.states import JobRow
from app.store.workers import has_device

GPU_QUEUE = "gpu"


def queue_for(conn: Connection, method: JobRow, device: str) -> str:
    """`gpu` where the method may use a GPU and a live worker runs it on one, else the method's own queue.

    Raises `Refused` when the job asks for a GPU, or the method runs on nothing else, and there is none.
    """
    if device == "cpu" and method["device"] == "cuda":
        raise _refused(f"{method['name']} runs on a GPU only.", "Leave `device` out or set it to auto.")
    if device == "cuda" and method["device"] == "cpu":
        raise _refused(f"{method['name']} runs on the CPU only.", "Leave `device` out or set it to auto.")
    if device == "cpu" or method["device"] == "cpu":
        return method["queue"]
    if has_device(conn, GPU_QUEUE, f"{method['kind']}/{method['name']}", "cuda"):
        return GPU_QUEUE
    if method["device"] == "cuda":
        raise _refused(
            f"{method['name']} runs on a GPU only, and no worker has one now.",
            "Start a worker with a GPU and DISTILLERY_QUEUES=gpu, or choose another method.",
        )
    if device == "cuda":
        raise _refused(
            f"No worker runs {method['name']} on a GPU now.",
            "Leave `device` out to run it on the CPU, or start a worker with a GPU and DISTILLERY_QUEUES=gpu.",
        )
    return method["queue"]


def may_run_elsewhere(method: JobRow, device: str) -> bool:
    """Whether a job that could have a GPU will do without."""
    return device == "auto" and method["device"] == "any"


def _refused(detail: str, hint: str) -> Refused:
    return Refused("unsupported_device", detail, hint=hint, pointer="/device")
