"""/v1/webhooks: who is told what happened, and how the telling went."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api.documented import refusals
from app.api.idempotency import IdempotencyKey, Made, once
from app.api.pagination import Page, Pager
from app.api.problems import Problem
from app.api.schemas.webhooks import (
    ROTATION_S,
    DeliveryDetail,
    DeliveryList,
    DeliveryState,
    DeliveryView,
    WebhookCreate,
    WebhookCreated,
    WebhookList,
    WebhookPatch,
    WebhookRotate,
    WebhookView,
)
from app.api.security import Caller, WebhookWriter
from app.api.transactions import TransactionRoute
from app.api.webhooks import check_url, make_endpoint
from app.store import webhooks as store
from app.webhooks.announce import message
from app.webhooks.sign import new_secret

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=TransactionRoute)
_SECRET = {"Cache-Control": "no-store"}


@router.post(
    "",
    status_code=201,
    response_model=WebhookCreated,
    responses=refusals("unsafe_url", "webhook_exists", "quota_exceeded"),
    summary="Create a webhook endpoint",
)
def create_webhook(
    request: Request, caller: WebhookWriter, body: WebhookCreate, idempotency_key: IdempotencyKey = None
) -> Response:
    """Its secret is in this answer, and after that only in those of `rotate`."""
    check_url(body.url, caller.services.settings)

    def make() -> Made:
        row = make_endpoint(caller, body.url, body.description, body.events)
        if row is None:
            raise _taken()
        caller.note("webhook.create", row["id"])
        return 201, WebhookCreated.of(row), {"Location": f"/v1/webhooks/{row['id']}", **_SECRET}

    return once(request, caller, idempotency_key, body, make)


@router.get("", response_model=WebhookList, responses=refusals(), summary="List webhook endpoints")
def list_webhooks(caller: WebhookWriter, page: Page) -> WebhookList:
    """Endpoints, newest first."""
    pager = Pager.of(page, caller.services.settings.secret, caller.tenant_id, "webhooks")
    rows = store.list_endpoints(caller.conn, caller.tenant_id, after=pager.after_row(), limit=pager.limit)
    return WebhookList.model_validate(pager.answer(rows, WebhookView.of))


@router.get(
    "/{webhook_id}", response_model=WebhookView, responses=refusals("not_found"), summary="Get a webhook endpoint"
)
def get_webhook(caller: WebhookWriter, webhook_id: str) -> WebhookView:
    """One endpoint, without its secret."""
    return WebhookView.of(_existing(caller, webhook_id))


@router.patch(
    "/{webhook_id}",
    response_model=WebhookView,
    responses=refusals("not_found", "unsafe_url", "webhook_exists"),
    summary="Change a webhook endpoint",
)
def update_webhook(caller: WebhookWriter, webhook_id: str, body: WebhookPatch) -> WebhookView:
    """Change its address, description or events; disable it, or enable it again."""
    store.lock_endpoints(caller.conn, caller.tenant_id)
    _existing(caller, webhook_id)
    changes: dict[str, Any] = body.model_dump(exclude_none=True, exclude={"enabled"})
    if body.url is not None:
        check_url(body.url, caller.services.settings)
    if changes and store.update_endpoint(caller.conn, caller.tenant_id, webhook_id, changes) is None:
        raise _taken()
    if body.enabled is not None:
        store.switch_endpoint(caller.conn, caller.tenant_id, webhook_id, enabled=body.enabled)
    caller.note("webhook.update", webhook_id)
    return WebhookView.of(_existing(caller, webhook_id))


@router.delete("/{webhook_id}", status_code=204, responses=refusals("not_found"), summary="Delete a webhook endpoint")
def delete_webhook(caller: WebhookWriter, webhook_id: str) -> Response:
    """Nothing more is sent to it, not even what waits."""
    if not store.delete_endpoint(caller.conn, caller.tenant_id, webhook_id):
        raise _unknown(webhook_id)
    caller.note("webhook.delete", webhook_id)
    return Response(status_code=204)


@router.post(
    "/{webhook_id}/rotate",
    response_model=WebhookCreated,
    responses=refusals("not_found"),
    summary="Give a webhook endpoint a new secret",
)
def rotate_webhook(
    request: Request,
    caller: WebhookWriter,
    webhook_id: str,
    body: WebhookRotate | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """The secret so far goes on to count for a while, in which each message has two signatures."""

    def make() -> Made:
        keep_s = body.keep_s if body else ROTATION_S
        row = store.rotate_secret(caller.conn, caller.tenant_id, webhook_id, new_secret(), keep_s=keep_s)
        if row is None:
            raise _unknown(webhook_id)
        caller.note("webhook.rotate", webhook_id)
        return 200, WebhookCreated.of(row), dict(_SECRET)

    return once(request, caller, idempotency_key, body, make)


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    response_model=DeliveryView,
    responses=refusals("not_found", "webhook_disabled"),
    summary="Send a test message",
)
def send_test_webhook(
    request: Request, caller: WebhookWriter, webhook_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """A message of the event `webhook.test`; its delivery tells how it went."""

    def make() -> Made:
        _enabled(_existing(caller, webhook_id))
        body = message("webhook.test", datetime.now(UTC), {"endpoint": webhook_id})
        row = store.add_delivery(caller.conn, caller.tenant_id, webhook_id, event="webhook.test", body=body)
        return _queued(row)

    return once(request, caller, idempotency_key, None, make)


@router.get(
    "/{webhook_id}/deliveries",
    response_model=DeliveryList,
    responses=refusals("not_found"),
    summary="Messages to a webhook endpoint",
)
def list_deliveries(
    caller: WebhookWriter,
    webhook_id: str,
    page: Page,
    state: Annotated[DeliveryState | None, Query(description="Only in this state.")] = None,
    job: Annotated[str | None, Query(max_length=100, description="Only about this job.")] = None,
) -> DeliveryList:
    """Messages, newest first; they are forgotten after 30 days."""
    _existing(caller, webhook_id)
    secret = caller.services.settings.secret
    pager = Pager.of(page, secret, caller.tenant_id, f"deliveries of {webhook_id}", state=state, job=job)
    rows = store.list_deliveries(
        caller.conn,
        caller.tenant_id,
        webhook_id,
        state=state,
        job_id=job,
        after=pager.after_row(),
        limit=pager.limit,
    )
    return DeliveryList.model_validate(pager.answer(rows, DeliveryView.of))


@router.get(
    "/{webhook_id}/deliveries/{delivery_id}",
    response_model=DeliveryDetail,
    responses=refusals("not_found"),
    summary="Get a message",
)
def get_delivery(caller: WebhookWriter, webhook_id: str, delivery_id: str) -> DeliveryDetail:
    """One message with what it says."""
    row = store.get_delivery(caller.conn, caller.tenant_id, webhook_id, delivery_id)
    if row is None:
        raise _unknown_delivery(delivery_id)
    return DeliveryDetail.of(row)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    response_model=DeliveryView,
    responses=refusals("not_found", "webhook_disabled"),
    summary="Send a message again",
)
def redeliver_delivery(
    request: Request,
    caller: WebhookWriter,
    webhook_id: str,
    delivery_id: str,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """The same message under the same `webhook-id`, now, with all its tries again."""

    def make() -> Made:
        _enabled(_existing(caller, webhook_id))
        row = store.redeliver(caller.conn, caller.tenant_id, webhook_id, delivery_id)
        if row is None:
            raise _unknown_delivery(delivery_id)
        return _queued(row)

    return once(request, caller, idempotency_key, None, make)


def _existing(caller: Caller, webhook_id: str) -> dict[str, Any]:
    row = store.get_endpoint(caller.conn, caller.tenant_id, webhook_id)
    if row is None:
        raise _unknown(webhook_id)
    return row


def _enabled(row: dict[str, Any]) -> None:
    if row["disabled_at"] is not None:
        raise Problem("webhook_disabled", hint=f'PATCH /v1/webhooks/{row["id"]} with {{"enabled": true}}.')


def _queued(row: dict[str, Any]) -> Made:
    view = DeliveryView.of(row)
    return 202, view, {"Location": f"/v1/webhooks/{view.endpoint}/deliveries/{view.id}", "Retry-After": "2"}


def _taken() -> Problem:
    return Problem("webhook_exists", hint="Change that one, or delete it first.", pointer="/url")


def _unknown(webhook_id: str) -> Problem:
    return Problem("not_found", f"There is no webhook endpoint {webhook_id}.")


def _unknown_delivery(delivery_id: str) -> Problem:
    return Problem("not_found", f"There is no message {delivery_id}.")
