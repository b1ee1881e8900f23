"""/v1/uploads: files that arrive in pieces and go on after any interruption (tus 1.0.0).

An offset is acknowledged when the bytes before it are on the disk and the database knows. After a crash the truth is
the smaller of what the database and the file say; what the file has beyond that is cut off.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Request
from pydantic import ValidationError
from sqlalchemy import Connection
from starlette.responses import Response

from app.api import tus
from app.api.bodies import batches
from app.api.dataset_files import check_target, keep_file
from app.api.documented import refusals
from app.api.idempotency import IdempotencyKey, Made, once
from app.api.paths import checked_path
from app.api.problems import Problem
from app.api.schemas.uploads import UploadView, UploadWanted
from app.api.security import Caller, identified
from app.api.services import Services, services_of
from app.jobs.quotas import need_room
from app.store import staging
from app.store import uploads as store
from app.store.api_keys import Identity
from app.store.blobs import StoredBlob
from app.store.loose_bytes import note_blob
from app.store.quotas import Quota

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=tus.TusRoute)
Uploader = Annotated[Identity, identified("datasets:write")]
ACKNOWLEDGED_BYTES = 32_000_000  # so much of a long body is lost at most when this process is killed
_WHOLE = (  # what may be wrong when the last byte is there and the upload becomes the dataset's file
    "upload_locked",
    "checksum_mismatch",
    "duplicate_file",
    "quota_exceeded",
    "insufficient_storage",
    "store_unavailable",
)
_BODY = {
    "requestBody": {"required": True, "content": {tus.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
}


class _At(NamedTuple):
    """An upload, who asks for it, and the services of this process."""

    services: Services
    identity: Identity
    upload_id: str

    @property
    def tenant_id(self) -> str:
        """Whose it is."""
        return self.identity.tenant_id


@router.options("", status_code=204, responses=refusals(), summary="What the upload protocol offers here")
async def describe_uploads(request: Request, identity: Uploader) -> Response:
    """Version and extensions of tus, and the largest file."""
    headers = {
        "Tus-Version": tus.VERSION,
        "Tus-Extension": tus.EXTENSIONS,
        "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
        "Tus-Max-Size": str(services_of(request).settings.upload_limit_bytes),
    }
    return Response(status_code=204, headers=headers)


@router.post(
    "",
    status_code=201,
    response_model=UploadView,
    responses=refusals(
        "not_found",
        "invalid_request",
        "invalid_path",
        "payload_too_large",
        *_WHOLE,
    ),
    openapi_extra=tus.parameters("Upload-Length", "Upload-Metadata"),
    summary="Begin a resumable upload",
)
async def create_upload(request: Request, identity: Uploader, idempotency_key: IdempotencyKey = None) -> Response:
    """An upload that is to become a file of an open dataset; send its bytes to the `Location` with PATCH."""
    services = services_of(request)
    tus.need_version(request)
    wanted = _wanted(request, services.settings.upload_limit_bytes)
    if services.short_of_disk():
        raise Problem("insufficient_storage")

    def work(conn: Connection) -> Response:
        caller = Caller(conn, identity, services)
        return once(request, caller, idempotency_key, wanted, lambda: _create(request, caller, wanted))

    response = await services.in_transaction(work)
    if wanted.length == 0:  # no PATCH will come
        await _finish_if_whole(_At(services, identity, response.headers["location"].rpartition("/")[2]))
    return response


@router.head(
    "/{upload_id}",
    response_class=Response,
    responses=refusals("not_found", "upload_expired", *_WHOLE),
    openapi_extra=tus.parameters(),
    summary="How far a resumable upload is",
)
async def get_upload_offset(request: Request, identity: Uploader, upload_id: str) -> Response:
    """`Upload-Offset`: the byte to go on with. What a crash kept from being finished is finished by asking."""
    at = _At(services_of(request), identity, upload_id)
    row = await _existing(at)
    tus.need_version(request)
    offset = await _offset(at, row)
    if offset == row["length"]:
        row = await _finish_if_whole(at)
    headers = tus.described(row, offset)
    if row["metadata"]:
        headers["Upload-Metadata"] = row["metadata"]
    return Response(status_code=200, headers=headers)


@router.patch(
    "/{upload_id}",
    status_code=204,
    responses=refusals(
        "not_found",
        "upload_expired",
        "upload_offset_conflict",
        "unsupported_media_type",
        "upload_checksum_mismatch",
        *_WHOLE,
    ),
    openapi_extra={**_BODY, **tus.parameters("Upload-Offset", "Upload-Checksum")},
    summary="Send bytes of a resumable upload",
)
async def append_to_upload(request: Request, identity: Uploader, upload_id: str) -> Response:
    """The bytes from `Upload-Offset` on, as many as you like; the last one makes the dataset's file."""
    at = _At(services_of(request), identity, upload_id)
    row = await _existing(at)
    tus.need_version(request)
    if request.headers.get("content-type", "").partition(";")[0].strip() != tus.MEDIA_TYPE:
        raise Problem("unsupported_media_type", f"Send the bytes as `Content-Type: {tus.MEDIA_TYPE}`.")
    given, checksum = tus.number_of(request, "upload-offset"), tus.checksum_of(request)
    if at.services.short_of_disk():
        raise Problem("insufficient_storage")
    if row["stored_sha256"] is not None:
        _check_place(request, given, row["length"], row["length"])
        return Response(status_code=204, headers=tus.described(row, row["length"]))
    async with _locked(at) as file:
        row = await _existing(at)
        offset = await _offset(at, row)
        _check_place(request, given, offset, row["length"])
        if row["stored_sha256"] is not None:  # by a request that was quicker
            await at.services.on_files(file.remove)
            return Response(status_code=204, headers=tus.described(row, offset))
        await at.services.on_files(file.cut, offset)
        row = await _receive(request, at, _Arrival(file, row["length"], offset, checksum))
        if row["offset"] == row["length"]:
            row = await _finish(at, file, row)
    return Response(status_code=204, headers=tus.described(row, row["offset"]))


