"""/v1/datasets/{id}/files: put, get and delete the files that the next version is made of."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from sqlalchemy import Connection
from starlette.responses import Response

from app.api.answers import answer
from app.api.arrivals import Arrival, arriving
from app.api.bodies import batches
from app.api.dataset_files import MEDIA_TYPE, check_target, keep_file
from app.api.digests import sha256_of_field
from app.api.documented import binary, refusals
from app.api.downloads import BlobContent, at_the_store, note_download, send
from app.api.pagination import Page, Pager
from app.api.paths import checked_path
from app.api.problems import Problem
from app.api.routes.datasets import existing
from app.api.schemas.datasets import FileList, FileView
from app.api.security import Caller, DatasetReader, DatasetWriter, identified
from app.api.services import services_of
from app.api.transactions import TransactionRoute
from app.store import artifacts
from app.store import datasets as store
from app.store.api_keys import Identity
from app.store.blobs import StoredBlob
from app.store.quotas import Quota

router = APIRouter(prefix="/v1/datasets/{dataset_id}/files", tags=["files"], route_class=TransactionRoute)
_BODY = {
    "requestBody": {"required": False, "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
}


@router.get("", response_model=FileList, responses=refusals("not_found"), summary="List uploaded files")
def list_files(caller: DatasetReader, dataset_id: str, page: Page) -> FileList:
    """The files put so far, by path."""
    existing(caller, dataset_id)
    pager = Pager.of(page, caller.services.settings.secret, caller.tenant_id, f"files of {dataset_id}")
    after = pager.after()
    rows = artifacts.list_artifacts(
        caller.conn, caller.tenant_id, dataset_id, after=after[0] if after else None, limit=pager.limit
    )
    return FileList.model_validate(pager.answer(rows, FileView.of, keys=("path",)))


@router.put(
    "/{path:path}",
    status_code=201,
    response_model=FileView,
    responses={
        200: {"description": "An earlier file was replaced.", "model": FileView},
        **refusals(
            "not_found",
            "invalid_path",
            "duplicate_file",
            "malformed_request",
            "checksum_mismatch",
            "quota_exceeded",
            "insufficient_storage",
            "store_unavailable",
        ),
    },
    openapi_extra=_BODY,
    summary="Upload a file",
)
async def put_file(
    request: Request,
    identity: Annotated[Identity, identified("datasets:write")],
    dataset_id: str,
    path: str,
    content_digest: Annotated[str | None, Header(description="`sha-256=:<base64>:`, checked when sent.")] = None,
) -> Response:
    """The raw bytes of one file, streamed to the store; an earlier file of that path is replaced."""
    services = services_of(request)
    path = checked_path(path)
    expected = sha256_of_field(content_digest) if content_digest is not None else None
    quota = Quota.of(services.settings)
    declared = int(request.headers.get("content-length", "0"))

    def may_come(conn: Connection, arrival: Arrival) -> None:
        check_target(conn, identity.tenant_id, dataset_id, path)
        arrival.begin(conn, declared)

    async with arriving(services, identity.tenant_id, may_come) as arrival:
        if services.short_of_disk():
            raise Problem("insufficient_storage")
        stored = await _receive(request, arrival, expected)

    def keep(conn: Connection) -> bool:
        Caller(conn, identity, services).note("file.upload", dataset_id)
        return keep_file(conn, identity.tenant_id, quota, dataset_id, path, stored)

    replaced = await services.in_transaction(keep)
    headers = {"Location": f"/v1/datasets/{dataset_id}/files/{path}", "ETag": f'"{stored.sha256}"'}
    view = FileView(path=path, size=stored.size, sha256=stored.sha256)
    return answer(view, status=200 if replaced else 201, headers=headers)


@router.get(
    "/{path:path}",
    response_class=Response,
    responses=binary(ranges=True, at_the_store=True),
    summary="Download an uploaded file",
)
async def get_file(
    request: Request,
    identity: Annotated[Identity, identified("datasets:read")],
    dataset_id: str,
    path: str,
) -> Response:
    """The bytes that were put, whole or a range of them."""
    services = services_of(request)

    def find(conn: Connection) -> dict[str, Any] | None:
        if store.get_dataset(conn, identity.tenant_id, dataset_id) is None:
            return None
        file = artifacts.get_artifact(conn, identity.tenant_id, dataset_id, path)
        if file is not None:
            note_download(request, conn, identity, "file.download", dataset_id)
        return file

    file = await services.in_transaction(find)
    if file is None:
        raise Problem("not_found", f"{dataset_id} has no file of that path.")
    filename = path.rpartition("/")[2]
    if (elsewhere := at_the_store(request, file, filename)) is not None:
        return elsewhere
    content = BlobContent(services.blobs, file["sha256"], file["size"])
    # The address names whatever was put there last, so its bytes may change.
    return await send(request, content, file["media_type"], filename=filename, cache="private, no-cache")


@router.delete("/{path:path}", status_code=204, responses=refusals("not_found"), summary="Delete an uploaded file")
def delete_file(caller: DatasetWriter, dataset_id: str, path: str) -> Response:
    """Forget a file; versions already committed keep their copy."""
    existing(caller, dataset_id)
    if not artifacts.delete_artifact(caller.conn, caller.tenant_id, dataset_id, path):
        raise Problem("not_found", f"{dataset_id} has no file of that path.")
    caller.note("file.delete", dataset_id)
    return Response(status_code=204)


async def _receive(request: Request, arrival: Arrival, expected: str | None) -> StoredBlob:
    """Write the body to the blob store. One that breaks off, or has another hash than expected, leaves nothing."""
    incoming = await arrival.services.on_files(arrival.services.blobs.incoming)
    with incoming:
        async for batch in batches(request):
            await arrival.need(incoming.size + len(batch))
            await arrival.services.on_files(incoming.write, batch)
        if expected is not None and incoming.sha256 != expected:
            raise Problem("checksum_mismatch")
        await arrival.becomes(StoredBlob(incoming.sha256, incoming.size))
        return await arrival.services.on_files(incoming.finish)


router.add_api_route("/{path:path}", get_file, methods=["HEAD"], include_in_schema=False)
