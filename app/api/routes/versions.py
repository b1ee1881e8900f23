"""/v1/datasets/{id}/commit and /versions: immutable versions, made by an ingest job."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from app.api.answers import tagged
from app.api.direct_uploads import fetch_named, forget_fetched, keep_fetched
from app.api.documented import MAKES_JOB, UNCHANGED, refusals
from app.api.idempotency import IdempotencyKey, Made, once
from app.api.pagination import Page, Pager
from app.api.problems import Problem
from app.api.routes.datasets import existing
from app.api.schemas.datasets import (
    Commit,
    Committed,
    CommittedFile,
    Preview,
    Statistics,
    VersionList,
    VersionView,
)
from app.api.schemas.jobs import JobView
from app.api.security import Caller, DatasetReader, identified
from app.api.services import services_of
from app.api.transactions import TransactionRoute
from app.jobs.create import create_ingest_job
from app.store import datasets as store
from app.store.api_keys import Identity
from app.store.artifacts import list_artifacts
from app.store.jobs import queue_position
from app.store.quotas import Quota

router = APIRouter(prefix="/v1/datasets/{dataset_id}", tags=["versions"], route_class=TransactionRoute)
Number = Annotated[int, Path(ge=1, lt=2**31, description="The version's number.")]


@router.post(
    "/commit",
    status_code=202,
    response_model=Committed,
    responses=refusals(
        "not_found",
        "no_files",
        "unknown_file",
        "invalid_path",
        "duplicate_file",
        "checksum_mismatch",
        "insufficient_storage",
        "store_unavailable",
        *MAKES_JOB,
    ),
    summary="Commit the files as a version",
)
async def commit_dataset(
    request: Request,
    identity: Annotated[Identity, identified("datasets:write")],
    dataset_id: str,
    body: Commit | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Make an immutable version of the uploaded files; an ingest job makes it ready.

    Files that were sent to presigned addresses are named here, and become the dataset's files if they are as named.
    """
    services = services_of(request)
    named = body.files if body else None
    arrived = await fetch_named(services, identity.tenant_id, dataset_id, named or [])

    def work(conn: Connection) -> Response:
        caller = Caller(conn, identity, services)

        def make() -> Made:
            if arrived:
                keep_fetched(conn, services, caller.tenant_id, dataset_id, arrived)
                caller.note("file.upload", dataset_id)
            return make_version(request, caller, dataset_id, named)

        return once(request, caller, idempotency_key, body, make)

    response = await services.in_transaction(work)
    await forget_fetched(services, dataset_id, arrived)
    return response


def make_version(request: Request, caller: Caller, dataset_id: str, named: list[CommittedFile] | None) -> Made:
    """A version of the uploaded files, of all of them unless some are named, and the job that makes it ready."""
    dataset = existing(caller, dataset_id, lock=True)
    files = _committed(caller, dataset_id, named)
    version = store.add_version(caller.conn, caller.tenant_id, dataset_id, files)
    job = create_ingest_job(
        caller.conn,
        caller.tenant_id,
        dataset,
        version["number"],
        quota=Quota.of(caller.services.settings),
        api_key_id=caller.identity.key_id,
        request_id=request.scope["distillery.request_id"],
    )
    caller.note("version.create", f"{dataset_id}@{version['number']}")
    store.name_ingest_job(caller.conn, caller.tenant_id, dataset_id, version["number"], job["id"])
    answer = Committed(
        job=JobView.of(job, queue_position(caller.conn, job)),
        dataset=dataset_id,
        version=version["number"],
        reference=f"{dataset_id}@{version['number']}",
    )
    return 202, answer, {"Location": f"/v1/jobs/{job['id']}", "Retry-After": "2"}


@router.get("/versions", response_model=VersionList, responses=refusals("not_found"), summary="List versions")
def list_versions(caller: DatasetReader, dataset_id: str, page: Page) -> VersionList:
    """Versions of a dataset, newest first."""
    existing(caller, dataset_id)
    pager = Pager.of(page, caller.services.settings.secret, caller.tenant_id, f"versions of {dataset_id}")
    after = pager.after()
    rows = store.list_versions(
        caller.conn, caller.tenant_id, dataset_id, before=int(after[0]) if after else None, limit=pager.limit
    )
    return VersionList.model_validate(pager.answer(rows, VersionView.of, keys=("number",)))


@router.get(
    "/versions/{number}",
    response_model=VersionView,
    responses={**UNCHANGED, **refusals("not_found")},
    summary="Get a version",
)
def get_version(request: Request, caller: DatasetReader, dataset_id: str, number: Number) -> Response:
    """One version: its files, what was recognised in them, statistics and warnings."""
    return tagged(request, VersionView.of(_existing_version(caller, dataset_id, number)))


@router.get(
    "/versions/{number}/preview",
    response_model=Preview,
    responses=refusals("not_found", "dataset_not_ready"),
    summary="Preview a version",
)
def preview_version(
    caller: DatasetReader,
    dataset_id: str,
    number: Number,
    rows: Annotated[int, Query(ge=1, le=1000, description="At most; fewer are kept for a preview.")] = 20,
) -> Preview:
    """The first rows, as they were read."""
    version = _ready(_existing_version(caller, dataset_id, number))
    return Preview(reference=f"{dataset_id}@{number}", rows=version["manifest"].get("preview", [])[:rows])


@router.get(
    "/versions/{number}/stats",
    response_model=Statistics,
    responses=refusals("not_found", "dataset_not_ready"),
    summary="Statistics of a version",
)
def version_statistics(caller: DatasetReader, dataset_id: str, number: Number) -> Statistics:
    """What was counted when the version was ingested."""
    version = _ready(_existing_version(caller, dataset_id, number))
    return Statistics(reference=f"{dataset_id}@{number}", statistics=version["manifest"].get("statistics", {}))


def _existing_version(caller: Caller, dataset_id: str, number: int) -> dict[str, Any]:
    row = store.get_version(caller.conn, caller.tenant_id, dataset_id, number)
    if row is None:
        raise Problem("not_found", f"There is no version {dataset_id}@{number}.")
    return row


def _ready(version: dict[str, Any]) -> dict[str, Any]:
    if version["state"] != "ready":
        raise Problem(
            "dataset_not_ready",
            f"{version['dataset_id']}@{version['number']} is {version['state']}.",
            hint=f"See job {version['job_id']}.",
        )
    return version


def _committed(caller: Caller, dataset_id: str, named: list[CommittedFile] | None) -> list[dict[str, Any]]:
    """The uploaded files that the version is made of; each named one must be what the client says it is."""
    uploaded = {row["path"]: row for row in list_artifacts(caller.conn, caller.tenant_id, dataset_id)}
    if named is None:
        named_paths = list(uploaded)
    else:
        for index, file in enumerate(named):
            _check_named(uploaded.get(file.path), file, f"/files/{index}")
        named_paths = sorted({file.path for file in named})
    if not named_paths:
        raise Problem("no_files", hint=f"PUT /v1/datasets/{dataset_id}/files/NAME")
    return [uploaded[path] for path in named_paths]


def _check_named(row: dict[str, Any] | None, file: CommittedFile, pointer: str) -> None:
    if row is None:
        raise Problem("unknown_file", f"There is no uploaded file {file.path}.", pointer=f"{pointer}/path")
    if (row["sha256"], row["size"]) != (file.sha256, file.size):
        raise Problem(
            "checksum_mismatch",
            f"{file.path} has {row['size']} bytes and the SHA-256 {row['sha256']}.",
            pointer=pointer,
        )
