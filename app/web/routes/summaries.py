"""/ui/summaries and /ui/reports: what jobs made, with its evidence."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.pagination import LARGEST_SIZE
from app.api.problems import Problem
from app.api.routes import summaries as api
from app.api.routes import versions
from app.api.schemas.results import SummaryItem, SummaryView
from app.api.security import Caller, JobWriter, SummaryReader
from app.store import jobs as jobs_store
from app.store import summaries as store
from app.store.artifacts import list_artifacts
from app.web.ask import first_page, go, names_of, wanted
from app.web.render import HEADERS, page, sent
from app.web.reports import page_of, style_of
from app.web.route import PageRoute

router = APIRouter(route_class=PageRoute)
_ROWS, _COLUMNS = 8, 12


@router.get("/ui/summaries")
def show_summaries(request: Request, caller: SummaryReader) -> Response:
    """All of them, newest first, each with what its report concludes."""
    dataset = wanted(request, "dataset") or None
    found = api.list_summaries(caller, first_page(wanted(request, "page_token")), dataset=dataset)
    return page(
        request,
        "summaries.html",
        caller=caller,
        summaries=found.items,
        verdicts={one.id: _verdict(caller, one) for one in found.items},
        names=names_of(caller, [one.source for one in found.items]),
        next_page=found.next_page_token,
        dataset=dataset or "",
    )


@router.get("/ui/summaries/{summary_id}")
def show_summary(request: Request, caller: SummaryReader, summary_id: str) -> Response:
    """One summary: download, how to load it, what is in it, and its report."""
    row = store.get_summary(caller.conn, caller.tenant_id, summary_id)
    if row is None:
        raise Problem("not_found", f"There is no summary {summary_id[:80]}.")
    view = SummaryView.of(row, list_artifacts(caller.conn, caller.tenant_id, summary_id))
    shown = page_of(caller, view.report) if view.report else None
    rows = _preview(caller, view)
    twins = api.list_summaries(caller, first_page(size=LARGEST_SIZE), dataset=view.source).items
    return page(
        request,
        "summary.html",
        caller=caller,
        summary=view,
        names=names_of(caller, [view.source]),
        report=shown,
        report_id=view.report,
        preview=rows,
        preview_columns=list(dict.fromkeys(name for row in rows for name in row))[:_COLUMNS],
        comparable=[one for one in twins if one.id != view.id],
        host=str(request.base_url).rstrip("/"),
    )


@router.post("/ui/summaries/{summary_id}/delete")
def delete_summary(request: Request, caller: JobWriter, summary_id: str) -> Response:
    """Delete it; its report stays."""
    api.delete_summary(caller, summary_id)
    return go("/ui/summaries")


@router.get("/ui/reports/{report_id}")
def show_report(request: Request, caller: SummaryReader, report_id: str) -> Response:
    """A report by itself: that of a job that made no summary, too."""
    row = store.get_report(caller.conn, caller.tenant_id, report_id)
    if row is None:
        raise Problem("not_found", f"There is no report {report_id[:80]}.")
    if row["summary_id"] and store.get_summary(caller.conn, caller.tenant_id, row["summary_id"]) is not None:
        return go(f"/ui/summaries/{row['summary_id']}")
    job = jobs_store.get_job(caller.conn, caller.tenant_id, row["job_id"])
    shown = page_of(caller, report_id)
    return page(request, "report.html", caller=caller, report=shown, report_id=report_id, job=job)


@router.get("/ui/reports/{report_id}/style.css")
def report_style(request: Request, caller: SummaryReader, report_id: str) -> Response:
    """The style that the report brings, for the report alone."""
    headers = {**HEADERS, "Cache-Control": "private, max-age=31536000, immutable"}
    return sent(request, style_of(caller, report_id), "text/css", headers=headers)


def _verdict(caller: Caller, one: SummaryItem) -> dict[str, Any]:
    row = store.get_report(caller.conn, caller.tenant_id, one.report) if one.report else None
    return row["verdict"] if row else {}


def _preview(caller: Caller, view: SummaryView) -> list[dict[str, Any]]:
    """The first rows of what the summary was exported as."""
    if view.dataset is None:
        return []
    dataset_id, _, number = view.dataset.partition("@")
    try:
        return versions.preview_version(caller, dataset_id, int(number), _ROWS).rows
    except Problem:  # the export was deleted
        return []