@router.delete(
    "/{upload_id}",
    status_code=204,
    responses=refusals("not_found"),
    openapi_extra=tus.parameters(),
    summary="Give a resumable upload up",
)
async def delete_upload(request: Request, identity: Uploader, upload_id: str) -> Response:
    """Forget the upload and its bytes. A file that it has already become stays."""
    at = _At(services_of(request), identity, upload_id)
    await _existing(at, expired=True)
    tus.need_version(request)
    await at.services.in_transaction(lambda conn: store.delete_upload(conn, at.tenant_id, upload_id))
    await at.services.on_files(staging.forget, at.services.blobs.staging, upload_id)
    return Response(status_code=204)


@router.post("/{upload_id}", include_in_schema=False)
async def override_upload(request: Request, identity: Uploader, upload_id: str) -> Response:
    """PATCH or DELETE for clients that can only POST, as the protocol demands."""
    match request.headers.get("x-http-method-override", "").upper():
        case "PATCH":
            return await append_to_upload(request, identity, upload_id)
        case "DELETE":
            return await delete_upload(request, identity, upload_id)
        case _:
            raise Problem("method_not_allowed", headers={"Allow": "HEAD, PATCH, DELETE"})


@dataclass
class _Arrival:
    """Bytes on their way into the file. `acknowledged`: how many the database knows of."""

    file: staging.StagedFile
    length: int
    offset: int
    checksum: tus.Checksum | None
    acknowledged: int = field(init=False)

    def __post_init__(self) -> None:
        self.acknowledged = self.offset
        self._hasher: Any = self.checksum.hasher() if self.checksum else None

    def write(self, chunk: bytes) -> None:
        if len(chunk) > self.length - self.offset:
            raise _too_long(self.length)
        self.file.append(chunk)
        self.offset += len(chunk)
        if self._hasher is not None:
            self._hasher.update(chunk)

    def is_not_as_said(self) -> bool:
        """Whether a checksum was given and is another one."""
        return self.checksum is not None and self._hasher.digest() != self.checksum.digest

    @property
    def due(self) -> bool:
        """Whether it is time to tell the database; never before a checksum was compared."""
        return self.checksum is None and self.offset - self.acknowledged >= ACKNOWLEDGED_BYTES


async def _receive(request: Request, at: _At, arrival: _Arrival) -> Mapping[str, Any]:
    """Write the body. One that breaks off counts as far as it came, unless its checksum can no longer be compared."""
    start = arrival.offset
    try:
        async for batch in batches(request):
            await at.services.on_files(arrival.write, batch)
            if arrival.due:
                await _acknowledge(at, arrival)
    except Exception:
        if arrival.checksum is None and arrival.offset > arrival.acknowledged:
            await _acknowledge(at, arrival)
        raise
    if arrival.is_not_as_said():
        await at.services.on_files(arrival.file.cut, start)
        raise Problem("upload_checksum_mismatch")
    return await _acknowledge(at, arrival)


async def _acknowledge(at: _At, arrival: _Arrival) -> Mapping[str, Any]:
    offset = await at.services.on_files(arrival.file.sync)
    keep_s = at.services.settings.upload_keep_s
    row = await at.services.in_transaction(
        lambda conn: store.advance(conn, at.tenant_id, at.upload_id, offset, keep_s=keep_s)
    )
    if row is None:
        await at.services.on_files(arrival.file.remove)
        raise _unknown(at.upload_id)
    arrival.acknowledged = offset
    return row


def _check_place(request: Request, given: int, offset: int, length: int) -> None:
    """Refuse a body that does not begin where the upload stands, or that goes beyond its end."""
    if given != offset:
        raise Problem("upload_offset_conflict", headers={"Upload-Offset": str(offset)})
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > length - offset:
        raise _too_long(length)


