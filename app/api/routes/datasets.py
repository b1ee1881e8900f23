"""/v1/datasets: create, look at, change, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api.answers import need_match, tagged
from app.api.documented import IF_MATCH, UNCHANGED, refusals
from app.api.filters import Cascade, CreatedAfter, text_of
from app.api.idempotency import IdempotencyKey, Made, once
from app.api.pagination import Page, Pager
from app.api.problems import Problem
from app.api.schemas.common import Name, ShortText
from app.api.schemas.datasets import DatasetCreate, DatasetList, DatasetPatch, DatasetState, DatasetView
from app.api.security import Caller, DatasetReader, DatasetWriter
from app.api.transactions import TransactionRoute
from app.jobs.catalogue import checked_reading, need_kind
from app.jobs.erase import Things, erase_with_descendants
from app.store import datasets as store

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=TransactionRoute)


@router.post(
    "",
    status_code=201,
    response_model=DatasetView,
    responses=refusals("unknown_kind", "invalid_params", "quota_exceeded"),
    summary="Create a dataset",
)
def create_dataset(
    request: Request, caller: DatasetWriter, body: DatasetCreate, idempotency_key: IdempotencyKey = None
) -> Response:
    """An empty dataset; put its files, then commit them. Kind, columns and options are checked now."""

    def make() -> Made:
        checked_reading(need_kind(caller.conn, body.kind), body.options, body.columns)
        need_place(caller)
        row = store.create_dataset(
            caller.conn,
            caller.tenant_id,
            name=body.name,
            kind=body.kind,
            columns=body.columns,
            options=body.options,
            tags=body.tags,
        )
        caller.note("dataset.create", str(row["id"]))
        return 201, DatasetView.of(row), {"Location": f"/v1/datasets/{row['id']}"}

    return once(request, caller, idempotency_key, body, make)


@router.get("", response_model=DatasetList, responses=refusals(), summary="List datasets")
def list_datasets(
    caller: DatasetReader,
    page: Page,
    kind: Annotated[Name | None, Query(description="Only of this kind.")] = None,
    state: Annotated[
        DatasetState | None, Query(description="Only those whose latest version is in this state.")
    ] = None,
    name: Annotated[ShortText | None, Query(description="Only with this in the name, in any letter case.")] = None,
    exports: Annotated[bool, Query(description="Also datasets that summaries were exported as.")] = False,
    created_after: CreatedAfter = None,
) -> DatasetList:
    """Datasets that were uploaded, newest first; with `exports` also those that summaries were exported as."""
    filters: dict[str, Any] = {"kind": kind, "state": state, "name": name, "exports": exports}
    remembered = {**filters, "created_after": text_of(created_after)}
    pager = Pager.of(page, caller.services.settings.secret, caller.tenant_id, "datasets", **remembered)
    rows = store.list_datasets(
        caller.conn,
        caller.tenant_id,
        **filters,
        created_after=created_after,
        after=pager.after_row(),
        limit=pager.limit,
    )
    return DatasetList.model_validate(pager.answer(rows, DatasetView.of))


@router.get(
    "/{dataset_id}",
    response_model=DatasetView,
    responses={**UNCHANGED, **refusals("not_found")},
    summary="Get a dataset",
)
def get_dataset(request: Request, caller: DatasetReader, dataset_id: str) -> Response:
    """One dataset with its ETag, which changes and deletions must name."""
    return tagged(request, DatasetView.of(existing(caller, dataset_id)))


@router.patch(
    "/{dataset_id}",
    response_model=DatasetView,
    responses=refusals("not_found", "unknown_kind", "invalid_params"),
    openapi_extra=IF_MATCH,
    summary="Change a dataset",
)
def update_dataset(request: Request, caller: DatasetWriter, dataset_id: str, body: DatasetPatch) -> Response:
    """Change its name, tags, columns or options; needs If-Match."""
    row = existing(caller, dataset_id, lock=True)
    need_match(request, DatasetView.of(row))
    changes = body.model_dump(exclude_none=True)
    if not changes.keys().isdisjoint({"columns", "options"}):
        method = need_kind(caller.conn, str(row["kind"]))
        checked_reading(method, changes.get("options", row["options"]), changes.get("columns", row["columns"]))
    if changes:
        store.update_dataset(caller.conn, caller.tenant_id, dataset_id, changes)
        caller.note("dataset.update", dataset_id)
    return tagged(request, DatasetView.of(existing(caller, dataset_id)))


@router.delete(
    "/{dataset_id}",
    status_code=204,
    responses=refusals("not_found", "dataset_in_use", "job_not_finished"),
    openapi_extra=IF_MATCH,
    summary="Delete a dataset",
)
def delete_dataset(
    request: Request,
    caller: DatasetWriter,
    dataset_id: str,
    force: Annotated[bool, Query(description="Even while unfinished jobs read it; they go on.")] = False,
    cascade: Cascade = False,
) -> Response:
    """Delete a dataset; what was made from it stays, unless `cascade` says otherwise. Needs If-Match."""
    row = existing(caller, dataset_id, lock=True)
    need_match(request, DatasetView.of(row))
    if cascade:
        erase_with_descendants(caller.conn, caller.tenant_id, Things(datasets={dataset_id}))
        caller.note("dataset.erase", dataset_id)
        return Response(status_code=204)
    users = store.live_jobs_of(caller.conn, caller.tenant_id, dataset_id)
    if users and not force:
        raise Problem(
            "dataset_in_use",
            f"{dataset_id} is read by unfinished jobs: {', '.join(users)}.",
            hint="Cancel them, or delete with ?force=true.",
        )
    store.delete_dataset(caller.conn, caller.tenant_id, dataset_id)
    caller.note("dataset.delete", dataset_id)
    return Response(status_code=204)


def need_place(caller: Caller) -> None:
    """Refuse one more dataset of a tenant that has as many as it may."""
    limit = caller.services.settings.dataset_limit
    if store.count_datasets(caller.conn, caller.tenant_id) >= limit:
        raise Problem("quota_exceeded", f"At most {limit} datasets may exist.", hint="Delete some first.")


def existing(caller: Caller, dataset_id: str, *, lock: bool = False) -> dict[str, object]:
    """The dataset's row; 404 when this tenant has none of that id."""
    row = store.get_dataset(caller.conn, caller.tenant_id, dataset_id, lock=lock)
    if row is None:
        raise Problem("not_found", f"There is no dataset {dataset_id}.")
    return row
