"""/ui/compare: several summaries of one dataset side by side, as their reports say; figures of different protocols
never share a table."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.pagination import LARGEST_SIZE
from app.api.routes import summaries as api
from app.api.schemas.results import SummaryItem
from app.api.security import Caller, SummaryReader
from app.store.methods import list_methods
from app.web.ask import first_page, names_of, wanted
from app.web.render import page
from app.web.reports import read_report
from app.web.route import PageRoute

router = APIRouter(route_class=PageRoute)
_MOST = 12


@router.get("/ui/compare")
def compare(request: Request, caller: SummaryReader) -> Response:
    """A dataset's summaries to choose from, and the chosen ones side by side."""
    named = [one for one in request.query_params.getlist("summary") if one][:_MOST]
    made = api.list_summaries(caller, first_page(size=LARGEST_SIZE)).items
    by_id = {one.id: one for one in made}
    source = by_id[named[0]].source if named and named[0] in by_id else wanted(request, "dataset")
    own = [one for one in made if one.source == source and one.report]
    chosen = [one for one in own if one.id in named]
    columns = [_side(caller, one) for one in chosen]
    protocols: dict[str, list[dict[str, Any]]] = {}
    for one in columns:
        protocols.setdefault(str(one["protocol"]), []).append(one)
    for sides in protocols.values():
        sides.sort(key=lambda one: -(one["verdict"].get("value") or 0.0))
    kind = own[0].kind if own else ""
    jobs = [one["name"] for one in list_methods(caller.conn, kind=kind, task="compare", limit=20)] if kind else []
    return page(
        request,
        "compare.html",
        caller=caller,
        sources=list(dict.fromkeys(one.source for one in made if one.report)),
        names=names_of(caller, [one.source for one in made]),
        source=source,
        own=own,
        chosen=[one.id for one in chosen],
        protocols=list(protocols.values()),
        methods=[name for name in jobs if name == "compare"],
    )


def _side(caller: Caller, one: SummaryItem) -> dict[str, Any]:
    """What one report says, as the figures of a column: each with its interval and unit."""
    report = read_report(caller, str(one.report))
    verdict: dict[str, Any] = report["verdict"]
    sizes: list[dict[str, Any]] = next((t["rows"] for t in report["tables"] if t["name"] == "sizes"), [])
    delivered: dict[str, Any] = next((row for row in sizes if row.get("role") == "summary"), {})
    making: dict[str, Any] = report["cost"].get("distilling") or report["cost"]
    return {
        "summary": one,
        "verdict": verdict,
        "protocol": report["protocol"]["hash"],
        "metric": verdict.get("metric_label") or "",
        "learner": verdict.get("learner_label") or "",
        "rows": delivered.get("rows"),
        "bytes": delivered.get("bytes"),
        "compressed": delivered.get("compressed"),
        "seconds": (making.get("seconds") or {}).get("value"),
        "memory_mb": (making.get("peak_memory") or {}).get("value"),
        "units": report.get("units", "rows"),
        "warnings": len(report["warnings"]),
    }