async def _finish_if_whole(at: _At) -> Mapping[str, Any]:
    """Make the file of an upload whose bytes are all there, unless that was done before."""
    row = await _existing(at)
    if row["stored_sha256"] is not None:
        return row
    async with _locked(at) as file:
        row = await _existing(at)
        return await _finish(at, file, row) if await _offset(at, row) == row["length"] else row


async def _finish(at: _At, file: staging.StagedFile, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The whole upload becomes the dataset's file; one that is not what its client said is thrown away."""
    if row["stored_sha256"] is not None:  # by a request that was quicker
        await at.services.on_files(file.remove)
        return row
    sha256 = await at.services.on_files(file.sha256)
    if row["sha256"] is not None and sha256 != row["sha256"]:
        await at.services.in_transaction(lambda conn: store.delete_upload(conn, at.tenant_id, at.upload_id))
        await at.services.on_files(file.remove)
        raise Problem("checksum_mismatch", hint="The upload was given up; begin a new one.")
    quota = Quota.of(at.services.settings)

    def may_be_stored(conn: Connection) -> None:
        check_target(conn, at.tenant_id, row["dataset_id"], row["path"])
        note_blob(conn, at.tenant_id, StoredBlob(sha256, row["length"]))  # its room is the upload's

    await at.services.in_transaction(may_be_stored)
    stored = await at.services.on_files(file.store, at.services.blobs)

    def keep(conn: Connection) -> None:
        if not store.mark_stored(conn, at.tenant_id, at.upload_id, stored.sha256):
            raise _unknown(at.upload_id)
        Caller(conn, at.identity, at.services).note("file.upload", row["dataset_id"])
        keep_file(conn, at.tenant_id, quota, row["dataset_id"], row["path"], stored)

    await at.services.in_transaction(keep)
    await at.services.on_files(file.remove)
    return {**row, "offset": row["length"], "stored_sha256": stored.sha256}


@asynccontextmanager
async def _locked(at: _At) -> AsyncGenerator[staging.StagedFile]:
    try:
        with staging.opened(at.services.blobs.staging, at.upload_id) as file:
            yield file
    except staging.Locked:
        raise Problem("upload_locked", headers={"Retry-After": "1"}) from None


async def _existing(at: _At, *, expired: bool = False) -> Mapping[str, Any]:
    """The upload's row; `expired`: also when its time is over."""
    row = await at.services.in_transaction(lambda conn: store.get_upload(conn, at.tenant_id, at.upload_id))
    if row is None:
        raise _unknown(at.upload_id)
    if row["expired"] and not expired:
        raise Problem("upload_expired")
    return row


async def _offset(at: _At, row: Mapping[str, Any]) -> int:
    """How many bytes are certainly here."""
    if row["stored_sha256"] is not None:
        return row["length"]
    return min(row["offset"], await at.services.on_files(staging.staged_size, at.services.blobs.staging, at.upload_id))


def _wanted(request: Request, limit: int) -> UploadWanted:
    length, metadata = tus.number_of(request, "upload-length"), tus.metadata_of(request)
    if length > limit:
        raise Problem("payload_too_large", f"At most {limit} bytes are taken here.")
    try:
        return UploadWanted(
            length=length,
            dataset=metadata.get("dataset", ""),
            path=checked_path(metadata.get("path") or metadata.get("filename", "")),
            sha256=metadata.get("sha256"),
        )
    except ValidationError as error:
        field_name = str(error.errors()[0]["loc"][0])
        raise Problem(
            "invalid_request",
            f"Upload-Metadata: {field_name} is missing or not well-formed.",
            hint="Send `dataset` and `path`, and `sha256` in hex if you like, with values in base64.",
            pointer="Upload-Metadata",
        ) from None


def _create(request: Request, caller: Caller, wanted: UploadWanted) -> Made:
    settings = caller.services.settings
    check_target(caller.conn, caller.tenant_id, wanted.dataset, wanted.path)
    need_room(caller.conn, caller.tenant_id, Quota.of(settings), wanted.length)
    if store.unfinished_of(caller.conn, caller.tenant_id) >= settings.upload_limit:
        raise Problem(
            "quota_exceeded",
            f"At most {settings.upload_limit} uploads may be unfinished.",
            hint="Finish some, or give them up by DELETE.",
        )
    row = store.create_upload(
        caller.conn,
        caller.tenant_id,
        wanted.dataset,
        wanted.path,
        length=wanted.length,
        sha256=wanted.sha256,
        metadata=request.headers.get("upload-metadata", ""),
        keep_s=settings.upload_keep_s,
    )
    described = tus.described(row, 0)
    return 201, UploadView.of(row), {"Location": f"/v1/uploads/{row['id']}", **described}


def _too_long(length: int) -> Problem:
    return Problem("payload_too_large", f"The upload has {length} bytes in all.", headers={"Connection": "close"})


def _unknown(upload_id: str) -> Problem:
    return Problem("not_found", f"There is no upload {upload_id}.")
