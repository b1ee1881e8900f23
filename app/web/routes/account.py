"""/ui/api-keys and /ui/webhooks: who may ask, and who is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from app.api.problems import Problem, of_refused
from app.api.routes import accounts
from app.api.routes import webhooks as hooks
from app.api.schemas.accounts import KeyCreate
from app.api.schemas.webhooks import WebhookCreate, WebhookPatch
from app.api.security import Admin, Caller, WebhookWriter
from app.jobs.errors import Refused
from app.store.api_keys import SCOPES
from app.store.webhooks import EVENTS
from app.web.ask import document, first_page, go
from app.web.render import page
from app.web.route import Form, PageRoute

router = APIRouter(route_class=PageRoute)


@router.get("/ui/api-keys")
def show_keys(request: Request, caller: Admin) -> Response:
    """Every key of the tenant."""
    return _keys(request, caller)


@router.post("/ui/api-keys")
def create_key(request: Request, caller: Admin, form: Form) -> Response:
    """A new key; its token is on this page and nowhere else."""
    days = form.get("days", [""])[0]
    try:
        body = KeyCreate(
            name=form.get("name", [""])[0].strip(),
            scopes=form.get("scopes", []),  # pyright: ignore[reportArgumentType] - checked by the model
            expires_at=datetime.now(UTC) + timedelta(days=int(days)) if days.isdigit() else None,
        )
        made = document(accounts.create_api_key(caller, body))
    except (ValidationError, OverflowError):
        return _keys(request, caller, error="Give the key a name, and at least one thing that it may do.")
    except Problem as problem:
        return _keys(request, caller, error=f"{problem.detail} {problem.hint}")
    return _keys(request, caller, made=made)


@router.post("/ui/api-keys/{key_id}/revoke")
def revoke_key(request: Request, caller: Admin, key_id: str) -> Response:
    """Make a key useless, with those that it made."""
    accounts.revoke_api_key(caller, key_id)
    return go("/ui/api-keys")


@router.get("/ui/webhooks")
def show_webhooks(request: Request, caller: WebhookWriter) -> Response:
    """Every endpoint, with how its last messages went."""
    return _webhooks(request, caller)


@router.post("/ui/webhooks")
def create_webhook(request: Request, caller: WebhookWriter, form: Form) -> Response:
    """A new endpoint; its secret is on this page and nowhere else."""
    try:
        given = {name: form.get(name, [""])[0].strip() for name in ("url", "description")}
        body = WebhookCreate.model_validate({**given, "events": form.get("events", [])})
        made = document(hooks.create_webhook(request, caller, body))
    except ValidationError:
        return _webhooks(request, caller, error="Give an address that begins with https://.")
    except (Problem, Refused) as refused:
        problem = of_refused(refused) if isinstance(refused, Refused) else refused
        return _webhooks(request, caller, error=f"{problem.detail} {problem.hint}")
    return _webhooks(request, caller, made=made)


@router.post("/ui/webhooks/{webhook_id}/test")
def test_webhook(request: Request, caller: WebhookWriter, webhook_id: str) -> Response:
    """Send it a test message."""
    hooks.send_test_webhook(request, caller, webhook_id)
    return go("/ui/webhooks")


@router.post("/ui/webhooks/{webhook_id}/switch")
def switch_webhook(request: Request, caller: WebhookWriter, webhook_id: str, form: Form) -> Response:
    """Enable or disable it."""
    hooks.update_webhook(
        caller, webhook_id, WebhookPatch.model_validate({"enabled": form.get("enabled", [""])[0] == "yes"})
    )
    return go("/ui/webhooks")


@router.post("/ui/webhooks/{webhook_id}/delete")
def delete_webhook(request: Request, caller: WebhookWriter, webhook_id: str) -> Response:
    """Send it nothing more."""
    hooks.delete_webhook(caller, webhook_id)
    return go("/ui/webhooks")


def _keys(request: Request, caller: Caller, *, error: str = "", made: dict[str, Any] | None = None) -> Response:
    keys = accounts.list_api_keys(caller).items
    return page(
        request,
        "keys.html",
        caller=caller,
        status=422 if error else 200,
        keys=keys,
        scopes=SCOPES,
        error=error,
        made=made,
        now=datetime.now(UTC),
    )


def _webhooks(request: Request, caller: Caller, *, error: str = "", made: dict[str, Any] | None = None) -> Response:
    found = hooks.list_webhooks(caller, first_page()).items
    last = {one.id: hooks.list_deliveries(caller, one.id, first_page(size=5)).items for one in found}
    return page(
        request,
        "webhooks.html",
        caller=caller,
        status=422 if error else 200,
        webhooks=found,
        deliveries=last,
        events=EVENTS,
        error=error,
        made=made,
    )
