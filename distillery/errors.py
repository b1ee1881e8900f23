"""Everything that can go wrong, as one tree.

    DistilleryError
    ├── NotConfigured            no address or no API key could be found
    ├── NotInstalled             a part of the service is not installed here
    ├── TransportError           the service could not be asked
    │   ├── ConnectError         nobody answers at the address
    │   ├── ConnectionLost       the connection broke and could not be taken up again
    │   └── ResponseTimeout      no answer in time
    ├── DigestMismatch           a file is not what the service says it is
    ├── WaitTimeout              a job was not finished in the time `wait` was given
    ├── UnverifiedWebhook        a message is not certainly from the service
    ├── NoResult                 a job has no summary, report or dataset (yet)
    ├── BudgetTooLarge, BudgetTooSmall   refused with the request, or by the method once it runs
    ├── JobError                 a job ended without a result
    │   ├── JobCancelled
    │   └── JobFailed            by code: see JOB_ERRORS
    └── APIError                 the service refused: a problem document (RFC 9457)
        ├── InvalidRequest       400, 413, 415, 422 and their codes
        ├── AuthenticationError  401
        ├── PermissionDenied     403
        ├── NotFound             404
        ├── Conflict             409, 412
        ├── TooManyRequests      429
        └── ServerError          5xx

`APIError.code` and `JobFailed.code` are the service's stable codes. Codes that a caller is likely to handle
have a class of their own, listed in `API_ERRORS` and `JOB_ERRORS`; every other code is raised as its
branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class DistilleryError(Exception):
    """What every error of this package is."""

    hint: str = ""


class NotConfigured(DistilleryError):
    """No address or no API key: neither given, nor in the environment, nor of a running embedded service."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class NotInstalled(NotConfigured):
    """A part of the service that this command starts is not installed."""


class TransportError(DistilleryError):
    """The service could not be asked; whether it did anything is unknown. `reached`: it has answered this client
    before."""

    reached = False


class ConnectError(TransportError):
    """Nobody answers at the address."""

    hint = "Is the service running? `distillery status` tells, `distillery up` starts one."


class ConnectionLost(TransportError):
    """The connection broke, and trying again did not help."""


class ResponseTimeout(TransportError):
    """The service did not answer in time."""


class DigestMismatch(DistilleryError):
    """The bytes of a downloaded file are not those the service describes; the file was removed."""

    hint = "Download it again; if it happens twice, the stored file is damaged."


class WaitTimeout(DistilleryError):
    """A job was not finished in time; it goes on running. `job`: its last view."""

    def __init__(self, job: Mapping[str, Any], timeout_s: float) -> None:
        super().__init__(f"Job {job['id']} is still {job['state']} after {timeout_s:g} s.")
        self.job = job


class UnverifiedWebhook(DistilleryError):
    """A webhook's message is not signed with the secret, or too old. Answer it with 400 and do nothing."""


class NoResult(DistilleryError):
    """A job has no such result: it has not ended, or its method makes none."""


class BudgetTooLarge(DistilleryError):
    """More units than the dataset allows."""


class BudgetTooSmall(DistilleryError):
    """Fewer units than the method can work with."""


