"""Webhook endpoints as requests name them: addresses checked, numbers limited, which of them hear of a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.api.problems import Problem
from app.api.schemas.job_webhook import JobWebhook
from app.api.security import Caller
from app.outbound.ssrf import Rules, UnsafeTarget, parse_target
from app.settings import Settings
from app.store import webhooks as store
from app.webhooks.sign import new_secret

SCOPE = "webhooks:write"


def check_url(url: str, settings: Settings, pointer: str = "/url") -> None:
    """Refuse an address whose form alone is not allowed. What its name means is checked each time it is used."""
    try:
        parse_target(url, Rules.of(settings))
    except UnsafeTarget as error:
        raise Problem("unsafe_url", f"The address is refused: {error}.", pointer=pointer) from None


def make_endpoint(caller: Caller, url: str, description: str, events: Sequence[str]) -> dict[str, Any] | None:
    """A new endpoint; None when the tenant has one of this address; refused when it has too many."""
    store.lock_endpoints(caller.conn, caller.tenant_id)
    limit = caller.services.settings.webhook_endpoints
    if store.count_endpoints(caller.conn, caller.tenant_id) >= limit:
        raise Problem("quota_exceeded", f"At most {limit} webhook endpoints may exist.", hint="Delete some first.")
    return store.create_endpoint(
        caller.conn, caller.tenant_id, url=url, description=description, events=events, secret=new_secret()
    )


def endpoints_of_job(caller: Caller, webhook: JobWebhook | None, *, only_check: bool = False) -> tuple[str, ...]:
    """The endpoints that a job's `webhook` means; one is made for an address that has none."""
    if webhook is None:
        return ()
    if webhook.endpoint_id is not None:
        return (webhook.endpoint_id,)
    url = webhook.url or ""
    if SCOPE not in caller.identity.scopes:
        raise Problem(
            "forbidden", f"This API key lacks the scope {SCOPE}.", hint="Name an endpoint_id, or ask for such a key."
        )
    check_url(url, caller.services.settings, "/webhook/url")
    if (known := store.find_endpoint(caller.conn, caller.tenant_id, url)) is not None:
        return (known["id"],)
    if only_check:
        return ()
    made = make_endpoint(caller, url, "made for a job", ())
    if made is not None:
        caller.note("webhook.create", made["id"])
    else:
        made = store.find_endpoint(caller.conn, caller.tenant_id, url)
    return (made["id"],) if made else ()
