"""/v1/datasets/{id}/versions/{n}/files: a version's canonical files, from which every figure can be recomputed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from app.api.documented import binary, refusals
from app.api.downloads import BlobContent, at_the_store, note_download, send
from app.api.pagination import Page, Pager
from app.api.problems import Problem
from app.api.routes.versions import Number
from app.api.schemas.datasets import FileList, FileView
from app.api.security import DatasetReader, identified
from app.api.services import services_of
from app.api.transactions import TransactionRoute
from app.store import datasets as store
from app.store.api_keys import Identity
from app.store.artifacts import get_artifact, list_artifacts

router = APIRouter(
    prefix="/v1/datasets/{dataset_id}/versions/{number}/files", tags=["versions"], route_class=TransactionRoute
)
_FOLDER = "canonical/"


@router.get("", response_model=FileList, responses=refusals("not_found"), summary="List a version's canonical files")
def list_version_files(caller: DatasetReader, dataset_id: str, number: Number, page: Page) -> FileList:
    """The files that jobs read, by path; none before the version is ready."""
    _need_version(caller.conn, caller.tenant_id, dataset_id, number)
    owner = f"{dataset_id}@{number}"
    pager = Pager.of(page, caller.services.settings.secret, caller.tenant_id, f"canonical files of {owner}")
    after = pager.after()
    start = _FOLDER + (after[0] if after else "")
    files = list_artifacts(caller.conn, caller.tenant_id, owner, prefix=_FOLDER, after=start, limit=pager.limit)
    rows = [{**file, "path": file["path"].removeprefix(_FOLDER)} for file in files]
    return FileList.model_validate(pager.answer(rows, FileView.of, keys=("path",)))


@router.get(
    "/{path:path}",
    response_class=Response,
    responses=binary(ranges=True, at_the_store=True),
    summary="Download a canonical file",
)
async def get_version_file(
    request: Request,
    identity: Annotated[Identity, identified("datasets:read")],
    dataset_id: str,
    number: Number,
    path: str,
) -> Response:
    """One file, whole or a range of it."""
    services = services_of(request)

    def find(conn: Connection) -> dict[str, Any]:
        _need_version(conn, identity.tenant_id, dataset_id, number)
        file = get_artifact(conn, identity.tenant_id, f"{dataset_id}@{number}", _FOLDER + path)
        if file is None:
            raise Problem("not_found", f"{dataset_id}@{number} has no canonical file of that path.")
        note_download(request, conn, identity, "version.download", f"{dataset_id}@{number}")
        return file

    file = await services.in_transaction(find)
    filename = path.rpartition("/")[2]
    if (elsewhere := at_the_store(request, file, filename)) is not None:
        return elsewhere
    content = BlobContent(services.blobs, file["sha256"], file["size"])
    return await send(request, content, file["media_type"], filename=filename)


def _need_version(conn: Connection, tenant_id: str, dataset_id: str, number: int) -> None:
    if store.get_version(conn, tenant_id, dataset_id, number) is None:
        raise Problem("not_found", f"There is no version {dataset_id}@{number}.")


router.add_api_route("/{path:path}", get_version_file, methods=["HEAD"], include_in_schema=False)
