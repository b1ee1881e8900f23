"""/v1/datasets:import: a dataset whose file the service fetches itself. Off unless a setting allows it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote, urlsplit

from anyio.from_thread import run as from_thread
from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from app.api.arrivals import Arrival, arriving
from app.api.dataset_files import keep_file
from app.api.documented import MAKES_JOB, refusals
from app.api.idempotency import IdempotencyKey, Made, once, replayed
from app.api.paths import checked_path
from app.api.problems import Problem
from app.api.routes.datasets import need_place
from app.api.routes.versions import make_version
from app.api.schemas.datasets import Committed
from app.api.schemas.webhooks import DatasetImport
from app.api.security import Caller, identified
from app.api.services import services_of
from app.api.webhooks import check_url
from app.jobs.catalogue import checked_reading, need_kind
from app.jobs.quotas import need_room
from app.outbound.request import OutboundError, exchange
from app.outbound.ssrf import Rules, Unresolvable, UnsafeTarget
from app.store import datasets as store
from app.store.api_keys import Identity
from app.store.blobs import CHUNK, StoredBlob
from app.store.quotas import Quota

router = APIRouter(prefix="/v1", tags=["datasets"])


@router.post(
    "/datasets:import",
    status_code=202,
    response_model=Committed,
    responses=refusals(
        "import_disabled",
        "unsafe_url",
        "invalid_path",
        "unknown_kind",
        "import_busy",
        "import_failed",
        "checksum_mismatch",
        "insufficient_storage",
        "stopping",
        "store_unavailable",
        *MAKES_JOB,
    ),
    summary="Import a dataset from the web",
)
async def import_dataset(
    request: Request,
    identity: Annotated[Identity, identified("datasets:write")],
    body: DatasetImport,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Fetch a file, make a dataset of it and commit it: the answer comes when the file is here, and is the commit's."""
    services = services_of(request)
    settings = services.settings
    if not settings.import_enabled:
        raise Problem("import_disabled")
    check_url(body.url, settings)
    path = checked_path(body.path or _name_of(body.url))
    quota = Quota.of(settings)

    def admit(conn: Connection) -> Response | None:
        """Everything that can be refused before the file is fetched."""
        checked_reading(need_kind(conn, body.kind), body.options, body.columns)
        need_room(conn, identity.tenant_id, quota, 0)
        if idempotency_key is None:
            return None
        return replayed(request, Caller(conn, identity, services), idempotency_key, body)

    if (earlier := await services.in_transaction(admit)) is not None:
        return earlier
    if services.short_of_disk():
        raise Problem("insufficient_storage")
    with services.imports.entered():
        async with arriving(services, identity.tenant_id, lambda conn, one: one.begin(conn, 0)) as arrival:
            stored = await services.on_files(_fetch, arrival, body)

    def commit(conn: Connection) -> Response:
        caller = Caller(conn, identity, services)

        def make() -> Made:
            kept = {name: getattr(body, name) for name in ("name", "kind", "columns", "options", "tags")}
            need_place(caller)
            dataset_id = store.create_dataset(conn, identity.tenant_id, **kept)["id"]
            caller.note("dataset.create", dataset_id)
            caller.note("file.upload", dataset_id)
            keep_file(conn, identity.tenant_id, quota, dataset_id, path, stored)
            return make_version(request, caller, dataset_id, None)

        return once(request, caller, idempotency_key, body, make)

    return await services.in_transaction(commit)


def _fetch(arrival: Arrival, body: DatasetImport) -> StoredBlob:
    """The file in the blob store, whole, as promised, and no larger than allowed."""
    services = arrival.services
    settings = services.settings
    limit = settings.import_limit_bytes
    try:
        with exchange("GET", body.url, Rules.of(settings), total_s=settings.import_s) as answer:
            if answer.status != 200:
                raise _failed(f"it answered {answer.status}; redirects are not followed")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise _failed("it sent an encoding that was not asked for")
            declared = answer.headers.get("content-length", "")
            if declared.isdigit() and int(declared) > limit:
                raise _too_large(limit)
            with services.blobs.incoming() as incoming:
                while piece := answer.read(CHUNK):
                    if services.stopping.is_set():
                        raise Problem("stopping", headers={"Retry-After": "2"})
                    if incoming.size + len(piece) > limit:
                        raise _too_large(limit)
                    from_thread(arrival.need, incoming.size + len(piece))
                    incoming.write(piece)
                if body.sha256 is not None and incoming.sha256 != body.sha256:
                    raise Problem(
                        "checksum_mismatch", f"The file has the SHA-256 {incoming.sha256}.", pointer="/sha256"
                    )
                from_thread(arrival.becomes, StoredBlob(incoming.sha256, incoming.size))
                return incoming.finish()
    except UnsafeTarget as error:
        raise Problem("unsafe_url", f"The address is refused: {error}.", pointer="/url") from None
    except Unresolvable as error:
        raise _failed(str(error)) from None
    except OutboundError as error:
        raise _failed(error.reason) from None


def _name_of(url: str) -> str:
    return unquote(urlsplit(url).path).rpartition("/")[2] or "data"


def _failed(reason: str) -> Problem:
    return Problem("import_failed", f"The file could not be fetched: {reason}.", pointer="/url")


def _too_large(limit: int) -> Problem:
    return Problem("payload_too_large", f"The file is larger than {limit} bytes.", pointer="/url")
