"""/ui/datasets: what was uploaded, how it was read, and what is in it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from app.api.dataset_files import keep_file
from app.api.pagination import LARGEST_SIZE
from app.api.problems import Problem, of_refused
from app.api.routes import datasets as api
from app.api.routes import files, summaries, versions
from app.api.routes.jobs import list_jobs
from app.api.schemas.datasets import DatasetCreate, DatasetPatch, DatasetView
from app.api.security import Caller, DatasetReader, DatasetWriter
from app.jobs.catalogue import checked_reading, need_kind
from app.jobs.errors import Refused
from app.store import datasets as store
from app.store.quotas import Quota
from app.web import bundled
from app.web.ask import document, first_page, go, wanted
from app.web.forms import Field, fields_of, values_of
from app.web.kinds import kinds_of
from app.web.render import page
from app.web.route import Fields, Form, PageRoute

router = APIRouter(route_class=PageRoute)
_PREVIEW_ROWS, _PREVIEW_COLUMNS = 10, 30


@router.get("/ui/datasets")
def show_datasets(request: Request, caller: DatasetReader) -> Response:
    """All of them, newest first, and the way to a new one."""
    return _list(request, caller)


@router.post("/ui/datasets")
def create_dataset(request: Request, caller: DatasetWriter, form: Form) -> Response:
    """A new dataset; its files are put on its own page."""
    given = {name: form.get(name, [""])[0].strip() for name in ("name", "kind")}
    try:
        made = document(api.create_dataset(request, caller, DatasetCreate.model_validate(given)))
    except ValidationError:
        return _list(request, caller, error="Give the dataset a name of at most 200 characters.", given=given)
    except Refused as refused:
        return _list(request, caller, error=f"{refused.detail} {refused.hint}", given=given)
    return go(f"/ui/datasets/{made['id']}")


@router.post("/ui/datasets/bundled")
def create_bundled(request: Request, caller: DatasetWriter) -> Response:
    """The dataset that comes with the service, read at once; the one that is there already, if it is."""
    offer = bundled.offered(caller)
    if offer is None:
        raise Problem("not_found", "No dataset comes with this installation.")
    for one in api.list_datasets(caller, first_page(size=LARGEST_SIZE), name=offer.name).items:
        if one.name == offer.name and one.state != "failed":
            return go(f"/ui/datasets/{one.id}")
    named = {"name": offer.name, "kind": offer.kind, "columns": offer.columns}
    made = document(api.create_dataset(request, caller, DatasetCreate.model_validate(named)))
    with caller.services.blobs.incoming() as incoming:
        incoming.write(offer.file.read_bytes())
        stored = incoming.finish()
    quota = Quota.of(caller.services.settings)
    keep_file(caller.conn, caller.tenant_id, quota, made["id"], offer.file.name, stored)
    versions.make_version(request, caller, made["id"], None)
    return go(f"/ui/datasets/{made['id']}")


@router.get("/ui/datasets/{dataset_id}")
def show_dataset(request: Request, caller: DatasetReader, dataset_id: str) -> Response:
    """One dataset: its files, how they are to be read, and the latest version."""
    return _dataset(request, caller, dataset_id)


@router.post("/ui/datasets/{dataset_id}/read")
def read_dataset(request: Request, caller: DatasetWriter, dataset_id: str, form: Form) -> Response:
    """Read the uploaded files as was filled in: a new version."""
    row = api.existing(caller, dataset_id, lock=True)
    method = need_kind(caller.conn, str(row["kind"]))
    fields = fields_of(method["params_schema"], "read")
    options = values_of(fields, form)
    columns = options.pop("columns", {})
    try:
        checked_reading(method, options, columns)
        changes = DatasetPatch(columns=columns, options=options).model_dump(exclude_none=True)
        store.update_dataset(caller.conn, caller.tenant_id, dataset_id, changes)
        caller.note("dataset.update", dataset_id)
        versions.make_version(request, caller, dataset_id, None)
    except (Refused, Problem) as refused:
        problem = of_refused(refused) if isinstance(refused, Refused) else refused
        return _dataset(request, caller, dataset_id, problem=problem, filled=form)
    return go(f"/ui/datasets/{dataset_id}")


@router.post("/ui/datasets/{dataset_id}/delete")
def delete_dataset(request: Request, caller: DatasetWriter, dataset_id: str) -> Response:
    """Delete it; what was made from it stays."""
    api.existing(caller, dataset_id, lock=True)
    users = store.live_jobs_of(caller.conn, caller.tenant_id, dataset_id)
    if users:
        raise Problem("dataset_in_use", f"Unfinished jobs read it: {', '.join(users)}.", hint="Cancel them first.")
    store.delete_dataset(caller.conn, caller.tenant_id, dataset_id)
    caller.note("dataset.delete", dataset_id)
    return go("/ui/datasets")


def _list(request: Request, caller: Caller, *, error: str = "", given: dict[str, str] | None = None) -> Response:
    found = api.list_datasets(caller, first_page(wanted(request, "page_token")))
    return page(
        request,
        "datasets.html",
        caller=caller,
        status=422 if error else 200,
        datasets=found.items,
        next_page=found.next_page_token,
        kinds=kinds_of(caller.conn),
        bundled=bundled.offered(caller),
        error=error,
        given=given or {},
    )


def _dataset(
    request: Request, caller: Caller, dataset_id: str, *, problem: Problem | None = None, filled: Fields | None = None
) -> Response:
    view = DatasetView.of(api.existing(caller, dataset_id))
    uploaded = files.list_files(caller, dataset_id, first_page(size=100)).items
    found = versions.list_versions(caller, dataset_id, first_page()).items
    latest = found[0] if found else None
    shown = latest is not None and latest.state == "ready"
    preview = (
        versions.preview_version(caller, dataset_id, latest.number, _PREVIEW_ROWS).rows if latest and shown else []
    )
    return page(
        request,
        "dataset.html",
        caller=caller,
        status=problem.status_code if problem else 200,
        dataset=view,
        files=uploaded,
        versions=found,
        latest=latest,
        detected=_detected(latest.detection) if latest and shown else [],
        preview=preview,
        preview_columns=list(dict.fromkeys(name for row in preview for name in row))[:_PREVIEW_COLUMNS],
        fields=_reading(caller, view, problem, filled),
        problem=problem,
        quick=bundled.quick_job(caller, view.name),
        jobs=list_jobs(caller, first_page(size=10), dataset=dataset_id).items if found else [],
        summaries=summaries.list_summaries(caller, first_page(size=10), dataset=dataset_id).items if found else [],
    )


def _reading(caller: Caller, view: DatasetView, problem: Problem | None, filled: Fields | None) -> list[Field]:
    """The form of how the files are to be read: as the kind's `ingest` announced it."""
    try:
        schema = need_kind(caller.conn, view.kind)["params_schema"]
    except Refused:  # no worker reads this kind now
        return []
    given = {**view.options, "columns": view.columns}
    if filled is not None:
        given = values_of(fields_of(schema, "read"), filled)
    wrong: dict[str, str] = {}
    for error in problem.errors if problem else ():
        _, group, *rest = [*str(error["pointer"]).split("/"), ""]
        wrong[rest[0] if group == "options" and rest else group] = str(error["detail"])
    return fields_of(schema, "read", given=given, errors=wrong)


def _detected(detection: Any) -> list[dict[str, Any]]:
    """The files that were recognised, each with its format and columns."""
    return list(detection.get("files", ())) if isinstance(detection, dict) else []  # pyright: ignore
