"""What can be asked of the service, as operations; the clients' methods are one line each over these."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from distillery._downloading import Progress, download_file, download_files
from distillery._effects import Operation, Request
from distillery._requests import call, get_json, pages, post_json
from distillery.errors import DistilleryError

Budget = int | float | str
# What a program needs that uploads, distils and fetches: everything but the account's own matters.
WORK_SCOPES = ["datasets:read", "datasets:write", "jobs:read", "jobs:write", "summaries:read"]


def share_or_units(budget: Budget) -> int | str:
    """A budget as the service takes it: 500 units, "1%", "150kB"; a float below 1 is a share, 0.01 is "1%".

    Raises ValueError for floats that mean neither.
    """
    if isinstance(budget, bool):
        raise ValueError("A budget is a number, a share or a size, not a truth value.")
    if isinstance(budget, float):
        if 0 < budget < 1:
            percent = (Decimal(repr(budget)) * 100).normalize()
            return f"{percent:f}%"
        if budget <= 1 or not budget.is_integer():
            raise ValueError(f"{budget} is no budget: write 500 (units), 0.01 or '1%' (a share), or '150kB'.")
        return int(budget)
    return budget


def create_job(body: Mapping[str, Any], *, validate_only: bool = False) -> Operation[dict[str, Any]]:
    """POST a job; empty fields are left to the service's defaults."""
    sent = {name: value for name, value in body.items() if value not in (None, {}, "", False)}
    return (yield from post_json("/v1/jobs", sent, validate_only="true" if validate_only else None))


def cancel_job(job_id: str) -> Operation[dict[str, Any]]:
    """Ask a job to stop; returns its view."""
    return (yield from post_json(f"/v1/jobs/{job_id}/cancel"))


def retry_job(job_id: str) -> Operation[dict[str, Any]]:
    """A new job that does the same again, from the last checkpoint; returns the new job's view."""
    return (yield from post_json(f"/v1/jobs/{job_id}/retry"))


def list_datasets(*, exports: bool, **filters: str | None) -> Operation[list[dict[str, Any]]]:
    """Every dataset that fits."""
    return (yield from pages("/v1/datasets", exports="true" if exports else None, **filters))


def get_dataset(reference: str) -> Operation[dict[str, Any]]:
    """The view of a dataset; a reference's version is left aside."""
    return (yield from get_json(f"/v1/datasets/{reference.partition('@')[0]}"))


def delete_dataset(dataset_id: str, *, force: bool = False, cascade: bool = False) -> Operation[None]:
    """Delete a dataset as it is now; `Conflict` when a live job uses it, unless forced."""
    path = f"/v1/datasets/{dataset_id.partition('@')[0]}"
    now = yield from call(Request("GET", path))
    headers = {"If-Match": now.headers.get("etag", "*")}
    params = {"force": "true" if force else None, "cascade": "true" if cascade else None}
    yield from call(Request("DELETE", path, headers=headers, params=params))


def download_summary(
    summary_id: str, to: Path, *, as_zip: bool = False, progress: Progress | None = None
) -> Operation[Path]:
    """The files of a summary below the folder `to`, or its one zip in it; returns the folder or the zip."""
    root = f"/v1/summaries/{summary_id}"
    if as_zip:
        target = to if to.suffix == ".zip" else to / f"summary-{summary_id}.zip"
        return (yield from download_file(f"{root}/download", target, progress))
    manifest = yield from get_json(root)
    return (yield from download_files(f"{root}/files", manifest["files"], to, progress))


def download_version(dataset_id: str, number: int, to: Path, progress: Progress | None = None) -> Operation[Path]:
    """The canonical files of a dataset version below the folder `to`; returns the folder."""
    root = f"/v1/datasets/{dataset_id}/versions/{number}/files"
    files = yield from pages(root)
    return (yield from download_files(root, files, to, progress))


def download_report(report_id: str, to: Path, progress: Progress | None = None) -> Operation[Path]:
    """All evidence as one zip in the folder `to`, or under that name; returns the zip."""
    target = to if to.suffix == ".zip" else to / f"report-{report_id}.zip"
    return (yield from download_file(f"/v1/reports/{report_id}/download", target, progress))


def get_text(path: str) -> Operation[str]:
    """The text of a file."""
    reply = yield from call(Request("GET", path))
    return reply.body.decode("utf-8")


def get_file(path: str) -> Operation[bytes]:
    """The bytes of a small file."""
    reply = yield from call(Request("GET", path))
    return reply.body


def list_methods(kind: str | None) -> Operation[list[dict[str, Any]]]:
    """The catalogue, of one kind or all."""
    return (yield from pages("/v1/methods", kind=kind))


def method_for(task: str, reference: str) -> Operation[str]:
    """The method of a dataset's kind that does a task, of several the one that is called so; raises `DistilleryError`
    when no worker has one."""
    dataset = yield from get_dataset(reference)
    able = [method["name"] for method in (yield from list_methods(dataset["kind"])) if method["task"] == task]
    if able:
        return task if task in able else able[0]
    raise DistilleryError(f"No worker can {task} {dataset['kind']}.")


def create_key(name: str, scopes: list[str] | None, expires_at: str | None) -> Operation[dict[str, Any]]:
    """A new API key; the answer holds its token, this once."""
    body: dict[str, Any] = {"name": name, "scopes": scopes or WORK_SCOPES}
    if expires_at:
        body["expires_at"] = expires_at
    return (yield from post_json("/v1/api-keys", body))


def revoke_key(key_id: str, *, keep_made: bool = False, force: bool = False) -> Operation[None]:
    """Make a key useless from now on, with those that it made."""
    params = {"keep_made": "true" if keep_made else None, "force": "true" if force else None}
    yield from call(Request("DELETE", f"/v1/api-keys/{key_id}", params=params))


def readiness() -> Operation[dict[str, Any]]:
    """What /readyz says."""
    reply = yield from call(Request("GET", "/readyz"))
    return json.loads(reply.body)


def delete(collection: str, item_id: str, *, cascade: bool = False) -> Operation[None]:
    """Delete one thing that needs no precondition; `cascade`: with everything that was made from it."""
    params = {"cascade": "true" if cascade else None}
    yield from call(Request("DELETE", f"/v1/{collection}/{item_id}", params=params))


def verdict_of(report: Mapping[str, Any]) -> str:
    """The verdict in words."""
    return report["verdict"]["sentence"]
