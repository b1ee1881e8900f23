"""The client's side of webhooks, and what it gives to receivers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.webhooks.sign import new_secret, signed_headers
from distillery import errors, verify_webhook
from tests.unit.client.http_server import document
from tests.unit.client.test_requests import JOB, both, outcome

SECRET = new_secret()
BODY = b'{"type":"job.succeeded"}'


def headers(at: float | None = None, *secrets: str) -> dict[str, str]:
    return signed_headers(secrets or (SECRET,), "msg_1", int(time.time() if at is None else at), BODY)


def test_message_when_signed_then_its_document() -> None:
    assert verify_webhook(BODY, headers(), SECRET) == {"type": "job.succeeded"}
    shouted = {name.title(): value for name, value in headers(None, new_secret(), SECRET).items()}
    assert verify_webhook(BODY, shouted, SECRET) == {"type": "job.succeeded"}


@pytest.mark.parametrize(
    ("body", "sent", "secret"),
    [
        (BODY + b" ", lambda: headers(), SECRET),
        (BODY, lambda: headers(), new_secret()),
        (BODY, lambda: headers(time.time() - 400), SECRET),
        (BODY, lambda: headers(time.time() + 400), SECRET),
        (BODY, lambda: {}, SECRET),
        (BODY, lambda: {**headers(), "webhook-timestamp": "x"}, SECRET),
        (BODY, lambda: {**headers(), "webhook-signature": "v1,ä"}, SECRET),
        (BODY, lambda: {**headers(), "webhook-id": "msg_2"}, SECRET),
        (BODY, lambda: headers(), "whsec_%%"),
    ],
    ids=["body", "secret", "too old", "too new", "no headers", "timestamp", "signature", "id", "no secret"],
)
def test_message_when_anything_is_wrong_then_unverified(
    body: bytes, sent: Callable[[], dict[str, str]], secret: str
) -> None:
    with pytest.raises(errors.UnverifiedWebhook):
        verify_webhook(body, sent(), secret)


ENDPOINT = {"id": "wh_1", "url": "https://x.example/", "secret": "whsec_x"}
CALLS = [
    (lambda c: c.webhooks.create("https://x.example/", events=["job.failed"]), "POST", "/v1/webhooks"),
    (lambda c: c.webhooks.get("wh_1"), "GET", "/v1/webhooks/wh_1"),
    (lambda c: c.webhooks.update("wh_1", enabled=True), "PATCH", "/v1/webhooks/wh_1"),
    (lambda c: c.webhooks.rotate("wh_1", keep_s=5), "POST", "/v1/webhooks/wh_1/rotate"),
    (lambda c: c.webhooks.test("wh_1"), "POST", "/v1/webhooks/wh_1/test"),
    (lambda c: c.webhooks.redeliver("wh_1", "msg_1"), "POST", "/v1/webhooks/wh_1/deliveries/msg_1/redeliver"),
]


@both
@pytest.mark.parametrize(("ask", "method", "path"), CALLS)
def test_endpoint_when_asked_about_then_the_documents_of_the_service(
    through: Any, ask: Any, method: str, path: str
) -> None:
    found, server = outcome(through, lambda _: document(ENDPOINT), ask)
    assert found == ENDPOINT
    assert [(one.method, one.path) for one in server.asked] == [(method, path)]
    if method == "POST":
        assert server.asked[0].headers["idempotency-key"]


@both
def test_job_when_it_names_who_is_told_then_sent_so(through: Any) -> None:
    for named, sent in (("wh_1", {"endpoint_id": "wh_1"}), ("https://x.example/", {"url": "https://x.example/"})):
        _, server = outcome(
            through, lambda _: document(JOB, 202), lambda c, named=named: c.run("m", "ds_1@1", webhook=named)
        )
        assert json.loads(server.asked[0].body)["webhook"] == sent