class JobError(DistilleryError):
    """A job ended without a result. `job`: its last view, as the API gives it."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        error = job.get("error") or {}
        self.job = job
        self.code: str = error.get("code", job["state"])
        self.detail: str = error.get("detail") or f"Job {job['id']} was {job['state']}."
        self.hint = error.get("hint") or ""
        self.pointer: str = error.get("pointer") or ""
        super().__init__(self.detail)


class JobCancelled(JobError):
    """The job was cancelled and left no summary."""


class JobFailed(JobError):
    """The job failed; `code`, `detail` and `hint` say why and what to do."""


class InvalidInput(JobFailed):
    """`invalid_input`: the data cannot be read as what it was declared to be."""


class UnknownColumn(JobFailed):
    """`unknown_column`: the file has no such column."""


class UnsafeFormat(JobFailed):
    """`unsafe_format`: the file could carry code (pickle and its kin)."""


class DecodedTooLarge(JobFailed):
    """`decoded_too_large`: the file decodes to more than the service allows."""


class TooFewRows(JobFailed):
    """`too_few_rows`: the dataset is too small for what was asked."""


class JobBudgetTooLarge(JobFailed, BudgetTooLarge):
    """`budget_too_large`: the method found that the dataset allows less."""


class JobBudgetTooSmall(JobFailed, BudgetTooSmall):
    """`budget_too_small`: the method found that it needs more."""


class JobTimeout(JobFailed):
    """`timeout`: the job reached `limits.time_s` and had nothing usable."""


class OutOfMemory(JobFailed):
    """`out_of_memory`: the job needed more than its memory limit, at half its batch too."""


class Diverged(JobFailed):
    """`diverged`: the numbers left the range in which they mean anything."""


class WorkerLost(JobFailed):
    """`worker_lost`: the worker died as often as the job may be tried."""


JOB_ERRORS: dict[str, type[JobFailed]] = {
    "invalid_input": InvalidInput,
    "unknown_column": UnknownColumn,
    "unsafe_format": UnsafeFormat,
    "decoded_too_large": DecodedTooLarge,
    "too_few_rows": TooFewRows,
    "budget_too_large": JobBudgetTooLarge,
    "budget_too_small": JobBudgetTooSmall,
    "timeout": JobTimeout,
    "out_of_memory": OutOfMemory,
    "diverged": Diverged,
    "worker_lost": WorkerLost,
}


class APIError(DistilleryError):
    """The service refused a request.

    `problem`: the whole problem document; `status`, `code`, `detail`, `hint`, `errors` (each with
    `pointer`, `code`, `detail`) and `request_id` are its members.
    """

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = problem
        self.status = int(problem.get("status", 0))
        self.code: str = problem.get("code", "")
        self.detail: str = problem.get("detail") or problem.get("title") or f"HTTP {self.status}"
        self.hint = problem.get("hint") or ""
        self.errors: list[Mapping[str, Any]] = list(problem.get("errors") or [])
        self.request_id: str = problem.get("request_id") or ""
        super().__init__(self.detail)


class InvalidRequest(APIError):
    """The request cannot be understood or is not allowed as it stands."""


class InvalidParams(InvalidRequest):
    """`invalid_params`: a parameter of the method is missing, unknown or out of bounds."""


class RefusedBudgetTooLarge(InvalidRequest, BudgetTooLarge):
    """`budget_too_large`: the dataset has no more, as was known before a job was made."""


class RefusedBudgetTooSmall(InvalidRequest, BudgetTooSmall):
    """`budget_too_small`: it comes to no unit, as was known before a job was made."""


class KindMismatch(InvalidRequest):
    """`kind_mismatch`: the method works on another kind of data."""


class UnknownMethod(InvalidRequest):
    """`unknown_method`: no worker has announced such a method."""


class TaskMismatch(InvalidRequest):
    """`task_mismatch`: the method is for another task."""


class MissingInput(InvalidRequest):
    """`missing_input`: the method needs a further input."""


class UnknownDataset(InvalidRequest):
    """`unknown_dataset`: a job names a dataset version that does not exist."""


class UnknownSummary(InvalidRequest):
    """`unknown_summary`: a job names a summary that does not exist."""


class ChecksumMismatch(InvalidRequest):
    """`checksum_mismatch`: the uploaded bytes are not those of the digest."""


class IdempotencyKeyReused(InvalidRequest):
    """`idempotency_key_reused`: the key was used before, for another request."""


class PayloadTooLarge(InvalidRequest):
    """`payload_too_large`: the body is larger than the service takes."""


class AuthenticationError(APIError):
    """The API key is missing, unknown, expired or revoked."""


class PermissionDenied(APIError):
    """The API key lacks the scope, or the tenant the quota."""


class QuotaExceeded(PermissionDenied):
    """`quota_exceeded`: the tenant stores or computes as much as it may."""


class NotFound(APIError):
    """There is no such thing, or it belongs to somebody else."""


class Conflict(APIError):
    """The thing is not in a state that allows this."""


class DatasetNotReady(Conflict):
    """`dataset_not_ready`: the version is still being read, or could not be."""


class DatasetInUse(Conflict):
    """`dataset_in_use`: a live job works on the dataset."""


class DuplicateFile(Conflict):
    """`duplicate_file`: another file has the same path in other letter case."""


class JobNotFinished(Conflict):
    """`job_not_finished`: only a finished job can be tried again or deleted."""


class PreconditionFailed(Conflict):
    """`precondition_failed`: somebody changed it since it was read."""


class TooManyRequests(APIError):
    """Too much at once; try again later."""


class QueueFull(TooManyRequests):
    """`queue_full`: as many jobs are queued as may be."""


class ServerError(APIError):
    """The service failed; the request may be repeated."""


API_ERRORS: dict[str, type[APIError]] = {
    "invalid_params": InvalidParams,
    "budget_too_large": RefusedBudgetTooLarge,
    "budget_too_small": RefusedBudgetTooSmall,
    "kind_mismatch": KindMismatch,
    "task_mismatch": TaskMismatch,
    "missing_input": MissingInput,
    "unknown_method": UnknownMethod,
    "unknown_dataset": UnknownDataset,
    "unknown_summary": UnknownSummary,
    "checksum_mismatch": ChecksumMismatch,
    "idempotency_key_reused": IdempotencyKeyReused,
    "payload_too_large": PayloadTooLarge,
    "dataset_not_ready": DatasetNotReady,
    "dataset_in_use": DatasetInUse,
    "duplicate_file": DuplicateFile,
    "job_not_finished": JobNotFinished,
    "precondition_failed": PreconditionFailed,
    "queue_full": QueueFull,
    "quota_exceeded": QuotaExceeded,
}

_BY_STATUS: dict[int, type[APIError]] = {
    401: AuthenticationError,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    429: TooManyRequests,
}


def of_problem(problem: Mapping[str, Any]) -> APIError:
    """The error of a problem document: by its code, else by its status."""
    status = int(problem.get("status", 0))
    fallback = ServerError if status >= 500 else InvalidRequest
    return API_ERRORS.get(problem.get("code", ""), _BY_STATUS.get(status, fallback))(problem)


def of_job(job: Mapping[str, Any]) -> JobError:
    """The error of a job that ended `failed` or `cancelled`."""
    if job["state"] == "cancelled":
        return JobCancelled(job)
    return JOB_ERRORS.get((job.get("error") or {}).get("code", ""), JobFailed)(job)
