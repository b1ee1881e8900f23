"""/v1/summaries: which there are, the manifest of one, and its files singly or as one zip."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from app.api.answers import tagged
from app.api.bundle import zip_of
from app.api.documented import UNCHANGED, binary, refusals
from app.api.downloads import BlobContent, at_the_store, note_download, send
from app.api.filters import Cascade, CreatedAfter, OfDataset, OfJob, text_of, version_of
from app.api.pagination import Page, Pager
from app.api.problems import Problem
from app.api.schemas.common import Name
from app.api.schemas.results import SummaryItem, SummaryList, SummaryView
from app.api.security import JobWriter, SummaryReader, identified
from app.api.services import services_of
from app.api.transactions import TransactionRoute
from app.jobs.erase import Things, erase_with_descendants
from app.store import summaries as store
from app.store.api_keys import Identity
from app.store.artifacts import get_artifact, list_artifacts

router = APIRouter(prefix="/v1/summaries", tags=["summaries"], route_class=TransactionRoute)
Downloader = Annotated[Identity, identified("summaries:read")]


@router.get("", response_model=SummaryList, responses=refusals(), summary="List summaries")
def list_summaries(
    caller: SummaryReader,
    page: Page,
    dataset: OfDataset = None,
    job: OfJob = None,
    kind: Annotated[Name | None, Query(description="Only of this kind.")] = None,
    created_after: CreatedAfter = None,
) -> SummaryList:
    """Summaries, newest first; `dataset` is what they were made from."""
    filters = {"dataset": dataset, "job": job, "kind": kind, "created_after": text_of(created_after)}
    pager = Pager.of(page, caller.services.settings.secret, caller.tenant_id, "summaries", **filters)
    rows = store.list_summaries(
        caller.conn,
        caller.tenant_id,
        dataset=version_of(dataset),
        job_id=job,
        kind=kind,
        created_after=created_after,
        after=pager.after_row(),
        limit=pager.limit,
    )
    return SummaryList.model_validate(pager.answer(rows, SummaryItem.of_row))


@router.get(
    "/{summary_id}",
    response_model=SummaryView,
    responses={**UNCHANGED, **refusals("not_found")},
    summary="Get a summary's manifest",
)
def get_summary(request: Request, caller: SummaryReader, summary_id: str) -> Response:
    """What the summary is, where it came from, and its files with their hashes."""
    row = store.get_summary(caller.conn, caller.tenant_id, summary_id)
    if row is None:
        raise _unknown(summary_id)
    return tagged(request, SummaryView.of(row, list_artifacts(caller.conn, caller.tenant_id, summary_id)))


@router.get(
    "/{summary_id}/download",
    response_class=Response,
    responses={**binary("application/zip", ranges=True), **refusals("unsupported")},
    summary="Download a summary as a zip",
)
async def download_summary(request: Request, identity: Downloader, summary_id: str) -> Response:
    """All files as one zip; equal content gives equal bytes, so ranges and resumed downloads work."""
    services = services_of(request)

    def find(conn: Connection) -> list[dict[str, Any]]:
        if store.get_summary(conn, identity.tenant_id, summary_id) is None:
            raise _unknown(summary_id)
        note_download(request, conn, identity, "summary.download", summary_id)
        return list_artifacts(conn, identity.tenant_id, summary_id)

    files = await services.in_transaction(find)
    content = await services.on_files(zip_of, services.blobs, files)
    return await send(request, content, "application/zip", filename=f"summary-{summary_id}.zip")


@router.get(
    "/{summary_id}/files/{path:path}",
    response_class=Response,
    responses=binary(ranges=True, at_the_store=True),
    summary="Download a file of a summary",
)
async def get_summary_file(request: Request, identity: Downloader, summary_id: str, path: str) -> Response:
    """One file, whole or a range of it."""
    services = services_of(request)

    def find(conn: Connection) -> dict[str, Any]:
        if store.get_summary(conn, identity.tenant_id, summary_id) is None:
            raise _unknown(summary_id)
        file = get_artifact(conn, identity.tenant_id, summary_id, path)
        if file is None:
            raise Problem("not_found", f"{summary_id} has no file of that path.")
        note_download(request, conn, identity, "summary.download", summary_id)
        return file

    file = await services.in_transaction(find)
    filename = path.rpartition("/")[2]
    if (elsewhere := at_the_store(request, file, filename)) is not None:
        return elsewhere
    content = BlobContent(services.blobs, file["sha256"], file["size"])
    # Files are offered for saving and sandboxed: a bundle holds an HTML report made from the user's own strings.
    headers = {"Content-Security-Policy": "sandbox; default-src 'none'"}
    return await send(request, content, file["media_type"], filename=filename, headers=headers)


@router.delete(
    "/{summary_id}", status_code=204, responses=refusals("not_found", "job_not_finished"), summary="Delete a summary"
)
def delete_summary(caller: JobWriter, summary_id: str, cascade: Cascade = False) -> Response:
    """Delete a summary; its report stays. With `cascade` both go, with its export and all that was made from it."""
    if cascade and store.get_summary(caller.conn, caller.tenant_id, summary_id) is not None:
        erase_with_descendants(caller.conn, caller.tenant_id, Things(summaries={summary_id}))
        caller.note("summary.erase", summary_id)
        return Response(status_code=204)
    if not store.delete_summary(caller.conn, caller.tenant_id, summary_id):
        raise _unknown(summary_id)
    caller.note("summary.delete", summary_id)
    return Response(status_code=204)


def _unknown(summary_id: str) -> Problem:
    return Problem("not_found", f"There is no summary {summary_id}.")


router.add_api_route("/{summary_id}/download", download_summary, methods=["HEAD"], include_in_schema=False)
router.add_api_route("/{summary_id}/files/{path:path}", get_summary_file, methods=["HEAD"], include_in_schema=False)
