"""/v1/reports: the evidence of a job, as JSON, as a page, its plots, tables and pictures singly, and all as one zip."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from app.api.bundle import zip_of
from app.api.documented import binary, refusals
from app.api.downloads import BlobContent, note_download, send
from app.api.filters import CreatedAfter, OfDataset, OfJob, text_of, version_of
from app.api.pagination import Page, Pager
from app.api.problems import Problem
from app.api.schemas.common import Name
from app.api.schemas.results import ReportItem, ReportList
from app.api.security import JobWriter, SummaryReader, identified
from app.api.services import services_of
from app.api.transactions import TransactionRoute
from app.jobs.erase import delete_report as erase_report
from app.store import summaries as store
from app.store.api_keys import Identity
from app.store.artifacts import get_artifact, list_artifacts

router = APIRouter(prefix="/v1/reports", tags=["reports"], route_class=TransactionRoute)
Reader = Annotated[Identity, identified("summaries:read")]
# The page holds strings of the user's data: it may be looked at, but runs no script and asks nobody.
_PAGE = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
}


@router.get("", response_model=ReportList, responses=refusals(), summary="List reports")
def list_reports(
    caller: SummaryReader,
    page: Page,
    dataset: OfDataset = None,
    job: OfJob = None,
    kind: Annotated[Name | None, Query(description="Only of this kind.")] = None,
    created_after: CreatedAfter = None,
) -> ReportList:
    """Reports with their verdicts, newest first; `dataset` is what their jobs read."""
    filters = {"dataset": dataset, "job": job, "kind": kind, "created_after": text_of(created_after)}
    pager = Pager.of(page, caller.services.settings.secret, caller.tenant_id, "reports", **filters)
    rows = store.list_reports(
        caller.conn,
        caller.tenant_id,
        dataset=version_of(dataset),
        job_id=job,
        kind=kind,
        created_after=created_after,
        after=pager.after_row(),
        limit=pager.limit,
    )
    return ReportList.model_validate(pager.answer(rows, ReportItem.of))


@router.get(
    "/{report_id}.html", response_class=Response, responses=binary("text/html", ranges=True), summary="Report page"
)
async def get_report_page(request: Request, identity: Reader, report_id: str) -> Response:
    """The report as a page that stands alone."""
    return await _file(request, identity, report_id, "report.html", headers=_PAGE)


@router.get(
    "/{report_id}.md", response_class=Response, responses=binary("text/markdown", ranges=True), summary="Report as text"
)
async def get_report_text(request: Request, identity: Reader, report_id: str) -> Response:
    """Verdict, warnings and tables as Markdown."""
    return await _file(request, identity, report_id, "report.md")


@router.get(
    "/{report_id}", response_class=Response, responses=binary("application/json", ranges=True), summary="Get a report"
)
async def get_report(request: Request, identity: Reader, report_id: str) -> Response:
    """Every number of the report with its unit, interval and n."""
    return await _file(request, identity, report_id, "report.json")


@router.get(
    "/{report_id}/plots/{name}.svg",
    response_class=Response,
    responses=binary("image/svg+xml", ranges=True),
    summary="Plot of a report",
)
async def get_report_plot(request: Request, identity: Reader, report_id: str, name: str) -> Response:
    """One plot."""
    return await _file(request, identity, report_id, f"plots/{name}.svg", headers=_PAGE)


@router.get(
    "/{report_id}/plots/{name}.png",
    response_class=Response,
    responses=binary("image/png", ranges=True),
    summary="Plot of a report as PNG",
)
async def get_report_plot_as_png(request: Request, identity: Reader, report_id: str, name: str) -> Response:
    """The same plot for places that show no SVG."""
    return await _file(request, identity, report_id, f"plots/{name}.png", headers=_PAGE)


@router.get(
    "/{report_id}/pictures/{name}.png",
    response_class=Response,
    responses=binary("image/png", ranges=True),
    summary="Picture of a report",
)
async def get_report_picture(request: Request, identity: Reader, report_id: str, name: str) -> Response:
    """One picture, such as a contact sheet of what the summary holds."""
    return await _file(request, identity, report_id, f"pictures/{name}.png", headers=_PAGE)


@router.get(
    "/{report_id}/tables/{name}.csv",
    response_class=Response,
    responses=binary("text/csv", ranges=True),
    summary="Table of a report",
)
async def get_report_table(request: Request, identity: Reader, report_id: str, name: str) -> Response:
    """One table."""
    return await _file(request, identity, report_id, f"tables/{name}.csv", filename=f"{name}.csv")


@router.get(
    "/{report_id}/files/{name}",
    response_class=Response,
    responses=binary("application/octet-stream", ranges=True),
    summary="Further file of a report",
)
async def get_report_file(request: Request, identity: Reader, report_id: str, name: str) -> Response:
    """A file that the report's `files` names, such as every round's estimate."""
    return await _file(request, identity, report_id, f"files/{name}", filename=name)


@router.get(
    "/{report_id}/download",
    response_class=Response,
    responses={**binary("application/zip", ranges=True), **refusals("unsupported")},
    summary="Download a report as a zip",
)
async def download_report(request: Request, identity: Reader, report_id: str) -> Response:
    """All evidence as one zip: the report, its plots, tables and pictures, and the figures behind them."""
    services = services_of(request)

    def find(conn: Connection) -> list[dict[str, Any]]:
        _need_report(conn, identity, report_id)
        note_download(request, conn, identity, "report.download", report_id)
        return list_artifacts(conn, identity.tenant_id, report_id)

    files = await services.in_transaction(find)
    content = await services.on_files(zip_of, services.blobs, files)
    return await send(request, content, "application/zip", filename=f"report-{report_id}.zip")


@router.delete("/{report_id}", status_code=204, responses=refusals("not_found"), summary="Delete a report")
def delete_report(caller: JobWriter, report_id: str) -> Response:
    """Erase a report; its summary, which has a copy of it inside, stays. The same job asked for again is done anew."""
    if not erase_report(caller.conn, caller.tenant_id, report_id):
        raise Problem("not_found", f"There is no report {report_id}.")
    caller.note("report.delete", report_id)
    return Response(status_code=204)


async def _file(
    request: Request,
    identity: Identity,
    report_id: str,
    path: str,
    *,
    filename: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    services = services_of(request)

    def find(conn: Connection) -> dict[str, Any]:
        _need_report(conn, identity, report_id)
        file = get_artifact(conn, identity.tenant_id, report_id, path)
        if file is None:
            raise Problem("not_found", f"{report_id} has no {path}.")
        note_download(request, conn, identity, "report.download", report_id)
        return file

    file = await services.in_transaction(find)
    content = BlobContent(services.blobs, file["sha256"], file["size"])
    return await send(request, content, file["media_type"], filename=filename, headers=headers)


def _need_report(conn: Connection, identity: Identity, report_id: str) -> None:
    if store.get_report(conn, identity.tenant_id, report_id) is None:
        raise Problem("not_found", f"There is no report {report_id}.")


router.add_api_route("/{report_id}/download", download_report, methods=["HEAD"], include_in_schema=False)
